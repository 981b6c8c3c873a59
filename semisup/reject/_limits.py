"""Settings of the rejection limit: the lowest score of an accepted image."""

from dataclasses import dataclass

from semisup.errors import SettingError, check_range


@dataclass(frozen=True)
class Limits:
    """Base class with the settings of the rejection limit.

    limit: the lowest score of an accepted image; None if `keep` is given
    keep: share of the validation images to accept, in (0, 1]; None if `limit` is given
    """

    limit: float | None
    keep: float | None

    def __post_init__(self) -> None:
        check_range("keep", self.keep, 0, 1, above=True)
        if (self.limit is None) == (self.keep is None):
            allowed = "exactly one of reject.keep and reject.limit must have a value; set the other to null"
            raise SettingError("limit", self.limit, allowed)

    @property
    def min_labeled(self) -> int:
        return 0
