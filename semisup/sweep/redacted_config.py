"""Keep secrets out of the files that Hydra writes: multirun.yaml, and .hydra/ where a user asks for it.

`+hydra.job.env_set.WANDB_API_KEY=...` and `hydra.launcher.setup=[export ...]` are settings of Hydra, which saves them
with all others before a job of ours starts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra.core.utils
from omegaconf import OmegaConf

from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.secrets import redact


@contextmanager
def redacted_hydra_files() -> Iterator[None]:
    """Redact what Hydra saves in this process."""
    save, save_config = OmegaConf.save, hydra.core.utils._save_config
    OmegaConf.save = staticmethod(_save)  # type: ignore[method-assign]
    hydra.core.utils._save_config = lambda cfg, filename, output_dir: _save(cfg, output_dir / filename)
    try:
        yield
    finally:
        OmegaConf.save = staticmethod(save)  # type: ignore[method-assign]
        hydra.core.utils._save_config = save_config


def _save(config: Any, f: Any, resolve: bool = False) -> None:
    Path(f).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(Path(f), redact(OmegaConf.to_yaml(config, resolve=resolve)).encode("utf-8", "backslashreplace"))


def redact_saved_files(folder: Path) -> None:
    """Redact what Hydra saved in the process of a launcher before it called the job."""
    for path in folder.glob("*.yaml") if folder.is_dir() else ():
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if (redacted := redact(text)) != text:
            write_atomically(path, redacted.encode("utf-8", "surrogateescape"))
