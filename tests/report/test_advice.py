"""Test the sentences of `semisup advise`: exact text, and a number in every sentence."""

import random
import re
from pathlib import Path

import pytest

from semisup.analysis.advice.case import NoFinding
from semisup.analysis.advice.checks import CHECKS, advise
from semisup.report.advice import finding_text, without_text
from tests.analysis.advice_maker import case_of, cell, two_cells, with_classes, with_curves, with_half_of_the_labels


def texts(folder: Path) -> list[str]:
    """The sentences about the runs in a folder."""
    return [finding_text(finding) for finding in advise(case_of(folder)).findings]


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        (
            [2, 3, 4],
            "Pseudo-labels help: method self_training reaches 83.0 % test accuracy, the best labels-only runs 80.0 %. "
            "The gain is +3.0 points, 95 % interval +0.5 to +5.5 over 3 seeds.",
        ),
        (
            [-2, -3, -4],
            "Pseudo-labels harm: method self_training reaches 77.0 % test accuracy, the best labels-only runs 80.0 %. "
            "The gain is -3.0 points, 95 % interval -5.5 to -0.5 over 3 seeds.",
        ),
        (
            [-0.5, 0, 0.5],
            "Labels alone do as well as pseudo-labels: method self_training reaches 80.0 % test accuracy, the best "
            "labels-only runs 80.0 %. The gain is +0.0 points, 95 % interval -1.2 to +1.2 over 3 seeds. A gain of more "
            "than 1.2 points is unlikely.",
        ),
        (
            [-3, 0, 6],
            "These runs do not decide whether pseudo-labels help: method self_training reaches 81.0 % test accuracy, "
            "the best labels-only runs 80.0 %. The gain is +1.0 points, 95 % interval -10.4 to +12.4 over 3 seeds. "
            "About 167 new seeds would detect a gain of this size.",
        ),
    ],
)
def test_sentence_about_labels_alone(tmp_path: Path, gains: list[float], expected: str) -> None:
    for seed, gain in enumerate(gains):
        cell(tmp_path, seed, gain)
    assert texts(tmp_path) == [expected]


def test_sentence_about_images_of_no_class(tmp_path: Path) -> None:
    with_curves(cell(tmp_path, 0, 3), unlabeled=0.3)
    assert texts(tmp_path) == [
        "The unlabeled set seems to contain images that belong to none of the classes: about 40 % of the 1,000 images "
        "or more (lower limit 31 %, 1 seed). The confidence is at least 0.700 for 30 % of the unlabeled images, but "
        "for 50 % of the validation images."
    ]


def test_sentence_about_concentration(tmp_path: Path) -> None:
    with_classes(cell(tmp_path, 0, 3), (160, 20, 20), (40, 40, 20), (200, 100, 100))
    assert texts(tmp_path) == [
        "The selected pseudo-labels concentrate on the class a: 80 % of the 200 selected pseudo-labels, but 40 % of "
        "the validation images (with one seed; chi-square test, p < 0.001). The model predicts it for 50 % of all "
        "unlabeled images."
    ]


def test_sentence_about_the_validation_set(tmp_path: Path) -> None:
    two_cells(tmp_path, better=9, worse=5, images=100)
    assert texts(tmp_path) == [
        "The validation set is too small to distinguish the settings: on 100 images, threshold.tau=0.9 is 4.0 points "
        "better than threshold.tau=0.8, with a standard error of 3.7 points. For a difference of this size, about 340 "
        "images would be needed."
    ]


def test_sentence_about_more_labels(tmp_path: Path) -> None:
    with_half_of_the_labels(tmp_path, [2, 3, 4], [20, 20, 20])
    assert texts(tmp_path)[1:] == [
        "50 more labels would help more than the setting: with 40 labels in place of 20, labels alone reach 80.0 % in "
        "place of 60.0 % test accuracy, so that 50 more are expected to add 11.1 points. method self_training adds 3.0 "
        "points to the best labels-only runs. The labels add 8.1 points more, 95 % interval +5.6 to +10.6 over 3 seeds."
    ]


def test_checks_without_a_finding_are_on_one_line() -> None:
    without = [NoFinding("one"), NoFinding("two", "two seeds"), NoFinding("three")]
    assert without_text(without) == "Nothing to report: one; three. Not checked: two (needs two seeds)."
    assert without_text(without[:1]) == "Nothing to report: one."
    assert without_text(without[1:2]) == "Not checked: two (needs two seeds)."


@pytest.mark.parametrize("number", range(8))
def test_every_sentence_has_a_number_and_every_check_a_result(tmp_path: Path, number: int) -> None:
    """Random sweeps with any gain, classes, validation images and learning curve."""
    draw = random.Random(number)
    gains = [draw.gauss(0, 3) for _ in range(draw.randint(1, 3))]
    with_half_of_the_labels(tmp_path, gains, [draw.gauss(5, 5) for _ in gains])
    for run in sorted(tmp_path.glob("self_training-fixed*")):
        with_classes(run, [draw.randint(0, 200) for _ in range(3)], [draw.randint(1, 50) for _ in range(3)])
    advice = advise(case_of(tmp_path))
    assert len(advice.findings) + len(advice.without) == len(CHECKS)
    for finding in advice.findings:
        text = finding_text(finding)
        assert all(re.search(r"\d", sentence) for sentence in re.split(r"(?<=\.) (?=[A-Z])", text)), text
        assert not re.search(r"nan|inf\b|None", text), text
