"""Read thumbnails of a run's images, and find the most confident validation errors of its best model."""

import base64
import io
import warnings
from dataclasses import dataclass
from typing import Any

from semisup.analysis.run_history import Prediction, read_predictions
from semisup.analysis.runs import PARSE_ERRORS, Run

MAX_ERRORS = 24
SIDE_PIXELS = 96  # larger images are reduced to it
PIXELATED = 32  # images up to this side stay lossless, and are drawn pixelated


@dataclass(frozen=True)
class ConfidentErrors:
    """The most confident errors of a run's best model on the validation images.

    shown: for each of the most confident errors, the prediction and the thumbnail (a data URI; None if it is missing)
    count: number of all errors, including those that are not in `shown`
    judged: number of images whose true class is known
    message: why errors or thumbnails are missing; "" if nothing is missing
    """

    shown: list[tuple[Prediction, str | None]]
    count: int
    judged: int
    message: str


def most_confident_errors(run: Run) -> ConfidentErrors:
    """Read the most confident validation errors of a run.

    If they cannot be read, no error is raised, and the result has a message.
    """
    predictions = read_predictions(run.folder, "validation")
    if predictions is None:
        return ConfidentErrors([], 0, 0, "The run has no predictions.csv; earlier versions of semisup wrote none.")
    errors = [prediction for prediction in predictions if prediction.predicted != prediction.target]
    if not errors:
        count = len(predictions)
        message = f"None: all {count} are correct." if count else "predictions.csv has no validation image."
        return ConfidentErrors([], 0, count, message)
    errors.sort(key=lambda prediction: -prediction.confidence)
    shown = errors[:MAX_ERRORS]
    uris, message = thumbnails(run, "validation", [prediction.path for prediction in shown])
    pairs = [(prediction, uris.get(prediction.path)) for prediction in shown]
    return ConfidentErrors(pairs, len(errors), len(predictions), message)


def thumbnails(run: Run, split: str, paths: list[str]) -> tuple[dict[str, str], str]:
    """Read thumbnails of a run's images. If an image cannot be read, no error is raised.

    Returns:
        Path -> data URI, and the reason why thumbnails are missing ("" if none is missing).
    """
    try:
        images = _read_images(run, split, paths) if paths else {}
    except (OSError, MemoryError, RuntimeError, *PARSE_ERRORS) as error:  # SettingError and DataError are ValueErrors
        return {}, f"No thumbnails: the data set cannot be read here ({error})."
    missing = sum(path not in images for path in paths)
    message = f"{missing} of these images are no longer in the data set." if missing else ""
    return {path: data_uri(image) for path, image in images.items()}, message


def _read_images(run: Run, split: str, names: list[str]) -> dict[str, Any]:
    """Read images of a run's data set by name, as (C, S, S) uint8 tensors.

    The settings of the data set are validated first. Nothing is downloaded.
    """
    from semisup.config.settings_objects import build_option
    from semisup.dataset import some_images
    from semisup.errors import DataError

    node = run.config.get("dataset")
    if not isinstance(node, dict):
        raise DataError(run.reason or "the config of the run names no data set")
    dataset = build_option("dataset", node | ({"download": False} if "download" in node else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the data set's flaws: the training reported them
        return some_images(dataset, split, names, run.fingerprint)


def data_uri(image: Any) -> str:
    from PIL import Image

    thumbnail = Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy())
    buffer, kind = io.BytesIO(), "png" if max(thumbnail.size) <= PIXELATED else "jpeg"
    thumbnail.thumbnail((SIDE_PIXELS, SIDE_PIXELS))
    thumbnail.save(buffer, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
