"""The program on every host: sees, records, reports, and restarts in place what it is told to keep.

Here: loops, queues, processes, and the wiring of adapters to detectors and policy.
Not here: rules (policy), judgement (detectors), and calls to one product (adapters).
"""
