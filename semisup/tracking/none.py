"""No mirror: the run's own folder is all there is."""

from dataclasses import dataclass

from semisup.tracking import Identity, Mirror, Silent


@dataclass(frozen=True)
class NoTracking:
    """Has no settings, for none could matter: `tracking=none tracking.mode=online` is an error at the door."""

    def must_be_here(self) -> None:
        """Needs nothing."""

    def open(self, identity: Identity) -> Mirror:
        """A mirror that shows nothing."""
        return Silent()
