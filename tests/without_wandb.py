"""`python -m tests.without_wandb JSON`: the program as typed, several times, where wandb is not installed."""

import json
import sys
from collections.abc import Iterator
from typing import Any


class Without:
    """Finds what a finder finds, but nothing of wandb, neither the package nor that it is installed."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(self, name: str, *more: Any) -> Any:
        return None if name.partition(".")[0] == "wandb" else self.finder.find_spec(name, *more)

    def find_distributions(self, context: Any) -> Iterator[Any]:
        found = getattr(self.finder, "find_distributions", lambda _: ())(context)
        return (each for each in found if each.metadata["Name"] != "wandb")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


if __name__ == "__main__":
    sys.meta_path[:] = map(Without, sys.meta_path)
    from semisup.__main__ import main
    from semisup.sweep import worker_process

    worker_process.COMMAND = (sys.executable, "-m", "tests.without_wandb", json.dumps([["_sweep-worker"]]))

    for words in json.loads(sys.argv[1]):
        sys.argv = ["semisup", *words]
        status = main()
        if words == ["_sweep-worker"]:
            sys.exit(status)
        print(f"exit {status}", flush=True)
        print(f"exit {status}", file=sys.stderr, flush=True)
