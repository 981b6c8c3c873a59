"""Scores of `reject`, their limit, and their contracts; an option is tested as soon as its YAML exists."""

import math
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn.functional import normalize

from semisup.core.metrics import auroc, share_of_class
from semisup.core.rng import torch_generator
from semisup.errors import DataError, SettingError
from semisup.reject import FeatureReject, LogitReject, Reject, limit_for
from tests.conftest import checked, options

OPTIONS = [name for name in options("reject") if name != "none"]


def option(name: str, *overrides: str) -> Any:
    return checked(f"reject={name}", *overrides).settings.reject


def scores(reject: Any, count: int = 40) -> Tensor:
    """Scores of random logits or features; the first images are those of a smaller `count`."""
    values = torch.randn(60, 12, generator=torch_generator(0, "values"))
    if isinstance(reject, FeatureReject):
        return reject.score_features(values[:count], values[40:])
    assert isinstance(reject, LogitReject)
    return reject.score_logits(values[:count])


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_scores_each_image_by_itself(name: str) -> None:
    reject = option(name)
    assert isinstance(reject, Reject)
    whole, part = scores(reject), scores(reject, 7)
    assert whole.shape == (40,)
    assert whole.dtype == torch.float32
    assert torch.isfinite(whole).all()
    assert torch.allclose(whole[:7], part, atol=1e-6)
    assert scores(reject, 0).shape == (0,)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_setting_changes_the_scores_or_the_limit(name: str) -> None:
    node = checked(f"reject={name}").config["reject"]
    for key in node.keys() - {"name", "limit", "keep"}:
        assert not torch.equal(scores(option(name)), scores(option(name, f"reject.{key}=3"))), key
    assert option(name).keep == 0.95
    assert (option(name, "reject.limit=2.5").limit, option(name, "reject.limit=2.5").keep) == (2.5, None)


def test_energy_is_the_published_formula() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    expected = [math.log(math.exp(1) + math.exp(2) + math.exp(3)), math.log(3)]
    assert option("energy").score_logits(logits).tolist() == pytest.approx(expected)
    expected = [2 * math.log(math.exp(0.5) + math.exp(1) + math.exp(1.5)), 2 * math.log(3)]
    assert option("energy", "reject.temperature=2").score_logits(logits).tolist() == pytest.approx(expected)


def test_max_logit_is_the_largest_logit() -> None:
    assert option("max_logit").score_logits(torch.tensor([[1.0, -2.0], [-3.0, -4.0]])).tolist() == [1, -3]


@pytest.mark.parametrize("k", [1, 3, 20])
def test_knn_is_the_distance_to_the_kth_labeled_image(k: int) -> None:
    values = torch.randn(60, 12, generator=torch_generator(0, "values"))
    unit = normalize(values, dim=1).numpy()
    expected = NearestNeighbors(n_neighbors=k).fit(unit[40:]).kneighbors(unit[:40])[0][:, -1]
    assert scores(option("knn", f"reject.k={k}")).tolist() == pytest.approx((-expected).tolist(), abs=1e-6)
    same = option("knn").score_features(values[40:], values[40:])
    assert float(same.abs().max()) < 1e-6, "an image is at distance 0 from itself"


def test_limit_keeps_the_share_of_the_validation_images() -> None:
    values = torch.arange(100).float()[torch.randperm(100, generator=torch_generator(0, "order"))]
    for keep in (0.01, 0.5, 0.95, 0.951, 1.0):
        limit = limit_for(values, keep)
        accepted = int((values >= limit).sum())
        assert accepted == math.ceil(100 * keep), keep
    assert float(limit_for(torch.tensor([3.0]), 0.1)) == 3
    with pytest.raises(DataError, match=r"reject.keep needs validation images, and there are none"):
        limit_for(torch.zeros(0), 0.95)


def test_auroc_equals_that_of_scikit_learn() -> None:
    generator = torch_generator(1, "values")
    for digits in (0, 1, 6):  # with many equal scores, and with few
        values = torch.randn(300, generator=generator).round(decimals=digits)
        positive = torch.rand(300, generator=generator) < 0.3
        assert auroc(values, positive) == pytest.approx(roc_auc_score(positive, values), abs=1e-12)
    assert auroc(values, torch.ones(300, dtype=torch.bool)) is None
    assert auroc(values[:0], positive[:0]) is None


def test_share_of_other_classes_counts_selected_images_of_known_class() -> None:
    truth, weight = torch.tensor([3, 0, 3, -1, 1]), torch.tensor([1.0, 1.0, 0.0, 1.0, 0.5])
    assert share_of_class(3, weight, truth) == pytest.approx(1 / 3)
    assert share_of_class(3, torch.zeros(5), truth) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reject=energy", "reject.keep=0"], r"^reject.keep=0.0: must be in \(0, 1\]$"),
        (["reject=energy", "reject.keep=null"], r"^reject.limit=null: exactly one of reject.keep and reject.limit"),
        (
            ["reject=energy", "reject.keep=0.8", "reject.limit=2"],
            r"^reject.limit=2.0: exactly one of reject.keep and reject.limit must have a value; set the other to null$",
        ),
        (["reject=energy", "reject.temperature=0"], r"^reject.temperature=0.0: must be above 0$"),
        (["reject=knn", "reject.k=0"], r"^reject.k=0: must be at least 1$"),
        (
            ["reject=knn", "method=mixmatch", "train.ema_decay=0.9"],
            r"^reject=knn: not supported with method=mixmatch, which mixes each image with others",
        ),
        (
            ["reject=knn", "train.refit=true", "method.gate=0"],
            r"^reject.keep=0.95: needs validation images, but train.refit=true trains on them; give the limit as",
        ),
    ],
)
def test_invalid_settings_are_refused_in_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        checked(*words)
