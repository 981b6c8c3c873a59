"""Saved configs whose settings have changed their meaning are refused with the change; all others stay valid."""

import pytest

from semisup.config import schema
from semisup.errors import SettingError
from semisup.record.migrations import DEFINITIONS, changes_since
from semisup.record.reader import read_config
from tests.conftest import CONF, checked

EMA = "train.ema_decay=0.9"
FIXTURE = CONF.parent / "tests" / "fixtures" / "run-0.1.0" / "config.yaml"


@pytest.mark.parametrize(
    ("overrides", "change"),
    [
        (("method=uda", "method.lambda_unlabeled=0", "method.tsa=linear"), "method.tsa also applies"),
        (("method=mixmatch", "method.lambda_unlabeled=0"), "mixmatch mixes the labeled images"),
        (("method=noisy_student", "method.lambda_unlabeled=0"), "noisy_student restarts"),
        (("method=fixmatch", "threshold=dash"), "threshold=dash shrinks its limit by epochs"),
        (("threshold=dash",), "threshold=dash shrinks its limit by epochs"),
        (("threshold=quantile",), "threshold=quantile no longer selects one image too many"),
        (("method=uda", "threshold=adamatch"), "soft targets are those that threshold=adamatch aligned"),
        (("method=mean_teacher", "threshold=adamatch"), "soft targets are those that threshold=adamatch aligned"),
        (("method=mixmatch", "threshold=freematch"), "threshold.lambda_fairness also applies"),
        (("model=torchvision", "model.architecture=vit_b_16"), "class tokens, position embeddings"),
    ],
)
def test_config_of_version_1_with_a_changed_meaning_is_refused(overrides: tuple[str, ...], change: str) -> None:
    config = checked(EMA, *overrides).config
    assert config["definitions"] == DEFINITIONS == 2
    with pytest.raises(SettingError, match=change):
        schema.validate(config | {"definitions": 1})


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=self_training", "threshold=flexmatch"),
        ("method=fixmatch", "threshold=adamatch"),
        ("method=fixmatch", "threshold=freematch"),
        ("method=uda", "method.lambda_unlabeled=0"),
        ("method=uda", "method.tsa=linear"),
        ("method=mixmatch",),
        ("method=supervised",),
        ("model=torchvision", "model.architecture=resnet18"),
    ],
)
def test_config_of_version_1_with_its_old_meaning_is_valid(overrides: tuple[str, ...]) -> None:
    config = checked(EMA, *overrides).config | {"definitions": 1}
    assert schema.validate(config).config == config


def test_config_of_0_1_0_is_valid() -> None:
    assert schema.validate(read_config(FIXTURE)).run.definitions == 1


@pytest.mark.parametrize(
    ("architecture", "version", "refused"),
    [("vit_b_16", "0.2.0.dev0", True), ("vit_b_16", "0.2.0", False), ("resnet18", "0.2.0.dev0", False)],
)
def test_development_run_of_a_transformer_has_another_weight_decay(
    architecture: str, version: str, refused: bool
) -> None:
    config = checked("model=torchvision", f"model.architecture={architecture}").config
    assert bool(changes_since(config, version)) is refused
    assert changes_since(config) == []
