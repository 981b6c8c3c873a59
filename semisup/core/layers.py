"""Layers shared by the convolutional networks."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.modules.batchnorm import _BatchNorm


class FusedSequential(nn.Sequential):
    """nn.Sequential that fuses each convolution with the BatchNorm that follows it (`conv_bn`)."""

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


def conv_bn(convolution: nn.Conv2d, norm: _BatchNorm, images: Tensor) -> Tensor:
    """Compute norm(convolution(images)).

    At inference the running mean and variance of BatchNorm are folded into the weights, which saves a pass over all
    activations:

        gamma (W x + b - mean) / sqrt(variance + eps) + beta = (s W) x + s (b - mean) + beta,    s = gamma / sqrt(...)
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
    """Build a 3x3 convolution that keeps the image size, BatchNorm and ReLU; with `halve`, 2x2 max pooling.

    max(relu(x)) = relu(max(x)), bit-identical in value and gradient, so ReLU comes last and has a quarter of the work.
    """
    pool = [nn.MaxPool2d(2)] if halve else []
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return [convolution, nn.BatchNorm2d(channels_out), *pool, nn.ReLU(inplace=True)]
