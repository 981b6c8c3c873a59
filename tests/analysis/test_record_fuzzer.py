"""A mutated record makes a row with a reason: seeded mutations of run directories, read by `compare` and `show`."""

import argparse
import copy
import csv
import datetime
import functools
import io
import json
import math
import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from semisup.cli.compare import compare
from semisup.cli.show import show_command
from semisup.config.compose import defaults
from semisup.report.run_summary import show_run
from tests.conftest import SOAK
from tests.report.run_maker import make_with_references, plain_of

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
GROUPS = range(60) if SOAK else (0, 1, 4)  # of these, 4 mutates a run of an old version
MUTATIONS = 38  # in each group
PAGES = MUTATIONS if SOAK else 1  # mutated runs of a group whose report.html is rendered as well

VALUES: list[Any] = [
    *(None, True, False, -1, 0, 0.5, 1e308, -1e308, math.nan, math.inf, 10**399, 10**30, 1e99),
    *("", "x" * 5000, "../..", "$\\frac{$", "a\x00b", "\x1b[2J\u202e", "${oc.env:HOME}", "nan", "0.5", "\ud800"),
    *([], {}, [[]], [None, 1, "a"], {"a": {"b": [1]}}, {"name": {}}, {"x": math.nan}),
]
CSV_FILES = {
    "pseudo_labels.csv": "round,epoch,step,path,class,confidence,weight,kept\n"
    + "".join(f"{at},{at},{10 * at},{n}.png,{n % 3},0.{n},1,{n % 2}\n" for at in (1, 2) for n in range(1, 9)),
    "classes.csv": "round,epoch,step,class,labeled,kept,coverage,accuracy,threshold\n"
    + "".join(f"{at},1,1,{name},50,{10 * at},0.2,0.9,0.7\n" for at in (1, 2) for name in (0, 1)),
    "what_if.csv": "step,epoch,on,tau,coverage,accuracy\n"
    + "".join(f"{s},1,{on},0.{t},0.{t},0.9\n" for s in (0, 10) for on in ("validation", "pool") for t in range(1, 9)),
    "predictions.csv": "split,path,class,predicted,confidence\nvalidation,a,0,1,0.9\nvalidation,b,1,1,0.8\n",
}


def paths_in(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key path of nested mappings and lists, except the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [path for key, inner in items for path in [(*prefix, key), *paths_in(inner, (*prefix, key))]]


def edited(value: Any, draw: random.Random) -> Any:
    """`value` with one key deleted, replaced, or nested."""
    path = draw.choice(paths_in(value))
    node = value
    for key in path[:-1]:
        node = node[key]
    action = draw.randrange(6)
    if action == 0:
        del node[path[-1]]
    elif action == 1:
        node[path[-1]] = {"nested": node[path[-1]]}
    elif action == 2:
        node[path[-1]] = [node[path[-1]]]
    else:
        node[path[-1]] = draw.choice(VALUES)
    return value


def edit_yaml(path: Path, draw: random.Random) -> None:
    config = yaml.safe_load(path.read_text())
    if draw.randrange(12) == 0:
        config[draw.choice(list(config))] = datetime.date(2020, 2, 2)
    text = yaml.safe_dump(edited(config, draw), sort_keys=False, allow_unicode=False)
    path.write_text(text)


def edit_json(path: Path, draw: random.Random) -> None:
    path.write_text(json.dumps(edited(json.loads(path.read_text()), draw)))


def edit_lines(path: Path, draw: random.Random) -> None:
    lines = path.read_text().splitlines()
    place = draw.randrange(len(lines))
    action = draw.randrange(4)
    if action == 0:
        lines.insert(place, lines[draw.randrange(len(lines))])
    elif action == 1:
        draw.shuffle(lines)
    else:
        lines[place] = json.dumps(edited(json.loads(lines[place]), draw))
    path.write_text("\n".join(lines) + "\n")


def edit_csv(path: Path, draw: random.Random) -> None:
    rows = list(csv.reader(io.StringIO(path.read_text())))
    row = draw.choice(rows)
    cell = draw.choice(["", "nan", "-1", "1e400", "9" * 5000, "x", "\x1b[2J", '"', "a\nb", "1e99"])
    row[draw.randrange(len(row))] = cell
    if draw.randrange(3) == 0:
        del row[draw.randrange(len(row))]
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    path.write_text(buffer.getvalue())


EDITS: dict[str, Callable[[Path, random.Random], None]] = {
    "config.yaml": edit_yaml, "run.json": edit_json, "summary.json": edit_json, "metrics.jsonl": edit_lines,
    **dict.fromkeys(CSV_FILES, edit_csv),
}  # fmt: skip


def damage(path: Path, draw: random.Random) -> None:
    """Change a file without regard to its format."""
    raw = path.read_bytes()
    action = draw.randrange(8)
    if action == 0:
        path.write_bytes(raw[: draw.randrange(len(raw))])
    elif action == 1:
        path.write_bytes(raw.decode(errors="replace").encode("utf-16"))
    elif action == 2:
        path.write_bytes(draw.choice([b"", b"\x00" * 100, b"\xff\xfe\xfa", draw.randbytes(300), b"[" * 5000, b"{}"]))
    elif action == 3:
        other = draw.choice([name for name in EDITS if (path.parent / name).is_file()])
        path.write_bytes((path.parent / other).read_bytes())
    elif action == 4:
        place = draw.randrange(len(raw))
        path.write_bytes(raw[:place] + draw.randbytes(4) + raw[place + 4 :])
    elif action == 5:
        path.unlink()
        path.mkdir()
    elif action == 6:
        path.unlink()
    else:
        path.write_bytes(raw.replace(b"0", b"9" * 400, 1))


def mutate(folder: Path, draw: random.Random) -> str:
    """Apply one mutation to a run directory; returns the name of the file."""
    names = [name for name in EDITS if (folder / name).is_file()]
    name = draw.choice([*names, "config.yaml", "summary.json"] if (folder / "summary.json").is_file() else names)
    (EDITS[name] if draw.randrange(3) else damage)(folder / name, draw)
    return name


def make_experiment(folder: Path) -> list[Path]:
    for tau in (0.8, 0.9):
        for strength in (0.25, 0.5, 0.75, 1.0):
            for seed in (0, 1, 2):
                overrides = (f"threshold.tau={tau}", f"augment.strength={strength}")
                make_with_references(
                    folder, plain_of(*overrides, seed=seed), test=tau - strength / 10, control=0.6, baseline=0.5,
                    labelings=[(0.1, 0.99), (tau / 2, 0.9)],
                )  # fmt: skip
    runs = sorted(folder.iterdir())
    for run in runs:
        about = json.loads((run / "run.json").read_text()) | {"dataset": {"classes": ["0", "1"], "fingerprint": "f"}}
        (run / "run.json").write_text(json.dumps(about))
        for name, text in CSV_FILES.items():
            (run / name).write_text(text)
    return runs


def copy_fixture(folder: Path) -> list[Path]:
    """Copies of a run by version 0.1.0."""
    runs = [folder / f"copy{number:02}" for number in range(MUTATIONS + 2)]
    for run in runs:
        shutil.copytree(FIXTURE, run, ignore=shutil.ignore_patterns("checkpoints"))
    return runs


def show(run: Path, *, page: bool) -> str:
    """What `show` prints; with the page if asked for."""
    file = io.StringIO()
    assert show_run(run, Console(file=file, width=200)).folder == run
    if page:
        assert show_command(argparse.Namespace(run=run)) == 0
        if not (run / "report.html").is_dir():
            assert (run / "report.html").read_bytes().endswith(b"</html>")
    return file.getvalue()


@pytest.mark.parametrize("group", GROUPS)
def test_mutated_record_becomes_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, record_property: Callable[[str, object], None]
) -> None:
    cached = functools.lru_cache(lambda overrides: defaults(list(overrides)))
    monkeypatch.setattr("semisup.config.compose.defaults", lambda overrides: copy.deepcopy(cached(tuple(overrides))))
    draw = random.Random(group)
    experiment = tmp_path / "mine"
    runs = copy_fixture(experiment) if group % 5 == 4 else make_experiment(experiment)
    mutated = draw.sample(runs, min(MUTATIONS, len(runs)))
    changes = {run.name: mutate(run, draw) for run in mutated}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is not read")
        file = io.StringIO()
        assert compare([experiment], Console(file=file, width=300)) == 0, changes
        assert "was not drawn" not in file.getvalue(), changes
        with open(experiment / "comparison.csv", newline="") as table:
            rows = list(csv.DictReader(table))
        assert {os.path.basename(row["folder"]) for row in rows} == {run.name for run in runs}, changes
        for row in rows:
            assert row["status"] != "unreadable" or row["reason"], row
        for number, run in enumerate(mutated):
            text = show(run, page=number < PAGES)
            assert "\x1b" not in text, (run.name, changes[run.name])
    record_property("faults", (len(mutated), len(mutated)))
