"""The same image twice: in two splits, or under two classes; found by what it shows, whatever its file is called.

    equal    the same pixels once decoded: another name, another format, other metadata
    near     at most 4 of the 64 bits of their dHash differ, and at most 4 of 255 gray levels, on average, of their
             16 x 16 means: encoded anew, a little larger, a row less

dHash: which of 8 x 8 pairs of neighbors is brighter on the right (N. Krawetz, hackerfactor.com, 2013). A difference of
at most 4 is a product of at least 56 of two rows of +1 and -1, so one product of matrices compares each with each.
The means are asked too, because pictures of one kind on a plain background share their dHash without being alike.
"""

import contextlib
import hashlib
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from semisup.dataset import SPLITS
from semisup.disk import write_atomically
from semisup.errors import DataError
from semisup.shapes import Images, Pixels

MOST_BITS, MOST_LEVELS, FLAT = 4, 4.0, 8
"""Of near duplicates: bits of dHash, mean gray levels; pictures whose means span less than FLAT levels show nothing."""

STOP, WARN, IGNORE = ON_LEAK = ("error", "warn", "ignore")

MOST_LISTED = 1000  # of each kind of twins, in the report

MOST_PAIRS = 100_000
"""The search for near duplicates ends with so many: in frames of one film nearly all pairs are."""

VERSION = 2
"""Raise this when the same images give other twins."""

_GRID, _BITS, _BLOCK, _PRODUCT, _CHUNK_BYTES = 16, 64, 256, 2**24, 2**24
_TRAINED_ON = frozenset({"labeled", "unlabeled"})


class Member(NamedTuple):
    """One of several equal images: its split, its name, its class number (-1 = unknown)."""

    split: str
    name: str
    target: int


class Twins(NamedTuple):
    """Images that are there more than once.

    leaks: groups of equal images in several splits, one of which judges: validation or test
    two_classes: groups of equal images of which two have different known classes
    repeats: the other groups: within one split, or labeled and unlabeled, where they do no harm
    near: pairs that would be leaks or of two classes, were they equal; the first MOST_PAIRS
    """

    leaks: list[list[Member]]
    two_classes: list[list[Member]]
    repeats: list[list[Member]]
    near: list[list[Member]]


def find(images: Mapping[str, Images]) -> Twins:
    """Compare all with all, but the unlabeled among themselves only for equality.

    Args:
        images: of each split; the pixels of all have one shape.
    """
    splits = sorted(SPLITS, key=lambda split: split == "unlabeled")  # last: what is compared with all comes first
    members = [Member(split, *each) for split in splits for each in _named(images[split])]
    pixels = [images[split].pixels for split in splits]
    means = torch.cat([_means(each) for each in pixels])
    groups = _equal(pixels, means)
    equal = equal_only([members[row] for row in rows] for rows in groups)
    again = {row for rows in groups for row in rows[1:]}
    bits = torch.cat([_bits(each) for each in pixels])
    first = len(members) - len(images["unlabeled"])
    near = (
        [members[one], members[other]]
        for one, other in _near(bits, means, first)
        if one not in again and other not in again and _harmful(members[one], members[other])
    )
    return equal._replace(near=list(islice(near, MOST_PAIRS)))


def equal_only(groups: Iterable[list[Member]]) -> Twins:
    """Groups of equal images by what is wrong with them; near ones were not looked for."""
    leaks, two_classes, repeats = [], [], []
    for group in groups:
        leak = _leaks({member.split for member in group})
        differ = _differ([member.target for member in group])
        if leak:
            leaks.append(group)
        if differ:
            two_classes.append(group)
        if not leak and not differ:
            repeats.append(group)
    return Twins(leaks, two_classes, repeats, near=[])


def remembered(cache: Path | None, key: str, search: Callable[[], Twins]) -> Twins:
    """What `search` finds, out of `cache`/twins if it is there whole, else put there, as far as that can be written.

    Args:
        key: changes when the images do.
    """
    if cache is None:
        return search()
    path = cache / "twins" / f"{hashlib.sha256(f'{VERSION} {key}'.encode()).hexdigest()}.json"
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
        if digest == hashlib.sha256(path.name.encode() + body).hexdigest().encode():
            return Twins(*([[Member(*each) for each in group] for group in kind] for kind in json.loads(body)))
    except OSError:
        pass  # not there, or not to be read
    found = search()
    body = json.dumps(found).encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(path.name.encode() + body).hexdigest().encode(), b"\n", body)
    return found


def _named(images: Images) -> Iterator[tuple[str, int]]:
    return zip(images.paths, images.targets.tolist(), strict=True)


def _leaks(splits: set[str]) -> bool:
    return len(splits) > 1 and not splits <= _TRAINED_ON


def _differ(targets: Sequence[int]) -> bool:
    return len(set(targets) - {-1}) > 1


def _harmful(one: Member, other: Member) -> bool:
    return _leaks({one.split, other.split}) or _differ([one.target, other.target])


def _gray(pixels: Pixels) -> Iterator[Tensor]:
    """(n, C, S, S) uint8 -> (m, 1, S, S) float in [0, 255], a part at a time."""
    for part in pixels.split(max(1, _CHUNK_BYTES // (4 * pixels.shape[1:].numel()))):
        yield part.float().mean(1, keepdim=True)


def _means(pixels: Pixels) -> Tensor:
    """(n, C, S, S) uint8 -> (n, 256) uint8: gray, 16 x 16."""
    found = [adaptive_avg_pool2d(part, (_GRID, _GRID)).round().to(torch.uint8).flatten(1) for part in _gray(pixels)]
    return torch.cat([torch.zeros(0, _GRID**2, dtype=torch.uint8), *found])


def _bits(pixels: Pixels) -> Tensor:
    """(n, C, S, S) uint8 -> (n, 64) float, +1 or -1: dHash."""
    small = [adaptive_avg_pool2d(part, (8, 9)).squeeze(1) for part in _gray(pixels)]
    found = [torch.where(part[:, :, 1:] > part[:, :, :-1], 1.0, -1.0).flatten(1) for part in small]
    return torch.cat([torch.zeros(0, _BITS), *found])


def _equal(pixels: Sequence[Pixels], means: Tensor) -> list[list[int]]:
    """Rows with the same pixels, in groups of at least two; only those of equal means are looked at closely."""
    rows = [(split, row) for split in pixels for row in range(len(split))]
    alike, equal = defaultdict(list), defaultdict(list)
    for number, mean in enumerate(means.numpy()):
        alike[mean.tobytes()].append(number)
    for numbers in alike.values():
        for number in numbers if len(numbers) > 1 else ():
            split, row = rows[number]
            equal[hashlib.sha256(split[row].numpy().tobytes()).digest()].append(number)
    return [numbers for numbers in equal.values() if len(numbers) > 1]


def _near(bits: Tensor, means: Tensor, first: int) -> Iterator[tuple[int, int]]:
    """Pairs of rows, the smaller one below `first`, that look alike and show something."""
    levels = means.to(torch.int16)
    shows = levels.amax(1) - levels.amin(1) >= FLAT if len(levels) else torch.zeros(0, dtype=torch.bool)
    kept = torch.nonzero(shows).squeeze(1)
    bits, levels = bits[kept], levels[kept]
    at_once = max(1, min(_BLOCK, _PRODUCT // max(1, len(bits))))  # rows of a product that takes 64 MiB at most
    for start in range(0, int((kept < first).sum()), at_once):
        block = bits[start : start + at_once]
        one, other = torch.nonzero(block @ bits[start:].T >= _BITS - 2 * MOST_BITS, as_tuple=True)
        later = (other > one) & (kept[one + start] < first)
        pairs = torch.stack([one[later], other[later]]) + start
        for part in pairs.split(2**16, dim=1):
            apart = (levels[part[0]] - levels[part[1]]).abs().float().mean(1)
            yield from map(tuple, kept[part[:, apart <= MOST_LEVELS]].T.tolist())


def plain(twins: Twins, classes: Sequence[str], kinds: Sequence[str] = Twins._fields) -> dict[str, Any]:
    """As plain data: how many of each of the kinds there are, and the first MOST_LISTED of them."""
    found = {kind: getattr(twins, kind) for kind in kinds}
    counts = {kind: len(groups) for kind, groups in found.items()}
    return {"counts": counts} | {
        kind: [[_said(member, classes) for member in group] for group in groups[:MOST_LISTED]]
        for kind, groups in found.items()
    }


def _said(member: Member, classes: Sequence[str]) -> dict[str, str | None]:
    known = classes[member.target] if member.target >= 0 else None
    return {"split": member.split, "path": member.name, "class": known}


def judge(twins: Twins, classes: tuple[str, ...], on_leak: str) -> None:
    """Warn of images that are where they must not be; raise DataError where that is to stop the run."""
    said = []
    if twins.leaks:
        said.append(f"{len(twins.leaks)} image(s) in several of training, validation and test ({_some(twins.leaks)})")
    if twins.two_classes:
        said.append(f"{len(twins.two_classes)} image(s) under two classes ({_some(twins.two_classes)})")
    if said and on_leak == STOP:
        raise DataError(f"{'; '.join(said)}: leave one of each, or dataset.on_leak=warn goes on all the same")
    if twins.near:
        said.append(f"{len(twins.near)} pair(s) that nearly are ({_some(twins.near)})")
    if said:
        warnings.warn(f"{'; '.join(said)}: see data_report.json", stacklevel=4)


def _some(groups: Sequence[Sequence[Member]]) -> str:
    """The first three, as `training/a/1.jpg = testing/a/9.jpg`."""
    first = [" = ".join(member.name for member in group[:3]) for group in groups[:3]]
    return "; ".join(first) + ("; ..." if len(groups) > 3 else "")
