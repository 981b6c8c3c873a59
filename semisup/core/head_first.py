"""Train the head of a network first, then the whole network (linear probing, then fine-tuning: arXiv 2202.10054).

In the first `share` of the training, only the classifier layers (the head) are trained. BatchNorm outside the head
normalizes by its running statistics in this phase, as in evaluation. Without this phase, the gradient of a head with
random weights would damage the pretrained layers. Whether a step belongs to this phase depends only on the position of
the step in the training.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from semisup.core.layer_depth import head_parameters


class HeadFirst:
    """First phase of a training, in which only the classifier layers (the head) of a model are trained.

    Args:
        share: length of the phase as a share of the training, in [0, 1]; 0 = no such phase.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self.model, self.share, self.active = model, share, False
        if share > 0:
            head = set(head_parameters(model))
            self.body = [each for each in model.parameters() if each.requires_grad and each not in head]
            self.norms = [
                module
                for module in model.modules()
                if isinstance(module, _BatchNorm) and head.isdisjoint(module.parameters())
            ]

    def update(self, progress: float) -> None:
        """Begin or end the phase according to the progress of the training, in [0, 1].

        This function must be called before every step.

        The model must be in training mode.
        """
        if self.share == 0:
            return
        if self.active != (progress < self.share):
            self._set_active(progress < self.share)
        for norm in self.norms if self.active else ():
            norm.training = False  # an evaluation since the last step has set the mode of every layer

    def end(self) -> None:
        """Make all layers trainable again, except those that were frozen before the first step."""
        if self.active:
            self._set_active(False)

    def _set_active(self, active: bool) -> None:
        self.active = active
        for parameter in self.body:
            parameter.requires_grad_(not active)
        self.model.train()
