"""No encoder: the model is trained on the images themselves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoEncoder:
    """Settings of `encoder=none`; there are none."""
