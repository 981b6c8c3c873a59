"""Find images that occur more than once in a data set, by comparing pixels.

    equal    the pixels are the same after decoding. The names, formats or metadata of the files can differ.
    near     at most 4 of the 64 bits of the dHash differ, and the means over a 16 x 16 grid differ by at most 4 of 255
             gray levels on average: for example, an image that was encoded again, slightly resized, or cropped by a row

The dHash of an image (N. Krawetz, hackerfactor.com, 2013) has one bit for each pair of horizontal neighbors in the
image reduced to 9 x 8 pixels: whether the right pixel is brighter. With the bits written as +1 and -1, at most 4 bits
differ exactly if the dot product is at least 56, so a matrix product compares all pairs of images.
"""

import contextlib
import hashlib
import json
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from semisup.core.types import SPLITS, Images, Pixels
from semisup.runtime.atomic_files import write_atomically

MOST_BITS, MOST_LEVELS, FLAT = 4, 4.0, 8
"""Limits for near duplicates: different bits of the dHash, mean difference in gray levels.

Nearly uniform images, whose largest and smallest mean differ by less than FLAT, are skipped.
"""

STOP, WARN, IGNORE = ON_DUPLICATE = ("error", "warn", "ignore")

MOST_LISTED, MOST_MEMBERS = 1000, 100
"""Largest number of listed groups of each kind, and of listed members of a group.

More members are listed only if their combination of split and class is not in the list yet.
"""

MOST_PAIRS = 100_000
"""The search for near duplicates stops after this many pairs: of the frames of a film, nearly all pairs are near."""

VERSION = 4
"""Increase this when a change of the program finds other duplicates in the same images."""

_GRID, _BITS, _BLOCK, _PRODUCT, _CHUNK_BYTES = 16, 64, 256, 2**24, 2**24  # a product of matrices takes 64 MiB
_TRAINED_ON = frozenset({"labeled", "unlabeled"})


class DuplicateImage(NamedTuple):
    """An image in a group of duplicate images.

    split: labeled, unlabeled, validation or test
    name: name of the image in the data set
    target: index of the class; -1 = unknown
    """

    split: str
    name: str
    target: int


class Duplicates(NamedTuple):
    """Groups of duplicate images, by kind.

    counts: name of one of the other fields -> number of groups found; the field itself lists only the first groups
    leaks: groups of equal images in several splits, at least one of which is validation or test
    two_classes: groups of equal images with different known classes; a group can be in `leaks` too
    repeats: all other groups of equal images
    near: pairs of near duplicates that are in different splits, one of them validation or test, or that have
        different known classes; at most MOST_PAIRS are counted
    """

    counts: dict[str, int]
    leaks: list[list[DuplicateImage]]
    two_classes: list[list[DuplicateImage]]
    repeats: list[list[DuplicateImage]]
    near: list[list[DuplicateImage]]


def find_duplicates(images: Mapping[str, Images]) -> Duplicates:
    """Search for equal images and near duplicates among all images.

    Pairs of two unlabeled images are checked only for equality.

    Args:
        images: split -> images; the pixels of all images have the same shape.
    """
    splits = sorted(
        SPLITS, key=lambda split: split == "unlabeled"
    )  # unlabeled last: those before are compared with all
    dataset = _AllImages(splits, [images[split] for split in splits])
    means, bits = _descriptors([each.pixels for each in dataset.images])
    is_repeat = torch.zeros(len(means), dtype=torch.bool)
    equal = equal_only(dataset.members(rows, is_repeat) for rows in _equal(dataset, means))
    near: list[list[DuplicateImage]] = []
    count = 0
    for pairs in _near(bits, means, len(means) - len(images["unlabeled"])):
        harmful = pairs[:, ~is_repeat[pairs].any(0) & dataset.harmful(pairs)].T[: MOST_PAIRS - count]
        near += [[dataset.member(row) for row in pair] for pair in harmful[: MOST_LISTED - len(near)].tolist()]
        count += len(harmful)
        if count == MOST_PAIRS:
            break
    return equal._replace(counts=equal.counts | {"near": count}, near=near)


def equal_only(groups: Iterable[Iterable[DuplicateImage]]) -> Duplicates:
    """Sort groups of equal images into the kinds `leaks`, `two_classes` and `repeats` of `Duplicates`.

    The result contains no near duplicates (`near` is empty).
    """
    groups_of: dict[str, list[list[DuplicateImage]]] = {"leaks": [], "two_classes": [], "repeats": []}
    counts = dict.fromkeys(groups_of, 0)
    for group in groups:
        first: list[DuplicateImage] = []
        seen: set[tuple[str, int]] = set()
        for member in group:
            if len(first) < MOST_MEMBERS or (member.split, member.target) not in seen:
                first.append(member)
                seen.add((member.split, member.target))
        splits, targets = zip(*seen, strict=True)
        harm = {"leaks": _leaks(set(splits)), "two_classes": _differ(targets)}
        for kind in [kind for kind in harm if harm[kind]] or ["repeats"]:
            counts[kind] += 1
            groups_of[kind] += [first][: MOST_LISTED - len(groups_of[kind])]
    return Duplicates(counts, **groups_of, near=[])


class _AllImages:
    """The images of all splits, with consecutive indices from 0; an argument `row` is such an index."""

    def __init__(self, splits: Sequence[str], images: Sequence[Images]) -> None:
        self.splits, self.images = splits, images
        self.ends = list(accumulate(map(len, images)))
        self.targets = torch.cat([each.targets.cpu() for each in images])
        numbers = torch.arange(len(splits), dtype=torch.int8)
        self.split = torch.repeat_interleave(numbers, torch.tensor([len(each) for each in images]))
        self.is_evaluation = torch.tensor([split not in _TRAINED_ON for split in splits])

    def place(self, row: int) -> tuple[int, int]:
        """Return the index of the split that contains an image, and the index of the image in this split."""
        number = bisect_right(self.ends, row)
        return number, row - (self.ends[number - 1] if number else 0)

    def member(self, row: int) -> DuplicateImage:
        number, own = self.place(row)
        return DuplicateImage(self.splits[number], self.images[number].paths[own], int(self.targets[row]))

    def members(self, rows: Sequence[int], is_repeat: Tensor) -> Iterator[DuplicateImage]:
        """Yield the images of a group of duplicates.

        Args:
            rows: indices of the images of the group.
            is_repeat: (n,) bool for all n images; this function sets it to True for all images of the group except the
                first.
        """
        for row in rows:
            is_repeat[row] = row != rows[0]
            yield self.member(row)

    def digest(self, row: int) -> bytes:
        """Compute the sha256 of the pixels of an image."""
        number, own = self.place(row)
        return hashlib.sha256(self.images[number].pixels[own].numpy().tobytes()).digest()

    def harmful(self, pairs: Tensor) -> Tensor:
        """Find the pairs with different known classes, and the pairs in two splits of which one is validation or test.

        Args:
            pairs: (2, m) indices of the two images of each pair.

        Returns:
            (m,) bool, True = the pair is harmful.
        """
        splits, targets = self.split[pairs].long(), self.targets[pairs]
        leaking = (splits[0] != splits[1]) & self.is_evaluation[splits].any(0)
        return leaking | ((targets[0] != targets[1]) & (targets >= 0).all(0))


def cached(cache: Path | None, key: str, search: Callable[[], Duplicates]) -> Duplicates:
    """Return the duplicates from the cache, or call `search` and store the result in the cache.

    Args:
        cache: cache directory; None = no cache. If it cannot be written, nothing is stored.
        key: text that changes when the images change.
    """
    if cache is None:
        return search()
    path = cache / "duplicates" / f"{hashlib.sha256(f'{VERSION} {key}'.encode()).hexdigest()}.json"
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
        if digest == hashlib.sha256(path.name.encode() + body).hexdigest().encode():
            counts, *kinds = json.loads(body)
            return Duplicates(
                counts, *([[DuplicateImage(*each) for each in group] for group in kind] for kind in kinds)
            )
    except OSError:
        pass  # missing or unreadable
    duplicates = search()
    body = json.dumps(duplicates).encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(path.name.encode() + body).hexdigest().encode(), b"\n", body)
    return duplicates


def _leaks(splits: set[str]) -> bool:
    return len(splits) > 1 and not splits <= _TRAINED_ON


def _differ(targets: Sequence[int]) -> bool:
    return len(set(targets) - {-1}) > 1


def _descriptors(images: Sequence[Pixels]) -> tuple[Tensor, Tensor]:
    """Compute the gray means and the dHash of n images, by which they are compared.

    Returns:
        (n, 256) uint8, the mean gray levels of the fields of a 16 x 16 grid; and (n, 64) int8, the bits of the dHash as
        +1 and -1.
    """
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


def _equal(dataset: _AllImages, means: Tensor) -> Iterator[Sequence[int]]:
    """Yield the indices of the images of each group with equal pixels.

    The sha256 of the pixels is compared, but only between images with equal gray means.

    Args:
        means: (n, 256) uint8, gray means of all images.
    """
    factors = numpy.random.default_rng(0).integers(0, 2**63, _GRID**2 // 8, dtype=numpy.uint64) | numpy.uint64(1)
    sums = means.numpy().view(numpy.uint64) @ factors  # equal for equal means
    order = numpy.argsort(sums, kind="stable")
    begins = numpy.flatnonzero(numpy.diff(sums[order], prepend=sums[order[:1]] + numpy.uint64(1)))
    ends = numpy.append(begins[1:], len(order))
    repeated = numpy.flatnonzero(ends - begins > 1)
    for group in repeated[numpy.argsort(order[begins[repeated]])]:
        equal: dict[bytes, array[int]] = defaultdict(lambda: array("q"))
        for row in order[begins[group] : ends[group]]:
            equal[dataset.digest(int(row))].append(row)
        yield from (rows for rows in equal.values() if len(rows) > 1)


def _near(bits: Tensor, means: Tensor, first: int) -> Iterator[Tensor]:
    """Yield pairs of near duplicates, many at a time: (2, m) indices of the two images of m pairs.

    Nearly uniform images are skipped (see FLAT).

    Args:
        bits: (n, 64) int8, dHash of all images.
        means: (n, 256) uint8, gray means of all images.
        first: only pairs with at least one image whose index is below this are searched for.
    """
    is_varied = means.amax(1) - means.amin(1) >= FLAT if len(means) else torch.zeros(0, dtype=torch.bool)
    # the means are compared too, because different objects on a plain background often have the same dHash
    varied = torch.nonzero(is_varied).squeeze(1)
    for start in range(0, int((varied < first).sum()), _BLOCK):
        ones = varied[start : start + _BLOCK]
        ones = ones[ones < first]
        block = bits[ones].float()
        for part in range(start, len(varied), _PRODUCT // _BLOCK):
            others = varied[part : part + _PRODUCT // _BLOCK]
            is_near = block @ bits[others].float().T >= _BITS - 2 * MOST_BITS
            one, other = torch.nonzero(is_near, as_tuple=True)
            pairs = torch.stack([ones[one], others[other]])
            for some in pairs[:, pairs[0] < pairs[1]].split(2**16, dim=1):
                distance = (means[some[0]].to(torch.int16) - means[some[1]].to(torch.int16)).abs().float().mean(1)
                yield some[:, distance <= MOST_LEVELS]
