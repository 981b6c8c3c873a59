"""Names of the probes: simple classifiers on the fixed features of an encoder, such as logistic regression."""

GRIDS = {"logistic_regression": "C", "nearest_neighbors": "k"}
"""Value of `probe.classifier` -> key in the section `probe` that lists the values to select from."""

NAMES = {
    "logistic_regression": "logistic regression on features",
    "nearest_neighbors": "k-nearest neighbors on features",
}
"""Value of `probe.classifier` -> name of the probe in comparisons of runs."""
