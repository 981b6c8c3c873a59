"""Change a command to training on the labels alone if its data have no unlabeled images.

The changed command has `method.lambda_unlabeled=0`, and a line is printed about it. If the user asks for unlabeled
images, or if files of the data set were ignored, the unlabeled images may be missing by mistake. Then nothing is
trained, and the error message shows the changed command.
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
NO_FOLDER = "dataset.unlabeled=null"
ASKS_FOR_UNLABELED = ("method", "dataset.unlabeled")
"""Keys that show that the user expects unlabeled images; keys below them, such as `method.ratio`, do so, too."""


def labels_only_words(words: list[str], command: ComposedCommand) -> list[str] | None:
    """Change a train command so that it trains on the labels alone.

    The settings of the threshold have no effect on this training. If the command sweeps such a setting over several
    values, only the first value is kept.

    Args:
        words: overrides (KEY=VALUE) of the command.
        command: the composed command.

    Returns:
        The changed words; None if the method has no setting `lambda_unlabeled`, or if a sweeper chooses the values
        of a setting, as for `interval(0, 1)`.
    """
    swept = {key: values for key, values in command.choices.items() if len(values) != 1}
    if "lambda_unlabeled" not in command.config.method or not all(swept.values()):
        return None
    dropped = [key for key in swept if key.split(".")[0].partition("@")[0] == "threshold"]
    kept = [word for word in words if word.partition("=")[0] not in (*dropped, SETTING.partition("=")[0])]
    return [*kept, *(swept[key][0] for key in dropped), SETTING]


def automatic_words(error: NoUnlabeledError, words: list[str], command: ComposedCommand) -> list[str]:
    """Change a train command so that it trains on the labels alone, because its data have no unlabeled images.

    Args:
        error: the error that the data have no unlabeled images.
        words: overrides (KEY=VALUE) of the command.
        command: the composed command.

    Raises:
        NoUnlabeledError: `labels_only_words` cannot change the command.
        SettingError: the user asks for unlabeled images, or files of the data set were ignored; the message shows the
            changed command.
    """
    changed = labels_only_words(words, command)
    keys = [word.partition("=")[0].lstrip("+~") for word in words if word != NO_FOLDER]
    expects = any(key == each or key.startswith(f"{each}.") for key in keys for each in ASKS_FOR_UNLABELED)
    if changed is None:
        raise error
    if expects or error.ignored:
        typed = printable(shlex.join(["semisup", "train", *(["-m"] if command.several else []), *changed]), 2000)
        parts = (error.allowed, error.ignored, f"to train on the labels alone, type {typed}")
        raise SettingError(error.key, error.value, "; ".join(filter(None, parts)))  # the command can be copied
    return changed


def validate_or_train_on_labels(words: list[str], command: ComposedCommand) -> ComposedCommand:
    """Validate the command of one run; if its data have no unlabeled images, change it to training on labels alone.

    Returns:
        The command, as given or changed.

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
    """Print that the command trains on the labels alone, and how to use unlabeled images."""
    ways = []
    if "unlabeled" in command.config.dataset:
        ways.append("dataset.unlabeled=FOLDER names a folder of unlabeled images")
    if "labels_per_class" in command.config.dataset:
        ways.append("dataset.labels_per_class=N treats all but N images of each class as unlabeled")
    note = f"there are no unlabeled images, so the labels alone are trained on ({SETTING})"
    if is_rank_zero():
        print(f"semisup: {'; '.join([note, *ways])}", file=sys.stderr)
