"""Measure FixMatch with further classifier layers (heads): the balanced head of ABC, and the heads of DST.

    python -m benchmarks.heads dataset.root=grocery11 dataset.truth=truth.csv dataset.labels_per_class=4

The arguments are settings of `semisup train`, in addition to those in SETTINGS. Every variant is trained on the same
stored features of an encoder, by the loop of `semisup train`. The heads share one hidden layer, which gets the
gradients of all heads; with --width 0 there is no such layer. The result is a table of test accuracies, with gains over
two variants and their 95 % intervals over the seeds (Student t).

These heads are not options of `semisup train`: docs/long_tail.md says why.

ABC (arXiv 2110.10368) predicts with a second head h_b, and masks images so that classes are equally frequent:

    loss    = loss of FixMatch, with the head h
              + mean_i M_i * CE(h_b(labeled_i), y_i)              P(M_i = 1) = n_min / n_(y_i), n_k labels of class k
              + mean_i M'_i * (max q_i >= tau) * CE(h_b(strong_i), q_i)       q_i = softmax(h_b(weak_i))
    P(M'_i = 1) = 1 - (t / T) * (1 - n_min / n_k) at step t of T, k = argmax q_i

DST (arXiv 2202.07136) trains the head h, which labels and predicts, on labels only:

    loss    = CE(h(labeled), y) + 0.1 * CE(h(strong labeled), y)
              + loss of FixMatch on the pseudo-labels of h, with the head h_pseudo
              + 2 * CE(h_worst(labeled), argmax h(labeled))
              - mean_i log(1 - softmax(h_worst(weak_i))_k), k = argmax h(weak_i)

Behind h_worst, the gradient for the hidden layer is multiplied by -0.1 * (2 / (1 + exp(-t / 1000)) - 1). h_pseudo and
h_worst have a hidden layer of their own. `dst_pseudo` is DST without h_worst.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy
import torch
from scipy.stats import t
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss

from semisup.config import schema
from semisup.config.compose import compose, config_folder, without_hydra
from semisup.config.hydra_versions import initialized
from semisup.core.events import Finished
from semisup.core.inference import predict
from semisup.core.rng import torch_generator
from semisup.core.types import StateDict
from semisup.method import (
    Batch,
    Position,
    StepLoss,
    TrainingContext,
    UnlabeledLoss,
    labeled_cross_entropy,
    labeled_sums,
    pseudo_label_cross_entropy,
    select_and_record,
    unlabeled_batch,
)
from semisup.method.fixmatch import FixMatch
from semisup.model.linear import UnitLength
from semisup.runner.data import load_data
from semisup.runner.encoding import encode_run
from semisup.runner.progress import Bars
from semisup.runtime.precision import configure_torch
from semisup.training.loop import train
from semisup.training.state import TrainingConfig, TrainingData, start

SETTINGS = [
    *("dataset=folder", "dataset.size=224", "encoder=lite0", "model=linear", "precision=float32", "tracking=none"),
    *("train.steps=600", "train.batch_size=16", "train.evaluate_every_steps=100", "schedule=cosine"),
    *("train.ema_decay=0.99", "train.ema_warmup=true", "optimizer.weight_decay=0.01"),
    *("threshold=fixed", "threshold.tau=0.7"),
]
FIXMATCH = [
    "method=fixmatch",
    "method.ramp=0.3",
    "method.ema_teacher=true",
    "augment=randaugment",
    "augment.strength=0.25",
]
PROPAGATION = [
    *("method=label_propagation", "method.lambda_unlabeled=3", "threshold.tau=0.5", "augment=none", "augment@weak=none")
]
ADJUSTED = ["loss=logit_adjustment"]
LABELS_ONLY = ["method.lambda_unlabeled=0"]
WORST_WEIGHT, REVERSED, WARMUP, STRONG_LABELED = 2.0, 0.1, 1000, 0.1


class SharedLayer(nn.Module):
    """Network of a shared hidden layer and several heads; `forward` gives the logits of the head that predicts."""

    def __init__(self, features: int, num_classes: int, width: int, heads: tuple[str, ...], predicts: str) -> None:
        super().__init__()
        hidden = [nn.Linear(features, width), nn.ReLU()] if width else []
        self.body = nn.Sequential(UnitLength(30), *hidden)
        self.heads = nn.ModuleDict()
        self.predicts = predicts
        for name in heads:
            if name in ("pseudo", "worst") and width:
                layers = (nn.Linear(width, width), nn.ReLU(), nn.Linear(width, num_classes))
                self.heads[name] = nn.Sequential(*layers)
            else:
                self.heads[name] = nn.Linear(width or features, num_classes)
        if not width:  # as with model=linear
            for parameter in self.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.heads[self.predicts](self.body(features))
        return logits


@dataclass(frozen=True)
class SharedLayerSettings:
    """Settings of `SharedLayer`, in place of an option of the group `model`."""

    width: int
    heads: tuple[str, ...]
    predicts: str = "main"

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        return SharedLayer(channels * size**2, num_classes, self.width, self.heads, self.predicts)


def unlabeled_views(training: TrainingContext, position: Position, ratio: int) -> tuple[Batch, Tensor, Tensor]:
    """Draw the unlabeled images of a step; return them with their weak and their strong views."""
    batch = unlabeled_batch(training, position, ratio)
    weak = training.view(training.weak, batch.pixels, "weak", position.step)
    return batch, weak, training.view(training.augment, batch.pixels, "strong", position.step)


@dataclass(frozen=True)
class BalancedHead(FixMatch):
    """FixMatch with ABC's head `balanced`, by the formulas of this module."""

    tau: float

    def labeled_loss(self, training: TrainingContext, position: Position) -> StepLoss:
        images, targets = self._labeled_views(training, position)
        return self._both_labeled(training, position, training.student.body(images), targets)

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = self._labeled_views(training, position)
        batch, weak, strong = unlabeled_views(training, position, self.ratio)
        logits = no_grad_logits(training, weak)
        selection, memory = select_and_record(
            training, memory, position, predict(logits["main"]), batch.index, None, targets
        )
        labeled, embedded = training.student.body(torch.cat((images, strong))).split((len(images), len(strong)))
        heads, count = training.student.heads, len(batch.index)
        main = heads["main"](embedded)
        loss = pseudo_label_cross_entropy(training, memory, main, selection.targets, selection.weight, count)
        soft, confidence, classes = predict(logits["balanced"])
        kept = draw_mask(training, position, "abc_u", classes, position.progress) * (confidence >= self.tau)
        loss = loss - (kept * (soft * heads["balanced"](embedded).log_softmax(dim=1)).sum(dim=1)).mean()
        supervised = self._both_labeled(training, position, labeled, targets)
        return self.total_loss(
            training, memory, position, supervised, UnlabeledLoss(loss, main, selection.weight, count)
        ), memory

    def _both_labeled(
        self, training: TrainingContext, position: Position, embedded: Tensor, targets: Tensor
    ) -> StepLoss:
        heads = training.student.heads
        balanced = heads["balanced"](embedded)
        kept = draw_mask(training, position, "abc", targets, 1.0)
        loss = labeled_cross_entropy(training, heads["main"](embedded), targets)
        total = loss + (kept * cross_entropy(balanced, targets, reduction="none")).mean()
        return StepLoss(total, labeled_sums(loss, balanced, targets))


@dataclass(frozen=True)
class DebiasedSelfTraining(FixMatch):
    """FixMatch with the heads `pseudo` and, if `worst` is set, `worst` of DST, by the formulas of this module."""

    worst: bool

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = self._labeled_views(training, position)
        batch, weak, strong = unlabeled_views(training, position, self.ratio)
        again = training.labeled_batch(position, training.augment, "labeled_strong")[0]
        labels = predict(no_grad_logits(training, weak)["main"])
        selection, memory = select_and_record(training, memory, position, labels, batch.index, None, targets)
        parts = (images, strong, weak, again)
        labeled, embedded, plain, other = training.student.body(torch.cat(parts)).split([len(each) for each in parts])
        heads, count = training.student.heads, len(batch.index)
        logits, pseudo = heads["main"](labeled), heads["pseudo"](embedded)
        loss = labeled_cross_entropy(training, logits, targets)
        total = loss + STRONG_LABELED * labeled_cross_entropy(training, heads["main"](other), targets)
        if self.worst:
            factor = REVERSED * (2 / (1 + math.exp(-position.step / WARMUP)) - 1)
            on_labeled, on_weak = (heads["worst"](ReversedGradient.apply(each, factor)) for each in (labeled, plain))
            predicted = heads["main"](plain).argmax(dim=1)
            total = total + WORST_WEIGHT * cross_entropy(on_labeled, logits.argmax(dim=1))
            total = total + nll_loss((1 - on_weak.softmax(dim=1) + 1e-6).clamp(max=1).log(), predicted)
        unlabeled = pseudo_label_cross_entropy(training, memory, pseudo, selection.targets, selection.weight, count)
        supervised = StepLoss(total, labeled_sums(loss, logits, targets))
        step = UnlabeledLoss(unlabeled, pseudo, selection.weight, count)
        return self.total_loss(training, memory, position, supervised, step), memory


class ReversedGradient(torch.autograd.Function):
    """Identity whose gradient is multiplied by a negative factor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


@torch.no_grad()
def no_grad_logits(training: TrainingContext, images: Tensor) -> dict[str, Tensor]:
    """Compute the logits of every head with the averaged model, without gradient."""
    embedded = training.teacher.eval().body(images)
    return {name: head(embedded) for name, head in training.teacher.heads.items()}


def draw_mask(training: TrainingContext, position: Position, name: str, classes: Tensor, share: float) -> Tensor:
    """Draw the masks M of n images, (n,) float of 0 and 1; P(M_i = 1) = 1 - share * (1 - n_min / n_(class i))."""
    counts = training.labeled_counts.clamp(min=1)
    probability = 1 - share * (1 - counts.min() / counts)
    generator = torch_generator(training.seed, name, position.step)
    return (torch.rand(len(classes), generator=generator) < probability[classes]).float()


Prepared = tuple[TrainingConfig, TrainingData]


def prepare(words: list[str]) -> Prepared:
    """Compose and validate settings, and load the stored features of the images."""
    with initialized(config_folder()):
        config = compose([*SETTINGS, *words])
    run_config = schema.validate(without_hydra(config))
    configure_torch(run_config.run.threads, deterministic=True)
    with Bars() as bars:
        problem, data = load_data(run_config, bars)
        run_config, problem, _ = encode_run(run_config, problem, data, bars)
    return run_config.settings, problem


def variants(words: list[str], width: int) -> dict[str, Callable[[], Prepared]]:
    """List the variants to train: name -> function that prepares it."""

    def build(
        extra: list[str], heads: tuple[str, ...], predicts: str = "main", base: list[str] = FIXMATCH, **method: Any
    ) -> Prepared:
        settings, problem = prepare([*base, *words, *extra])
        model = SharedLayerSettings(width, heads, predicts)
        for cls, key in ((BalancedHead, "tau"), (DebiasedSelfTraining, "worst")):
            if key in method:
                own = {field.name: getattr(settings.method, field.name) for field in fields(settings.method)}
                settings = replace(settings, method=cls(**own, **method))
        return replace(settings, model=model), problem

    main, balanced = ("main",), ("main", "balanced")
    return {
        "control": lambda: build(LABELS_ONLY, main),
        "control, logit_adjustment": lambda: build([*LABELS_ONLY, *ADJUSTED], main),
        "control, balanced head": lambda: build(LABELS_ONLY, balanced, "balanced", tau=0.7),
        "fixmatch": lambda: build([], main),
        "fixmatch, logit_adjustment": lambda: build(ADJUSTED, main),
        "fixmatch, balanced head": lambda: build([], balanced, "balanced", tau=0.7),
        "dst": lambda: build([], ("main", "pseudo", "worst"), worst=True),
        "dst_pseudo": lambda: build([], ("main", "pseudo"), worst=False),
        "label_propagation": lambda: build([], main, base=PROPAGATION),
    }


def accuracies(prepared: Prepared) -> dict[str, float]:
    """Train, and return the test accuracy and the balanced test accuracy of the best model, in percent."""
    settings, problem = prepared
    for event in train(problem, settings, start(problem, settings)):
        if isinstance(event, Finished):
            return {name: 100 * float(event.summary[f"test/{name}"] or 0) for name in ("accuracy", "balanced_accuracy")}
    raise AssertionError("training must end with a Finished event")


def gain(values: list[float], reference: list[float]) -> str:
    """Format the mean of paired differences with its 95 % interval."""
    difference = numpy.subtract(values, reference)
    half = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5
    mean = difference.mean()
    return f"{mean:+.1f} ({mean - half:.1f} to {mean + half:.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.heads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of the data set and the encoder")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="seeds, which also draw the labels")
    parser.add_argument("--width", type=int, default=256, help="units of the shared hidden layer; 0 = none")
    parser.add_argument("--metric", choices=("accuracy", "balanced_accuracy"), default="accuracy")
    arguments = parser.parse_args()
    rate = "optimizer.lr=0.001" if arguments.width else "optimizer.lr=0.002"
    results: dict[str, list[float]] = {}
    for seed in arguments.seeds.split(","):
        for name, build in variants([rate, *arguments.settings, f"seed={seed}"], arguments.width).items():
            results.setdefault(name, []).append(accuracies(build())[arguments.metric])
    print("| variant | test % | gain over control | gain over fixmatch |\n|---|---|---|---|")
    for name, values in results.items():
        mean = f"{numpy.mean(values):.1f} ± {numpy.std(values, ddof=1):.1f}"
        gains = (gain(values, results[each]) if name != each else "" for each in ("control", "fixmatch"))
        print(f"| {name} | {mean} | {' | '.join(gains)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
