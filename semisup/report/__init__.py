"""Show runs and comparisons of runs on the terminal, as CSV, JSON, plots and HTML pages, and in W&B."""
