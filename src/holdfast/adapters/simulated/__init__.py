"""A data centre in memory: a fake for every port, checked by the same contract as the real one."""
