"""Replace the images of a run by stored features of its encoder, which are encoded first where they are missing."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from semisup.augment import Augment
from semisup.config.schema import RunConfig
from semisup.core.types import SPLITS, Images
from semisup.dataset import Data
from semisup.encoder import BackboneNetwork, Encoder
from semisup.errors import DataError
from semisup.features import (
    EncodedImages,
    EncodingJob,
    FeaturePack,
    FeatureTable,
    PackRecipe,
    StoredViews,
    encode_missing,
    image_digests,
    seconds_per_view,
)
from semisup.runner.progress import Bars
from semisup.runtime.memory_limit import local_process_count, memory_limit_bytes
from semisup.training.state import TrainingConfig, TrainingData

PLAIN, AUGMENT, WEAK = "plain", "augment", "weak"
"""The packs of a run: images as they are, strong views, weak views."""

TRAINING_SPLITS = ("labeled", "unlabeled")
"""Splits of which views are stored; they come first in SPLITS."""


class EncodedRun(NamedTuple):
    """A run on features.

    config: with stored views in place of its augmentations
    metadata: digests of weights and packs, for run.json; None without an encoder
    """

    config: RunConfig
    problem: TrainingData
    metadata: dict[str, Any] | None


_encoded: dict[tuple[object, ...], tuple[TrainingConfig, TrainingData, dict[str, Any]]] = {}
"""The features of the last run: the runs of a sweep that differ in a threshold or a seed share them."""


def encode_run(run_config: RunConfig, problem: TrainingData, data: Data, bars: Bars) -> EncodedRun:
    """Return the run on stored features; without an encoder, unchanged.

    Raises:
        SettingError: the weights of the encoder are missing or not the ones of the config.
        DataError: the encoder gives features that cannot be stored.
    """
    if run_config.encoder is None:
        return EncodedRun(run_config, problem, None)
    key = (run_config.encoder, *_augmentations(run_config).values(), data.fingerprint, run_config.dataset.size)
    key = (*key, str(problem.device))
    if key not in _encoded:
        _encoded.clear()  # before the next are read: memory holds one
        _encoded[key] = _encode(run_config, run_config.encoder, problem, bars)
    settings, encoded, metadata = _encoded[key]
    views = {name: getattr(settings, name) for name in (AUGMENT, WEAK)}
    return EncodedRun(
        replace(run_config, settings=replace(run_config.settings, **views)),
        replace(encoded, hidden_targets=problem.hidden_targets),
        metadata,
    )


def _augmentations(run_config: RunConfig) -> dict[str, Augment | None]:
    """The augmentation of each pack; None where nothing is augmented, which the pack of plain images holds."""
    settings = run_config.settings
    weak = settings.weak if settings.method.uses_weak and settings.weak.strength > 0 else None
    return {PLAIN: None, AUGMENT: settings.augment if settings.augment.strength > 0 else None, WEAK: weak}


def _encode(
    run_config: RunConfig, encoder: Encoder, problem: TrainingData, bars: Bars
) -> tuple[TrainingConfig, TrainingData, dict[str, Any]]:
    splits: dict[str, Images] = {split: getattr(problem, split) for split in SPLITS}
    digests = {split: image_digests(images) for split, images in splits.items()}
    cache = None if encoder.cache is None else Path(encoder.cache).expanduser()
    channels, size = problem.labeled.pixels.shape[1], problem.labeled.pixels.shape[-1]
    jobs: dict[str, EncodingJob] = {}
    for name, augment in _augmentations(run_config).items():
        if name != PLAIN and augment is None:
            continue
        recipe = PackRecipe(encoder, augment, (channels, size, size), problem.device)
        used = SPLITS if name == PLAIN else TRAINING_SPLITS
        images = [splits[split] for split in used]
        jobs[name] = EncodingJob(FeaturePack(cache, recipe), images, [each for s in used for each in digests[s]])
    _encode_jobs(encoder, list(jobs.values()), problem.device, bars)
    return (*_on_features(run_config.settings, problem, jobs), _metadata(encoder, jobs))


def _encode_jobs(encoder: Encoder, jobs: list[EncodingJob], device: torch.device, bars: Bars) -> None:
    """Encode what is missing, after an announcement of what it costs."""
    networks: list[BackboneNetwork] = []

    def network() -> BackboneNetwork:  # built at the first use: nothing is missing in most runs
        if not networks:
            networks.append(encoder.build().to(device))
        return networks[0]

    missing = [job for job in jobs if job.missing_views()]
    if missing:
        seconds = seconds_per_view(network(), missing[-1]) * sum(job.missing_views() for job in missing)
        print(f"semisup: {describe_cost(missing, seconds)}", file=sys.stderr, flush=True)
    for job in missing:
        encode_missing(network, job, bars.watch)


def describe_cost(jobs: list[EncodingJob], seconds: float) -> str:
    """State how much is encoded and how long it takes: "encoding 2,936 images x 8 views, about 6 minutes, once"."""
    by_count: dict[int, int] = {}
    for job in jobs:
        views = job.pack.recipe.views
        count = job.missing_views() // views
        by_count[count] = by_count.get(count, 0) + views
    parts = [f"{count:,} images x {views} views" for count, views in by_count.items()]
    duration = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(1, seconds):.0f} seconds"
    return f"encoding {' and '.join(parts)}, about {duration}, once"


def _on_features(
    settings: TrainingConfig, problem: TrainingData, jobs: Mapping[str, EncodingJob]
) -> tuple[TrainingConfig, TrainingData]:
    needed = sum(2 * len(job.digests) * job.pack.shape[0] * job.pack.shape[1] for job in jobs.values())
    resident = needed <= memory_limit_bytes() / 2 / local_process_count()
    tables = {
        name: FeatureTable(job.pack, job.digests, problem.device, resident=resident) for name, job in jobs.items()
    }
    images: dict[str, Any] = {}
    begin = 0
    for split in SPLITS:
        own: Images = getattr(problem, split)
        positions = torch.arange(begin, begin + len(own))
        images[split] = Images(EncodedImages(positions, tables[PLAIN]), own.targets, own.paths)
        begin += len(own)
    views: dict[str, Any] = {
        name: StoredViews(getattr(settings, name).strength, tables.get(name, tables[PLAIN])) for name in (AUGMENT, WEAK)
    }
    return replace(settings, **views), replace(problem, **images)


def _metadata(encoder: Encoder, jobs: Mapping[str, EncodingJob]) -> dict[str, Any]:
    """What run.json says of the features: the weights, and of each pack its key and the digest of the rows used."""
    packs = {name: {"key": job.pack.key, "digest": job.pack.digest(job.digests)} for name, job in jobs.items()}
    return {"weights": encoder.weights_info()._asdict(), "packs": packs}


def feature_difference(before: object, now: Mapping[str, Any] | None) -> str | None:
    """Describe the first difference between the features of a recorded run and those of now; None = there is none."""
    sides = [each if isinstance(each, Mapping) else {} for each in (before, now)]
    digests = [[_entry(each, "weights", "sha256") for each in sides]]
    digests += [[_entry(_entry(each, "packs", name), "digest") for each in sides] for name in (PLAIN, AUGMENT, WEAK)]
    names = (
        "sha256 of the encoder's weights",
        *(f"digest of the features ({name})" for name in (PLAIN, AUGMENT, WEAK)),
    )
    for name, (then, today) in zip(names, digests, strict=True):
        if then != today:
            return f"{name}: {then} then, {today} now"
    return None


def _entry(value: object, *keys: str) -> object:
    """The value at these keys of nested data; None where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def check_same_features(before: object, now: Mapping[str, Any] | None, folder: Path) -> None:
    """Raise DataError where an interrupted run has seen other features than it would see now."""
    if isinstance(before, Mapping) and (difference := feature_difference(before, now)):
        allowed = f"the run began with other features ({difference}); use that machine, another name=, or delete it"
        raise DataError(f"{folder}: {allowed}")
