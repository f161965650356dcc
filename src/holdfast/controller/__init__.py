"""The program that hears the agents, reports to the VIM, and stands in for hosts that died.

Here: loops, inventory, journal, and the wiring of adapters to policy.
Not here: rules (policy), judgement (detectors), and calls to one product (adapters).
"""
