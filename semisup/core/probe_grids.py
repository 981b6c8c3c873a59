"""The classifiers that are fitted to features without training, and the setting of each that validation selects."""

GRIDS = {"logistic_regression": "C", "nearest_neighbors": "k"}
"""Value of `probe.classifier` -> key of `probe` with the values to select from."""

NAMES = {
    "logistic_regression": "logistic regression on features",
    "nearest_neighbors": "k-nearest neighbors on features",
}
"""Value of `probe.classifier` -> name in comparisons."""
