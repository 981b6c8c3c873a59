"""Runs: from a checked config to a finished run directory."""
