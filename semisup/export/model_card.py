"""Write README.md of an exported model in the format of a Hugging Face model card: YAML header, then Markdown."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semisup import __version__
from semisup.config.schema import RunConfig
from semisup.export.formats import ExportFormat
from semisup.images.decode_settings import DecodeSettings
from semisup.record.reader import read_section
from semisup.text import printable

CLASSES_SHOWN = 20

SETTINGS = (
    "method.name",
    "threshold.name",
    "threshold.tau",
    "augment.name",
    "augment.strength",
    "model.name",
    "model.architecture",
    "encoder.name",
    "encoder.architecture",
    "optimizer.name",
    "optimizer.lr",
    "train.steps",
    "train.epochs",
    "train.batch_size",
    "seed",
)
"""Settings that the card shows if the run has them."""


@dataclass(frozen=True)
class CardContent:
    """Facts about a run for the model card (README.md) of its exported model.

    name: name of the run
    classes: the K class names
    about: content of run.json
    summary: content of summary.json
    usage: Python code that computes `probabilities` of `pixels`
    """

    name: str
    classes: list[str]
    run_config: RunConfig
    about: dict[str, Any]
    summary: dict[str, Any]
    format: ExportFormat
    usage: str = ""

    @property
    def dataset(self) -> str:
        """Name of the data set; for `dataset=folder`, the name of the folder."""
        dataset = self.run_config.config["dataset"]
        return Path(str(dataset["root"])).name if dataset["name"] == "folder" else str(dataset["name"])


def model_card(content: CardContent) -> str:
    """Write the model card as Markdown text."""
    return "\n".join([*_header(content), "", *_body(content), ""])


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Compute the 95 % interval of a share of images (Wilson's score interval), in [0, 1]."""
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _header(content: CardContent) -> Iterator[str]:
    """Yield the YAML header of the model card; text is written as JSON strings, which are valid YAML."""
    yield from ("---", f"library_name: {content.format.library}", "pipeline_tag: image-classification")
    yield from ("tags:", "- image-classification", "- semi-supervised-learning", "- semisup")
    accuracy = content.summary.get("test/accuracy")
    if isinstance(accuracy, int | float):
        yield from ("metrics:", "- accuracy", "model-index:", f"- name: {json.dumps(content.name)}", "  results:")
        yield from ("  - task:", "      type: image-classification", "    dataset:")
        yield from (f"      name: {json.dumps(content.dataset)}", f"      type: {json.dumps(content.dataset)}")
        yield from ("      split: test", "    metrics:", "    - type: accuracy", f"      value: {accuracy:.6g}")
    yield "---"


def _body(content: CardContent) -> Iterator[str]:
    settings, counts = content.run_config.dataset.decode_settings(), _counts(content)
    shown = ", ".join(map(_escape, content.classes[:CLASSES_SHOWN]))
    more = f" and {len(content.classes) - CLASSES_SHOWN} more" if len(content.classes) > CLASSES_SHOWN else ""
    yield f"# {_escape(content.name)}"
    yield ""
    yield f"An image classifier that semisup {__version__} trained."
    yield f"Its {len(content.classes)} classes are {shown}{more}. `labels.txt` has them in the order of the output."
    yield from ("", "## Data", "", f"Data set `{_escape(content.dataset)}`: {counts}.", "")
    yield from ("## Training", "", "| setting | value |", "|---|---|")
    yield from (f"| `{key}` | {_escape(value)} |" for key, value in _settings(content.run_config.config))
    yield from ("", "`config.json` has all settings.", *_weights(content.about))
    yield from ("", "## Accuracy", "", *_accuracy(content.summary), "")
    yield from ("## Use", "", *_use(content, settings))


def _counts(content: CardContent) -> str:
    counts = read_section(read_section(content.about, "dataset"), "counts")
    return ", ".join(f"{_escape(value)} {_escape(split)} images" for split, value in counts.items()) or "unknown"


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in SETTINGS:
        section, _, name = key.rpartition(".")
        node = read_section(config, section) if section else config
        if node.get(name) is not None:
            yield key, node[name]


def _weights(about: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence about each file of pretrained weights: of the model and of the networks of the encoder."""
    encoder = read_section(read_section(about, "dataset"), "features").get("weights")
    for weights in (about.get("weights"), *(encoder if isinstance(encoder, list) else [encoder])):
        if not isinstance(weights, dict) or not weights:
            continue
        source, license_ = weights.get("source") or "a local file", weights.get("license") or "unknown"
        file, digest = weights.get("file"), weights.get("sha256")
        yield ""
        yield f"Pretrained weights: {_escape(file)} (sha256 {_escape(digest)}) from {_escape(source)};"
        yield f"license: {_escape(license_)}."


def _accuracy(summary: dict[str, Any]) -> Iterator[str]:
    if "refit" in summary:
        yield "No accuracy is claimed: the model was trained on the validation images, too."
        return
    for split, name, remark in (
        ("test", "test/accuracy", ""),
        (
            "validation",
            "best/val/accuracy",
            " The best model was selected on these images, so the value is optimistic.",
        ),
    ):
        accuracy = summary.get(name)
        if not isinstance(accuracy, int | float):
            continue
        text = f"- {split}: {accuracy:.1%}"
        if (total := _images(summary, split)) > 0:
            low, high = wilson_interval(round(accuracy * total), total)
            text += f" of {total} images; 95 % interval {low:.1%} to {high:.1%} (over images, for this one model)"
        yield f"{text}.{remark}"


def _images(summary: dict[str, Any], split: str) -> int:
    """Count the images of a split by its confusion matrix; 0 if there is none."""
    rows = read_section(summary, "confusion").get(split)
    try:
        return sum(int(count) for row in rows or [] for count in row)
    except (TypeError, ValueError):
        return 0


def _use(content: CardContent, settings: DecodeSettings) -> Iterator[str]:
    """Yield the section with code that runs the model."""
    size = settings.size
    yield f"Input `images`: uint8, (n, {size}, {size}, 3), RGB. Output `probabilities`: float32, (n, K)."
    yield "To decode and to resize an image is not part of the model:"
    yield from ("", "```python", "from pathlib import Path", "")
    yield from decoding_code(settings)
    yield ""
    yield from content.usage.split("\n")
    yield 'labels = Path("labels.txt").read_text(encoding="utf-8").splitlines()'
    yield "print(labels[probabilities[0].argmax()], probabilities[0].max())"
    yield "```"
    if "from semisup." in content.usage:
        yield ""
        yield f"This code needs semisup {__version__}; the formats onnx and torch do not."
    yield ""
    yield "The model computes in float32. Transparent pixels are replaced by the gray value `background`"
    yield f"({settings.background}), and 16-bit gray images are reduced to their upper 8 bits."
    if settings.draft:
        yield "In training, JPEG files were decoded at a reduced scale where that sufficed (`Image.draft`);"
        yield "without that, probabilities differ slightly."


def decoding_code(settings: DecodeSettings) -> Iterator[str]:
    """Yield Python code that decodes image.jpg to `pixels` with Pillow, in the same way as `images/decode.py`."""
    size = settings.size
    yield from ("import numpy", "from PIL import Image, ImageOps", "")
    yield 'image = ImageOps.exif_transpose(Image.open("image.jpg")).convert("RGB")'
    if settings.resize == "stretch":
        yield f"image = image.resize(({size}, {size}), Image.Resampling.BILINEAR)"
    else:
        yield f"long_side = int({size} * max(image.size) / min(image.size))"
        yield f"width, height = ({size}, long_side) if image.width <= image.height else (long_side, {size})"
        yield f"left, top = round((width - {size}) / 2), round((height - {size}) / 2)"
        yield "image = image.resize((width, height), Image.Resampling.BILINEAR)"
        yield f"image = image.crop((left, top, left + {size}, top + {size}))"
    yield "pixels = numpy.array(image)[None]"


def _escape(value: object) -> str:
    """Escape Markdown and HTML in text from outside the program, and put it on one line."""
    text = printable(value)
    for letter in "\\`*_[]<>|":
        text = text.replace(letter, f"\\{letter}" if letter not in "<>" else {"<": "&lt;", ">": "&gt;"}[letter])
    return text
