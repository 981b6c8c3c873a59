"""Settings that all data sets from torchvision have; their training images are split at random by a seed."""

from dataclasses import dataclass, field

from semisup.core.class_split import SplitFractions
from semisup.dataset._only_classes import ClassNames, class_names
from semisup.dataset._roles import FOLD, MACHINE, NO_EFFECT, PATH, SPLIT_SEED, WHEN_SET
from semisup.errors import check_range


@dataclass(frozen=True)
class SplitSettings:
    """Settings of the path, the image size and the split; abstract, because a subclass must read the images."""

    root: str = field(metadata=PATH)
    download: bool = field(metadata=MACHINE)
    size: int
    labels_per_class: int | None
    validation_share: float
    validation_per_class: int | None
    folds: int | None = field(metadata=WHEN_SET)
    fold: int | None = field(metadata=FOLD)
    split_seed: int = field(metadata=SPLIT_SEED)
    imbalance: float
    imbalance_unlabeled: float
    only_classes: ClassNames = field(metadata=WHEN_SET)
    hflip: bool = field(metadata=NO_EFFECT)

    def check_split(self) -> None:
        """Check the settings of the split, and convert `only_classes` to a tuple.

        Raises:
            SettingError: a setting is out of range.
        """
        object.__setattr__(self, "only_classes", class_names(self.only_classes))
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        self.fractions()

    def fractions(self) -> SplitFractions:
        """Return the settings that determine the sizes of the splits of the training images."""
        return SplitFractions(
            0,
            self.validation_share,
            self.labels_per_class,
            self.imbalance,
            self.imbalance_unlabeled,
            self.validation_per_class,
            self.folds,
            self.fold,
        )
