"""Rendering of runs and comparisons: terminal, CSV and JSON, plots, HTML, W&B."""
