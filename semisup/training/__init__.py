"""The training loop, its state, and evaluation."""
