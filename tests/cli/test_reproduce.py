"""Test `semisup reproduce`: it compares all metrics, executes nothing in a config, and does not change the run."""

import json
import math
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from semisup.analysis.run_diff import Difference, compare_metrics
from semisup.cli.reproduce import print_result
from semisup.runtime.torchvision_compat import torchvision
from tests.cli.test_train import EAGER, QUICK, digests, only_run, semisup
from tests.conftest import CONF, Program
from tests.preloaded import Preloaded
from tests.tracking.test_wandb import read_back


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    done = semisup(folder, "train", *QUICK, *EAGER, "plots=false", "precision=bfloat16", "schedule=cosine")
    assert done.returncode == 0, done.stderr
    return folder


def test_run_is_reproduced_bit_identically_from_a_copied_folder(finished: Path, tmp_path: Path) -> None:
    before = digests(only_run(finished))
    shutil.copytree(only_run(finished), tmp_path / "copy")
    done = semisup(tmp_path, "reproduce", "copy", "plots=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "outputs" / "wandb").exists(), "it was shown nowhere, and is not now"
    found = re.search(r"identical \((\d+) values\): (outputs/reproduced-\S+)", done.stdout)
    assert found
    assert int(found[1]) >= 50
    again = tmp_path / found[2]
    assert (again / "pseudo_labels.csv").read_bytes() == (only_run(finished) / "pseudo_labels.csv").read_bytes()
    assert {path.name for path in (again / "checkpoints").glob("best*")} == {
        path.name for path in (only_run(finished) / "checkpoints").glob("best*")
    }
    assert digests(only_run(finished)) == before


def test_reproduce_names_the_first_and_the_largest_difference(program: Program, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(only_run(finished), tmp_path / "copy")
    path = tmp_path / "copy" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    number = next(number for number, row in enumerate(rows) if number and "val/loss" in row)
    rows[number]["val/loss"] += 0.25
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, said = program("reproduce", "copy", "tracking=none", "plots=false")
    assert status == 1
    assert f"not identical: step {rows[number]['step']}, val/loss: " in said
    assert "largest difference 0.25" in said


def test_check_only_trains_nothing_and_names_environment_differences(
    program: Program, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(only_run(finished), tmp_path / "copy")
    assert program("reproduce", "copy", "--check-only") == (0, "the same environment and data\n")
    path = tmp_path / "copy" / "run.json"
    about = json.loads(path.read_text())
    about["environment"]["packages"]["torch"] = "1.0"
    path.write_text(json.dumps(about))
    status, said = program("reproduce", "copy", "--check-only")
    assert status == 1
    assert "differs: torch: 1.0 then, " in said
    assert not (tmp_path / "outputs").exists()


def test_changed_data_set_is_refused(program: Program, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(only_run(finished), tmp_path / "copy")
    path = tmp_path / "copy" / "run.json"
    about = json.loads(path.read_text())
    about["dataset"]["fingerprint"] = "other"
    path.write_text(json.dumps(about))
    status, said = program("reproduce", "copy", "tracking=none", "plots=false")
    assert status == 2
    assert "the data set differs from that of the run" in said


EVIL = [
    ("dataset", {"_target_": "os.system", "command": "touch canary"}),
    ("threshold", {"name": "os.path", "tau": 0.5}),
    ("hydra", {"callbacks": {"x": {"_target_": "os.mkdir", "path": "canary"}}}),
    ("output_root", "${oc.env:HOME}"),
    ("name", "../../up"),
]


@pytest.mark.parametrize(("key", "value"), EVIL, ids=[key for key, _ in EVIL])
def test_foreign_config_is_read_as_data(
    program: Program, finished: Path, tmp_path: Path, key: str, value: object
) -> None:
    config = yaml.safe_load((only_run(finished) / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, key: value}))
    status, said = program("reproduce", "config.yaml", "--check-only")
    assert status == (0 if key == "name" else 2), "a name is replaced; all else is refused"
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.yaml"]


def test_only_settings_that_change_no_result_can_be_set(program: Program, finished: Path, tmp_path: Path) -> None:
    status, said = program("reproduce", str(only_run(finished)), "seed=3")
    assert status == 2
    assert "seed=3: may not be set here" in said


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch canary']",
        "threshold: &t {name: fixed}\nweak: *t",
        "dataset: {name: '${oc.env:HOME}'}\nmethod: {name: supervised}",
        "dataset: {name: ../../experiment/food11}\nmethod: {name: supervised}",
        "dataset: [digits]\nmethod: {name: supervised}",
        "tracking: {name: wandb, project: '${oc.env:WANDB_API_KEY}'}",
    ],
)
def test_foreign_text_file_is_refused(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    (tmp_path / "config.yaml").write_text(text)
    status, said = program("reproduce", "config.yaml", "--check-only")
    assert status == 2, said
    assert "0123456789abcdef" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_output_and_tracking_settings_come_from_the_caller(
    program: Program, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(only_run(finished), tmp_path / "copy")
    path = tmp_path / "copy" / "config.yaml"
    theirs = {"name": "wandb", "project": "theirs", "entity": "them", "mode": "online", "tags": ["theirs"]}
    config = yaml.safe_load(path.read_text())
    saved = config | {"output_root": str(tmp_path / "theirs"), "plots": True, "tracking": config["tracking"] | theirs}
    path.write_text(yaml.safe_dump(saved))
    status, said = program("reproduce", "copy", "plots=false", "tracking.project=mine", "output_root=mine")
    assert status == 0, said
    assert not (tmp_path / "theirs").exists()
    (again,) = (tmp_path / "mine").glob("reproduced-*/*/config.yaml")
    made = yaml.safe_load(again.read_text())
    assert (made["output_root"], made["plots"], made["tracking"]["project"]) == ("mine", False, "mine")
    assert (made["tracking"]["entity"], made["tracking"]["mode"]) == (None, None)
    (mirror,) = (tmp_path / "mine" / "wandb").glob("offline-run-*/*.wandb")
    shown = read_back(mirror)["run"][0]
    assert (shown["project"], shown["job_type"]) == ("mine", "reproduce")
    assert b"theirs" not in mirror.read_bytes()


def test_run_is_reproduced_after_defaults_changed(
    program: Program, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    for name, before, after in (
        ("optimizer/adamw.yaml", "lr: 0.001", "lr: 0.5"),
        ("train.yaml", "batch_size: 16", "batch_size: 3"),
        ("threshold/fixed.yaml", "tau:", "renamed:"),
    ):
        text = (conf / name).read_text()
        assert before in text
        (conf / name).write_text(text.replace(before, after))
    monkeypatch.setattr("semisup.config.compose.config_folder", lambda: conf)
    status, said = program("reproduce", str(only_run(finished)), "tracking=none", "plots=false")
    assert status == 0, said
    assert "identical (" in said


def test_unfinished_run_is_compared_up_to_its_last_metric(
    program: Program, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(only_run(finished), tmp_path / "copy")
    (tmp_path / "copy" / "summary.json").unlink()
    path = tmp_path / "copy" / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    status, said = program("reproduce", "copy", "tracking=none", "plots=false")
    assert status == 0, said
    assert "did not finish" in said
    assert re.search(r"identical \(\d+ values\)", said)


def test_run_of_version_0_1_0_is_reproduced(program: Program, tmp_path: Path) -> None:
    """The results are bit-identical with the CPU and versions of that run; otherwise the differences are printed."""
    old = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
    same, said = program("reproduce", str(old), "--check-only")
    assert ("the same environment and data" in said) == (same == 0), said
    assert (same == 1) == ("differs: " in said)
    assert list(tmp_path.iterdir()) == []
    status, said = program("reproduce", str(old), "tracking=none", "plots=false")
    if same == 0:
        assert status == 0, said
        assert "identical (181 values)" in said
        return
    assert "identical" in said  # on another processor the last bits differ, and in the end whether the gate is passed
    (log,) = tmp_path.glob("outputs/reproduced-*/*/metrics.jsonl")
    for one, other in zip(first_rows(old / "metrics.jsonl"), first_rows(log), strict=True):
        assert one["step"] == other["step"]
        assert one["train/loss"] == pytest.approx(other["train/loss"], rel=1e-3)


def first_rows(log: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in log.read_text().splitlines()[:5]]


def test_transformer_of_a_development_version_is_refused(program: Program, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(only_run(finished), tmp_path / "copy")
    path = tmp_path / "copy" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["model"] = {"name": "torchvision", "architecture": "vit_b_32", "weights": None, "sha256": None}
    config["dataset"]["size"] = 224
    path.write_text(yaml.safe_dump(config))
    about = json.loads((tmp_path / "copy" / "run.json").read_text())
    about["environment"]["packages"]["semisup"] = "0.2.0.dev0"
    (tmp_path / "copy" / "run.json").write_text(json.dumps(about))
    status, said = program("reproduce", "copy", "--check-only")
    assert status == 2
    assert (
        "definitions=2: the meaning of these settings has changed since the run (class tokens, position embeddings"
        in said
    )
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("of", ["a run without a row", "a run without a log"])
def test_run_without_metrics_is_not_reproduced(program: Program, finished: Path, tmp_path: Path, of: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(only_run(finished), copy)
    (copy / "metrics.jsonl").write_text("")
    if of == "a run without a log":
        (copy / "metrics.jsonl").unlink()
    status, said = program("reproduce", "copy", "tracking=none", "plots=false")
    assert status == 2
    assert (
        "copy: the run has no metrics to compare with; to train its config without comparison, give its config.yaml"
        in said
    )
    assert not (tmp_path / "outputs").exists()
    assert program("reproduce", "copy", "--check-only")[0] == 0


def test_weights_are_downloaded_only_if_allowed_and_never_for_prediction(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of torch.hub first has a file of the same format and then is empty; there is no network."""
    words = ("model=torchvision", "model.architecture=squeezenet1_1", "model.weights=DEFAULT", "dataset.size=32")
    short = ("method=supervised", "train.steps=1", "tracking=none", "plots=false", "device=cpu")
    weights = torchvision("models").get_model_weights("squeezenet1_1").DEFAULT
    folder = tmp_path / "there" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(torchvision("models").squeezenet1_1().state_dict(), folder / Path(weights.url).name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "there"))
    assert program("train", *words, *short)[0] == 0
    (run,) = tmp_path.glob("outputs/runs/*")
    kept = ("tracking=none", "plots=false")
    status, said = program("reproduce", str(run), *kept)
    assert (status, "identical (" in said) == (0, True), said

    asked: list[str] = []

    def no_network(address: str, *_: object, **__: object) -> None:
        asked.append(address)
        raise OSError("there is no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8), 90).save(tmp_path / "images" / "one.png")
    status, said = program("predict", str(run), "images")
    assert (status, said.count("one.png")) == (0, 1), said
    status, said = program("reproduce", str(run), *kept)
    assert status == 2
    assert (
        "model.weights=DEFAULT: the weights are not on this machine; add --download-weights to "
        f"download them from {weights.url}" in said
    )
    assert asked == []
    status, said = program("reproduce", str(run), *kept, "--download-weights")
    assert (status, asked) == (2, [weights.url])
    assert "could not be downloaded (there is no network)" in said


@pytest.mark.parametrize(
    ("largest", "differences", "tolerance", "status"),
    [
        (1e-6, [], 1e-3, 1),  # in the same environment nothing may differ
        (1e-6, ["processor"], None, 1),
        (1e-6, ["processor"], 1e-3, 0),
        (1e-2, ["processor"], 1e-3, 1),
        (math.inf, ["processor"], math.inf, 1),
    ],
)
def test_tolerance_applies_only_in_another_environment(
    tmp_path: Path, largest: float, differences: list[str], tolerance: float | None, status: int
) -> None:
    assert (
        print_result(Difference(9, "step 3, val/loss: 1 then, 2 now", largest), tmp_path, differences, tolerance)
        == status
    )
    assert print_result(Difference(9, "", 0.0), tmp_path, differences, tolerance) == 0
    assert print_result(Difference(0, "", 0.0), tmp_path, differences, tolerance) == 1, (
        "nothing is not the same as anything"
    )


def test_config_file_of_a_resumed_run_is_reproduced(program: Program, finished: Path, tmp_path: Path) -> None:
    """With a run to compare with, the result equals that run."""
    saved = yaml.safe_load((only_run(finished) / "config.yaml").read_text())
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(saved))
    status, said = program("reproduce", "some.yaml", "tracking=none", "plots=false")
    assert status == 0, said
    assert "a config.yaml alone has no metrics to compare with" in said
    (again,) = tmp_path.glob("outputs/reproduced-*/*")
    assert compare_metrics(only_run(finished), again).first == ""


def test_reproduce_names_the_differences_of_the_data(program: Program, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(only_run(finished), tmp_path / "copy")
    config = yaml.safe_load((tmp_path / "copy" / "config.yaml").read_text())
    config["dataset"]["labels_per_class"] = 5
    (tmp_path / "copy" / "config.yaml").write_text(yaml.safe_dump(config))
    status, said = program("reproduce", "copy", "--check-only")
    assert status == 2
    assert "40 labeled images then, 50 now; 1038 unlabeled images then, 1028 now" in said
    shutil.copytree(only_run(finished), tmp_path / "other")
    path = tmp_path / "other" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset": {"fingerprint": "x", "classes": ["a"]}}))
    path = tmp_path / "other" / "predictions.csv"
    path.write_text(path.read_text().replace("validation,digits/", "validation,gone\x1b[2J/", 1))
    status, said = program("reproduce", "other", "--check-only")
    assert status == 2
    assert "classes ['a'] then, ['0', '1'" in said
    assert "gone from validation: gone\\x1b[2J/" in said
    assert "new from validation: digits/" in said


def test_killed_reproduction_is_named_and_the_same_command_continues_it(finished: Path, tmp_path: Path) -> None:
    """Kill it after the first checkpoint: `compare` names it, and a run of another kind is not continued."""
    shutil.copytree(only_run(finished), tmp_path / "copy")
    words = ("reproduce", "copy", "plots=false")
    process = Preloaded([sys.executable, "-c", KILLED_AFTER_A_SAVE, *words], cwd=tmp_path)
    assert process.wait(timeout=120) == -signal.SIGKILL
    (killed,) = tmp_path.glob("outputs/reproduced-*/*")
    assert json.loads((killed / "run.json").read_text())["reproduces"] == str((tmp_path / "copy").resolve())
    compared = semisup(tmp_path, "compare", str(killed.parent))
    assert "a reproduction; not running; type the same command again to continue" in compared.stdout
    assert "for a reproduction, reproduce command" in compared.stdout
    done = semisup(tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"): {killed.relative_to(tmp_path)}" in done.stdout, "the same directory"
    assert json.loads((killed / "run.json").read_text())["interruptions"] == {"killed": 1}
    again = semisup(tmp_path, *words)
    assert again.returncode == 0
    assert len(list(tmp_path.glob("outputs/reproduced-*"))) == 2, "a finished reproduction is not reused"


KILLED_AFTER_A_SAVE = """
import os, signal, sys
from semisup.record.writer import RunWriter
sys.argv[0] = "semisup"
save = RunWriter.save
def killed(*of):
    save(*of)
    os.kill(os.getpid(), signal.SIGKILL)
RunWriter.save = killed
from semisup.__main__ import main
sys.exit(main())
"""
