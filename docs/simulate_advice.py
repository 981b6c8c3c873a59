"""Simulate how often each sentence of `semisup advise` is printed: the tables of docs/advice.md.

python docs/simulate_advice.py               # 500 cases a row, 20 for images of no class, half a minute
"""

import argparse
from collections.abc import Callable

import numpy
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from semisup.analysis.advice.concentration import MAX_P, MIN_DISTANCE, same_proportions
from semisup.analysis.advice.labels_alone import Verdict, judge
from semisup.analysis.advice.more_labels import expected_gain
from semisup.analysis.advice.out_of_class import MARGIN, Reached, estimate_share
from semisup.analysis.advice.validation_size import Z
from semisup.analysis.intervals import chosen_interval, paired_interval

CELLS = 4
Generator = numpy.random.Generator


def labels_alone(generator: Generator, seeds: int, gain: float) -> str:
    """Draw the gains of 4 settings with shared controls (deviation 1.5 points), choose the best, and judge it."""
    runs = generator.normal(gain, 1.5, (CELLS, seeds))
    differences = runs - generator.normal(0, 1.5, seeds)
    chosen = int((runs.mean(axis=1) + generator.normal(0, 1, CELLS)).argmax())
    interval = chosen_interval(differences.tolist(), chosen)
    assert interval is not None
    return judge(interval)


def out_of_class(generator: Generator, labels: int, other: float, factor: int) -> tuple[bool, float]:
    """Train on digits of 7 random classes, and mix unlabeled digits of the 3 other classes into the unlabeled set.

    Args:
        labels: labeled images of each class.
        other: share of the unlabeled images that belong to none of the 7 classes.
        factor: a random half of the 7 classes is this many times as frequent among the unlabeled images.

    Returns:
        Whether the sentence is printed, and the estimated share.
    """
    images, targets = load_digits(return_X_y=True)
    order = generator.permutation(len(images))
    classes = generator.permutation(10)[:7]
    inside = order[numpy.isin(targets[order], classes)]
    labeled = numpy.concatenate([inside[targets[inside] == each][:labels] for each in classes])
    rest = inside[~numpy.isin(inside, labeled)]
    validation, pool = rest[:300], rest[300:]
    rare = numpy.isin(targets[pool], classes[:4]) & (generator.random(len(pool)) > 1 / factor)
    pool = pool[~rare]
    strangers = order[~numpy.isin(targets[order], classes)]
    if other:
        pool = pool[: round(len(strangers) * (1 - other) / other)]
    strangers = strangers[: round(len(pool) * other / (1 - other))]
    model = LogisticRegression(C=0.1, max_iter=200).fit(images[labeled] / 16, targets[labeled])
    own, unlabeled = (
        model.predict_proba(images[each] / 16).max(axis=1)
        for each in (validation, numpy.concatenate([pool, strangers]))
    )
    tau = float(numpy.median(own))
    values = Reached(tau, (own >= tau).mean(), (unlabeled >= tau).mean(), len(own), len(unlabeled))
    share, lowest, _ = estimate_share([values])
    return lowest > MARGIN, share


def concentrates(generator: Generator, selected: int, share: float) -> bool:
    """Draw selected pseudo-labels and 200 validation images of 10 classes; two classes have `share` of the selected."""
    proportions = numpy.array([share / 2] * 2 + [(1 - share) / 8] * 8)
    one = generator.multinomial(selected, proportions).astype(float)
    other = generator.multinomial(200, numpy.full(10, 0.1)).astype(float)
    excess = numpy.maximum(one / one.sum() - other / other.sum(), 0).sum()
    return bool(excess >= MIN_DISTANCE and same_proportions(one, other) <= MAX_P)


def too_small(generator: Generator, images: int, difference: float) -> bool:
    """Draw d of each validation image for two settings of which 20 % of the images are judged differently."""
    better = 0.1 + difference / 2
    values = generator.choice([1.0, -1.0, 0.0], images, p=[better, 0.2 - better, 0.8])
    return bool(abs(values.mean()) <= Z * values.std(ddof=1) / images**0.5)


def more_labels(generator: Generator, seeds: int, advantage: float) -> bool:
    """Draw runs of 40 and of 20 labels, and a setting whose gain is lower than that of 50 labels by `advantage`."""
    true = 100 * expected_gain(0.8, 0.6, 40, 20)
    full, part = generator.normal(80, 1.5, seeds), generator.normal(60, 1.5, seeds)
    setting = full + true - advantage + generator.normal(0, 1.5, seeds)
    expected = 100 * expected_gain(full.mean() / 100, part.mean() / 100, 40, 20)
    if expected <= 0:
        return False
    weight = expected / (full.mean() - part.mean())
    interval = paired_interval((weight * (full - part) - (setting - full)).tolist())
    assert interval is not None
    return interval.low > 0


def share(cases: int, draw: Callable[[], bool]) -> str:
    return f"{sum(draw() for _ in range(cases)) / cases:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    cases = parser.parse_args().cases
    generator = numpy.random.default_rng(0)
    print("true gain, seeds: " + ", ".join(Verdict))
    for gain in (-3, 0, 1, 3):
        for seeds in (3, 5, 10):
            verdicts = [labels_alone(generator, seeds, gain) for _ in range(cases)]
            print(gain, seeds, *(f"{verdicts.count(verdict) / cases:.1%}" for verdict in Verdict), sep=" | ")
    print("labels per class, true share of other images, factor between classes: sentence, mean estimate")
    for labels in (4, 20):
        for other, factor in ((0.0, 1), (0.0, 2), (0.0, 4), (0.1, 1), (0.3, 1), (0.5, 1)):
            drawn = [out_of_class(generator, labels, other, factor) for _ in range(cases // 25)]
            printed, estimate = numpy.mean(drawn, axis=0)
            print(labels, other, factor, f"{printed:.1%}", f"{estimate:.2f}", sep=" | ")
    print("selected pseudo-labels, true share of two of ten classes: concentration")
    for selected in (50, 200, 2000):
        for true in (0.2, 0.4, 0.6):
            print(selected, true, share(cases, lambda n=selected, s=true: concentrates(generator, n, s)), sep=" | ")
    print("validation images, true difference: too small")
    for images in (40, 200, 1000):
        for difference in (0.0, 0.03, 0.1):
            print(
                images, difference, share(cases, lambda n=images, d=difference: too_small(generator, n, d)), sep=" | "
            )
    print("true advantage of 50 labels, seeds: more labels")
    for advantage in (0, 4, 8):
        for seeds in (3, 5, 10):
            print(advantage, seeds, share(cases, lambda n=seeds, a=advantage: more_labels(generator, n, a)), sep=" | ")


if __name__ == "__main__":
    main()
