"""Validation: every mistake is reported before any work, with key, value, allowed values and the nearest name."""

import re
import warnings
from typing import Any

import pytest
import yaml

from semisup.config import schema
from semisup.config.nested_keys import dotted_keys
from semisup.config.run_id import run_id
from semisup.errors import SettingError, check_choice, check_range, closest_match
from semisup.runner import compatibility
from tests.conftest import checked, compose

REFUSED = [
    (["threshold.tau=1.5"], r"threshold\.tau=1\.5: must be in \[0, 1\]"),
    (["threshold.tau=-0.1"], r"threshold\.tau=-0\.1: must be in \[0, 1\]"),
    (["threshold.tau=nan"], r"threshold\.tau=nan: must be a finite number"),
    (["threshold.tau=inf"], r"threshold\.tau=inf: must be a finite number"),
    (["threshold.tau=1e999"], r"threshold\.tau=inf: must be a finite number"),
    (["threshold.tau=abc"], r"threshold\.tau=abc: must be a number"),
    (["threshold.tau='0.9'"], r"threshold\.tau=0\.9: must be a number, not text"),
    (["threshold.tau=null"], r"threshold\.tau=null: must be a number"),
    (["threshold.tau=true"], r"threshold\.tau=true: must be a number"),
    (["threshold.tau=[1]"], r"threshold\.tau=\[1\]: must be a number"),
    (["threshold.strict=1"], r"threshold\.strict=1: must be true or false, not a whole number"),
    (["augment.strength=2"], r"augment\.strength=2\.0: must be in \[0, 1\]"),
    (["augment.strength=nan"], r"augment\.strength=nan"),
    (["augment=none", "augment.strength=0.5"], r"augment\.strength=0\.5: must be in \[0, 0\]"),
    (["+typo=3"], r"typo=3: no such key"),
    (["+train.epoch=3"], r"train\.epoch=3: no such key \(did you mean train\.epochs\?\)"),
    (["experiment=few_labels", "threshold=fixed"], r"threshold\.momentum=0\.99: no such key in threshold=fixed; it is a key of adamatch, .*; type ~threshold\.momentum to remove it"),  # noqa: E501
    (["+threshold.tua=0.5"], r"threshold\.tua=0\.5: no such key \(did you mean threshold\.tau\?\)"),
    (["++treshold.tau=1"], r"treshold=.*: no such key \(did you mean threshold\?\)"),
    (["train.epochs=1.5"], r"train\.epochs=1\.5: must be a whole number or null"),
    (["train.epochs=0"], r"train\.epochs=0: must be at least 1"),
    (["train.epochs=null"], r"train\.epochs=null: exactly one of train\.epochs and train\.steps must have a value"),
    (["train.patience=0"], r"train\.patience=0: must be at least 1"),
    (["train.select_by=f1"], r"train\.select_by=f1: must be one of accuracy, balanced_accuracy, loss, macro_f1"),
    (["train.batch_size=0"], r"train\.batch_size=0: must be at least 1"),
    (["seed=-1"], r"seed=-1: must be in \[0, 4294967295\]"),
    (["seed=4294967296"], r"seed=4294967296: must be in"),
    (["name=1e3"], r"name=1000\.0: must be text, not a number"),
    (["name='../up'"], r"name=\.\./up: must start with a letter"),
    (["name=wandb"], r"name=wandb: .* not be wandb"),
    (["precision=float16"], r"precision=float16: must be one of auto, bfloat16, float32"),
    (["compile=1"], r"compile=1: must be true or false"),
    (["compile=true", "method=fixmatch", "method.skip_rejected=true"], r"compile=true: not supported with method\.skip_rejected=true"),  # noqa: E501
    (["deterministic=null"], r"deterministic=null: must be true or false"),
    (["device=tpu"], r"device=tpu: must be auto, cpu, mps, cuda"),
    (["optimizer.lr=0"], r"optimizer\.lr=0\.0: must be above 0"),
    (["optimizer.lr=-1"], r"optimizer\.lr=-1\.0: must be above 0"),
    (["optimizer=sgd", "optimizer.momentum=0"], r"optimizer\.momentum=0: must be above 0 with optimizer\.nesterov=true"),  # noqa: E501
    (["optimizer.layer_decay=0"], r"optimizer\.layer_decay=0\.0: must be in \(0, 1\]"),
    (["optimizer=sgd", "optimizer.layer_decay=1.1"], r"optimizer\.layer_decay=1\.1: must be in \(0, 1\]"),
    (["optimizer.decay_norm_and_bias=0"], r"optimizer\.decay_norm_and_bias=0: must be true or false"),
    (["model=wide_resnet", "model.depth=27"], r"model\.depth=27: must be 10, 16, 22, 28"),
    (["collapse.warn_below=2"], r"collapse\.warn_below=2\.0: must be in \[0, 1\]"),
    (["collapse.stop_below=-0.1"], r"collapse\.stop_below=-0\.1: must be in \[0, 1\]"),
    (["labeler.calibrate=1"], r"labeler\.calibrate=1: must be true or false"),
    (["+labeler.temperature=2"], r"labeler\.temperature=2: no such key"),
    (["method.gate=2"], r"method\.gate=2\.0: must be in \[0, 1\]"),
    (["method.refresh_every=0"], r"method\.refresh_every=0: must be at least 1"),
    (["threshold=ramp", "threshold.shape=cosin"], r"threshold\.shape=cosin: must be one of cosine, linear \(did you mean cosine\?\)"),  # noqa: E501
    (["threshold=quantile", "threshold.q=1.2"], r"threshold\.q=1\.2: must be in \[0, 1\]"),
    (["dataset=folder"], r"dataset\.root=\?\?\?: must be given"),
    (["dataset=folder", "dataset.root=x", "dataset.resize=crop"], r"dataset\.resize=crop: must be one of"),
    (["dataset=folder", "dataset.root=x", "dataset.max_bad_fraction=2"], r"dataset\.max_bad_fraction=2\.0: must be in \[0, 1\]"),  # noqa: E501
    (["threshold.name=fixd"], r"threshold\.name=fixd: must be one of .* \(did you mean fixed\?\)"),
    (["model.widths=[]"], r"model\.widths=0: must be at least 1"),
    (["model.widths=[8,x]"], r"model\.widths\[1\]=x: must be"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "message"), REFUSED, ids=[" ".join(case[0]) for case in REFUSED])
def test_error_names_key_value_and_allowed_values(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        checked(*overrides)
    assert re.match(message, str(caught.value)), str(caught.value)


def test_invalid_or_missing_group_is_named() -> None:
    plain = checked().config
    with pytest.raises(SettingError, match="optimizer=adam: must be one of adamw, sgd"):
        schema.validate({**plain, "optimizer": "adam"})
    with pytest.raises(SettingError, match="method=null: must be one of"):
        schema.validate({key: value for key, value in plain.items() if key != "method"})
    with pytest.raises(SettingError, match="train=null: must be a section"):
        schema.validate({key: value for key, value in plain.items() if key != "train"})
    with pytest.raises(SettingError, match="threads=null: must be given"):
        schema.validate({key: value for key, value in plain.items() if key != "threads"})


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=threshold_by_strength"],
        ["experiment=food11", "dataset.root=x"],
        ["method=supervised", "model=cnn"],
    ],
)
def test_saved_config_validates_unchanged(overrides: list[str]) -> None:
    first = checked(*overrides)
    text = yaml.safe_dump(first.config, sort_keys=False)
    second = schema.validate(yaml.safe_load(text))
    assert second.config == first.config
    assert second.settings == first.settings
    assert second.id == first.id
    assert yaml.safe_dump(second.config, sort_keys=False) == text
    assert "${" not in text


KEYS = [
    "name",
    "seed",
    "output_root",
    "threads",
    "device",
    "precision",
    "train.epochs",
    "train.steps",
    "train.batch_size",
    "dataset.root",
    "dataset.size",
    "dataset.labels_per_class",
    "dataset.max_bad_fraction",
    "threshold.tau",
    "augment.strength",
    "method.gate",
    "method.refresh_every",
    "method.lambda_unlabeled",
    "labeler.calibrate",
    "collapse.warn_below",
    "collapse.stop_below",
    "optimizer.lr",
    "optimizer.weight_decay",
    "tracking.mode",
    "tracking.project",
]


def test_keys_used_by_other_programs_exist() -> None:
    known = dotted_keys(schema.validate(compose("dataset=folder", "dataset.root=x")).config)
    assert set(KEYS) <= set(known)


def test_run_id_changes_only_with_settings_that_change_results() -> None:
    def id_of(*overrides: str) -> str:
        return checked("dataset=folder", "dataset.root=/a/photos", *overrides).id

    for same in (["name=other"], ["output_root=/elsewhere"], ["plots=false"], ["collapse.stop_below=0.1"], ["checkpoint.every_seconds=5"], ["checkpoint.every_steps=5"], ["sweep.control=false"],  # noqa: E501
                 ["dataset.root=/b/photos"],
                 ["dataset.workers=3"], ["dataset.cache=null"], ["dataset.max_bad_fraction=0.5"]):  # fmt: skip
        assert id_of(*same) == id_of(), same
    other = ({"float32", "bfloat16"} - {checked().run.precision}).pop()
    different = [["seed=1"], ["threshold.tau=0.9"], ["augment.strength=0.4"], ["optimizer.lr=0.002"], ["threads=2"], [f"precision={other}"], ["channels_last=false"], ["compile=true"], ["deterministic=false"], ["labeler.calibrate=true"],  # noqa: E501
                 ["dataset.root=/a/other"], ["train.epochs=31"], ["train.steps=31"], ["model.widths=[8,8]"], ["dataset.draft=false"]]  # fmt: skip  # noqa: E501
    ids = {id_of(*each) for each in different} | {id_of()}
    assert len(ids) == len(different) + 1


def test_control_with_other_learning_rates_is_refused() -> None:
    with pytest.raises(
        SettingError, match=r"schedule=cosine: with train\.epochs, the control \(.*\) would have other learning rates"
    ):
        compatibility.check_control_is_fair(checked("schedule=cosine", "train.epochs=5"))
    for words in (["train.steps=5"], ["sweep.control=false"], ["method=supervised"]):
        compatibility.check_control_is_fair(checked("schedule=cosine", *words))
    compatibility.check_control_is_fair(checked("train.epochs=5"))
    with pytest.raises(
        SettingError, match=r"^train\.head_first=0\.3: with train\.epochs, the control \(.*\) would have other learning"
    ):
        compatibility.check_control_is_fair(checked("train.epochs=5", "train.head_first=0.3"))
    compatibility.check_control_is_fair(checked("train.epochs=null", "train.steps=50", "train.head_first=0.3"))
    stopping = ("schedule=cosine", "train.steps=50", "train.patience=3")
    with pytest.raises(
        SettingError, match=r"^schedule=cosine: with train\.patience, the control \(.*\) would have other learning"
    ):
        compatibility.check_control_is_fair(checked(*stopping))
    for words in (("sweep.control=false",), ("method=supervised",), ("schedule=constant",)):
        compatibility.check_control_is_fair(checked(*stopping, *words))


def test_saved_config_with_an_interpolation_is_refused() -> None:
    with pytest.raises(SettingError, match="a saved config may contain only values, no interpolations"):
        schema.validate({**checked().config, "output_root": "${oc.env:HOME}"})


def test_run_id_of_a_supervised_method_ignores_the_threshold() -> None:
    assert checked("method=supervised", "threshold.tau=0.5").id == checked("method=supervised", "threshold=ramp").id
    assert checked("threshold.tau=0.5").id != checked("threshold=ramp").id


def test_supervised_config_does_not_depend_on_settings_that_it_ignores() -> None:
    one = checked("method=supervised", "threshold.tau=0.5", "labeler.calibrate=true")
    other = checked("method=supervised", "threshold=ramp", "augment@weak=none")
    assert one.config == other.config


def test_run_id_shows_every_number_of_the_threshold() -> None:
    def shown(**threshold: Any) -> str:
        return run_id(checked().config | {"threshold": {"name": "theirs", **threshold}}).split("-crop_rotate")[0]

    assert shown(tau=0.9, strict=True) == "self_training-theirs-0.9"
    assert shown(momentum=0.99, q=0.5) == "self_training-theirs-0.5-momentum0.99"
    assert shown(zeta=2, cutoff=0.25, shape="linear") == "self_training-theirs-cutoff0.25-zeta2"
    assert shown(cutoff=0.25, zeta=2) == shown(zeta=2, cutoff=0.25)
    many = run_id(checked().config | {"threshold": {"name": "theirs", **{f"setting_{n}": n for n in range(20)}}})
    assert len(many) <= 100
    assert many.startswith("self_training-theirs-setting_00-setting_11-")
    assert "-crop_rotate-0.5-seed0-" in many


def test_steps_replace_epochs() -> None:
    both = checked("train.steps=50")
    assert both.config["train"]["epochs"] is None
    assert both.id == checked("train.steps=50", "train.epochs=7").id


def test_error_helpers() -> None:
    assert closest_match("treshold", ["threshold", "train"]) == "threshold"
    assert closest_match("zzz", ["threshold"]) is None
    assert closest_match("FixMatch", ["fixmatch", "mixmatch"]) == "fixmatch"
    assert closest_match("appel", ["Apple", "pear"]) == "Apple"
    check_range("x", None, 0, 1)
    with pytest.raises(SettingError, match=r"x=0: must be in \(0, 1\]"):
        check_range("x", 0, 0, 1, above=True)
    check_range("x", 0.99999999, 0, 1, below=True)
    with pytest.raises(SettingError, match=r"x=1: must be in \[0, 1\)$"):
        check_range("x", 1, 0, 1, below=True)
    with pytest.raises(SettingError, match="did you mean one"):
        check_choice("x", "on", ["one", "two"])
    assert "\x1b" not in str(SettingError("a", "\x1b[2J" * 100, "no"))


@pytest.mark.parametrize(
    "words",
    [
        ("train.ema_decay",),
        ("optimizer.momentum", "optimizer=sgd"),
        ("optimizer.beta1", "optimizer=adamw"),
        ("optimizer.beta2", "optimizer=adamw"),
        ("threshold.momentum", "threshold=adamatch"),
        ("threshold.momentum", "threshold=softmatch"),
        ("threshold.momentum", "threshold=freematch"),
        ("threshold.momentum", "threshold=quantile"),
        ("model.drop_path", "model=timm"),
        ("model.dropout", "model=mlp"),
    ],
    ids=" ".join,
)
def test_every_value_below_one_and_not_one_itself_is_allowed(words: tuple[str, ...]) -> None:
    key, *options = words
    checked(*options, f"{key}=0.99999999")
    with pytest.raises(SettingError, match=rf"{key}=1\.0: must be in \[0, 1\)"):
        checked(*options, f"{key}=1.0")


def test_validation_set_larger_than_the_labeled_set_is_warned_about() -> None:
    counts = {"labeled": 40, "unlabeled": 1000, "validation": 41, "test": 10}
    classes = list("0123456789")
    message = (
        r"^the validation set \(41 images\) is larger than the labeled set \(40 images\); "
        r"with about as many as there are labels: dataset\.validation_per_class=4$"
    )
    with pytest.warns(UserWarning, match=message):
        compatibility.check_compatibility(checked(), classes, counts, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compatibility.check_compatibility(checked(), classes, counts | {"validation": 40}, 1)
        compatibility.check_compatibility(checked(), classes, counts, 1, sizes=False)


def test_equal_sections_are_built_once_and_values_of_other_types_are_others() -> None:
    first, other_seed = checked("threshold.tau=0.8"), checked("threshold.tau=0.8", "seed=1")
    assert first.settings.threshold is other_seed.settings.threshold
    plain = first.config
    for value in (1, 1.0):
        assert (
            schema.validate(plain | {"threshold": plain["threshold"] | {"tau": value}}).config["threshold"]["tau"]
            == 1.0
        )
    for value in (True, "1", None, [1]):
        with pytest.raises(SettingError, match=r"threshold\.tau"):
            schema.validate(plain | {"threshold": plain["threshold"] | {"tau": value}})
