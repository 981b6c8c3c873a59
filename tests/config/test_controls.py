"""Configs of reference runs: which settings they share, and which runs share them."""

from typing import Any

import pytest

from semisup.config import schema
from semisup.config.controls import REFERENCE_KINDS, control_config, labels_only_configs, reference_configs
from semisup.config.run_id import result_config, run_id
from tests.conftest import checked, choose, options

SUMMARY: dict[str, Any] = {"steps": 120, "labeled_steps": 15}
SEMI = [name for name in options("method") if name != "supervised"]


@pytest.mark.parametrize("method", SEMI)
def test_control_is_the_run_at_lambda_0_with_the_steps_it_took(method: str) -> None:
    run = checked(f"method={method}", "seed=3", "train.ema_decay=0.9")
    control = schema.validate(control_config(run.config, SUMMARY))
    assert control.settings.train.steps == 120
    assert not control.settings.method.uses_unlabeled
    changed = {"method": {"lambda_unlabeled": 0.0}, "train": {"epochs": None, "steps": 120}}
    ignored = {"threshold", "labeler", "weak"} - result_config(control.config).keys()  # in a fixed form
    for key, value in run.config.items():
        if key in ignored:
            continue
        assert control.config[key] == (value | changed[key] if key in changed else value)


@pytest.mark.parametrize("method", SEMI)
def test_run_at_lambda_0_is_its_own_control(method: str) -> None:
    run = checked(f"method={method}", "method.lambda_unlabeled=0", "train.ema_decay=0.9")
    assert control_config(run.config, SUMMARY) == run.config


@pytest.mark.parametrize("method", SEMI)
def test_one_control_is_shared_by_all_settings_that_need_unlabeled_images(method: str) -> None:
    def control(*overrides: str) -> str:
        config = checked(f"method={method}", "train.ema_decay=0.9", "augment=randaugment", *overrides).config
        return run_id(control_config(config, SUMMARY))

    expected = control()
    assert expected.startswith(f"{method}-lambda0-randaugment-")
    composed = checked(f"method={method}", "train.ema_decay=0.9", "augment=randaugment").config
    for policy in options("threshold"):
        config = schema.validate(composed | {"threshold": checked(f"threshold={policy}").config["threshold"]}).config
        assert config["threshold"]["name"] == policy
        assert run_id(control_config(config, SUMMARY)) == expected
    values = {"ratio": 3, "ramp": 0.7, "temperature": 0.3, "skip_rejected": False, "lambda_unlabeled": 0.25}
    values |= {"logit_interpolation": True, "ramp_shape": "cosine"}
    values |= {"neighbors": 3, "neighbor_share": 0.5, "power": 2}
    for override in choose("method", method, **values)[1:]:
        assert control(override) == expected, override
    if method != "label_propagation":  # which refuses it
        assert control("labeler.calibrate=true") == expected
    for override in ("seed=1", "augment.strength=0.2", "train.batch_size=8"):
        assert control(override) != expected, override
    effective = {"alpha": 3, "tsa": "log", "strong_labeled": True}
    if method == "noisy_student":
        effective["gate"] = 0.7
    for override in choose("method", method, **effective)[1:]:
        assert control(override) != expected, override


def test_control_of_a_run_of_version_1_keeps_its_meaning() -> None:
    run = checked("method=fixmatch").config | {"definitions": 1}
    assert control_config(run, SUMMARY)["method"] == {"name": "supervised"}


def test_labels_only_runs_are_shared_by_a_sweep() -> None:
    run = checked("method=fixmatch", "augment=randaugment", "augment.strength=0.7", "seed=2").config
    configs = labels_only_configs(run, SUMMARY)
    assert {name: (each["augment"]["name"], each["augment"]["strength"]) for name, each in configs.items()} == {
        "labels_only": ("randaugment", 0.7),
        "labels_only_none": ("none", 0.0),
    }
    for each in configs.values():
        settings = schema.validate(each).settings
        assert settings.train.steps == 120
        assert not settings.method.uses_unlabeled
    other = checked("method=uda", "threshold=flexmatch", "augment=randaugment", "augment.strength=0.7", "seed=2").config
    shared = labels_only_configs(other, SUMMARY)
    assert {name: run_id(each) for name, each in configs.items()} == {
        name: run_id(each) for name, each in shared.items()
    }
    weaker = labels_only_configs(checked("method=uda", "augment=randaugment", "seed=2").config, SUMMARY)
    assert run_id(weaker["labels_only_none"]) == run_id(configs["labels_only_none"])


def test_labels_only_run_has_the_view_that_the_control_lacks() -> None:
    online, offline = checked("method=fixmatch").config, checked("method=self_training").config
    assert labels_only_configs(online, SUMMARY)["labels_only"]["augment"] == online["augment"]
    assert labels_only_configs(offline, SUMMARY)["labels_only"]["augment"] == offline["weak"]


def test_reference_runs_are_control_baseline_and_labels_only() -> None:
    run = checked("seed=3", "train.epochs=5")
    references = {kind: schema.validate(config) for kind, config in reference_configs(run.config, SUMMARY).items()}
    assert tuple(references) == REFERENCE_KINDS
    assert references["control"].settings.augment == run.settings.augment
    assert references["baseline"].config["method"] == {"name": "supervised"}
    assert references["baseline"].settings.train.steps == 15
    assert references["baseline"].config["augment"]["name"] == "none"
    assert references["control"].run.seed == references["baseline"].run.seed == 3


def test_reference_runs_take_the_steps_of_a_run_that_stopped_early() -> None:
    run = checked("seed=3", "train.epochs=50", "train.patience=2").config
    for config in [*reference_configs(run, SUMMARY).values(), *labels_only_configs(run, SUMMARY).values()]:
        assert config["train"]["patience"] is None
        assert config["train"]["steps"] in (SUMMARY["steps"], SUMMARY["labeled_steps"])
    without = checked("seed=3", "train.epochs=50").config
    assert reference_configs(without, SUMMARY) == reference_configs(run, SUMMARY)
