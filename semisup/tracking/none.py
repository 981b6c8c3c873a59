"""No tracker."""

from dataclasses import dataclass

from semisup.tracking import NullTracker, RunInfo, Tracker


@dataclass(frozen=True)
class NoTracking:
    """There are no settings: `tracking=none tracking.mode=online` is an error."""

    def require_installed(self) -> None:
        """Require no package."""

    def open(self, run_info: RunInfo) -> Tracker:
        """Return a tracker that does nothing."""
        return NullTracker()
