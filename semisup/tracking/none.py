"""No mirror: the run's own folder is all there is."""

from dataclasses import dataclass

from semisup.tracking import NullTracker, RunInfo, Tracker


@dataclass(frozen=True)
class NoTracking:
    """Has no settings, for none could matter: `tracking=none tracking.mode=online` is an error at the door."""

    def require_installed(self) -> None:
        """Needs nothing."""

    def open(self, identity: RunInfo) -> Tracker:
        """A mirror that shows nothing."""
        return NullTracker()
