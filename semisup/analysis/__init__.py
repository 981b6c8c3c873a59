"""Read, compare and diagnose finished runs; the results are numbers, which `semisup.report` shows."""
