"""What several convolutional networks are made of."""

from torch import nn


def conv_norm_relu(channels_in: int, channels_out: int, *, halve: bool = False) -> list[nn.Module]:
    """3x3 convolution that keeps the side, BatchNorm, ReLU; with `halve`, the largest of each 2x2 pixels.

    max(relu(x)) = relu(max(x)), to the bit and in the gradient too: so ReLU comes last, and has a quarter to do.
    """
    pool = [nn.MaxPool2d(2)] if halve else []
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return [convolution, nn.BatchNorm2d(channels_out), *pool, nn.ReLU(inplace=True)]
