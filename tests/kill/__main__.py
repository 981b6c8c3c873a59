"""The campaign, in a process of its own that has no threads and no GPU; prints what it found as one JSON object."""

import argparse
import json
import os
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a process that has trained on one can have no children that train

from tests.kill.attempt import RUNS, shared_start
from tests.kill.campaign import Kill, Trial, caught, cut, flip, one_of_each, spoil_all
from tests.kill.defects import DEFECTS
from tests.kill.points import NEED_ROOM

LOOPS, WHOLE_LOOPS = 1, 3
SOME = 4
SOME_KILLS = 8


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.kill")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--soak", type=int, default=0, metavar="N", help="every point of every run, N crash loops of each"
    )
    parser.add_argument("--whole", action="store_true", help="every point of one run, one of each sort of the other")
    arguments = parser.parse_args()
    whole = arguments.whole or bool(arguments.soak)
    warnings.simplefilter("ignore")
    shared_start(arguments.folder / "warm")
    trials = {run: Trial(run, arguments.folder / run) for run in RUNS}
    all_of = set(RUNS) if arguments.soak else {"self_training"} if whole else set()
    count = arguments.soak or (WHOLE_LOOPS if whole else LOOPS)
    found = {
        "kills": {run: everywhere(trials[run], whole=run in all_of, some=not whole) for run in RUNS},
        "unseen": {run: trials[run].unseen() for run in RUNS},
        "second": again(trials["fixmatch"], whole=bool(arguments.soak), some=not whole),
        "loops": {run: loops(trials[run], count) for run in RUNS},
        "damage": {run: damaged(trials[run]) for run in RUNS},
        "outages": {run: trials[run].power() for run in RUNS},
        "asked to stop": ended(trials["fixmatch"], "ask to stop", (0, 75), whole=bool(arguments.soak)),
        "full disk": ended(trials["self_training"], "full disk", (0, 1, 2), whole=bool(arguments.soak)),
        "defects": [[each.name, caught(each, arguments.folder / str(n))] for n, each in enumerate(DEFECTS)],
    }
    print(json.dumps(found, indent=1))
    shutil.rmtree(arguments.folder)
    return 1 if arguments.soak and failed(found) else 0


def failed(found: dict[str, Any]) -> bool:
    """Whether anything did not survive, or was not caught."""
    judged = [*found["kills"].values(), *found["loops"].values()]
    judged += [found[name] for name in ("second", "asked to stop", "full disk")]
    wrong = [*(each["wrong"] for each in judged), *(why for _, why in found["outages"].values())]
    wrong += [why for each in found["damage"].values() for why in each.values()]
    return any(wrong) or not all(how for _, how in found["defects"])


def everywhere(trial: Trial, *, whole: bool, some: bool) -> dict[str, Any]:
    """Kind of point -> how many, and what was wrong after which of them.

    Args:
        trial: the run that is killed.
        whole: at every point, else at one of each sort.
        some: of these at most SOME_KILLS of a kind.
    """
    kills = trial.kills() if whole else one_of_each(trial.kills())
    kills = some_of_each_kind(kills, SOME_KILLS) if some else kills
    wrong = [[str(kill), why] for kill in kills if (why := trial.survives([kill]))]
    return {"points": Counter(kill.kind for kill in kills), "wrong": wrong}


def again(trial: Trial, *, whole: bool, some: bool) -> dict[str, Any]:
    """The same for a process that continues one that was killed, at all that it does before it trains."""
    first: Kill = trial.after_saves(2)
    kills = trial.of_a_second_process(first)
    kills = kills if whole else one_of_each(kills)
    kills = some_of_each_kind(kills, SOME) if some else kills
    wrong = [[str(kill), why] for kill in kills if (why := trial.survives([first, kill]))]
    return {"points": Counter(kill.kind for kill in kills), "wrong": wrong}


def ended(trial: Trial, harm: str, statuses: tuple[int, ...], *, whole: bool) -> dict[str, Any]:
    """The same for what does not kill: the process ends in good order, and another one continues."""
    kills = [kill for kill in trial.kills() if harm != "full disk" or kill.point.kind in NEED_ROOM]
    kills = kills if whole else some_of_each_kind(one_of_each(kills), SOME)
    wrong = [[str(kill), why] for kill in kills if (why := trial.ends_by_itself(kill, harm, statuses))]
    return {"points": Counter(kill.kind for kill in kills), "wrong": wrong}


def some_of_each_kind(kills: list[Kill], most: int) -> list[Kill]:
    """At most so many of a kind, from its first to its last."""
    kinds: dict[str, list[Kill]] = {}
    for kill in kills:
        kinds.setdefault(kill.kind, []).append(kill)
    return [
        each[n * (len(each) - 1) // (most - 1)] if len(each) > most else each[n]
        for each in kinds.values()
        for n in range(min(most, len(each)))
    ]


def loops(trial: Trial, count: int) -> dict[str, Any]:
    results = [trial.crash_loop(seed) for seed in range(count)]
    return {"loops": count, "deaths": sum(deaths for deaths, _ in results), "wrong": [why for _, why in results if why]}


def damaged(trial: Trial) -> dict[str, str]:
    """How the newest states were damaged -> what is wrong with what came of it, or ""."""
    first = [trial.after_saves(2)]
    found = {f"a bit flipped at {share:.0%}": trial.survives(first, flip(share)) for share in (0.0, 0.5, 1.0)}
    found |= {f"cut to {share:.0%}": trial.survives(first, cut(share)) for share in (0.0, 0.5, 0.99)}
    return found | {"every state damaged": trial.refuses(first, spoil_all)}


if __name__ == "__main__":
    sys.exit(main())
