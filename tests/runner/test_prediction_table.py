"""The table of predictions: numbers are written as numbers, and texts never as formulas."""

import csv
import io

import numpy

from semisup.runner.classifier import ClassifiedBatch
from semisup.runner.prediction_table import PredictionColumns, csv_parts


def test_negative_numbers_get_no_apostrophe_and_names_do() -> None:
    batch = ClassifiedBatch(
        names=["-a.png", "b.png"],
        reasons=[None, None],
        probabilities=numpy.array([[0.75, 0.25]] * 2, numpy.float32),
        embeddings=numpy.array([[-0.5, 1e-9]] * 2, numpy.float32),
        scores=numpy.array([-0.069463, 0], numpy.float32),
    )
    columns = PredictionColumns(["-x", "y"], dimension=2, reject_limit=-0.05)
    row, other = csv.DictReader(io.StringIO("".join(csv_parts(columns, [batch]))))
    assert (row["path"], row["class"], row["score"], row["rejected"]) == ("'-a.png", "'-x", "-0.069463", "1")
    assert (row["embedding/0"], row["embedding/1"]) == ("-0.5", "1e-09")
    assert other["score"] == "0.000000"
