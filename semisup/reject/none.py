"""No rejection: every unlabeled image can be pseudo-labeled."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoReject:
    """Settings of `reject=none`; it has none."""
