"""What people and other systems see of Holdfast: command line, interfaces, metrics.

Here: words, tables, and the starting of the programs below.
Not here: anything that would be missed if nobody looked.
"""
