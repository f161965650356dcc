"""Judges: each file turns observations into verdicts about one kind of fault, as a pure function.

Here: what is wrong, since when, and how certain that is. Time is an argument.
Not here: reading the machine (adapters/sensors), what to do about it (policy), and any other
detector: only the panel, which asks them all, knows them.
"""
