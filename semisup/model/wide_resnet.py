"""FixMatch's wide residual network (arXiv 1605.07146; arXiv 2001.07685, its code's `libml/models.py`).

    block(x) = shortcut(x) + conv(act(norm(conv(act(norm(x))))))        act = LeakyReLU(0.1)

If the width does not change, the shortcut is x itself. Otherwise it is a 1x1 convolution of x; in the first block, it
is a 1x1 convolution of act(norm(x)). With depth 28 and widen_factor 2 the network has 1,467,626 parameters at 10
classes and 3 channels. Only the first convolution has a bias, as in USB's implementation.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from semisup.core.layers import conv_bn
from semisup.errors import SettingError, check_range

SLOPE = 0.1
EPS = 0.001  # eps of BatchNorm
STEM = 16  # channels of the first convolution


@dataclass(frozen=True)
class WideResNet:
    """Settings of the wide residual network, explained in `conf/model/wide_resnet.yaml`."""

    depth: int
    widen_factor: int
    norm_momentum: float

    def __post_init__(self) -> None:
        if self.depth < 10 or self.depth % 6 != 4:
            raise SettingError("depth", self.depth, "must be 10, 16, 22, 28, ... (6 n + 4)")
        check_range("widen_factor", self.widen_factor, 1)
        check_range("norm_momentum", self.norm_momentum, 0, 1, above=True)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        channels_in, blocks = STEM, (self.depth - 4) // 6
        groups: list[nn.Module] = []
        for group in range(3):
            width, stride = STEM * self.widen_factor * 2**group, 2 if group else 1
            first = _Block(channels_in, width, stride, self.norm_momentum, activate_before_residual=group == 0)
            rest = [
                _Block(width, width, 1, self.norm_momentum, activate_before_residual=False) for _ in range(blocks - 1)
            ]
            groups.append(nn.Sequential(first, *rest))
            channels_in = width
        end = [
            _norm(channels_in, self.norm_momentum),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ]
        stem = nn.Conv2d(channels, STEM, 3, padding=1)
        network = nn.Sequential(stem, *groups, *end, nn.Linear(channels_in, num_classes))
        network.apply(_initialize)
        return network


class _Block(nn.Module):
    """A residual block: (n, channels_in, s, s) -> (n, channels_out, ceil(s / stride), ceil(s / stride))."""

    def __init__(
        self, channels_in: int, channels_out: int, stride: int, momentum: float, *, activate_before_residual: bool
    ) -> None:
        super().__init__()
        self.norm1 = _norm(channels_in, momentum)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm2 = _norm(channels_out, momentum)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
        self.activate_before_residual = activate_before_residual

    def forward(self, images: Tensor) -> Tensor:
        # USB and other PyTorch implementations omit this norm before the first convolution of groups 2 and 3
        active = leaky_relu(self.norm1(images), SLOPE, inplace=True)
        shortcut = self.shortcut(active if self.activate_before_residual else images)
        inner = leaky_relu(conv_bn(self.conv1, self.norm2, active), SLOPE, inplace=True)
        output: Tensor = shortcut + self.conv2(inner)
        return output


def _norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPS, momentum=momentum)


def _initialize(module: nn.Module) -> None:
    """Initialize the weights of a layer.

    Convolutions get N(0, 2 / (k^2 * c_out)), where k is the side of the kernel and c_out the number of output channels.
    The linear layer gets Glorot's normal distribution. Biases are 0.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
