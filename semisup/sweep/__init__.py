"""Run sweeps: check the command first, run its jobs, and store and summarize their results."""
