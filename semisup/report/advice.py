"""Write the findings of `semisup advise` as sentences with their numbers."""

import math
from collections.abc import Sequence

from semisup.analysis.advice.case import NoFinding
from semisup.analysis.advice.checks import Finding
from semisup.analysis.advice.concentration import MAX_P, Concentration
from semisup.analysis.advice.labels_alone import LabelsAlone, Verdict
from semisup.analysis.advice.more_labels import MORE, MoreLabels
from semisup.analysis.advice.out_of_class import OutOfClass
from semisup.analysis.advice.validation_size import ValidationSize, Z
from semisup.analysis.folds import repetitions
from semisup.analysis.rows import Row
from semisup.analysis.run_settings import format_settings
from semisup.report.wording import measure_name
from semisup.text import counted, escape, listed

HEADLINES = {
    Verdict.HELP: "Pseudo-labels help",
    Verdict.HARM: "Pseudo-labels harm",
    Verdict.AS_GOOD: "Labels alone do as well as pseudo-labels",
    Verdict.UNDECIDED: "These runs do not decide whether pseudo-labels help",
}


def finding_text(finding: Finding) -> str:
    """Describe a finding in plain sentences with its numbers."""
    if isinstance(finding, LabelsAlone):
        return _labels_alone(finding)
    if isinstance(finding, OutOfClass):
        return _out_of_class(finding)
    if isinstance(finding, Concentration):
        return _concentration(finding)
    if isinstance(finding, ValidationSize):
        return _validation_size(finding)
    return _more_labels(finding)


def without_text(without: Sequence[NoFinding]) -> str:
    """Write one line that lists the checks without a finding.

    Checks that were not possible are listed separately, each with the data that it needs.
    """
    nothing = [each.check for each in without if not each.missing]
    unchecked = [f"{each.check} (needs {each.missing})" for each in without if each.missing]
    parts = [f"Nothing to report: {'; '.join(nothing)}."] if nothing else []
    return " ".join([*parts, *([f"Not checked: {'; '.join(unchecked)}."] if unchecked else [])])


def _labels_alone(finding: LabelsAlone) -> str:
    interval = finding.interval
    over = f"{repetitions(finding.row.runs)}{' of semisup confirm' if finding.confirmed else ''}"
    labels = " for these labels" if finding.gain.for_these_labels else ""
    text = (
        f"{HEADLINES[finding.verdict]}: {_name(finding.row)} reaches {100 * finding.accuracy:.1f} % {finding.split} "
        f"{measure_name(finding.row)}, the best labels-only runs {100 * finding.alone:.1f} %. The gain is "
        f"{interval.mean:+z.1f} points, 95 % interval {interval.low:+z.1f} to {interval.high:+z.1f}{labels} {over}."
    )
    if finding.split != "test":
        text += " It is measured on the validation images that selected the setting, so it is optimistic."
    if finding.verdict is Verdict.AS_GOOD:
        text += f" A gain of more than {max(interval.high, 0):.1f} points is unlikely."
    if finding.seeds_needed is not None:
        enough = math.isfinite(finding.seeds_needed)
        number = (
            f"About {finding.seeds_needed:.0f} new seeds would" if enough else "Even 1,000 new seeds would probably not"
        )
        text += f" {number} detect a gain of this size."
    return text


def _out_of_class(finding: OutOfClass) -> str:
    mean, count = finding.mean, counted(finding.seeds, "seed")
    if finding.score == "reject":
        reason = (
            f"The option reject accepts {_percent(mean.unlabeled)} of the unlabeled images, but "
            f"{_percent(mean.validation)} of the validation images"
        )
    else:
        reason = (
            f"The confidence is at least {mean.limit:.3f} for {_percent(mean.unlabeled)} of the unlabeled images, but "
            f"for {_percent(mean.validation)} of the validation images"
        )
    return (
        f"The unlabeled set seems to contain images that belong to none of the classes: about "
        f"{_percent(finding.share)} of the {mean.unlabeled_images:,} images or more (lower limit "
        f"{_percent(finding.lowest)}, {count}). {reason}."
    )


def _concentration(finding: Concentration) -> str:
    classes = listed((escape(name) for name in finding.classes), "and")
    noun = "class" if len(finding.classes) == 1 else "classes"
    text = (
        f"The selected pseudo-labels concentrate on the {noun} {classes}: {_percent(finding.selected)} of the "
        f"{finding.images:.0f} selected pseudo-labels, but {_percent(finding.validation)} of the validation images "
        f"({repetitions(finding.row.runs)}; chi-square test, p < {max(finding.p_value, MAX_P):g})."
    )
    if finding.labeled is not None:
        text += f" The model predicts {'it' if noun == 'class' else 'them'} for {_percent(finding.labeled)} of all "
        text += "unlabeled images."
    return text


def _validation_size(finding: ValidationSize) -> str:
    gap = finding.gap
    text = (
        f"The validation set is too small to distinguish the settings: on {counted(gap.images, 'image')}, "
        f"{_name(finding.best)} is {100 * gap.difference:.1f} points better than {_name(finding.second)}, with a "
        f"standard error of {100 * gap.standard_error:.1f} points."
    )
    if finding.needed is not None:
        text += f" For a difference of this size, about {_rounded(finding.needed)} images would be needed."
    if finding.others > 1:
        text += f" Of the {finding.others} other settings, {finding.equal} are within {Z} standard errors of the best."
    return text


def _more_labels(finding: MoreLabels) -> str:
    tried = "the setting" if finding.settings == 1 else f"any of the {finding.settings} settings"
    advantage = finding.advantage
    return (
        f"{MORE} more labels would help more than {tried}: with {finding.labels:.0f} labels in place of "
        f"{finding.fewer:.0f}, labels alone reach {100 * finding.at_labels:.1f} % in place of "
        f"{100 * finding.at_fewer:.1f} % {finding.split} {measure_name(finding.row)}, so that {MORE} more are expected "
        f"to add {finding.expected:.1f} points. {_name(finding.row)} adds {finding.gain:.1f} points to the best "
        f"labels-only runs. The labels add {advantage.mean:.1f} points more, 95 % interval {advantage.low:+z.1f} to "
        f"{advantage.high:+z.1f} over {advantage.seeds} seeds."
    )


def _name(row: Row) -> str:
    return format_settings(row.settings) or f"method {escape(row.runs[0].config['method']['name'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _rounded(number: int) -> str:
    """Round a number to two significant digits and format it with a comma for thousands: 12345 gives 12,000."""
    unit = 10 ** max(len(str(number)) - 2, 0)
    return f"{round(number / unit) * unit:,}"
