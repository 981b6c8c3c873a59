"""Types for the files that a layout finds in a data set, before they are divided into splits at random."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from semisup.dataset._file_index import FileSplit
from semisup.images.scan import ImageFile


@dataclass(frozen=True)
class Listing:
    """The files of each set (labeled, unlabeled, validation and test) that a layout found.

    classes: K names, in the order of the class numbers
    labeled: at least one file of each class
    unlabeled: files without a class
    validation, test: files with classes; None = there is no such set
    ignored: suffix or other reason -> number of entries that are not read
    notes: lines of output about how the files were read, and what was not read
    hidden: true class numbers of the unlabeled files, for diagnostics; -1 = unknown. None = all are unknown
    """

    classes: list[str]
    labeled: FileSplit
    unlabeled: list[ImageFile]
    validation: FileSplit | None
    test: FileSplit | None
    ignored: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    hidden: list[int] | None = None


@dataclass(frozen=True)
class SetNames:
    """Settings of `dataset=folder` that a layout needs.

    labeled, validation, test: folder of each set, relative to the root; None = there is no such set
    unlabeled: one or more folders of unlabeled images, relative to the root; None = there are none
    class_pattern: regular expression with a group `class`, for classes in file names
    has_own_pattern: whether the user set `class_pattern`
    columns: FILE, CLASS or SPLIT -> name of the column of a table; None = recognize the column by a usual name
    image_folder: folder to which the names in tables are relative; None = find it
    max_bad_fraction: largest fraction of rows without an image
    has_folds: whether the setting `folds` is used, so that no validation set is needed
    """

    labeled: str
    unlabeled: tuple[str, ...] | None
    validation: str | None
    test: str | None
    class_pattern: str
    has_own_pattern: bool
    columns: Mapping[str, str | None]
    image_folder: str | None
    max_bad_fraction: float
    has_folds: bool
