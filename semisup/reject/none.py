"""No rejection: every unlabeled image can be pseudo-labeled."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoReject:
    """The option `reject=none`, which has no settings."""
