"""Train runs: from a validated config to a finished run directory."""
