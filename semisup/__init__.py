"""semisup: train image classifiers with pseudo-labels, sweep and compare settings, and reproduce runs bit for bit."""

__version__ = "0.2.0"
