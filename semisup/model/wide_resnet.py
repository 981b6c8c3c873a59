"""FixMatch's wide residual network (arXiv 1605.07146; arXiv 2001.07685, its code's `libml/models.py`).

    block(x) = shortcut(x) + conv(act(norm(conv(act(norm(x))))))        act = LeakyReLU(0.1)

The shortcut is x itself, or a 1x1 convolution where the width changes: of x, in the very first block of act(norm(x)).
Depth 28 and widen_factor 2 have 1,467,626 parameters at 10 classes and 3 channels: of the convolutions only the first
has a bias, as in USB's edition. That and other PyTorch editions leave out the norm before the first convolution of
groups 2 and 3; the paper's own code does not, and neither does this one.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from semisup.core.layers import conv_bn
from semisup.errors import SettingError, check_range

SLOPE = 0.1
EPS = 0.001  # of BatchNorm
STEM = 16  # channels of the first convolution


@dataclass(frozen=True)
class WideResNet:
    """`depth`: layers, 6 n + 4 for n blocks in each of three groups; `widen_factor` w: the groups have 16 w, 32 w and
    64 w channels, the last two halve the side; `norm_momentum`: of BatchNorm's running statistics, in (0, 1]."""

    depth: int
    widen_factor: int
    norm_momentum: float

    def __post_init__(self) -> None:
        if self.depth < 10 or self.depth % 6 != 4:
            raise SettingError("depth", self.depth, "must be 6 n + 4: 10, 16, 22, 28, ...")
        check_range("widen_factor", self.widen_factor, 1)
        check_range("norm_momentum", self.norm_momentum, 0, 1, above=True)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        before, blocks = STEM, (self.depth - 4) // 6
        groups: list[nn.Module] = []
        for group in range(3):
            width, stride = STEM * self.widen_factor * 2**group, 2 if group else 1
            first = _Block(before, width, stride, self.norm_momentum, activate_before_residual=group == 0)
            rest = [_Block(width, width, 1, self.norm_momentum) for _ in range(blocks - 1)]
            groups.append(nn.Sequential(first, *rest))
            before = width
        end = [
            _norm(before, self.norm_momentum),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ]
        stem = nn.Conv2d(channels, STEM, 3, padding=1)
        network = nn.Sequential(stem, *groups, *end, nn.Linear(before, num_classes))
        network.apply(_first_weights)
        return network


class _Block(nn.Module):
    """(n, c, s, s) to (n, c', s / stride, s / stride), rounded up."""

    def __init__(
        self, before: int, after: int, stride: int, momentum: float, *, activate_before_residual: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = _norm(before, momentum)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2 = _norm(after, momentum)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)
        self.activate_before_residual = activate_before_residual

    def forward(self, images: Tensor) -> Tensor:
        active = leaky_relu(self.norm1(images), SLOPE, inplace=True)
        shortcut = self.shortcut(active if self.activate_before_residual else images)
        inner = leaky_relu(conv_bn(self.conv1, self.norm2, active), SLOPE, inplace=True)
        found: Tensor = shortcut + self.conv2(inner)
        return found


def _norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPS, momentum=momentum)


def _first_weights(module: nn.Module) -> None:
    """Convolutions: normal, variance 2 / (k^2 c_out); the linear layer: Glorot's normal; biases 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
