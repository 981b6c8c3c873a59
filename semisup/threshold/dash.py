"""Dash (arXiv 2109.00650): select images with a loss below a limit that decreases during the training.

    rho_k    = max(scale * gamma^-k * rho_0, rho_min),  k = floor((e - e_0) / every)
    weight_i = 1 if -log confidence_i <= rho_k else 0

-log confidence_i is the cross-entropy of image i with its own pseudo-label. The equivalent threshold on the confidence
is exp(-rho_k), which is `PolicyOutput.threshold`; with rho_min = 0.05 it ends at 0.951. `scale`, `gamma`, `rho_min` and
`every` are settings. e is the number of the epoch (a pass over the labeled images), and e_0 is the first epoch with
pseudo-labels. Before e_0, the model is trained on labels only. rho_0 is the labeled loss at the end of this first
phase.

    online     the first phase has `warmup_epochs` epochs; rho_0 is the mean labeled loss of the last of these epochs.
               With warmup_epochs = 0, rho_0 is the loss of the first labeled batch
    offline    the first phase ends at the first labeling, after at least `warmup_epochs` epochs; rho_0 is the mean
               cross-entropy of the whole labeled set at the first labeling

In the paper's code, an epoch has 1,024 steps, warmup_epochs is 2 and `every` is 10. Pseudo-labels are always hard here;
the paper's code uses soft ones until rho_k reaches rho_min.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import LabeledPredictions, PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class Dash:
    """Settings of Dash, explained in `conf/threshold/dash.yaml`."""

    scale: float
    gamma: float
    rho_min: float
    every: int
    warmup_epochs: int

    uses_labeled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0, above=True)
        check_range("gamma", self.gamma, 1)
        check_range("rho_min", self.rho_min, 0)
        check_range("every", self.every, 1)
        check_range("warmup_epochs", self.warmup_epochs, 0)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the Dash policy.

        Returns:
            rho_0: () float32, labeled loss at the end of the first phase, on labels only; -1 = not known yet.
            first_epoch: () int64, number of the first epoch with pseudo-labels; -1 = not known yet.
            warmup_epoch: () int64, number of the latest epoch on labels only; -1 = none.
            warmup_loss, warmup_images: () float64, sum of the losses and number of images of `warmup_epoch`.
        """
        zero = torch.zeros((), dtype=torch.float64)
        rho = {"rho_0": torch.tensor(-1.0), "first_epoch": torch.tensor(-1)}
        return rho | {"warmup_epoch": torch.tensor(-1), "warmup_loss": zero, "warmup_images": zero.clone()}

    def is_labels_only(self, epoch: int) -> bool:
        return epoch < self.warmup_epochs

    def observe_labeled_loss(self, loss_sum: Tensor, images: Tensor, epoch: int, memory: StateDict) -> StateDict:
        same_epoch = (memory["warmup_epoch"] == epoch).to(memory["warmup_loss"].dtype)
        return memory | {
            "warmup_epoch": torch.full_like(memory["warmup_epoch"], epoch),
            "warmup_loss": memory["warmup_loss"] * same_epoch + loss_sum,
            "warmup_images": memory["warmup_images"] * same_epoch + images,
        }

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        assert context.labeled is not None, "dash needs predictions of labeled images"
        confidence, num_classes = labels.confidence, labels.probabilities.shape[1]
        if self.is_labels_only(context.epoch):
            none = torch.zeros_like(confidence)
            return PolicyOutput(none, labels.targets, confidence.new_full((num_classes,), 2.0)), memory  # 2: above all
        images = memory["warmup_images"]
        warmup_mean = (memory["warmup_loss"] / images.clamp(min=1)).float()
        start = torch.where(images > 0, warmup_mean, cross_entropy(context.labeled))
        rho_0 = torch.where(memory["rho_0"] < 0, start, memory["rho_0"])
        first_epoch = torch.where(memory["first_epoch"] < 0, context.epoch, memory["first_epoch"])
        k = (context.epoch - first_epoch) // self.every
        rho = (self.scale * rho_0 * self.gamma**-k).clamp(min=self.rho_min)
        threshold = (-rho).exp()
        selected = (confidence >= threshold).to(confidence.dtype)
        if len(confidence) > 0:
            memory = memory | {"rho_0": rho_0, "first_epoch": first_epoch}
        return PolicyOutput(selected, labels.targets, threshold.expand(num_classes)), memory


def cross_entropy(labeled: LabeledPredictions) -> Tensor:
    """Compute the mean cross-entropy of predictions for labeled images, () float32.

    The result is finite even if a probability is 0.
    """
    true = labeled.probabilities.float().gather(1, labeled.targets[:, None])
    return -true.clamp(min=1e-30).log().mean()
