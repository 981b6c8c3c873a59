"""`python -m tests.sweep.login_node WORDS...` is `semisup WORDS...` on a machine where `device=auto` means a GPU.

The jobs that it submits run in other processes, in which `device=auto` has its usual meaning.
"""

import sys
from typing import Any

from semisup.config import schema
from semisup.sweep import worker_process

normal = schema.normalize


def of_this_machine(plain: dict[str, Any]) -> dict[str, Any]:
    return normal(plain | ({"device": "cuda"} if plain.get("device") == "auto" else {}))


setattr(schema, "normalize", of_this_machine)  # noqa: B010
worker_process.COMMAND = (sys.executable, "-m", "tests.sweep.login_node", "_sweep-worker")

if __name__ == "__main__":
    from semisup.__main__ import main

    sys.exit(main())
