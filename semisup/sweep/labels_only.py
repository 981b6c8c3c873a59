"""Train on the labels alone where the data have no unlabeled images.

Class folders or a table in which every image has a class are a complete data set for supervised training. So the
command is then changed to one with `method.lambda_unlabeled=0`, and one line says so. A command that asks for unlabeled
images, or whose data have files that were ignored, is refused with the changed command, because the unlabeled images
may be missing by mistake.
"""

import shlex
import sys
from typing import TYPE_CHECKING

from semisup.errors import NoUnlabeledError, SettingError
from semisup.runtime.torchrun_env import is_rank_zero
from semisup.sweep.preflight import ComposedCommand, compose_command, validate_command
from semisup.text import printable

if TYPE_CHECKING:
    from semisup.dataset import Dataset, DatasetInfo

SETTING = "method.lambda_unlabeled=0"
ASKS_FOR_UNLABELED = ("method", "dataset.unlabeled")
"""Keys, and groups whose keys, show that the user expects unlabeled images to be used."""


def labels_only_words(words: list[str], command: ComposedCommand) -> list[str] | None:
    """Change a train command so that it trains on the labels alone.

    Settings of the threshold have no effect then, so that a sweep over them becomes one run.

    Returns:
        The changed KEY=VALUE words; None if the method has no such setting, or if a sweeper chooses the values.
    """
    swept = {key: values for key, values in command.choices.items() if len(values) != 1}
    if "lambda_unlabeled" not in command.config.method or not all(swept.values()):
        return None
    dropped = [key for key in swept if key.split(".")[0].partition("@")[0] == "threshold"]
    kept = [word for word in words if word.partition("=")[0] not in (*dropped, SETTING.partition("=")[0])]
    return [*kept, *(swept[key][0] for key in dropped), SETTING]


def automatic_words(error: NoUnlabeledError, words: list[str], command: ComposedCommand) -> list[str]:
    """Return the words of the command that trains on the labels alone, if the user does not expect anything else.

    Raises:
        SettingError: the user expects unlabeled images; the message has the command to type.
    """
    changed = labels_only_words(words, command)
    keys = [word.partition("=")[0].lstrip("+~") for word in words]
    expects = any(key == each or key.startswith(f"{each}.") for key in keys for each in ASKS_FOR_UNLABELED)
    if changed is None:
        raise error
    if expects or error.ignored:
        typed = printable(shlex.join(["semisup", "train", *(["-m"] if command.several else []), *changed]), 2000)
        allowed = f"{error.allowed}; to train on the labels alone, type {typed}"
        raise SettingError(error.key, error.value, "; ".join(filter(None, (allowed, error.ignored))))
    return changed


def validate_or_train_on_labels(words: list[str], command: ComposedCommand) -> ComposedCommand:
    """Validate the command of one run; if its data have no unlabeled images, return that of a run on the labels alone.

    Raises:
        SettingError, DataError: see `validate_command` and `automatic_words`.
    """
    infos: dict[Dataset, DatasetInfo] = {}
    try:
        validate_command(command, infos=infos)
    except NoUnlabeledError as error:
        changed = automatic_words(error, words, command)
        command = compose_command(changed, asked=False)
        validate_command(command, infos=infos)
        print_note(command)
    return command


def print_note(command: ComposedCommand) -> None:
    """Print that the run or sweep is trained on the labels alone, and how to use unlabeled images."""
    ways = []
    if "unlabeled" in command.config.dataset:
        ways.append("dataset.unlabeled=FOLDER names a folder of unlabeled images")
    if "labels_per_class" in command.config.dataset:
        ways.append("dataset.labels_per_class=N treats all but N images of each class as unlabeled")
    note = f"there are no unlabeled images, so the labels alone are trained on ({SETTING})"
    if is_rank_zero():
        print(f"semisup: {'; '.join([note, *ways])}", file=sys.stderr)
