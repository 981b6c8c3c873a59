"""Train the head of a network first, then the whole network (linear probing, then fine-tuning: arXiv 2202.10054).

In a first phase, only the classifier layers (the head) are trained, because the gradient of a head with random weights
would damage the pretrained layers. In this phase, BatchNorm outside the head uses its running statistics.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from semisup.core.layer_depth import head_parameters


class HeadFirst:
    """First phase of a training, in which only the classifier layers (the head) of a model are trained.

    Args:
        share: length of the phase divided by the length of the training, in [0, 1]; 0 = no such phase.
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
        """Begin or end the phase in which only the classifier layers are trained; to be called before every step.

        The model must be in training mode.

        Args:
            progress: completed fraction of the training, in [0, 1].
        """
        if self.share == 0:
            return
        if self.active != (progress < self.share):
            self._set_active(progress < self.share)
        for norm in self.norms if self.active else ():
            norm.training = False  # an evaluation since the last step has set the mode of every layer

    def end(self) -> None:
        """End the phase: make all layers trainable again that were trainable before the first step."""
        if self.active:
            self._set_active(False)

    def _set_active(self, active: bool) -> None:
        self.active = active
        for parameter in self.body:
            parameter.requires_grad_(not active)
        self.model.train()
