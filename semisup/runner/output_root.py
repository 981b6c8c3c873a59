"""Check the setting `output_root`, the folder of all runs."""

import errno
import os
from pathlib import Path

from semisup.errors import SettingError


def check_output_root(value: str) -> None:
    """Check that runs can be written below `output_root`.

    Raises:
        SettingError: the value is a URL (s3://...), is not a directory, is not writable, or is too long for the file
            system.
    """
    if "://" in value:
        raise SettingError("output_root", value, "must be a local directory; mount the storage and give its path")
    try:
        path = Path(value).expanduser()
        existing = _existing_part(path)
    except (OSError, ValueError, RuntimeError) as error:
        message = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingError("output_root", value, f"cannot be a directory ({message})") from None
    if not existing.is_dir():
        place = "is" if existing == path else f"is inside {existing}, which is"
        raise SettingError("output_root", value, f"{place} not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise SettingError(
            "output_root", value, f"must be a folder in which files can be created; {existing} does not permit that"
        )


def _existing_part(path: Path) -> Path:
    """Return `path` if it exists, otherwise its nearest parent folder that exists.

    Raises:
        OSError: a name in the path is too long for the file system, or a parent folder cannot be accessed.
    """
    for each in (path, *path.parents):
        try:
            os.stat(each)
        except (FileNotFoundError, NotADirectoryError):
            continue
        longest = max((os.fsencode(part) for part in path.parts), key=len, default=b"")
        if len(longest) > os.pathconf(each, "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return each
    return path
