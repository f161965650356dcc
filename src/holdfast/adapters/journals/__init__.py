"""Journals: where every input and action of policy is kept, in the order it was consumed."""
