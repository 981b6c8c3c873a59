"""Sweeps: check a command before it starts, run its jobs, store and summarize their results."""
