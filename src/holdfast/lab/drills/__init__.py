"""Drills break one thing for real and measure, with a receiver and a clock that are not Holdfast's.

The programs run as a user would run them; this room only starts them, breaks, waits and counts.
"""
