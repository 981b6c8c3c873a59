"""Read, compare and diagnose finished runs. The functions return numbers, and `semisup.report` displays them."""
