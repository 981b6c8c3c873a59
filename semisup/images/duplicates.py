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
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from semisup.core.types import SPLITS, Images, Pixels
from semisup.errors import DataError
from semisup.runtime.atomic_files import write_atomically

MOST_BITS, MOST_LEVELS, FLAT = 4, 4.0, 8
"""Of near duplicates: bits of dHash, mean gray levels; pictures whose means span less than FLAT levels show nothing."""

STOP, WARN, IGNORE = ON_DUPLICATE = ("error", "warn", "ignore")

MOST_LISTED, MOST_MEMBERS = 1000, 100
"""Groups of each kind that are listed, and members of a group; of each split and class one at least."""

MOST_PAIRS = 100_000
"""The search for near duplicates ends with so many: in frames of one film nearly all pairs are."""

VERSION = 4
"""Raise this when the same images give other twins."""

_GRID, _BITS, _BLOCK, _PRODUCT, _CHUNK_BYTES = 16, 64, 256, 2**24, 2**24  # a product takes 64 MiB
_TRAINED_ON = frozenset({"labeled", "unlabeled"})


class DuplicateImage(NamedTuple):
    """One of several equal images: its split, its name, its class number (-1 = unknown)."""

    split: str
    name: str
    target: int


class Duplicates(NamedTuple):
    """Images that are there more than once.

    counts: kind -> how many groups; listed are the first of them, however many images are the same
    leaks: groups of equal images in several splits, one of which judges: validation or test
    two_classes: groups of equal images of which two have different known classes
    repeats: the other groups: within one split, or labeled and unlabeled, where they do no harm
    near: pairs that would be leaks or of two classes, were they equal; no more than MOST_PAIRS are counted
    """

    counts: dict[str, int]
    leaks: list[list[DuplicateImage]]
    two_classes: list[list[DuplicateImage]]
    repeats: list[list[DuplicateImage]]
    near: list[list[DuplicateImage]]


def find_duplicates(images: Mapping[str, Images]) -> Duplicates:
    """Compare all with all, but the unlabeled among themselves only for equality.

    Args:
        images: of each split; the pixels of all have one shape.
    """
    splits = sorted(SPLITS, key=lambda split: split == "unlabeled")  # last: what is compared with all comes first
    everything = _Everything(splits, [images[split] for split in splits])
    means, bits = _descriptors([each.pixels for each in everything.images])
    again = torch.zeros(len(means), dtype=torch.bool)
    equal = equal_only(everything.members(rows, again) for rows in _equal(everything, means))
    near: list[list[DuplicateImage]] = []
    count = 0
    for pairs in _near(bits, means, len(means) - len(images["unlabeled"])):
        told = pairs[:, ~again[pairs].any(0) & everything.harmful(pairs)].T[: MOST_PAIRS - count]
        near += [[everything.member(row) for row in pair] for pair in told[: MOST_LISTED - len(near)].tolist()]
        count += len(told)
        if count == MOST_PAIRS:
            break
    return equal._replace(counts=equal.counts | {"near": count}, near=near)


def equal_only(groups: Iterable[Iterable[DuplicateImage]]) -> Duplicates:
    """Groups of equal images by what is wrong with them; near ones were not looked for."""
    found: dict[str, list[list[DuplicateImage]]] = {"leaks": [], "two_classes": [], "repeats": []}
    counts = dict.fromkeys(found, 0)
    for group in groups:
        first: list[DuplicateImage] = []
        seen: set[tuple[str, int]] = set()
        for member in group:
            if len(first) < MOST_MEMBERS or (member.split, member.target) not in seen:
                first.append(member)
                seen.add((member.split, member.target))
        splits, targets = zip(*seen, strict=True)
        wrong = {"leaks": _leaks(set(splits)), "two_classes": _differ(targets)}
        for kind in [kind for kind in wrong if wrong[kind]] or ["repeats"]:
            counts[kind] += 1
            found[kind] += [first][: MOST_LISTED - len(found[kind])]
    return Duplicates(counts, **found, near=[])


class _Everything:
    """The images of all splits, one after the other, by their rows."""

    def __init__(self, splits: Sequence[str], images: Sequence[Images]) -> None:
        self.splits, self.images = splits, images
        self.ends = list(accumulate(map(len, images)))
        self.targets = torch.cat([each.targets.cpu() for each in images])
        numbers = torch.arange(len(splits), dtype=torch.int8)
        self.split = torch.repeat_interleave(numbers, torch.tensor([len(each) for each in images]))
        self.judges = torch.tensor([split not in _TRAINED_ON for split in splits])

    def place(self, row: int) -> tuple[int, int]:
        """The number of its split, and its row there."""
        number = bisect_right(self.ends, row)
        return number, row - (self.ends[number - 1] if number else 0)

    def member(self, row: int) -> DuplicateImage:
        number, own = self.place(row)
        return DuplicateImage(self.splits[number], self.images[number].paths[own], int(self.targets[row]))

    def members(self, rows: Sequence[int], again: Tensor) -> Iterator[DuplicateImage]:
        """Of equal images; marks all but the first in (n,) `again`."""
        for row in rows:
            again[row] = row != rows[0]
            yield self.member(row)

    def digest(self, row: int) -> bytes:
        """Of its pixels."""
        number, own = self.place(row)
        return hashlib.sha256(self.images[number].pixels[own].numpy().tobytes()).digest()

    def harmful(self, pairs: Tensor) -> Tensor:
        """(2, m) rows -> (m,) bool: whether each pair would be a leak or of two classes, were it equal."""
        splits, targets = self.split[pairs].long(), self.targets[pairs]
        leaking = (splits[0] != splits[1]) & self.judges[splits].any(0)
        return leaking | ((targets[0] != targets[1]) & (targets >= 0).all(0))


def cached(cache: Path | None, key: str, search: Callable[[], Duplicates]) -> Duplicates:
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
            counts, *kinds = json.loads(body)
            return Duplicates(
                counts, *([[DuplicateImage(*each) for each in group] for group in kind] for kind in kinds)
            )
    except OSError:
        pass  # not there, or not to be read
    found = search()
    body = json.dumps(found).encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(path.name.encode() + body).hexdigest().encode(), b"\n", body)
    return found


def _leaks(splits: set[str]) -> bool:
    return len(splits) > 1 and not splits <= _TRAINED_ON


def _differ(targets: Sequence[int]) -> bool:
    return len(set(targets) - {-1}) > 1


def _descriptors(images: Sequence[Pixels]) -> tuple[Tensor, Tensor]:
    """n images of (C, S, S) uint8 -> (n, 256) uint8, gray means of 16 x 16; (n, 64) int8, +1 or -1: dHash."""
    count, row = sum(map(len, images)), 0
    means, bits = torch.empty(count, _GRID**2, dtype=torch.uint8), torch.empty(count, _BITS, dtype=torch.int8)
    for pixels in images:
        for part in pixels.split(max(1, _CHUNK_BYTES // (4 * pixels.shape[1:].numel()))):
            gray = part.float().mean(1, keepdim=True)  # (m, 1, S, S) in [0, 255]
            rows, row = slice(row, row + len(part)), row + len(part)
            means[rows] = adaptive_avg_pool2d(gray, (_GRID, _GRID)).round().to(torch.uint8).flatten(1)
            small = adaptive_avg_pool2d(gray, (8, 9)).squeeze(1)
            bits[rows] = (small[:, :, 1:] > small[:, :, :-1]).to(torch.int8).mul_(2).sub_(1).flatten(1)
    return means, bits


def _equal(everything: _Everything, means: Tensor) -> Iterator[Sequence[int]]:
    """Rows with the same pixels, in groups of at least two; only those of equal means are looked at closely."""
    factors = numpy.random.default_rng(0).integers(0, 2**63, _GRID**2 // 8, dtype=numpy.uint64) | numpy.uint64(1)
    sums = means.numpy().view(numpy.uint64) @ factors  # equal where the means are
    order = numpy.argsort(sums, kind="stable")
    begins = numpy.flatnonzero(numpy.diff(sums[order], prepend=sums[order[:1]] + numpy.uint64(1)))
    ends = numpy.append(begins[1:], len(order))
    alike = numpy.flatnonzero(ends - begins > 1)
    for group in alike[numpy.argsort(order[begins[alike]])]:
        equal: dict[bytes, array[int]] = defaultdict(lambda: array("q"))
        for row in order[begins[group] : ends[group]]:
            equal[everything.digest(int(row))].append(row)
        yield from (rows for rows in equal.values() if len(rows) > 1)


def _near(bits: Tensor, means: Tensor, first: int) -> Iterator[Tensor]:
    """(2, m) pairs of rows, the smaller one below `first`, that look alike and show something."""
    shows = means.amax(1) - means.amin(1) >= FLAT if len(means) else torch.zeros(0, dtype=torch.bool)
    kept = torch.nonzero(shows).squeeze(1)
    for start in range(0, int((kept < first).sum()), _BLOCK):
        ones = kept[start : start + _BLOCK]
        ones = ones[ones < first]
        block = bits[ones].float()
        for part in range(start, len(kept), _PRODUCT // _BLOCK):
            others = kept[part : part + _PRODUCT // _BLOCK]
            alike = block @ bits[others].float().T >= _BITS - 2 * MOST_BITS
            one, other = torch.nonzero(alike, as_tuple=True)
            pairs = torch.stack([ones[one], others[other]])
            for some in pairs[:, pairs[0] < pairs[1]].split(2**16, dim=1):
                apart = (means[some[0]].to(torch.int16) - means[some[1]].to(torch.int16)).abs().float().mean(1)
                yield some[:, apart <= MOST_LEVELS]


def to_report(duplicates: Duplicates, classes: Sequence[str]) -> dict[str, Any]:
    """As plain data: how many there are of each of the kinds that were looked for, and the first of them."""
    return {"counts": duplicates.counts} | {
        kind: [[_member_report(member, classes) for member in group] for group in getattr(duplicates, kind)]
        for kind in duplicates.counts
    }


def _member_report(member: DuplicateImage, classes: Sequence[str]) -> dict[str, str | None]:
    known = classes[member.target] if member.target >= 0 else None
    return {"split": member.split, "path": member.name, "class": known}


def report_duplicates(duplicates: Duplicates, classes: tuple[str, ...], on_duplicate: str) -> None:
    """Warn of images that are where they must not be; raise DataError where that is to stop the run."""
    said, counts = [], duplicates.counts
    if duplicates.leaks:
        said.append(
            f"{counts['leaks']} image(s) in several of training, validation and test ({_some(duplicates.leaks)})"
        )
    if duplicates.two_classes:
        said.append(f"{counts['two_classes']} image(s) under two classes ({_some(duplicates.two_classes)})")
    if said and on_duplicate == STOP:
        raise DataError(f"{'; '.join(said)}: leave one of each, or dataset.on_duplicate=warn goes on all the same")
    if duplicates.near:
        said.append(f"{counts['near']} pair(s) that nearly are ({_some(duplicates.near)})")
    if said:
        warnings.warn(f"{'; '.join(said)}: see data_report.json", stacklevel=4)


def _some(groups: Sequence[Sequence[DuplicateImage]]) -> str:
    """The first three, as `training/a/1.jpg = testing/a/9.jpg`."""
    first = [" = ".join(member.name for member in group[:3]) for group in groups[:3]]
    return "; ".join(first) + ("; ..." if len(groups) > 3 else "")
