"""Combine the features of the networks of `encoder=concatenated`.

    f = (f_1 / |f_1|, f_2 / |f_2|, ...)

Without the scaling, the network with the longest feature vectors would have the largest influence. Values of vectors of
length 1 are about D^(-1/2), such as 0.03, which float16 represents with a relative error of at most 2^-11.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from semisup.model.linear import scale_rows


def concatenate_features(features: Sequence[Tensor]) -> Tensor:
    """Scale the features of each network to length 1 and concatenate them; those of a single network stay unchanged.

    Args:
        features: (n, D_i) float16 for each network; rows of zeros stay zero.

    Returns:
        (n, sum of D_i) float16.
    """
    if len(features) == 1:
        return features[0]
    return torch.cat([scale_rows(each.float(), 1.0) for each in features], dim=1).to(features[0].dtype)
