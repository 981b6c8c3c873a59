"""Replace the images of a run by stored features of its encoder (a frozen pretrained network).

The features that one network computes of all images under one augmentation are a pack, which is stored in a folder.
Packs that are missing are computed first. With `encoder=concatenated`, there is a pack for each network.
"""

import functools
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
from semisup.encoder import BackboneNetwork, Encoder, NetworkEncoder
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
from semisup.model import ScalesInput
from semisup.runner.progress import Bars
from semisup.runtime.memory_limit import local_process_count, memory_limit_bytes
from semisup.text import listed
from semisup.training.state import TrainingConfig, TrainingData

PLAIN, AUGMENT, WEAK = "plain", "augment", "weak"
"""Names of the packs of a run: features of the images without augmentation, of strong views, of weak views."""

SCALED_SHARE = 1 / 8
"""Largest share of the memory for stored features that the scaled rows of one pack may take, in addition to it."""

TRAINING_SPLITS = ("labeled", "unlabeled")
"""Splits whose images are augmented. They must be the first ones of SPLITS."""


class EncodedRun(NamedTuple):
    """A run that is trained on the stored features of an encoder.

    config: the config of the run; its augmentations are replaced by a random choice among the stored views of an image
    problem: the data of the run, with features in place of the images
    metadata: digests of the encoder's weights and of the features, for run.json; None without an encoder
    """

    config: RunConfig
    problem: TrainingData
    metadata: dict[str, Any] | None


class _Loaded(NamedTuple):
    """Stored features that have been read into memory, and their description for run.json."""

    table: FeatureTable
    metadata: dict[str, Any]


_encoded: dict[tuple[object, ...], _Loaded] = {}
"""Cache of the features of the latest runs, as long as they fit into memory."""

_digests: dict[tuple[object, ...], dict[str, list[bytes]]] = {}
"""Cache of the digests of the images of the last run."""


def encode_run(run_config: RunConfig, problem: TrainingData, data: Data, bars: Bars) -> EncodedRun:
    """Replace the images of a run by stored features; a run without encoder is unchanged.

    Args:
        problem: the data on the run's device.
        data: the data as read, for their fingerprint.

    Raises:
        SettingError: the weights of the encoder are missing, or are not those that the config names.
        DataError: the encoder computes features that cannot be stored.
    """
    encoder = run_config.encoder
    if encoder is None:
        return EncodedRun(run_config, problem, None)
    refit = run_config.settings.train.refit
    images = (data.fingerprint, run_config.dataset, str(problem.device), refit)
    if images not in _digests:
        _digests.clear()
        _digests[images] = {split: image_digests(getattr(problem, split)) for split in SPLITS}
    packs = _load_packs(run_config, encoder, problem, images, bars)
    tables = {name: loaded.table for name, loaded in packs.items()}
    settings, encoded = _on_features(run_config.settings, problem, tables)
    metadata = {
        "weights": _one_or_list([part.weights_info()._asdict() for part in encoder.parts()]),
        "packs": {name: loaded.metadata for name, loaded in packs.items()},
    }
    return EncodedRun(replace(run_config, settings=settings), encoded, metadata)


def _augmentations(run_config: RunConfig) -> dict[str, Augment | None]:
    """Return the augmentation with which each pack of stored features is computed.

    Returns:
        Name of the pack (PLAIN, AUGMENT or WEAK) -> augmentation. None for PLAIN, which has no augmentation, and for a
        pack that the run does not need.
    """
    settings = run_config.settings
    weak = settings.weak if settings.method.uses_weak and settings.weak.strength > 0 else None
    return {PLAIN: None, AUGMENT: settings.augment if settings.augment.strength > 0 else None, WEAK: weak}


def _load_packs(
    run_config: RunConfig, encoder: Encoder, problem: TrainingData, images: tuple[object, ...], bars: Bars
) -> dict[str, _Loaded]:
    """Load the stored features of a run; compute those that are missing.

    Args:
        images: key of the run's images in `_digests`, the cache of image digests.

    Returns:
        Name of the pack (PLAIN, AUGMENT or WEAK) -> its features.
    """
    cache = None if encoder.cache is None else Path(encoder.cache).expanduser()
    channels, size = problem.labeled.pixels.shape[1], problem.labeled.pixels.shape[-1]
    digests: dict[str, list[bytes]] = {}
    recipes: dict[str, list[PackRecipe]] = {}  # of each network
    for name, augment in _augmentations(run_config).items():
        if name == PLAIN or augment is not None:
            shape = (channels, size, size)
            recipes[name] = [PackRecipe(part, augment, shape, problem.device) for part in encoder.parts()]
            used = SPLITS if name == PLAIN else TRAINING_SPLITS
            digests[name] = [each for split in used for each in _digests[images][split]]
    needed = sum(2 * len(digests[name]) * each[0].views * encoder.dimension() for name, each in recipes.items())
    limit = _memory_limit()
    resident = needed <= limit
    keys = {
        name: (*images, cache, name == PLAIN, *(recipe.key() for recipe in each), resident)
        for name, each in recipes.items()
    }
    _forget_packs(images, set(keys.values()), limit - needed)
    jobs: dict[str, list[EncodingJob]] = {}
    for name in (name for name, key in keys.items() if key not in _encoded):
        splits = [getattr(problem, split) for split in (SPLITS if name == PLAIN else TRAINING_SPLITS)]
        jobs[name] = [EncodingJob(FeaturePack(cache, recipe), splits, digests[name]) for recipe in recipes[name]]
    _encode_jobs([job for each in jobs.values() for job in each], problem.device, bars)
    for name, each in jobs.items():
        augmented = sum(len(getattr(problem, split)) for split in TRAINING_SPLITS)
        packs = [job.pack for job in each]
        table = FeatureTable(packs, digests[name], problem.device, resident=resident, augmented=augmented)
        metadata = {
            "key": _one_or_list([pack.key for pack in packs]),
            "digest": _one_or_list([pack.digest(digests[name]) for pack in packs]),
        }
        _encoded[keys[name]] = _Loaded(table, metadata)
    return {name: _encoded[key] for name, key in keys.items()}


def _one_or_list(values: list[Any]) -> Any:
    """Return the value of an encoder with a single network, or the list of values of several networks, for run.json."""
    return values[0] if len(values) == 1 else values


def _memory_limit() -> float:
    """Return the number of bytes of memory that stored features may take in this process."""
    return memory_limit_bytes() / 2 / local_process_count()


def _forget_packs(images: tuple[object, ...], used: set[tuple[object, ...]], room: float) -> None:
    """Remove features of earlier runs from memory, to make room for those of the present run.

    Features of other images are always removed. Features of the same images can be useful to a later run: they are
    removed only if they do not fit into `room`, the oldest first.

    Args:
        images: key of the present run's images, with which the keys of their features in `_encoded` begin.
        used: keys of the features that the present run uses; these are not removed.
        room: number of bytes of memory for features that the present run does not use.
    """
    # A control uses no strong views, and a probe no views at all. Reading and verifying the features again would take
    # half as long as a run on features.
    others = [key for key in _encoded if key not in used]
    sizes = {key: _encoded[key].table.nbytes for key in others}
    for key in others:
        if key[: len(images)] != images or sum(sizes.values()) > room:
            del _encoded[key], sizes[key]


def _encode_jobs(jobs: list[EncodingJob], device: torch.device, bars: Bars) -> None:
    """Compute and store missing features; first print their number and the estimated time.

    Args:
        jobs: the images, augmentations and networks whose features are needed.
    """
    networks: dict[NetworkEncoder, BackboneNetwork] = {}

    def network(encoder: NetworkEncoder) -> BackboneNetwork:  # built at the first use: most runs need none
        if encoder not in networks:
            networks[encoder] = encoder.build().to(device)
        return networks[encoder]

    announced: list[str] = []

    def announce() -> None:
        if not announced:
            missing: dict[NetworkEncoder, list[EncodingJob]] = {}
            for job in jobs:
                if job.missing_views():
                    missing.setdefault(job.pack.recipe.encoder, []).append(job)
            seconds = sum(
                seconds_per_view(network(encoder), own[-1]) * sum(job.missing_views() for job in own)
                for encoder, own in missing.items()
            )
            announced.append(describe_cost(list(missing.values()), seconds))
            print(f"semisup: {announced[0]}", file=sys.stderr, flush=True)

    def announce_wait() -> None:
        print(
            "semisup: another process is encoding these images; waiting for its features", file=sys.stderr, flush=True
        )

    for job in jobs:
        encode_missing(functools.partial(network, job.pack.recipe.encoder), job, bars.watch, announce, announce_wait)


def describe_cost(jobs: list[list[EncodingJob]], seconds: float) -> str:
    """Write the line about the cost of encoding: "encoding 2,936 images x 8 views, about 6 minutes, once".

    Args:
        jobs: for each network, the images and augmentations with missing features.
        seconds: estimated time.
    """
    works = [_views_by_image(own) for own in jobs]
    if len(works) > 1 and len(set(works)) == 1:
        works = [f"{works[0]} with each of {len(works)} networks"]
    number = max(1, round(seconds))
    duration = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{number} second{'s' if number > 1 else ''}"
    return f"encoding {'; '.join(works)}, about {duration}, once"


def _views_by_image(jobs: list[EncodingJob]) -> str:
    """Describe the missing features of a network: "5,421 images x 1 view and 2,936 images x 4 views"."""
    by_count: dict[int, int] = {}
    for job in jobs:
        views = job.pack.recipe.views
        count = job.missing_views() // views
        by_count[count] = by_count.get(count, 0) + views
    return listed(
        (f"{count:,} images x {views} view{'s' if views > 1 else ''}" for count, views in by_count.items()), "and"
    )


def _on_features(
    settings: TrainingConfig, problem: TrainingData, tables: Mapping[str, FeatureTable]
) -> tuple[TrainingConfig, TrainingData]:
    images: dict[str, Any] = {}
    begin = 0
    for split in SPLITS:
        own: Images = getattr(problem, split)
        positions = torch.arange(begin, begin + len(own))
        images[split] = Images(EncodedImages(positions, tables[PLAIN]), own.targets, own.paths)
        begin += len(own)
    used = {name: tables.get(name, tables[PLAIN]) for name in (AUGMENT, WEAK)}
    # scaled and other features have different shapes, and a method may join weak and strong views in one batch
    joined = [table for name, table in used.items() if name == AUGMENT or settings.method.uses_weak]
    scales = all(table.can_scale(_memory_limit() * SCALED_SHARE) for table in joined)
    length = _scaled_length(settings) if scales else None
    views = {name: StoredViews(getattr(settings, name).strength, table, length) for name, table in used.items()}
    return replace(settings, **views), replace(problem, **images)  # type: ignore[arg-type]


def _scaled_length(settings: TrainingConfig) -> float | None:
    """Return the length to which stored features are scaled once, before the training, instead of in every step.

    Returns:
        None if the model does not scale its input, if the method mixes images before the scaling, or if the model is
        compiled, so that its scaling would be rounded differently.
    """
    model = settings.model
    if settings.compile or getattr(settings.method, "mixes_unlabeled", False):
        return None
    return model.scale if isinstance(model, ScalesInput) and model.scales_input else None
