"""Test each check of `semisup advise` on made-up runs with known answers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from semisup.analysis.advice.case import NoFinding, image_count, split_cases
from semisup.analysis.advice.checks import advise
from semisup.analysis.advice.concentration import Concentration, check_concentration, same_proportions
from semisup.analysis.advice.labels_alone import LabelsAlone, Verdict, check_labels_alone
from semisup.analysis.advice.more_labels import HALF, MoreLabels, check_more_labels, expected_gain
from semisup.analysis.advice.out_of_class import OutOfClass, check_out_of_class
from semisup.analysis.advice.validation_size import ValidationSize, check_validation_size
from semisup.analysis.runs import find_runs, read_runs
from tests.analysis.advice_maker import (
    LABELINGS,
    case_of,
    cell,
    two_cells,
    with_classes,
    with_counts,
    with_curves,
    with_half_of_the_labels,
)
from tests.report.run_maker import make, make_with_references, plain_of, store

# Pseudo-labels against labels alone -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "verdict", "interval", "seeds"),
    [
        ([2, 3, 4], Verdict.HELP, (3.0, 0.5, 5.5), None),
        ([-2, -3, -4], Verdict.HARM, (-3.0, -5.5, -0.5), None),
        ([-0.5, 0, 0.5], Verdict.AS_GOOD, (0.0, -1.2, 1.2), None),
        ([-3, 0, 6], Verdict.UNDECIDED, (1.0, -10.4, 12.4), 167),
        ([3, 0, -6], Verdict.UNDECIDED, (-1.0, -12.4, 10.4), None),
    ],
)
def test_interval_decides_about_labels_alone(
    tmp_path: Path, gains: list[float], verdict: Verdict, interval: tuple[float, float, float], seeds: int | None
) -> None:
    for seed, gain in enumerate(gains):
        cell(tmp_path / "mine", seed, gain)
    finding = check_labels_alone(case_of(tmp_path / "mine"))
    assert isinstance(finding, LabelsAlone)
    assert finding.verdict is verdict
    assert [round(each, 1) for each in finding.interval[:3]] == list(interval)
    assert finding.alone == pytest.approx(0.8)
    assert finding.accuracy == pytest.approx(0.8 + numpy.mean(gains) / 100)
    assert finding.seeds_needed == seeds
    assert finding.split == "test"
    assert not finding.confirmed


def test_one_seed_is_no_evidence_about_labels_alone(tmp_path: Path) -> None:
    cell(tmp_path / "mine", 0, 9)
    assert check_labels_alone(case_of(tmp_path / "mine")).missing == "two seeds"


def test_labels_only_runs_are_needed(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path / "mine", plain_of("method=self_training", seed=seed), labelings=LABELINGS)
    assert check_labels_alone(case_of(tmp_path / "mine")).missing == "a finished run on labels only"


def test_folder_of_labels_only_runs_says_nothing_about_pseudo_labels(tmp_path: Path) -> None:
    for seed in (0, 1):
        make(tmp_path / "mine", plain_of("method=supervised", seed=seed))
    case = case_of(tmp_path / "mine")
    assert advise(case).findings == ()
    assert "uses unlabeled images" in check_labels_alone(case).missing


# Images of no class --------------------------------------------------------------------------------------------------


def test_confidences_estimate_the_share_of_images_of_no_class(tmp_path: Path) -> None:
    """40 % of the images have no class and never reach the threshold; the first labeling is too early to count."""
    for seed in (0, 1):
        with_curves(cell(tmp_path / "mine", seed, 3), unlabeled=0.3)
    finding = check_out_of_class(case_of(tmp_path / "mine"))
    assert isinstance(finding, OutOfClass)
    assert finding.share == pytest.approx(0.4)
    error = (0.7 / (0.3 * 1000) + 0.5 / (0.5 * 400)) ** 0.5
    assert finding.lowest == pytest.approx(1 - 0.6 * numpy.exp(1.96 * error))
    assert (finding.score, finding.seeds) == ("confidence", 2)
    assert (finding.mean.limit, finding.mean.validation, finding.mean.unlabeled) == pytest.approx((0.7, 0.5, 0.3))


@pytest.mark.parametrize(
    ("unlabeled", "images"),
    [
        (0.5, (1000, 400)),  # the same confidences
        (0.42, (100_000, 100_000)),  # a share of 0.16, whose lower limit is below the margin only with fewer images
        (0.36, (60, 40)),  # too few images
        (0.7, (1000, 400)),  # more confident
    ],
)
def test_images_of_no_class_need_a_share_above_the_margin(
    tmp_path: Path, unlabeled: float, images: tuple[int, int]
) -> None:
    with_curves(cell(tmp_path / "mine", 0, 3), unlabeled, images=images)
    result = check_out_of_class(case_of(tmp_path / "mine"))
    assert isinstance(result, NoFinding) == (images[0] < 100_000)
    if isinstance(result, OutOfClass):
        assert result.lowest == pytest.approx(0.1519, abs=1e-4)


def test_seeds_that_disagree_widen_the_limit(tmp_path: Path) -> None:
    for seed, unlabeled in enumerate((0.2, 0.5)):
        with_curves(cell(tmp_path / "mine", seed, 3), unlabeled, images=(100_000, 100_000))
    assert isinstance(check_out_of_class(case_of(tmp_path / "mine")), NoFinding)


@pytest.mark.parametrize("words", [("labeler.teachers=3",), ("debias=debiaspl",)])
def test_confidences_that_are_not_those_of_one_model_are_not_used(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The mean of several labelings is less confident than the last one, which predicts the validation images."""
    with_curves(cell(tmp_path / "mine", 0, 3, *words), unlabeled=0.0)
    assert "one teacher and without debiasing" in check_out_of_class(case_of(tmp_path / "mine")).missing


def test_confidences_of_online_methods_and_of_weak_models_are_not_used(tmp_path: Path) -> None:
    config = plain_of("method=fixmatch", seed=0)
    run = make_with_references(tmp_path / "online", config, test=0.8, control=0.8, baseline=0.5, labelings=LABELINGS)
    with_curves(run, unlabeled=0.2)
    assert "self_training" in check_out_of_class(case_of(tmp_path / "online")).missing
    with_curves(cell(tmp_path / "weak", 0, 3), unlabeled=0.2, val=0.5)
    assert "self_training" in check_out_of_class(case_of(tmp_path / "weak")).missing


@pytest.mark.parametrize(
    ("keep", "rejected", "lowest"),
    [(0.95, 0.3, 0.2282), (0.95, 0.05, None), (0.95, 0.1, None), (0.8, 0.45, 0.2594), (0.8, 0.37, None)],
)
def test_recorded_scores_are_preferred(tmp_path: Path, keep: float, rejected: float, lowest: float | None) -> None:
    """The margin is (1 - keep) / keep: 0.0526 with reject.keep=0.95, 0.25 with 0.8.

    With 37 % rejected and reject.keep=0.8, the lower limit is 0.1569.
    """
    config = plain_of("method=fixmatch", seed=0)
    config["reject"] = {"name": "energy", "keep": keep, "limit": None, "temperature": 1}
    run = make_with_references(tmp_path / "mine", config, test=0.8, control=0.8, baseline=0.5, labelings=LABELINGS)
    with_curves(run, unlabeled=0.2)
    row = {"step": 90, "epoch": 9, "pseudo/round": 2, "pseudo/coverage": 0.5, "pseudo/rejected": rejected}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    result = check_out_of_class(case_of(tmp_path / "mine"))
    if lowest is None:
        assert result == NoFinding("unlabeled images that belong to none of the classes")
    else:
        assert isinstance(result, OutOfClass)
        assert (result.score, result.share) == ("reject", pytest.approx(1 - (1 - rejected) / keep))
        assert result.lowest == pytest.approx(lowest, abs=1e-4)


# Concentration on classes ---------------------------------------------------------------------------------------------


def test_concentration_names_the_classes_and_their_shares(tmp_path: Path) -> None:
    for seed in (0, 1):
        with_classes(cell(tmp_path / "mine", seed, 3), (160, 20, 20), (40, 40, 20), (200, 100, 100))
    finding = check_concentration(case_of(tmp_path / "mine"))
    assert isinstance(finding, Concentration)
    assert finding.classes == ("a",)
    assert (finding.selected, finding.labeled, finding.validation) == pytest.approx((0.8, 0.5, 0.4))
    assert finding.distance == pytest.approx(0.4)
    assert finding.images == 200
    assert finding.p_value < 1e-9


@pytest.mark.parametrize(
    ("selected", "validation"),
    [
        ((80, 80, 40), (40, 40, 20)),  # the same proportions
        ((110, 70, 20), (40, 40, 20)),  # a distance of 0.15
        ((10, 5, 0), (4, 4, 2)),  # a distance of 0.27, which chance explains
        ((10, 0, 0), (400, 400, 200)),  # too few pseudo-labels for the test
    ],
)
def test_no_concentration_without_a_large_significant_distance(
    tmp_path: Path, selected: tuple[int, ...], validation: tuple[int, ...]
) -> None:
    with_classes(cell(tmp_path / "mine", 0, 3), selected, validation)
    assert isinstance(check_concentration(case_of(tmp_path / "mine")), NoFinding)


def test_concentration_must_hold_in_every_seed(tmp_path: Path) -> None:
    with_classes(cell(tmp_path / "mine", 0, 3), (180, 10, 10), (40, 40, 20))
    with_classes(cell(tmp_path / "mine", 1, 3), (80, 80, 40), (40, 40, 20))
    assert check_concentration(case_of(tmp_path / "mine")) == NoFinding("concentration of the pseudo-labels on classes")


def test_concentration_of_a_run_of_version_0_1_0_is_read_from_its_pseudo_labels(tmp_path: Path) -> None:
    folder = cell(tmp_path / "mine", 0, 3)
    with_classes(folder, (160, 20, 20), (40, 40, 20))
    (folder / "classes.csv").unlink()
    lines = [f"1,1,1,u{number},{'a' if number < 160 else 'b'},0.9,1" for number in range(200)]
    (folder / "pseudo_labels.csv").write_text("\n".join(["round,epoch,step,path,class,confidence,kept", *lines]) + "\n")
    finding = check_concentration(case_of(tmp_path / "mine"))
    assert isinstance(finding, Concentration)
    assert (finding.classes, finding.selected, finding.labeled) == (("a",), 0.8, None)


def test_chi_square_test_equals_that_of_scipy() -> None:
    from scipy.stats import chi2_contingency

    one, other = numpy.array([30.0, 50, 0, 20]), numpy.array([25.0, 20, 0, 15])
    expected = chi2_contingency(numpy.stack([one, other])[:, [0, 1, 3]], correction=False).pvalue
    assert same_proportions(one, other) == pytest.approx(expected, rel=1e-12)
    assert same_proportions(one, numpy.zeros(4)) == 1


# Size of the validation set -------------------------------------------------------------------------------------------


def test_small_validation_set_states_how_many_images_are_needed(tmp_path: Path) -> None:
    """The mean of d is 0.04, its variance (14 - 100 * 0.04^2) / 99: the standard error of the mean is 0.0374."""
    finding = check_validation_size(two_cells(tmp_path / "mine", better=9, worse=5, images=100, seeds=2))
    assert isinstance(finding, ValidationSize)
    assert finding.gap.difference == pytest.approx(0.04)
    assert finding.gap.standard_error == pytest.approx(((14 - 100 * 0.04**2) / 99 / 100) ** 0.5)
    assert finding.gap.images == 100
    assert finding.needed == 336
    assert (finding.best.settings, finding.second.settings) == ({"threshold.tau": 0.9}, {"threshold.tau": 0.8})
    assert (finding.equal, finding.others) == (1, 1)


def test_setting_with_the_predictions_of_the_best_one_does_not_hide_the_next_one(tmp_path: Path) -> None:
    two_cells(tmp_path / "mine", better=9, worse=5, images=100)
    store(
        cell(tmp_path / "mine", 0, 3, "threshold.tau=0.85", val=0.9),
        validation=[(0, True)] * 9 + [(0, False)] * 5 + [(0, True)] * 86,
    )
    finding = check_validation_size(case_of(tmp_path / "mine"))
    assert isinstance(finding, ValidationSize)
    assert finding.second.settings == {"threshold.tau": 0.8}
    assert (finding.equal, finding.others) == (2, 2)


def test_equal_settings_need_no_number_of_images(tmp_path: Path) -> None:
    finding = check_validation_size(two_cells(tmp_path / "mine", better=5, worse=5, images=100))
    assert isinstance(finding, ValidationSize)
    assert finding.needed is None


def test_settings_with_the_same_results_are_no_matter_of_the_validation_set(tmp_path: Path) -> None:
    case = two_cells(tmp_path / "mine", better=0, worse=0, images=100)
    assert check_validation_size(case) == NoFinding("size of the validation set")


def test_distinguished_settings_and_a_single_one_have_no_finding(tmp_path: Path) -> None:
    assert isinstance(check_validation_size(two_cells(tmp_path / "two", 20, 5, 100)), NoFinding)
    cell(tmp_path / "one", 0, 3)
    assert check_validation_size(case_of(tmp_path / "one")).missing == "two settings"


def test_settings_without_the_same_predictions_are_not_compared(tmp_path: Path) -> None:
    case = two_cells(tmp_path / "mine", better=2, worse=1, images=100)
    (case.comparison.rows[1].runs[0].folder / "predictions.csv").unlink()
    assert "same validation images" in check_validation_size(case_of(tmp_path / "mine")).missing


# Value of more labels -------------------------------------------------------------------------------------------------


def test_predicted_gain_follows_the_power_law() -> None:
    """From 20 to 40 labels, the error falls from 0.4 to 0.2; with 80 it would be 0.1, and with 90 a little less."""
    assert expected_gain(0.8, 0.6, 40, 20, more=40) == pytest.approx(0.1)
    assert expected_gain(0.8, 0.6, 40, 20) == pytest.approx(0.2 - 0.2 * (40 / 90))
    assert expected_gain(0.6, 0.8, 40, 20) == 0
    assert expected_gain(1, 0.8, 40, 20) == 0


def test_more_labels_are_compared_with_the_largest_gain(tmp_path: Path) -> None:
    """50 labels are expected to add 11.1 points to 80 %, and w is 11.1 / 20."""
    finding = check_more_labels(with_half_of_the_labels(tmp_path / "mine", [2, 3, 4], [20, 20, 20]))
    assert isinstance(finding, MoreLabels)
    assert (finding.labels, finding.fewer) == (40, 20)
    assert (finding.at_labels, finding.at_fewer) == pytest.approx((0.8, 0.6))
    assert finding.expected == pytest.approx(100 * (0.2 - 0.2 * 40 / 90))
    assert finding.gain == pytest.approx(3)
    assert finding.advantage.mean == pytest.approx(finding.expected - 3)
    assert finding.advantage.high - finding.advantage.mean == pytest.approx(4.3027 / 3**0.5, rel=1e-3)


def test_seeds_without_a_score_are_skipped(tmp_path: Path) -> None:
    case = with_half_of_the_labels(tmp_path / "mine", [2, 3, 4, 8], [20, 20, 20, 20])
    fewer = [replace(run, select_by="balanced_accuracy") if run.seed == 3 else run for run in case.fewer]
    finding = check_more_labels(replace(case, fewer=fewer))
    assert isinstance(finding, MoreLabels)
    assert finding.gain == pytest.approx(3)
    assert (finding.at_labels, finding.at_fewer) == pytest.approx((0.8, 0.6))


@pytest.mark.parametrize(
    ("gains", "rises"),
    [
        ([10, 12, 14], [20, 20, 20]),  # the setting helps as much
        ([2, 3, 4], [0, 0, 0]),  # half of the labels are enough
        ([2, 3, 4], [-20, 20, 40]),  # too noisy
    ],
)
def test_more_labels_are_not_recommended_without_evidence(
    tmp_path: Path, gains: list[float], rises: list[float]
) -> None:
    assert check_more_labels(with_half_of_the_labels(tmp_path / "mine", gains, rises)).missing == ""


def test_runs_with_half_of_the_labels_are_needed(tmp_path: Path) -> None:
    for seed in (0, 1):
        cell(tmp_path / "mine", seed, 2)
    assert check_more_labels(case_of(tmp_path / "mine")).missing == HALF


def test_one_seed_with_half_of_the_labels_is_no_evidence(tmp_path: Path) -> None:
    case = with_half_of_the_labels(tmp_path / "mine", [2], [20])
    assert check_more_labels(case).missing == "two seeds with all labels and with half of them"


# Cases ----------------------------------------------------------------------------------------------------------------


def test_numbers_of_labels_are_cases_of_their_own(tmp_path: Path) -> None:
    for labels in (4, 10):
        for seed in (0, 1):
            cell(tmp_path / "mine", seed, 2, f"dataset.labels_per_class={labels}")
    cases = split_cases(read_runs(find_runs([tmp_path / "mine"])), tmp_path / "mine")
    assert [case.label for case in cases] == ["digits dataset.labels_per_class=4", "digits dataset.labels_per_class=10"]
    assert [len(case.fewer) for case in cases] == [0, 6]
    assert [len(case.comparison.rows) for case in cases] == [1, 1]
    assert not any(case.alone for case in cases)


def test_runs_with_half_of_the_labels_are_no_case_of_their_own(tmp_path: Path) -> None:
    case = with_half_of_the_labels(tmp_path / "mine", [2, 3], [20, 20])
    assert case.alone
    assert len(case.fewer) == 2


def test_damaged_counts_are_unknown(tmp_path: Path) -> None:
    folder = cell(tmp_path / "mine", 0, 2)
    run = case_of(tmp_path / "mine").comparison.best
    assert run is not None
    assert image_count(run.runs[0], "labeled") is None
    with_counts(folder, -3)
    assert image_count(run.runs[0], "labeled") is None
