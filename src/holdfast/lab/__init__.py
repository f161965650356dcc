"""The lab is many hosts on one machine, each in its own namespaces, made to be broken for real."""
