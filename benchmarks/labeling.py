"""Measure which rule of `semisup label` chooses better images to label, and how many wrong labels the command finds.

    python -m benchmarks.labeling dataset.root=photos dataset.truth=truth.csv

The data set needs the true classes of its unlabeled images (`dataset.truth`). The arguments are settings of
`semisup train`, in addition to experiment=photographs, whose encoder gives the features. The results are two tables of
means with 95 % intervals over draws of labels:

next labels     Some labels per class are drawn, and logistic regression on the features is fitted to them. Each rule
                chooses as many further images, which get their true class, and the regression is fitted again. The
                table shows the difference in test accuracy to randomly chosen images.
wrong labels    5 % of the given labels are replaced by other classes. The table shows the percentage of these that are
                among the first 30 of suspicious.csv.
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
from scipy.stats import t
from sklearn.linear_model import LogisticRegression

from semisup.config import schema
from semisup.config.compose import compose, config_folder, without_hydra
from semisup.config.hydra_versions import initialized
from semisup.labeling.label_issues import find_label_issues
from semisup.labeling.rules import RULES, select_images
from semisup.runner.data import load_data
from semisup.runner.encoding import encode_run
from semisup.runner.progress import Bars
from semisup.runtime.warning_lines import short_warnings
from semisup.training.probe import unit_features

WRONG = 0.05
FIRST = 30
INVERSE_PENALTY = 100.0


class Features(NamedTuple):
    """Features (n, D) and classes (n,) of all training images whose class is known, and of the test images.

    labeled: number of labeled images; they are the first of the training images
    """

    points: Any
    targets: Any
    labeled: int
    test_points: Any
    test_targets: Any
    num_classes: int


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.labeling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of the data set and the encoder")
    parser.add_argument("--draws", type=int, default=10, help="number of draws of labels")
    parser.add_argument("--per-class", type=int, default=4, help="labels per class before and after")
    arguments = parser.parse_intermixed_args()
    short_warnings()
    features = load(arguments.settings)
    print_next_labels(features, arguments.draws, arguments.per_class)
    print_wrong_labels(features, arguments.draws)
    return 0


def load(words: list[str]) -> Features:
    """Compute the features of the images, or read them from the cache."""
    with initialized(config_folder()):
        config = compose(["experiment=photographs", "tracking=none", *words])
    run_config = schema.validate(without_hydra(config))
    with Bars() as bars:
        problem, data = load_data(run_config, bars)
        _, problem, _ = encode_run(run_config, problem, data, bars)
    hidden = problem.hidden_targets.numpy()
    points = numpy.concatenate([unit_features(problem.labeled), unit_features(problem.unlabeled)[hidden >= 0]])
    targets = numpy.concatenate([problem.labeled.targets.cpu().numpy(), hidden[hidden >= 0]])
    test = unit_features(problem.test), problem.test.targets.cpu().numpy()
    return Features(points, targets, len(problem.labeled), *test, problem.num_classes)


def print_next_labels(features: Features, draws: int, per_class: int) -> None:
    """Print the test accuracy after each rule has chosen more images to label, and the gain over random choice."""
    accuracy: dict[str, list[float]] = {name: [] for name in ("before", "random", *RULES)}
    for seed in range(draws):
        draw = numpy.random.default_rng(seed)
        by_class = [numpy.flatnonzero(features.targets == number) for number in range(features.num_classes)]
        known = numpy.concatenate([draw.choice(rows, per_class, replace=False) for rows in by_class])
        others = numpy.setdiff1d(numpy.arange(len(features.targets)), known)
        before = fit(features, known)
        accuracy["before"].append(before.score(features.test_points, features.test_targets))
        probabilities, points = before.predict_proba(features.points[others]), features.points
        count = len(known)
        choices: dict[str, Callable[[], Any]] = {"random": lambda: draw.choice(len(others), count, replace=False)}  # noqa: B023
        for name in RULES:
            choices[name] = lambda name=name: select_images(  # type: ignore[misc]
                name,
                probabilities,  # noqa: B023
                points[others],  # noqa: B023
                points[known],  # noqa: B023
                count,  # noqa: B023
            )[0]
        for name, choose in choices.items():
            after = fit(features, numpy.concatenate([known, others[choose()]]))
            accuracy[name].append(after.score(features.test_points, features.test_targets))
    count = per_class * features.num_classes
    print(f"\n| {count} more labels, after {count} | test accuracy | more than random images |\n|---|---|---|")
    for name, values in accuracy.items():
        gain = mean_and_interval(numpy.subtract(values, accuracy["random"])) if name in RULES else ""
        print(f"| {name} | {mean_and_interval(values)} | {gain} |")


def print_wrong_labels(features: Features, draws: int) -> None:
    """Replace some labels by wrong ones, and print the percentage of them that is found.

    A wrong label is found if it is among the first FIRST labels of suspicious.csv, the most suspicious ones.
    """
    shares, lengths = [], []
    points, true = features.points[: features.labeled], features.targets[: features.labeled]
    for seed in range(draws):
        draw = numpy.random.default_rng(seed)
        wrong = draw.choice(len(true), round(WRONG * len(true)), replace=False)
        given = true.copy()
        given[wrong] = (true[wrong] + draw.integers(1, features.num_classes, len(wrong))) % features.num_classes
        rows = find_label_issues(points, given, features.num_classes).rows
        shares.append(numpy.isin(wrong, rows[:FIRST]).mean())
        lengths.append(len(rows))
    print(f"\n| {len(wrong)} of {len(true)} labels are wrong | % of them |\n|---|---|")
    print(f"| among the first {FIRST} of suspicious.csv | {mean_and_interval(shares)} |")
    print(f"\nsuspicious.csv has {numpy.mean(lengths):.0f} labels on average")


def fit(features: Features, rows: Any) -> Any:
    """Fit logistic regression to the true classes of the images at the positions `rows`."""
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    return model.fit(features.points[rows], features.targets[rows])


def mean_and_interval(values: Any) -> str:
    """Format the mean of fractions in percent with its 95 % interval, such as `81.3 ± 0.9`."""
    percent = 100 * numpy.asarray(values)
    half = t.ppf(0.975, len(percent) - 1) * percent.std(ddof=1) / len(percent) ** 0.5
    return f"{percent.mean():.1f} ± {half:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
