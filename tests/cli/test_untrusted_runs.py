"""Test run directories from untrusted sources: no code runs, and memory, time, paths and output are limited."""

import copy
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from semisup.errors import RecordError
from semisup.record import checkpoint
from semisup.record.writer import RunWriter
from tests.conftest import Program
from tests.record.test_record import Payload

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
KEY = "0123456789abcdef-planted"


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with a run that tests can change, and images; a secret is in the environment."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    shutil.copytree(FIXTURE, tmp_path / "sent")
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8), 90).save(tmp_path / "images" / "one.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sent"


COMMANDS = {
    "reproduce": ("reproduce", "sent", "--check-only"),
    "compare": ("compare", "sent"),
    "show": ("show", "sent"),
    "predict": ("predict", "sent", "images"),
    "track": ("track", "sent"),
}


def spoil(sent: Path, key: str, value: object) -> None:
    """Set a value in the saved config at a dotted key."""
    config = yaml.safe_load((sent / "config.yaml").read_text())
    *sections, last = key.split(".")
    node = config
    for section in sections:
        node = node[section]
    node[last] = value
    (sent / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


TARGETS = (
    "os.system", "os.mkdir", "os.popen", "subprocess.run", "subprocess.Popen", "builtins.eval", "builtins.exec",
    "importlib.import_module", "runpy.run_path", "pickle.loads", "shutil.rmtree", "torch.load",
    "hydra.utils.instantiate",
)  # fmt: skip
EVIL: list[tuple[str, object]] = [
    *(("model", {"_target_": name, "_args_": ["touch canary"]}) for name in TARGETS),
    *(("threshold", {"name": name, "tau": "touch canary"}) for name in TARGETS),
    ("optimizer._target_", "os.system"),
    ("dataset._partial_", True),
    ("dataset.name", "../../../canary"),
    ("dataset.name", "os"),
    ("method.name", "__init__"),
    ("model.name", "_blocks"),
    ("threshold.name", "semisup.cli.train"),
    ("hydra", {"callbacks": {"x": {"_target_": "os.mkdir", "path": "canary"}}}),
    ("hydra", {"job_logging": {"handlers": {"x": {"class": "os.mkdir", "()": "os.mkdir"}}}}),
    ("hydra", {"searchpath": ["file:///tmp"], "sweeper": {"_target_": "os.system"}}),
    ("hydra", {"launcher": {"_target_": "os.system"}}),
    ("hydra", {"run": {"dir": "canary"}}),
    ("defaults", ["override hydra/launcher: joblib"]),
    ("threshold.tau", "${oc.env:WANDB_API_KEY}"),
    ("tracking.project", "${oc.env:WANDB_API_KEY}"),
    ("dataset.root", "${oc.env:WANDB_API_KEY}"),
    ("optimizer.name", "${oc.env:WANDB_API_KEY}"),
    ("optimizer.lr", "${oc.decode:'1'}"),
    ("seed", "${oc.create:{a: 1}}"),
    ("method", "${oc.select:hydra}"),
    ("model.name", "{{cookiecutter}}${now:%Y}"),
    ("threshold.tau", "__import__('os').mkdir('canary')"),
    ("seed", "$(touch canary)"),
    ("train", [{"_target_": "os.system"}]),
]  # fmt: skip
TEXTS = (
    "!!python/object/apply:os.system ['touch canary']",
    "seed: !!python/object/new:os.mkdir [canary]",
    "seed: !!python/name:os.system",
    "seed: !!python/module:antigravity",
    "seed: !include /etc/passwd",
    "seed: !ENV ${WANDB_API_KEY}",
    "seed: !!binary Y2FuYXJ5",
    "seed: !!set {a, b}",
    "seed: &x 0",
    "seed: 0\nseed: 1",
    "<<: {seed: 5}",
    "? [a, b]\n: 1",
    "%TAG ! tag:yaml.org,2002:python/\n---\nseed: !name:os.system",
    "seed: 0\n--- \nseed: 1",
    "\x00",
    "seed: \x1b[2J",
    "{{ seed }}",
)


def test_foreign_config_runs_and_reads_nothing(
    sent: Path, program: Program, record_property: Callable[[str, object], None]
) -> None:
    """Try every payload with every command. It was executed if a file exists, and read if the secret is printed."""
    whole, before = (sent / "config.yaml").read_text(), sorted(sent.parent.rglob("*"))
    inputs = 0
    for number, payload in enumerate([*EVIL, *TEXTS]):
        (sent / "config.yaml").write_text(whole)
        if isinstance(payload, str):
            (sent / "config.yaml").write_text(payload if number % 2 else f"{whole}\n{payload}")
        else:
            spoil(sent, *payload)
        for name in ("reproduce", "track") if number % 20 else COMMANDS:
            status, said = program(*COMMANDS[name])
            inputs += 1
            assert KEY not in said, (payload, name)
            assert status == {"reproduce": 2, "predict": 2}.get(name, status), (payload, name, said)
            shutil.rmtree(sent.parent / "outputs", ignore_errors=True)
            for made in {*sent.parent.rglob("*")} - {*before}:
                assert made.name in REPORTS, (payload, name, made)
                made.unlink()
    record_property("faults", (inputs, inputs))


REPORTS = ("report.html", "comparison.csv", "comparison.json", "comparison.png")

NESTED = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join(['*a' + str(n - 1)] * 9)}]\n" for n in range(1, 9)
)
CONFIG_BOMBS = (
    NESTED,
    "a: " + "[" * 100_000 + "]" * 100_000,
    "a: " + "{a: " * 50_000,
    "- " * 100_000,
    "? " * 50_000,
    "a: " + "9" * 200_000,
    "a: " + ":".join(["59"] * 80_000),
    "a: 0x" + "f" * 200_000,
    "a: " + "9" * 100_000 + ".0",
    "a: [" + "1," * 120_000 + "1]",
    "".join(f"k{n}: 1\n" for n in range(30_000)),
    "a: " + "x" * 50_000_000,
)
JSON_BOMBS = (
    "[" * 1_000_000,
    '{"a":' * 500_000,
    '{"a":[' + "[]," * 5_000_000 + "1]}",
    '{"a":[' + "{}," * 5_000_000 + "1]}",
    '{"a":[' + '"ab",' * 4_000_000 + "1]}",
    '{"a":[' + "1.5," * 7_000_000 + "1]}",
    '{"a":' + "9" * 1_000_000 + "}",
    '{"a":"' + "x" * 40_000_000 + '"}',
)
READER = """
import sys, time
from pathlib import Path
from semisup.record.reader import read_config, read_json, read_metrics
from semisup.errors import RecordError
for path in map(Path, sys.argv[1:]):
    for read in [read_config] if path.suffix == ".yaml" else [read_json, lambda path: [*read_metrics(path)]]:
        began = time.process_time()
        try:
            assert read(path) is None, path
        except RecordError:
            pass
        assert time.process_time() - began < 1, (path, time.process_time() - began)
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")))
"""


def test_decompression_bombs_are_refused_within_a_second_and_200_mb(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Read the file in a process of its own."""
    paths = []
    for number, text in enumerate((*CONFIG_BOMBS, *JSON_BOMBS)):
        paths.append(tmp_path / f"{number}.{'yaml' if number < len(CONFIG_BOMBS) else 'json'}")
        paths[-1].write_text(text + "\n")
    command = [sys.executable, "-c", READER, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    count = len(CONFIG_BOMBS) + 2 * len(JSON_BOMBS)
    record_property("faults", (count, count))
    assert int(done.stdout) < 200


def archive(compression: int = zipfile.ZIP_STORED, name: str = "archive/data.pkl", size: int = 1000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr(name, b"\0" * size)
    return buffer.getvalue()


def overlapping() -> bytes:
    """Create an archive in which two names share the same bytes; more names would give gigabytes."""
    data = bytearray(archive(size=5000))
    start = data.rindex(b"PK\x01\x02")
    entry, end = data[start : data.rindex(b"PK\x05\x06")], data[data.rindex(b"PK\x05\x06") :]
    end[8:12] = (2).to_bytes(2, "little") * 2
    end[12:16] = (2 * len(entry)).to_bytes(4, "little")
    return bytes(data[:start] + entry + entry + end)


def damaged() -> bytes:
    data = bytearray(archive())
    data[200] ^= 1
    return bytes(data)


def named(folder: Path, data: bytes, kind: str = "best") -> Path:
    """Write a file with the correct digest in its name."""
    path = folder / f"{kind}-00000001-{hashlib.sha256(data).hexdigest()[:16]}.pt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (archive(zipfile.ZIP_DEFLATED, size=50_000_000), "a zip archive with compressed parts"),
        (archive(zipfile.ZIP_BZIP2), "a zip archive with compressed parts"),
        (archive(name="../../canary"), "leads to another folder"),
        (archive(name="/canary"), "leads to another folder"),
        (overlapping(), "larger than the file"),
        (damaged(), "is damaged"),
        (b"PK", "not a zip"),
        (b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.", "not a zip"),  # what torch would take for a file of old
    ],
)
def test_foreign_archive_is_refused_before_torch_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, said: str
) -> None:
    monkeypatch.setattr(torch, "load", None)
    path = named(tmp_path, data)
    with pytest.raises(RecordError, match=said):
        checkpoint.load(path)
    with pytest.raises(RecordError, match="has more than 10 bytes" if len(data) > 10 else said):
        checkpoint.load(path, max_bytes=10)
    assert list(tmp_path.iterdir()) == [path]


def test_checkpoint_with_code_is_not_used_for_prediction(sent: Path, program: Program) -> None:
    (best,) = (sent / "checkpoints").glob("best-*.pt")
    content = torch.load(best, weights_only=True)
    best.unlink()
    buffer = io.BytesIO()
    torch.save(content | {"more": Payload(sent.parent / "canary")}, buffer)
    named(sent / "checkpoints", buffer.getvalue())
    status, said = program(*COMMANDS["predict"])
    assert status == 2
    assert "refers to the code posix.mkdir" in said
    assert "weights_only" not in said, "no hint at how to run it"
    assert not (sent.parent / "canary").exists()


@pytest.mark.parametrize("widths", [[3, 3], [10**6, 10**6], [2**62]])
def test_weights_that_do_not_fit_the_config_are_refused(sent: Path, program: Program, widths: list[int]) -> None:
    spoil(sent, "model.widths", widths)
    status, said = program(*COMMANDS["predict"])
    assert status == 2
    assert "not the weights of this run's model" in said or "model=small_cnn: cannot be built" in said, said


def test_link_out_of_the_output_root_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "outputs" / "runs").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "outputs" / "runs" / "id").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(RecordError, match="is a link to a folder outside"),
        RunWriter(tmp_path / "outputs/runs/id", {}, {}),
    ):
        raise AssertionError("it began")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "linked").symlink_to(tmp_path / "outputs")
    (tmp_path / "outputs" / "runs" / "id").unlink()
    with RunWriter(tmp_path / "linked/runs/id", {}, {}):
        pass  # the root itself may be a link


def test_plot_that_links_outside_the_run_is_not_uploaded(sent: Path) -> None:
    from semisup.cli.track import saved_plots

    secret = sent.parent / "secret.png"
    secret.write_bytes(b"private")
    (sent / "plots").mkdir(exist_ok=True)
    (sent / "plots" / "curves.png").write_bytes(b"a picture")
    (sent / "plots" / "leak.png").symlink_to(secret)
    (sent / "plots" / "wide\x1b[2J.png").write_bytes(b"a picture")
    assert list(saved_plots(sent)) == ["curves"]


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "metrics.jsonl", "summary.json"])
@pytest.mark.parametrize("kind", ["pipe", "endless device", "link to itself"])
def test_pipes_and_devices_are_not_read(sent: Path, program: Program, name: str, kind: str) -> None:
    (sent / name).unlink()
    if kind == "pipe":
        os.mkfifo(sent / name)
    elif kind == "endless device":
        (sent / name).symlink_to("/dev/zero")
    else:
        (sent / name).symlink_to(name)
    for command in ("reproduce", "track", "predict", *(("show", "compare") if kind == "pipe" else ())):
        status, said = program(*COMMANDS[command])
        assert status in (0, 1, 2), said


def spoilt(value: Any) -> Iterator[Any]:
    """Yield copies of a JSON value in which one part at a time has another type."""
    others = (None, "\x1b[2J<b>", {})
    yield from others
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {other: each for other, each in value.items() if other != key}
            for each in spoilt(inner) if key == "dataset" else others:
                yield value | {key: each}


@pytest.mark.parametrize("name", ["run.json", "summary.json", "metrics.jsonl"])
def test_records_of_any_shape_give_one_line_errors(
    sent: Path, program: Program, name: str, record_property: Callable[[str, object], None]
) -> None:
    lines = (sent / name).read_text().splitlines() if name == "metrics.jsonl" else [(sent / name).read_text()]
    first, count = json.loads(lines[0]), 0
    for value in spoilt(copy.deepcopy(first)):
        (sent / name).write_text("\n".join([json.dumps(value), *lines[1:]]) + "\n")
        for command in (["track", "predict"] if name == "run.json" else ["track"]) + (
            ["show"] if count % 40 == 0 else []
        ):
            status, said = program(*COMMANDS[command])
            count += 1
            assert status in (0, 1, 2), said
            assert "\x1b[2J" not in said
    record_property("faults", (count, count))


def test_environment_differences_are_one_line_for_any_foreign_record(sent: Path) -> None:
    from semisup.record.environment import diff_environments, environment
    from semisup.record.reader import read_section

    about = json.loads((sent / "run.json").read_text())
    for value in spoilt(about["environment"]):
        before = read_section({"environment": value}, "environment")
        assert all(isinstance(said, str) for said in diff_environments(before, environment("cpu")).values())


def test_foreign_run_directory_prints_no_control_characters(sent: Path, program: Program) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202e"
    about = json.loads((sent / "run.json").read_text())
    about |= {"status": "failed", "error": {"kind": evil, "message": evil}, "name": evil}
    about["environment"] |= {"processor": evil, "packages": {"torch": evil}}
    about["dataset"] |= {
        "classes": [evil + str(n) for n in range(10)],
        "counts": {"labeled": evil},
        "fingerprint": evil,
    }
    (sent / "run.json").write_text(json.dumps(about))
    (sent / "plots").mkdir(exist_ok=True)
    (sent / "plots" / "\x1b[2J.png").touch()
    for command in COMMANDS:
        _, said = program(*COMMANDS[command])
        assert "\x1b" not in said.replace("\x1b[2J.png", "") or command == "predict", (command, said)
        assert "\u202e" not in said or command == "predict", (command, said)
    page = (sent / "report.html").read_text() if (sent / "report.html").exists() else ""
    assert "<script>alert" not in page
    spoil(sent, "threshold.name", evil)
    for command in COMMANDS:
        _, said = program(*COMMANDS[command])
        assert "\x1b" not in said, (command, said)


def test_control_characters_in_class_names_are_escaped_on_a_terminal() -> None:
    from semisup.cli.predict import printable_lines

    assert printable_lines("path,class\na.png,\x1b[2J\nü.png,é\n") == "path,class\na.png,\\x1b[2J\nü.png,é\n"


def test_prediction_csv_does_not_replace_a_device(sent: Path, program: Program) -> None:
    """For root, /dev/null and /dev/stdout would otherwise become regular files."""
    os.mkfifo("device")
    status, said = program(*COMMANDS["predict"], "--output", "device")
    assert (status, "--output device: not a regular file" in said) == (2, True), said
    assert Path("device").is_fifo()
    Path("link.csv").symlink_to("classes.csv")
    status, said = program(*COMMANDS["predict"], "--output", "link.csv")
    assert status == 0, said
    assert Path("link.csv").is_symlink()
    assert Path("classes.csv").read_text().startswith("path,class,confidence,problem\none.png,")
