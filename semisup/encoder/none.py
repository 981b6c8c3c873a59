"""No encoder: the model is trained on the images themselves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoEncoder:
    """The option `encoder=none`, which has no settings."""
