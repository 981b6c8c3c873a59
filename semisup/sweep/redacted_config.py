"""Keep secrets out of the copies of its config that Hydra saves where a user asks for them (`hydra.output_subdir`).

`+hydra.job.env_set.WANDB_API_KEY=...` and `hydra.launcher.setup=[export ...]` are settings of Hydra, which saves them
with all others before a job of ours starts.
"""

from pathlib import Path

from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.secrets import redact


def redact_saved_files(folder: Path) -> None:
    """Redact what Hydra saved in the process of a launcher before it called the job."""
    for path in folder.glob("*.yaml") if folder.is_dir() else ():
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if (redacted := redact(text)) != text:
            write_atomically(path, redacted.encode("utf-8", "surrogateescape"))
