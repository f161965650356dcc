"""Decides: verdicts and outcomes go in, actions with their reasons come out; nothing else happens.

Here: every rule, deadline and state table. Time is an argument; the same input gives the same
actions.
Not here: I/O, clocks, randomness, logging, and which detector spoke.
"""
