"""Simulated rollouts: the statistics of the daemon over many of them at once, in numpy."""
