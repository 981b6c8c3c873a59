"""semisup: pseudo-labels for image classification, swept, compared and brought back bit for bit."""

__version__ = "0.2.0"
