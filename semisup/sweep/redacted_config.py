"""Remove secrets from the config files that Hydra saves if the user sets `hydra.output_subdir`.

Secrets can be in settings such as `+hydra.job.env_set.WANDB_API_KEY=...`, which Hydra saves before it starts a job.
"""

from pathlib import Path

from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.secrets import redact


def redact_saved_files(folder: Path) -> None:
    """Replace the secrets in the YAML files of a folder; do nothing if the folder does not exist."""
    for path in folder.glob("*.yaml") if folder.is_dir() else ():
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if (redacted := redact(text)) != text:
            write_atomically(path, redacted.encode("utf-8", "surrogateescape"))
