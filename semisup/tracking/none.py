"""The option `tracking=none`: no tracker."""

from dataclasses import dataclass

from semisup.tracking import NullTracker, RunInfo, Tracker


@dataclass(frozen=True)
class NoTracking:
    """The option `tracking=none`, which has no settings: runs are not sent to a tracker."""

    def require_installed(self) -> None:
        """Do nothing, because `tracking=none` needs no other package."""

    def open(self, run_info: RunInfo) -> Tracker:
        """Return a tracker that does nothing."""
        return NullTracker()
