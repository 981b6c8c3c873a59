"""pseudo_labels.csv is what the csv module writes, whatever the names of files and classes."""

import csv
import io

import torch

from semisup.core.csv_cells import protect_cell
from semisup.core.events import PoolLabeled
from semisup.core.types import ClassCounts, PolicyOutput, PseudoLabels, ThresholdCurve
from semisup.record.pseudo_labels import csv_cell, label_lines

NAMES = [
    "a.jpg",
    "with,comma",
    'with "quotes"',
    "=formula",
    "'-quoted",
    "line\nbreak",
    "return\r",
    "",
    " space ",
    "ä,é",
    "+1,2",
]


def test_lines_equal_those_of_the_csv_module() -> None:
    count, classes = len(NAMES), ["plain", "=1+1", 'a,"b"']
    targets = torch.arange(count) % 3
    targets[4] = -1
    generator = torch.Generator().manual_seed(0)
    confidence, weight = torch.rand(count, generator=generator), torch.rand(count, generator=generator).round()
    labels = PseudoLabels(torch.empty(count, 0), confidence, targets)
    nothing = ClassCounts([], [], [], [], [])
    selection = PolicyOutput(weight, targets, torch.zeros(3))
    event = PoolLabeled(7, 2, 3, labels, selection, {}, nothing, ThresholdCurve([], []))
    rows = [
        (3, 2, 7, NAMES[n], classes[targets[n]], float(confidence[n]), float(weight[n]), int(weight[n] > 0))
        for n in range(count)
        if targets[n] >= 0
    ]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([protect_cell(value) for value in row] for row in rows)
    assert label_lines(event, list(map(csv_cell, NAMES)), list(map(csv_cell, classes))) == buffer.getvalue()
