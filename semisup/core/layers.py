"""Layers and image preprocessing that several networks use."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate
from torch.nn.modules.batchnorm import _BatchNorm


class FusedSequential(nn.Sequential):
    """`nn.Sequential` that computes each convolution and the BatchNorm after it in one operation at inference."""

    def forward(self, images: Tensor) -> Tensor:
        values, convolution = images, None
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                convolution = layer
            elif convolution is not None:
                assert isinstance(layer, _BatchNorm), "BatchNorm must follow each convolution"
                values, convolution = conv_bn(convolution, layer, values), None
            else:
                values = layer(values)
        assert convolution is None, "BatchNorm must follow each convolution"
        return values


class NormalizedNetwork(nn.Module):
    """Base class of wrappers around a network that expects normalized RGB images of one size.

    Args:
        network: the network.
        mean, std: mean and standard deviation of each of the three channels, for images in [0, 1].
        size: side to which images are resized (bicubic, antialiased); None = images keep their size.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int | None = None
    ) -> None:
        super().__init__()
        self.network, self.size = network, size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalized(self, images: Tensor) -> Tensor:
        """Convert images to the input of the network: three channels, resized and normalized.

        Args:
            images: (n, C, S, S) float in [0, 1], C 1 or 3.

        Returns:
            (n, 3, size, size) float.
        """
        images = images.expand(-1, 3, -1, -1)
        if self.size is not None and images.shape[-1] != self.size:
            images = interpolate(images, (self.size, self.size), mode="bicubic", antialias=True)
        return (images - self.mean) / self.std


def conv_bn(convolution: nn.Conv2d, norm: _BatchNorm, images: Tensor) -> Tensor:
    """Compute a convolution followed by BatchNorm.

    At inference, BatchNorm is folded into the weights of the convolution. With s = gamma / sqrt(variance + eps):

        gamma * (W * x + b - mean) / sqrt(variance + eps) + beta = (s * W) * x + s * (b - mean) + beta
    """
    if norm.training or torch.is_grad_enabled():
        normed: Tensor = norm(convolution(images))
        return normed
    assert convolution.padding_mode == "zeros", "conv2d supports no other padding"
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (C',)
    shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    weight, bias = convolution.weight * scale.view(-1, 1, 1, 1), torch.addcmul(norm.bias, shift, scale)
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    return conv2d(images, weight, bias, stride, padding, dilation, convolution.groups)


def conv_bn_relu(channels_in: int, channels_out: int, *, halve: bool = False) -> list[nn.Module]:
    """Build a block of 3x3 convolution, BatchNorm, 2x2 max pooling (if `halve`) and ReLU."""
    # ReLU after the pooling has a quarter of the work, and max(relu(x)) = relu(max(x)), also in the gradient
    pool = [nn.MaxPool2d(2)] if halve else []
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return [convolution, nn.BatchNorm2d(channels_out), *pool, nn.ReLU(inplace=True)]
