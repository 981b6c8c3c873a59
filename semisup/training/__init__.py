"""The training of a run: training loop, evaluation, and the state from which training can be resumed."""
