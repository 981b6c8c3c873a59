"""Train one run, from a validated config to a finished run directory."""
