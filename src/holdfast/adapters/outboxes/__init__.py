"""What must arrive waits here until it was answered: a plug-in per kind of outbox."""
