"""Layout `webdataset`: archives in which a file `NAME.cls` or `NAME.json` contains the class of the image `NAME.jpg`.

    train-0000.tar    00000.jpg  00000.cls  00001.jpg  00001.json ...

A `.cls` file contains the name or number of the class, a `.json` file an object with a key such as `label` or `class`.
The split is the first word of the archive's name (`train`, `val`, `test`, `unlabeled`); without such a word, images
with a class are labeled and all others unlabeled.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from semisup.dataset._image_rows import ImageRows
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._source import Source
from semisup.dataset._split_words import LABELED, split_of_name
from semisup.dataset._table_columns import CLASS, find_columns
from semisup.dataset._table_rows import class_name
from semisup.errors import DataError
from semisup.images.archive_listing import sample_name
from semisup.images.decode import BadImageError
from semisup.images.ignored_files import OTHER_SUFFIX
from semisup.images.read_file import read_file
from semisup.images.scan import ImageFile
from semisup.text import escape

EXPECTS = "shards with a .cls or .json file for each image"

MAX_CLASS_BYTES = 2**20
"""Largest size, in bytes, of a `.cls` or `.json` member."""


def matches(source: Source, names: SetNames) -> bool:
    """Whether the archives contain a file with the class of an image, such as `0001.cls` for `0001.jpg`."""
    samples = {sample_name(name) for name in source.attached() if name.endswith((".cls", ".json"))}
    return bool(samples) and any(sample_name(image.name) in samples for image in source.scan(".").files)


def scanned(source: Source, names: SetNames) -> Mapping[str, list[str]]:
    return {}


def read(source: Source, names: SetNames) -> Listing:
    scan, attached = source.scan("."), source.attached()
    rows = ImageRows(source.shown("."), lambda origin: source.shown(scan.files[origin].name))
    rows.ignored.update({**scan.ignored, **scan.suffixes})
    of_sample = {
        suffix: {sample_name(name): each for name, each in attached.items() if name.endswith(suffix)}
        for suffix in (".cls", ".json")
    }
    for suffix, members in of_sample.items():
        rows.ignored.subtract({suffix: len(members), OTHER_SUFFIX: len(members)})
    before, previous = None, ""
    for number, file in enumerate(scan.files):
        sample = sample_name(file.name)
        if sample == before:
            problem = f"the sample {sample.lstrip('/')} has two images, {previous} and {file.name}"
            raise DataError(f"{source.shown('.')}: {problem}; pack one image per sample, without masks and the like")
        before, previous = sample, file.name
        class_ = ""
        if (member := of_sample[".cls"].get(sample)) is not None:
            class_ = class_name(_text(source, member).strip())
        elif (member := of_sample[".json"].get(sample)) is not None:
            class_ = _class_in_json(source, member, names)
        split = split_of_name(os.path.basename(file.path)) or LABELED
        rows.add(file, class_, split, number)
    rows.ignored = +rows.ignored  # without counts of 0
    return rows.listing(f"WebDataset: {len(rows.files)} samples", names, "sample")


def _text(source: Source, member: ImageFile) -> str:
    try:
        return read_file(member, MAX_CLASS_BYTES).decode("utf-8-sig")
    except (BadImageError, UnicodeDecodeError) as error:
        raise DataError(f"{source.shown(member.name)}: must be text with the class of an image ({error})") from None


def _class_in_json(source: Source, member: ImageFile, names: SetNames) -> str:
    try:
        value: Any = json.loads(_text(source, member))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{source.shown(member.name)}: is not JSON; it must be an object with the class of an image"
        ) from None
    if not isinstance(value, dict):
        raise DataError(
            f'{source.shown(member.name)}: must be a JSON object with the class of an image, such as {{"label": 3}}'
        )
    keys = list(map(str, value))
    position = find_columns(source.shown(member.name), keys, {CLASS: names.columns.get(CLASS)}, ()).get(CLASS)
    label = value[list(value)[position]] if position is not None else None
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        allowed = "must be text or an integer, or null for no class"
        raise DataError(f"{source.shown(member.name)}: the value of {escape(keys[position or 0])} {allowed}")
    return "" if label is None else class_name(str(label).strip())
