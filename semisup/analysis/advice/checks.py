"""Run all checks of `semisup advise` on a case: runs on the same data with the same number of labels per class."""

from collections.abc import Callable
from typing import NamedTuple

from semisup.analysis.advice.case import Case, NoFinding
from semisup.analysis.advice.concentration import Concentration, check_concentration
from semisup.analysis.advice.labels_alone import LabelsAlone, check_labels_alone
from semisup.analysis.advice.more_labels import MoreLabels, check_more_labels
from semisup.analysis.advice.out_of_class import OutOfClass, check_out_of_class
from semisup.analysis.advice.validation_size import ValidationSize, check_validation_size

Finding = LabelsAlone | OutOfClass | Concentration | ValidationSize | MoreLabels

CHECKS: tuple[Callable[[Case], Finding | NoFinding], ...] = (
    check_labels_alone,
    check_out_of_class,
    check_concentration,
    check_validation_size,
    check_more_labels,
)
"""All checks, in the order in which their findings are printed."""


class Advice(NamedTuple):
    """Results of all checks on one case: those with a finding, and those without."""

    findings: tuple[Finding, ...]
    without: tuple[NoFinding, ...]


def advise(case: Case) -> Advice:
    """Run all checks on a case (runs on the same data with the same number of labels per class)."""
    results = [check(case) for check in CHECKS]
    return Advice(
        tuple(each for each in results if not isinstance(each, NoFinding)),
        tuple(each for each in results if isinstance(each, NoFinding)),
    )
