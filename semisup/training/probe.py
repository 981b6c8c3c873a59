"""Fit probes: scikit-learn classifiers on the features of the labeled images, with which runs are compared.

    logistic_regression    minimize sum_i CE(W f_i + b, y_i) + |W|^2 / (2 * C); b has no penalty
    nearest_neighbors      vote of the k nearest labeled images, each with weight 1 / distance

f_i are the features of labeled image i and y_i is its class. CE is the cross-entropy; W and b are fitted. The features
are those of an encoder or, without an encoder, the pixels; they are scaled to unit length. A classifier is fitted for
every value of the settings C or k, and the one with the best validation metric (`train.select_by`) is selected, the
first one if several are equally good.
"""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from semisup.core.calibration import expected_calibration_error
from semisup.core.events import EvalEnd, Finished, MetricsRow
from semisup.core.generators import returned_value
from semisup.core.inference import plain_input
from semisup.core.probe_grids import GRIDS
from semisup.core.types import Images
from semisup.errors import SettingError, check_choice, check_range
from semisup.training.evaluation import Evaluation, evaluate, finished_event, improves
from semisup.training.settings import SELECTION_METRICS
from semisup.training.state import Best, TrainingConfig, TrainingData

MAX_ITERATIONS = 1000
MISSING_LOGIT = -1e4
"""Logit of a class without labeled images."""


@dataclass(frozen=True)
class ProbeSettings:
    """Settings of probes: classifiers that are fitted to features without a training loop.

    classifier: logistic_regression or nearest_neighbors; null = the run is not a probe
    C: inverse penalties to choose from, above 0; [] = sweeps do not fit logistic regression as a reference run
    k: numbers of neighbors to choose from, at least 1; [] = sweeps do not fit nearest neighbors as a reference run
    """

    classifier: str | None
    C: list[float]
    k: list[int]

    def __post_init__(self) -> None:
        if self.classifier is not None:
            check_choice("classifier", self.classifier, GRIDS)
            if not self.values:
                key = GRIDS[self.classifier]
                raise SettingError(key, [], f"must name at least one value with probe.classifier={self.classifier}")
        for inverse_penalty in self.C:
            check_range("C", inverse_penalty, 0, above=True)
        for neighbors in self.k:
            check_range("k", neighbors, 1)

    @property
    def values(self) -> list[float] | list[int]:
        """Values of C or k to choose from; [] if the run is not a probe."""
        values: list[float] | list[int] = getattr(self, GRIDS[self.classifier]) if self.classifier else []
        return values


class FittedProbe(NamedTuple):
    """Result of fitting a probe.

    evaluations: for each value of C or k, the evaluation on the validation set
    best: the selected model; its weights are {} for nearest_neighbors
    finished: evaluation of the selected model on the validation and test sets
    """

    evaluations: list[EvalEnd]
    best: Best
    finished: Finished


def fit_probe(problem: TrainingData, settings: TrainingConfig, probe: ProbeSettings) -> FittedProbe:
    """Fit a classifier for every value of C or k, and select the best one on the validation set.

    The selected classifier is also evaluated on the test set.
    """
    assert probe.classifier is not None
    features, batch_size = unit_features(problem.labeled), settings.train.eval_batch_size
    targets = problem.labeled.targets.cpu().numpy()
    key, evaluations = GRIDS[probe.classifier], []
    best: tuple[Best, nn.Module, Evaluation] | None = None
    for number, value in enumerate(probe.values, 1):
        if probe.classifier == "logistic_regression":
            model: nn.Module = _logistic_regression(features, targets, value, problem, settings)
        else:
            model = NearestNeighbors(features, targets, int(value), problem.num_classes)
        model.eval()
        validation = returned_value(evaluate(model, problem.validation, problem.num_classes, batch_size))
        metrics = {name: getattr(validation, name) for name in SELECTION_METRICS}
        improved = improves(settings.train.select_by, validation, None if best is None else best[0])
        if improved:
            weights = {name: value.detach() for name, value in model.state_dict().items()}
            best = Best(number, number, **metrics, weights=weights), model, validation
        row: MetricsRow = {f"probe/{key}": value}
        if probe.classifier == "logistic_regression":  # the nearest neighbor of a labeled image is itself
            labeled = returned_value(evaluate(model, problem.labeled, problem.num_classes, batch_size))
            row |= {"train/loss": labeled.loss, "train/accuracy": labeled.accuracy}
        row |= {f"val/{name}": each for name, each in metrics.items()}
        row |= {"val/ece": expected_calibration_error(validation.reliability(1.0))}
        evaluations.append(EvalEnd(number, number, row, improved))
    assert best is not None
    return FittedProbe(evaluations, best[0], _finish(problem, settings, key, probe, best))


def _finish(
    problem: TrainingData,
    settings: TrainingConfig,
    key: str,
    probe: ProbeSettings,
    selected: tuple[Best, nn.Module, Evaluation],
) -> Finished:
    best, model, validation = selected
    summary: MetricsRow = {
        "steps": 0,  # no optimizer steps
        "epochs": 0,
        "labeled_steps": 0,
        f"probe/{key}": probe.values[best.step - 1],
        "best/step": best.step,
        "best/epoch": best.epoch,
        **{f"best/val/{name}": getattr(best, name) for name in SELECTION_METRICS},
    }
    splits = {"validation": (validation, problem.validation)}
    if bool((problem.test.targets >= 0).any()):
        test = evaluate(model, problem.test, problem.num_classes, settings.train.eval_batch_size)
        splits["test"] = returned_value(test), problem.test
    return finished_event((len(probe.values), len(probe.values)), summary, splits, calibrates=False)


@torch.no_grad()
def unit_features(images: Images) -> Any:
    """Return the features of images (without an encoder, the pixels), each scaled to unit length, as (n, D) float64."""
    pixels = images.pixels
    as_input = plain_input(pixels)
    rows = [normalize(as_input(batch).flatten(1), dim=1).cpu().double().numpy() for batch in pixels.split(256)]
    return numpy.concatenate(rows)


def _logistic_regression(
    features: Any, targets: Any, inverse_penalty: float, problem: TrainingData, settings: TrainingConfig
) -> nn.Module:
    """Fit scikit-learn's logistic regression, and copy its weights into the linear model of this package.

    Args:
        features: (n, D), features of the n labeled images, of unit length.
        targets: (n,) classes of these images.
        inverse_penalty: C in the formula at the top of this module.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    shape = problem.labeled.pixels.shape
    model = settings.model.build(shape[1], problem.num_classes, shape[-1])
    layer = model[-1]  # type: ignore[index]
    weight = torch.zeros(problem.num_classes, features.shape[1], dtype=torch.float64)
    bias = torch.full((problem.num_classes,), MISSING_LOGIT, dtype=torch.float64)
    classes = numpy.unique(targets)
    if len(classes) == 1:  # nothing to separate
        bias[classes] = 0
    else:
        with _one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = LogisticRegression(C=inverse_penalty, max_iter=MAX_ITERATIONS).fit(features, targets)
        two = len(classes) == 2  # then scikit-learn fits the logit of the second class alone
        for row, label in enumerate(fitted.classes_[1:] if two else fitted.classes_):
            weight[label], bias[label] = torch.from_numpy(fitted.coef_[row]), float(fitted.intercept_[row])
        if two:
            bias[int(fitted.classes_[0])] = 0
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return model.to(problem.device)


class NearestNeighbors(nn.Module):
    """scikit-learn's nearest-neighbors classifier as a torch module.

    The probability of class c is (k * v_c + 1) / (k + K), so that no loss is infinite. v_c is the share of class c in
    the weighted votes of the k neighbors, and K is the number of classes.

    Args:
        features: (n, D), features of the labeled images, of unit length.
        targets: (n,) classes of these images.
        neighbors: k; at most n are used.
        num_classes: K.
    """

    def __init__(self, features: Any, targets: Any, neighbors: int, num_classes: int) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        super().__init__()
        self.neighbors, self.num_classes = min(neighbors, len(targets)), num_classes
        classifier = KNeighborsClassifier(self.neighbors, weights="distance", algorithm="brute")
        self.classifier = classifier.fit(features, targets)

    def forward(self, images: Tensor) -> Tensor:
        rows = normalize(images.flatten(1), dim=1).cpu().double().numpy()
        shares = torch.zeros(len(rows), self.num_classes, dtype=torch.float64)
        with _one_thread():
            shares[:, self.classifier.classes_] = torch.from_numpy(self.classifier.predict_proba(rows))
        smoothed = (self.neighbors * shares + 1) / (self.neighbors + self.num_classes)
        return smoothed.log().float().to(images.device)


def _one_thread() -> Any:
    """Return a context in which scikit-learn uses one thread, because rounding depends on the number of threads."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
