"""Thumbnails of a run's images, and where its chosen model was most sure, and wrong: on the validation set."""

import base64
import io
import warnings
from dataclasses import dataclass
from typing import Any

from semisup.analysis.run_history import Prediction, fingerprint, read_predictions
from semisup.analysis.runs import NOT_DATA, Run

MOST_MISTAKES = 24
SIDE_PIXELS = 96  # larger pictures are made so small
PIXELATED = 32  # pictures up to this side are kept to the pixel, and drawn so


@dataclass(frozen=True)
class Mistakes:
    """count: of the images that were judged, how many are wrong; thumbnails: data URIs, None where there is none.

    said: why there are no mistakes to show, or no thumbnails; "" where all is there
    """

    shown: list[tuple[Prediction, str | None]]
    count: int
    judged: int
    said: str


def most_confident_errors(run: Run) -> Mistakes:
    """The mistakes by confidence, the surest first. Never raises: what cannot be had is said."""
    found = read_predictions(run.folder, "validation")
    if found is None:
        return Mistakes([], 0, 0, "The run has no predictions.csv: it was made before semisup kept what it predicted.")
    wrong = sorted((guess for guess in found if guess.predicted != guess.target), key=lambda guess: -guess.confidence)
    if not wrong:
        said = f"There are none: all {len(found)} are right." if found else "predictions.csv tells of no image of it."
        return Mistakes([], 0, len(found), said)
    shown = wrong[:MOST_MISTAKES]
    uris, said = thumbnails(run, "validation", [guess.path for guess in shown])
    return Mistakes([(guess, uris.get(guess.path)) for guess in shown], len(wrong), len(found), said)


def thumbnails(run: Run, split: str, paths: list[str]) -> tuple[dict[str, str], str]:
    """Data URIs by path, and why some or all are missing, "" where none is. Never raises."""
    try:
        images = _images(run, split, paths) if paths else {}
    except (OSError, MemoryError, RuntimeError, *NOT_DATA) as error:  # SettingError and DataError are ValueErrors
        return {}, f"No thumbnails: the data set cannot be read here ({error})."
    missing = sum(path not in images for path in paths)
    said = f"{missing} of these images are no longer in the data set." if missing else ""
    return {path: _data_uri(image) for path, image in images.items()}, said


def _images(run: Run, split: str, names: list[str]) -> dict[str, Any]:
    """(C, S, S) uint8 tensors, by way of the gate of the data set's settings. Nothing is downloaded."""
    from semisup.config import schema
    from semisup.dataset import some_images

    node = run.config["dataset"]
    dataset = schema.build_option("dataset", node | ({"download": False} if "download" in node else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the data set's flaws: said when it was trained on
        return some_images(dataset, split, names, fingerprint(run.folder))


def _data_uri(image: Any) -> str:
    from PIL import Image

    picture = Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy())
    buffer, kind = io.BytesIO(), "png" if max(picture.size) <= PIXELATED else "jpeg"
    picture.thumbnail((SIDE_PIXELS, SIDE_PIXELS))
    picture.save(buffer, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
