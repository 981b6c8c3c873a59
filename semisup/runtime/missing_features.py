"""List the features of the program that do not work on this operating system; on Linux, all of them work."""

import importlib.util
import os
import signal
import warnings
from pathlib import Path


def missing_features() -> list[str]:
    """List the features that do not work on this system: one line for each, with its consequence."""
    missing = []
    if not hasattr(signal, "setitimer"):
        missing.append(
            "this system cannot limit the time of decoding an image: an image whose decoding never ends stops the run "
            "until you interrupt it; all other images are read as usual"
        )
    if importlib.util.find_spec("resource") is None or not Path("/proc/self/statm").exists():
        missing.append(
            "this system cannot limit the memory of decoding an image: a malicious image can use all memory; "
            "dataset.max_pixels still limits the size of an image"
        )
    if not Path("/proc/self/fd").exists():
        missing.append(
            "a run directory cannot be followed when it is renamed: do not rename it during the run, because the run "
            "then stops; the lock of the directory works as usual"
        )
    if not hasattr(os, "O_DIRECTORY"):
        missing.append(
            "folders cannot be written to disk at once: after a power loss, the newest files of a run may be missing; "
            "the run continues from an earlier checkpoint"
        )
    if not hasattr(signal, "SIGHUP"):
        missing.append(
            "other programs cannot ask a run to stop: only Ctrl-C saves a run before it stops; a run that is ended "
            "otherwise continues from its last checkpoint"
        )
    return missing


def warn_missing_features() -> None:
    """Print the lines of `missing_features` as warnings."""
    for line in missing_features():
        warnings.warn(line, stacklevel=2)
