"""The option `tracking=none`: no tracker."""

from dataclasses import dataclass

from semisup.tracking import NullTracker, RunInfo, Tracker


@dataclass(frozen=True)
class NoTracking:
    """No tracker; it has no settings, so `tracking=none tracking.mode=online` is an error."""

    def require_installed(self) -> None:
        """Check nothing, because `tracking=none` needs no package."""

    def open(self, run_info: RunInfo) -> Tracker:
        """Return a tracker that does nothing."""
        return NullTracker()
