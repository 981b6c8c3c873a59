"""Find the folder of each set (labeled, validation, ...) by its setting, or by a usual name such as `val`."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from semisup.dataset._listing import SetNames
from semisup.dataset._source import Source, last_name
from semisup.dataset._split_words import FOLDER_WORDS
from semisup.errors import SettingError, closest_match
from semisup.text import listed

ANY_WORD = frozenset(word for words in FOLDER_WORDS.values() for word in words)


def is_word(split: str, name: str) -> bool:
    """Whether `name` is a usual name for the folder of this set, such as `val` for validation."""
    return name.casefold() in FOLDER_WORDS[split]


def word_folders(source: Source, inside: str) -> list[str]:
    """List the folders in `inside` that have the usual name of a set, such as `val`.

    Such folders are never classes.
    """
    return [each for each in source.folders(inside).values() if is_any_word(each)]


def class_candidates(source: Source, inside: str) -> list[str]:
    """List the folders in `inside` that can be classes: those without a usual name of a set."""
    return [each for each in source.folders(inside).values() if not is_any_word(each)]


def is_any_word(where: str) -> bool:
    """Whether the name of a folder is a usual name of any set."""
    return last_name(where).casefold() in ANY_WORD


def unread_folders(folders: Sequence[str], places: Mapping[str, Sequence[str]]) -> list[str]:
    """Filter a list of folders: return those from which no image is read. `places` has the folders of each set."""
    read = [PurePosixPath(each) for used in places.values() for each in used]
    above = {each for path in read for each in (path, *path.parents)}
    other = [PurePosixPath(each) for key, used in places.items() if key != "labeled" for each in used]
    paths = [PurePosixPath(each) for each in folders]
    return [path.as_posix() for path in paths if path not in above and not any(each in path.parents for each in other)]


def named_folders(source: Source, split: str, inside: str = ".") -> list[str]:
    """List the folders in `inside` whose names are usual for this set, such as `val` for validation."""
    return [each for each in source.subfolders(inside) if is_word(split, last_name(each))]


def find_folder(source: Source, split: str, setting: str | None) -> str | None:
    """Find the folder of the labeled, unlabeled, validation or test images.

    A setting such as `validation` also finds `val/` or `Valid/` in the root, unless there is a folder of its own name.

    Returns:
        The path of the folder; None if the setting is null, or if there is no folder of these names.

    Raises:
        SettingError: there are several folders of these names, or the setting is another name, of no folder.
    """
    if setting is None or source.is_dir(setting):
        return setting
    if not is_word(split, last_name(setting)):
        raise missing_folder(source, split, setting)
    return only_one(source, split, setting, named_folders(source, split))


def train_folder(source: Source, names: SetNames) -> str | None:
    """Find the folder of labeled images; None if there is none.

    Raises:
        SettingError: several folders have one of the names.
    """
    if source.is_dir(names.labeled):
        return names.labeled
    where = only_one(source, "labeled", names.labeled, named_folders(source, "labeled"))
    inner = [] if where is None else named_folders(source, "labeled", where)
    inner = [each for each in inner if last_name(each).casefold().startswith("label")]
    return inner[0] if len(inner) == 1 else where


def other_places(source: Source, names: SetNames, train: str) -> dict[str, list[str]]:
    """Find the folders of the unlabeled, validation and test images: set -> paths."""
    validation, test = (find_folder(source, key, getattr(names, key)) for key in ("validation", "test"))
    inside = [".", *([] if train == "." else [train.partition("/")[0]])]
    return {
        "unlabeled": find_unlabeled(source, names, inside),
        "validation": [] if validation is None else [validation],
        "test": [] if test is None else [test],
    }


def find_unlabeled(source: Source, names: SetNames, inside: Sequence[str]) -> list[str]:
    """Find the folders of unlabeled images.

    If the setting names one folder that does not exist, such as `training/unlabeled`, and its name is one of the usual
    names, then all folders with such a name in the folders `inside` are found.

    Raises:
        SettingError: a folder does not exist.
    """
    if names.unlabeled is None:
        return []
    missing = [each for each in names.unlabeled if not source.is_dir(each)]
    if not missing:
        return list(names.unlabeled)
    if len(names.unlabeled) == 1 and is_word("unlabeled", last_name(missing[0])):
        return [each for folder in inside for each in named_folders(source, "unlabeled", folder)]
    raise missing_folder(source, "unlabeled", missing[0])


def only_one(source: Source, split: str, setting: str, folders: list[str]) -> str | None:
    """Return the single folder in a list of candidates; None if the list is empty.

    Raises:
        SettingError: there are several.
    """
    if len(folders) > 1:
        names = listed([f"{last_name(each)}/" for each in folders], "and")
        allowed = f"{source.shown('.')} has {names}; type the one to read, as dataset.{split}={folders[0]}"
        raise SettingError(f"dataset.{split}", setting, allowed)
    return folders[0] if folders else None


def missing_folder(source: Source, split: str, setting: str) -> SettingError:
    """Build the error about a setting that names a folder that does not exist."""
    siblings = [last_name(each) for each in source.subfolders(PurePosixPath(setting).parent.as_posix())]
    near = closest_match(last_name(setting), siblings)
    return SettingError(f"dataset.{split}", setting, f"there is no folder {source.shown(setting)}", near)
