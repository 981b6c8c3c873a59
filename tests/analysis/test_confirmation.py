"""What is declared before a confirmation, and files of a confirmation that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.confirmation import FILE, confirmation_folder, declare, read_confirmation, read_plan
from semisup.analysis.runs import find_runs, read_runs
from semisup.config.controls import labels_only_configs
from semisup.errors import DataError, RecordError, SettingError
from tests.report.run_maker import make, make_with_references, plain_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep of three seeds whose labels-only run without augmentation is better than the control."""
    for seed in range(3):
        config = plain_of("method=self_training", "threshold.tau=0.9", seed=seed)
        make_with_references(tmp_path / "mine", config, val=0.9, test=0.8, control=0.7, baseline=0.5)
        other = labels_only_configs(config, {"steps": 1200})["labels_only_none"]
        make(tmp_path / "mine", other, val=0.8, test=0.75)
    return tmp_path / "mine"


def compared(folder: Path) -> Comparison:
    return compare_runs(read_runs(find_runs([folder])))


def test_plan_is_declared_once(folder: Path) -> None:
    plan = declare(compared(folder), folder, 4)
    assert plan.seeds == [3, 4, 5, 6]
    assert plan.config["threshold"]["tau"] == 0.9
    assert plan.labels_only is not None
    assert plan.labels_only["augment"]["name"] == "none"
    assert plan.labels_only["train"]["steps"] == 1200
    content = (confirmation_folder(folder) / FILE).read_bytes()
    make_with_references(
        folder, plain_of("method=self_training", "threshold.tau=0.5"), val=0.95, test=0.9, control=0.7, baseline=0.5
    )
    assert declare(compared(folder), folder, 4) == plan
    assert (confirmation_folder(folder) / FILE).read_bytes() == content
    with pytest.raises(
        SettingError,
        match=r"--seeds=3: must be at least 4, the number of seeds of this confirmation; type --seeds 4, or delete ",
    ):
        declare(compared(folder), folder, 3)
    assert read_confirmation(folder) == (plan, None)


def test_seeds_are_added_to_a_plan(folder: Path) -> None:
    plan = declare(compared(folder), folder, 3)
    make_with_references(folder, plan.config | {"seed": 7}, test=0.8, control=0.7, baseline=0.5)
    added = plan._replace(seeds=[3, 4, 5, 8], earlier_numbers=[3])
    assert declare(compared(folder), folder, 4) == added, "no seed of the sweep"
    assert declare(compared(folder), folder) == added, "without a number the plan is unchanged"
    assert declare(compared(folder), folder, 10).seeds == [3, 4, 5, *range(8, 15)]
    content = json.loads((confirmation_folder(folder) / FILE).read_text())
    assert content["earlier_numbers"] == [3, 4]
    assert len(declare(compared(folder), folder, 20).seeds) == len(declare(compared(folder), folder).seeds) == 20


def test_declared_labels_only_runs_are_the_reference(folder: Path) -> None:
    plan = declare(compared(folder), folder, 3)
    for seed in plan.seeds:
        make_with_references(plan.folder, plan.config | {"seed": seed}, test=0.8, control=0.7, baseline=0.5)
        assert plan.labels_only is not None
        make(plan.folder, plan.labels_only | {"seed": seed}, test=0.74)
    result = read_confirmation(folder)
    assert result is not None
    row = result[1]
    assert row is not None
    assert [gain.points for gain in row.controls] == pytest.approx([10.0] * 3)
    assert [gain.points for gain in row.labels_only] == pytest.approx([6.0] * 3)


def test_plan_that_is_older_than_a_setting_still_names_its_runs(folder: Path) -> None:
    plan = declare(compared(folder), folder, 3)
    content = json.loads((plan.folder / FILE).read_text())
    for saved in (content["config"], content["labels_only"]):
        del saved["train"]["patience"]  # added after 0.1.0; the configs of runs get the value that changes nothing
    (plan.folder / FILE).write_text(json.dumps(content))
    assert read_plan(folder) == plan


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"a": 1}},
        {"config": None},
        {"labels_only": {"a": 1}},
        {"labels_only": [1]},
        {"seeds": []},
        {"seeds": ["1"]},
        {"settings": 1},
    ],
)
def test_damaged_plan_is_not_used_and_not_replaced(folder: Path, change: dict[str, Any]) -> None:
    file = declare(compared(folder), folder, 3).folder / FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    content = file.read_bytes()
    assert read_plan(folder) is None
    assert read_confirmation(folder) is None
    with pytest.raises(
        RecordError,
        match=r"confirmation.json: is damaged; delete .*mine_confirm, then type the semisup confirm command again",
    ):
        declare(compared(folder), folder, 3)
    assert file.read_bytes() == content


def test_nothing_to_confirm(tmp_path: Path) -> None:
    make(tmp_path / "mine", plain_of("method=supervised"))
    with pytest.raises(DataError, match=r"mine: has no finished run that uses unlabeled images"):
        declare(compared(tmp_path / "mine"), tmp_path / "mine", 3)


def test_sweep_of_the_first_version_cannot_be_confirmed(tmp_path: Path) -> None:
    """Runs trained now have other definitions, so that none of them could be the declared one."""
    config = plain_of("method=self_training") | {"definitions": 1}
    make_with_references(tmp_path / "mine", config, test=0.8, control=0.7, baseline=0.5)
    with pytest.raises(
        DataError,
        match=r"mine: the runs were trained by semisup 0.1.0, so they cannot be confirmed",
    ):
        declare(compared(tmp_path / "mine"), tmp_path / "mine", 3)
    assert not confirmation_folder(tmp_path / "mine").exists()
