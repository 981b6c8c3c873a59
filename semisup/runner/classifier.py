"""Classify images with the best model of a run, or with the mean of the best models of several runs.

    classifier = load_classifier("outputs/runs/RUN")
    labels, confidences = classifier.predict("images/")

Images are read exactly as in the training, and in batches, so that a folder may have any size.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from semisup.analysis.runs import as_number
from semisup.config.sections import DEVICES
from semisup.core.embeddings import record_inputs
from semisup.core.inference import iter_logits, predict
from semisup.errors import DataError, RecordError, SettingError, check_choice
from semisup.features import Ensemble
from semisup.features.encode import encoding_mode
from semisup.images.cache import ProgressCallback, no_progress
from semisup.images.decode import REASONS
from semisup.images.pool import DecodeResult
from semisup.record.labeled_features import read_labeled_features
from semisup.record.reader import read_json
from semisup.reject import FeatureReject, LogitReject
from semisup.runner.classification_progress import ClassificationProgress
from semisup.runner.image_inputs import ImageInput, decode_images, list_images
from semisup.runner.trained_model import TrainedModel, load_trained_model
from semisup.runtime.precision import require_device

Floats = NDArray[numpy.float32]
Unreadable = Literal["raise", "nan"]


@dataclass(frozen=True)
class ClassifiedBatch:
    """Predictions of a classifier for n images.

    names: path of each file; for an image in memory, its position in the input
    reasons: None if the image was read; otherwise the reason, a key of `images.decode.REASONS`
    probabilities: (n, K) float32 in [0, 1]; NaN for images that could not be read
    embeddings: (n, D) float32, NaN for images that could not be read; None if not requested
    scores: (n,) float32, scores by which the run's option `reject` accepts or rejects images, NaN for images that could
        not be read; None if not requested
    """

    names: list[str]
    reasons: list[str | None]
    probabilities: Floats
    embeddings: Floats | None
    scores: Floats | None = None


class RunRejection(NamedTuple):
    """How a run rejects images: its option `reject` and its rejection limit.

    reject: the run's option of the group `reject`, which computes a score for each image
    limit: lowest score of an accepted image, for the best model of the run
    labeled: (L, D) float32, features of the run's L labeled images, with which `reject` compares an image; None if it
        does not compare features
    """

    reject: LogitReject | FeatureReject
    limit: float
    labeled: Tensor | None = None

    def scores(self, logits: Tensor, features: Tensor | None) -> Tensor:
        """Compute the score of each of n images, (n,) float32; an image with a score below `limit` is rejected.

        Args:
            logits: (n, K) float32.
            features: (n, D) float32; used only if `labeled` is not None.
        """
        if isinstance(self.reject, FeatureReject):
            assert features is not None
            assert self.labeled is not None
            return self.reject.score_features(features, self.labeled)
        return self.reject.score_logits(logits)


class Classifier:
    """A classifier of images: the best model of a run, or an ensemble, which averages the probabilities of its models.

    Args:
        models: the models, with the same classes and the same settings for decoding images, such as the image size.
        device: device of the models.

    Attributes:
        classes: the K class names, in the order of the columns of the probabilities.
        size: S, the side in pixels to which images are resized.
        dimension: D, the number of values of an embedding.
        runs: the run directories.
        models: the models, with the configs of their runs.

    Raises:
        RecordError: the models differ in their classes or in the settings for decoding images.
    """

    def __init__(self, models: Sequence[TrainedModel], device: torch.device) -> None:
        first = models[0]
        for other in models[1:]:
            for difference in first.input_differences(other):
                raise RecordError(
                    f"{other.run}: not the same {difference} as {first.run}; the runs of an ensemble must agree in this"
                )
        self.classes, self.runs, self.models = first.classes, [each.run for each in models], list(models)
        self.decode_settings = first.run_config.dataset.decode_settings()
        self.size, self.device = self.decode_settings.size, device
        with torch.no_grad():
            encoders = [each.run_config.encoder for each in models]
            self._network = Ensemble([each.network for each in models], encoders).eval().to(device)

    def predict(
        self, images: ImageInput | Iterable[ImageInput], *, unreadable: Unreadable = "raise"
    ) -> tuple[list[str], Floats]:
        """Predict the class of each image.

        Args:
            images: one or several paths, Pillow images or uint8 arrays (H, W, 3); a path may be a folder.
            unreadable: for an image that cannot be read: `raise` = raise DataError; `nan` = return the class "" and the
                confidence NaN.

        Returns:
            The class names, and the confidences: (n,) float32 in [0, 1].

        Raises:
            DataError: there is no such file, a value is not an image, or, with `raise`, an image cannot be read.
            SettingError: `unreadable` is neither `raise` nor `nan`.
        """
        probabilities = self.probabilities(images, unreadable=unreadable)
        return self.labels(probabilities), probabilities.max(axis=1)

    def labels(self, probabilities: Floats) -> list[str]:
        """Return the name of the most probable class for each row of (n, K) probabilities; "" for a row of NaN."""
        read = ~numpy.isnan(probabilities[:, 0])
        return [
            self.classes[place] if is_read else ""
            for place, is_read in zip(probabilities.argmax(axis=1).tolist(), read.tolist(), strict=True)
        ]

    def probabilities(self, images: ImageInput | Iterable[ImageInput], *, unreadable: Unreadable = "raise") -> Floats:
        """Compute the probability of each class for each image. The arguments are those of `predict`.

        Returns:
            (n, K) float32; each row sums to 1, or is NaN if the image cannot be read.
        """
        batches = _checked(self.batches(images), unreadable)
        return numpy.concatenate([self._nan(0, len(self.classes)), *(batch.probabilities for batch in batches)])

    def embeddings(self, images: ImageInput | Iterable[ImageInput], *, unreadable: Unreadable = "raise") -> Floats:
        """Compute the embedding of each image. The arguments are those of `predict`.

        Returns:
            (n, D) float32: the features of the run's encoder or, without an encoder, the input of the model's last
            layer.

        Raises:
            RecordError: the classifier is an ensemble.
        """
        empty = numpy.zeros((0, self.dimension), numpy.float32)
        batches = list(_checked(self.batches(images, embeddings=True), unreadable))
        return numpy.concatenate([empty, *(batch.embeddings for batch in batches if batch.embeddings is not None)])

    def batches(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        embeddings: bool = False,
        scores: bool = False,
        watch: ProgressCallback = no_progress,
        announce: Callable[[float], None] = lambda _: None,
    ) -> Iterator[ClassifiedBatch]:
        """Yield predictions batch by batch, so that only few images are in memory at once.

        An image that cannot be read has rows of NaN and a reason.

        Args:
            embeddings: whether to compute embeddings.
            scores: whether to compute the scores of the run's option `reject`.
            watch: function that shows progress, such as `Bars.watch`.
            announce: function that is called at most once, with the estimated number of seconds (at least 10).
        """
        dimension = self.dimension if embeddings else None
        rejection = self.rejection if scores else None
        items = list_images(images)
        results = iter(decode_images(items, self.decode_settings))
        size = self.models[0].run_config.settings.train.eval_batch_size
        progress = ClassificationProgress(len(items), watch, announce)
        while batch := list(islice(results, size)):
            with progress.batch(len(batch)), progress.count_parts(*self._network.last_encoder()):
                classified = self._classify(batch, dimension, rejection)
            yield classified

    @cached_property
    def dimension(self) -> int:
        """D, the number of values of an embedding.

        Raises:
            RecordError: the classifier is an ensemble.
        """
        if len(self.models) > 1:
            raise RecordError(f"{self.models[1].run}: embeddings belong to one model; give one run")
        _, vectors, _ = self._compute(torch.zeros(1, 3, self.size, self.size, dtype=torch.uint8), embeddings=True)
        assert vectors is not None
        return vectors.shape[1]

    @cached_property
    def rejection(self) -> "RunRejection":
        """The run's option of the group `reject`, and its rejection limit (lowest score of an accepted image).

        Raises:
            RecordError: the classifier is an ensemble, the run was trained with `reject=none`, or the features with
                which its option compares images are missing or damaged.
        """
        if len(self.models) > 1:
            raise RecordError(f"{self.models[1].run}: scores for rejection belong to one model; give one run")
        run, settings = self.models[0].run, self.models[0].run_config.settings
        limit = as_number((read_json(run / "summary.json") or {}).get("best/reject_limit"))
        if not isinstance(settings.reject, LogitReject | FeatureReject) or limit is None:
            raise RecordError(f"{run}: was trained without rejecting images; train with reject=energy to use --reject")
        if isinstance(settings.reject, LogitReject):
            return RunRejection(settings.reject, limit)
        features = read_labeled_features(run, settings.reject.min_labeled, self.dimension)
        return RunRejection(settings.reject, limit, torch.from_numpy(features.copy()).to(self.device))

    def unread_batch(self, reasons: Mapping[str, str], *, embeddings: bool, scores: bool = False) -> ClassifiedBatch:
        """Build a batch for files that were not read: all predictions are NaN.

        Args:
            reasons: name of each file -> reason why it was not read.
            embeddings, scores: whether the batch has embeddings and scores.
        """
        features = self._nan(len(reasons), self.dimension) if embeddings else None
        values = self._nan(len(reasons), 1)[:, 0] if scores else None
        probabilities = self._nan(len(reasons), len(self.classes))
        return ClassifiedBatch([*reasons], [*reasons.values()], probabilities, features, values)

    def _classify(
        self, results: list[DecodeResult], dimension: int | None, rejection: RunRejection | None
    ) -> ClassifiedBatch:
        read = [number for number, each in enumerate(results) if each.pixels is not None]
        probabilities = self._nan(len(results), len(self.classes))
        features = None if dimension is None else self._nan(len(results), dimension)
        scores = None if rejection is None else self._nan(len(results), 1)[:, 0]
        needs_features = features is not None or (rejection is not None and rejection.labeled is not None)
        if read:
            pixels = torch.from_numpy(numpy.stack([each.pixels for each in results if each.pixels is not None]))
            mean, vectors, logits = self._compute(pixels, embeddings=needs_features)
            probabilities[read] = mean.cpu().numpy()
            if features is not None and vectors is not None:
                features[read] = vectors.cpu().numpy()
            if scores is not None and rejection is not None:
                scores[read] = rejection.scores(logits[:, 0], vectors).cpu().numpy()
        names, reasons = [each.name for each in results], [each.reason for each in results]
        return ClassifiedBatch(names, reasons, probabilities, features, scores)

    def _compute(self, pixels: Tensor, *, embeddings: bool) -> tuple[Tensor, Tensor | None, Tensor]:
        """Run the M models on a batch of images.

        Args:
            pixels: (n, 3, S, S) uint8.
            embeddings: whether to return embeddings.

        Returns:
            (n, K) probabilities, the mean over the models; (n, D) embeddings of the first model, or None;
            (n, M, K) logits.
        """
        first = self.models[0]
        pixels = to_gray(pixels) if first.channels == 1 else pixels
        recorder: contextlib.AbstractContextManager[list[Tensor]] = (
            record_inputs(first.embedding_layer) if embeddings else contextlib.nullcontext([])
        )
        with encoding_mode(), recorder as inputs:
            torch.set_num_threads(first.run_config.run.threads)
            (logits,) = iter_logits(self._network, pixels.to(self.device), len(pixels))  # (n, M, K)
            mean = torch.stack([predict(each).probabilities for each in logits.unbind(dim=1)]).mean(dim=0)
        return mean, torch.cat(inputs) if embeddings else None, logits

    @staticmethod
    def _nan(rows: int, columns: int) -> Floats:
        return numpy.full((rows, columns), numpy.nan, numpy.float32)


def load_classifier(*runs: str | os.PathLike[str], device: str = "auto") -> Classifier:
    """Load the best model of a run, or of several runs as an ensemble.

    Args:
        runs: run directories.
        device: cpu, mps, cuda, cuda:N, or auto (cuda if there is a CUDA device, otherwise cpu).

    Raises:
        RecordError: a directory is not that of a finished run, its model is damaged, or the runs differ in their
        classes or in the settings for decoding images.
        SettingError: there is no such device, or pretrained weights of an encoder are missing.
    """
    if not runs:
        raise RecordError("semisup.load needs the directory of a run, such as outputs/NAME/RUN")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if not re.fullmatch(DEVICES, chosen):
        raise SettingError("device", device, "must be auto, cpu, mps, cuda or cuda:<number>")
    require_device(chosen)
    place = torch.device(chosen)
    return Classifier([load_trained_model(Path(run), place) for run in runs], place)


def to_gray(pixels: Tensor) -> Tensor:
    """Convert (n, 3, S, S) uint8 RGB to (n, 1, S, S) uint8 luminance (ITU-R 601-2, as in Pillow)."""
    weights = torch.tensor([299, 587, 114], dtype=torch.int32).view(1, 3, 1, 1)
    return ((pixels * weights).sum(1, keepdim=True, dtype=torch.int32) // 1000).to(torch.uint8)


def _checked(batches: Iterator[ClassifiedBatch], unreadable: Unreadable) -> Iterator[ClassifiedBatch]:
    """Yield the batches unchanged, after a check for unreadable images.

    Raises:
        DataError: an image could not be read, and `unreadable` is `raise`.
        SettingError: `unreadable` is neither `raise` nor `nan`.
    """
    check_choice("unreadable", unreadable, get_args(Unreadable))
    for batch in batches:
        for name, reason in zip(batch.names, batch.reasons, strict=True):
            if reason is not None and unreadable == "raise":
                raise DataError(
                    f"{name}: cannot be read: {reason} ({REASONS[reason]}); unreadable='nan' skips such images"
                )
        yield batch
