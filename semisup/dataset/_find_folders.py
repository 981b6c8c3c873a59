"""Find the folders of the labeled, unlabeled, validation and test images by their settings or by usual names."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from semisup.dataset._listing import SetNames
from semisup.dataset._source import Source, last_name
from semisup.dataset._split_words import FOLDER_WORDS
from semisup.errors import SettingError, closest_match
from semisup.text import listed

ANY_WORD = frozenset(word for words in FOLDER_WORDS.values() for word in words)


def is_word(split: str, name: str) -> bool:
    """Whether `name` is a usual name for the folder of this split, such as `val` for validation."""
    return name.casefold() in FOLDER_WORDS[split]


def word_folders(source: Source, inside: str) -> list[str]:
    """List the folders in `inside` that are named like a set of images, such as `val`; they are never classes."""
    return [each for each in source.folders(inside).values() if is_any_word(each)]


def class_candidates(source: Source, inside: str) -> list[str]:
    """List the folders in `inside` that can be classes: all except those named like a set of images, such as `val`."""
    return [each for each in source.folders(inside).values() if not is_any_word(each)]


def is_any_word(where: str) -> bool:
    """Whether a folder is named like a set of images, such as `train`, `val` or `test`."""
    return last_name(where).casefold() in ANY_WORD


def unread_folders(folders: Sequence[str], places: Mapping[str, Sequence[str]]) -> list[str]:
    """List the folders from which no image is read.

    Args:
        folders: paths of the folders to check.
        places: set (labeled, unlabeled, validation, test) -> the folders from which it is read.
    """
    read = [PurePosixPath(each) for used in places.values() for each in used]
    above = {each for path in read for each in (path, *path.parents)}
    other = [PurePosixPath(each) for key, used in places.items() if key != "labeled" for each in used]
    paths = [PurePosixPath(each) for each in folders]
    return [path.as_posix() for path in paths if path not in above and not any(each in path.parents for each in other)]


def named_folders(source: Source, split: str, inside: str = ".") -> list[str]:
    """List the folders in `inside` with a usual name for this split, such as `val` for validation."""
    return [each for each in source.subfolders(inside) if is_word(split, last_name(each))]


def find_folder(source: Source, split: str, setting: str | None) -> str | None:
    """Find the folder of the labeled, unlabeled, validation or test images.

    If the folder `setting` does not exist, but its name is usual for the split, such as `validation`, a folder with
    another usual name, such as `val` or `Valid`, is used.

    Args:
        split: labeled, unlabeled, validation or test.
        setting: path of the folder in the settings.

    Returns:
        the path of the folder; None if the setting is null, or if neither the folder `setting` nor one with another
        usual name exists.

    Raises:
        SettingError: the folder `setting` does not exist, and its name is not usual or several other folders have a
            usual name.
    """
    if setting is None or source.is_dir(setting):
        return setting
    if not is_word(split, last_name(setting)):
        raise missing_folder(source, split, setting)
    return only_one(source, split, setting, named_folders(source, split))


def train_folder(source: Source, names: SetNames) -> str | None:
    """Find the folder of labeled images; None if there is none.

    Raises:
        SettingError: several folders have a usual name for labeled images.
    """
    if source.is_dir(names.labeled):
        return names.labeled
    where = only_one(source, "labeled", names.labeled, named_folders(source, "labeled"))
    inner = [] if where is None else named_folders(source, "labeled", where)
    inner = [each for each in inner if last_name(each).casefold().startswith("label")]
    return inner[0] if len(inner) == 1 else where


def other_places(source: Source, names: SetNames, train: str) -> dict[str, list[str]]:
    """Find the folders of the unlabeled, validation and test images.

    Args:
        names: the settings.
        train: folder of the labeled images.

    Returns:
        set (unlabeled, validation, test) -> paths.
    """
    validation, test = (find_folder(source, key, getattr(names, key)) for key in ("validation", "test"))
    inside = [".", *([] if train == "." else [train.partition("/")[0]])]
    return {
        "unlabeled": find_unlabeled(source, names, inside),
        "validation": [] if validation is None else [validation],
        "test": [] if test is None else [test],
    }


def find_unlabeled(source: Source, names: SetNames, inside: Sequence[str]) -> list[str]:
    """Find the folders of unlabeled images.

    They are the folders that `dataset.unlabeled` names. If it names a single folder with a usual name, such as
    `training/unlabeled`, and this folder does not exist, all folders with a usual name are returned.

    Args:
        names: the settings.
        inside: folders in which folders with a usual name are searched for.

    Raises:
        SettingError: a folder that the setting names does not exist, except in the case above.
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
    """Return the only folder in a list of candidates; None if the list is empty.

    Args:
        split, setting: key and value of the setting, for the message.

    Raises:
        SettingError: there are several candidates.
    """
    if len(folders) > 1:
        names = listed([f"{last_name(each)}/" for each in folders], "and")
        allowed = f"{source.shown('.')} has {names}; type the one to read, as dataset.{split}={folders[0]}"
        raise SettingError(f"dataset.{split}", setting, allowed)
    return folders[0] if folders else None


def missing_folder(source: Source, split: str, setting: str) -> SettingError:
    """Build the error about a setting that names a folder that does not exist.

    Args:
        split: key of the setting: labeled, unlabeled, validation or test.
        setting: value of the setting.
    """
    siblings = [last_name(each) for each in source.subfolders(PurePosixPath(setting).parent.as_posix())]
    near = closest_match(last_name(setting), siblings)
    return SettingError(f"dataset.{split}", setting, f"there is no folder {source.shown(setting)}", near)
