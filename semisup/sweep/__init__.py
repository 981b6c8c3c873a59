"""Run sweeps: check the command, run its jobs, and store and summarize their results."""
