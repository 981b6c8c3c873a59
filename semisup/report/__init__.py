"""Show runs and comparisons: on the terminal, as CSV and JSON, as plots, as HTML pages and in W&B."""
