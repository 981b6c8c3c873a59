"""Train in one process of several: tests/training/test_distributed.py starts this by torchrun.

`distributed_program.py FOLDER` trains what `members` names and writes its result to FOLDER/RANK.pt.
"""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

from semisup.core.events import StepEnd
from semisup.runtime import distributed as processes
from semisup.runtime.precision import configure_torch
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, choose, options, toy_problem
from tests.training.test_loop import resumed_at

COMMAND = ("train.epochs=4", "model.widths=[8,16]", "tracking=none", "plots=false", "device=cpu")
"""Of the command line, and the same in here."""


@cache
def members() -> dict[str, Any]:
    """Settings of every method, with policies whose word on an image depends on all the others."""
    policies = {"fixmatch": "freematch", "uda": "flexmatch", "self_training": "class_balanced", "mixmatch": "softmatch"}
    found = {}
    for method in options("method"):
        chosen = [
            *choose("method", method, gate=0, refresh_every=1, ratio=3, ramp=0),
            *choose("threshold", policies.get(method, "fixed"), tau=0.35, q=0.5),
            *(
                "optimizer=sgd",
                "optimizer.lr=0.05",
                "augment.strength=0.3",
                "train.ema_decay=0.9",
                "train.batch_size=5",
            ),
            *(
                "precision=float32",
                "model.widths=[4,8]",
                "train.steps=8",
                "train.evaluate_every_steps=4",
                "train.eval_batch_size=7",
            ),
        ]
        found[method] = checked(*chosen).settings
    skip_rejected = ["method=fixmatch", "method.skip_rejected=true", "threshold.tau=0.9", "precision=bfloat16"]
    found["skip_rejected"] = checked(
        *skip_rejected, "model.widths=[4,8]", "train.steps=3", "train.batch_size=1"
    ).settings
    return found


def trained(settings: Any) -> dict[str, Any]:
    """What one training comes to."""
    problem = toy_problem(labeled=13)
    state = start(problem, settings)
    rows = [event.row() for event in train(problem, settings, state)]
    rows = [{key: value for key, value in row.items() if not key.endswith("_seconds")} for row in rows if row]
    return {"student": state.student.state_dict(), "memory": state.memory, "rows": rows}


def main() -> None:
    """One process's part."""
    configure_torch(1, deterministic=True)
    with processes.process_group("cpu") as team:
        heard = team.receive() if processes.rank() else team.broadcast(b"the news")
        assert heard == (b"the news" if processes.rank() else None)
        found = {name: trained(settings) for name, settings in members().items()}
        found["again"] = trained(members()["fixmatch"])
        found["resumed"] = resumed_at(5, StepEnd, toy_problem(labeled=13), members()["fixmatch"])[0]
        found["dropped"] = seeds()
        found["apart"] = apart()
        own = torch.full((2, 3), 5.0 + processes.rank())
        found["leader"] = processes.from_leader(lambda: own, 2, 3, device=torch.device("cpu"))
        torch.save(found, Path(sys.argv[1]) / f"{processes.rank()}.pt")


def seeds() -> torch.Tensor:
    """What dropout would drop here."""
    from semisup.method import seed_dropout

    seed_dropout(0, 3)
    return torch.rand(4)


def apart() -> str:
    """What is said of models of equal weights in another order, and nothing of equal ones."""
    model = torch.nn.BatchNorm1d(2)
    processes.assert_replicas_equal(model)
    model.running_mean = torch.tensor([1.0, 2.0] if processes.rank() == 0 else [2.0, 1.0])
    try:
        processes.assert_replicas_equal(model)
    except RuntimeError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main()
