"""The shape of every plug-in: a Protocol per file, with the promises its contract test checks.

Here: what an adapter or a detector must answer, and how it is found (plugins.py).
Not here: anything that does it; knowledge of one product.
"""
