"""What several convolutional networks are made of."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.modules.batchnorm import _BatchNorm


class FusedSequential(nn.Sequential):
    """One after another, as nn.Sequential; a BatchNorm that follows a convolution is computed with it, `conv_bn`."""

    def forward(self, images: Tensor) -> Tensor:
        values, convolution = images, None
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                convolution = layer
            elif convolution is not None:
                assert isinstance(layer, _BatchNorm), "one follows each convolution"
                values, convolution = conv_bn(convolution, layer, values), None
            else:
                values = layer(values)
        assert convolution is None, "one follows each convolution"
        return values


def conv_bn(convolution: nn.Conv2d, norm: _BatchNorm, images: Tensor) -> Tensor:
    """norm(convolution(images)). Where nothing is learned, the mean and the variance that BatchNorm remembers are part
    of the weights instead: a pass over all activations less.

        gamma (W x + b - mean) / sqrt(variance + eps) + beta = (s W) x + s (b - mean) + beta,    s = gamma / sqrt(...)
    """
    if norm.training or torch.is_grad_enabled():
        normed: Tensor = norm(convolution(images))
        return normed
    assert convolution.padding_mode == "zeros", "the others are not conv2d's"
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (C',)
    shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    weight, bias = convolution.weight * scale.view(-1, 1, 1, 1), torch.addcmul(norm.bias, shift, scale)
    of = convolution
    return conv2d(images, weight, bias, of.stride, of.padding, of.dilation, of.groups)


def conv_bn_relu(channels_in: int, channels_out: int, *, halve: bool = False) -> list[nn.Module]:
    """3x3 convolution that keeps the side, BatchNorm, ReLU; with `halve`, the largest of each 2x2 pixels.

    max(relu(x)) = relu(max(x)), to the bit and in the gradient too: so ReLU comes last, and has a quarter to do.
    """
    pool = [nn.MaxPool2d(2)] if halve else []
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return [convolution, nn.BatchNorm2d(channels_out), *pool, nn.ReLU(inplace=True)]
