"""Render an HTML page with thumbnails of the images to label, and of the images whose labels should be checked."""

from collections.abc import Sequence
from typing import Any

import torch

from semisup.labeling.review import ReviewedImage
from semisup.labeling.run_data import ImageSet, RunData
from semisup.report.format_numbers import format_percent
from semisup.report.html.page import render_page
from semisup.report.html.thumbnails import data_uri
from semisup.text import printable

MAX_THUMBNAILS = 200
"""Largest number of images of each kind on the page; the tables have all of them."""


def review_page(data: RunData, to_label: Sequence[ReviewedImage], to_check: Sequence[ReviewedImage]) -> bytes:
    """Render the page of images to label and images whose labels should be checked; equal input gives equal bytes."""
    groups = [
        _group("next", "Label next", "most useful first, with the predicted class", to_label, data.unlabeled),
        _group("check", "Labels that look wrong", "the given class, then the suggested one", to_check, data.labeled),
    ]
    groups = [group for group in groups if group["images"]]
    return render_page(
        "labeling.html",
        title=printable(data.id),
        sentence=f"{len(to_label)} images to label next, {len(to_check)} labels to check",
        sections=[(group["id"], group["title"]) for group in groups],
        groups=groups,
    )


def _group(id_: str, title: str, order: str, images: Sequence[ReviewedImage], of: ImageSet) -> dict[str, Any]:
    shown = images[:MAX_THUMBNAILS]
    pixels = of.pixels[torch.tensor([each.row for each in shown])] if shown else []
    caption = order if len(shown) == len(images) else f"{order}; the first {len(shown)} of {len(images)}"
    return {
        "id": id_,
        "title": title,
        "caption": caption,
        "images": [
            {
                "uri": data_uri(image.cpu()),
                "file": printable(each.file),
                "given": each.given,
                "suggested": each.suggested,
                "confidence": format_percent(each.confidence),
            }
            for each, image in zip(shown, pixels, strict=True)
        ],
    }
