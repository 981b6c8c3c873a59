"""Measure the storage of features at scale: the section "Features of a frozen encoder" of docs/internals/scaling.md.

python docs/internals/measure_features.py lite0 COUNT    EfficientNet-lite0, images of 224 pixels
python docs/internals/measure_features.py toy COUNT      timm's test_efficientnet, images of 32 pixels

COUNT generated images are encoded. Each command prints the time per image and the resident memory after every tenth of
the images. At the end it prints the size of the pack, the costs of opening it, and the time to add a hundredth of new
images. Times are CPU times of one thread.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from semisup.config import schema
from semisup.config.compose import compose, config_folder, without_hydra
from semisup.config.hydra_versions import initialized
from semisup.core.types import Images
from semisup.features import EncodingJob, FeaturePack, FeatureTable, PackRecipe, encode_missing, image_digests
from semisup.images.cache import no_progress
from semisup.runtime.timm_compat import create_network

CPU = torch.device("cpu")


class GeneratedPixels:
    """(count, 3, size, size) uint8 noise; each image is a function of its number and is computed when it is read."""

    def __init__(self, count: int, size: int, first: int = 0) -> None:
        self.count, self.size, self.first = count, size, first

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.count, 3, self.size, self.size))

    @property
    def device(self) -> torch.device:
        return CPU

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Tensor:
        shape = (3, self.size, self.size)
        every = [numpy.random.default_rng(self.first + int(number)).bytes(3 * self.size**2) for number in index]
        return torch.from_numpy(numpy.stack([numpy.frombuffer(each, numpy.uint8).reshape(shape) for each in every]))

    def split(self, size: int) -> Iterator[Tensor]:
        for begin in range(0, self.count, size):
            yield self[range(begin, min(begin + size, self.count))]

    def to(self, device: torch.device) -> "GeneratedPixels":
        return self


def images(count: int, size: int, first: int = 0) -> Images:
    names = [""] * count
    return Images(GeneratedPixels(count, size, first), torch.full((count,), -1), names)


def encoder_of(kind: str, folder: Path) -> tuple[Any, int]:
    """Build the settings of the encoder; return them and the side of its images."""
    if kind == "lite0":
        return validated("encoder=lite0").encoder, 224
    file = folder / "toy.pth"
    torch.manual_seed(0)
    torch.save(create_network("encoder.architecture", "test_efficientnet", 10).state_dict(), file)
    words = ["encoder=timm", "encoder.architecture=test_efficientnet", f"encoder.weights={file}"]
    return validated(*words, "encoder.input_size=32").encoder, 32


def validated(*words: str) -> Any:
    with initialized(config_folder()):
        return schema.validate(without_hydra(compose([*words, "model=linear", "tracking=none"])))


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def seconds() -> float:
    return time.process_time()


def main(kind: str, count: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        encoder, size = encoder_of(kind, Path(name))
        network = encoder.build()
        recipe = PackRecipe(encoder, None, (3, size, size), CPU)
        every, cache = images(count, size), Path(name)
        began = seconds()
        digests = image_digests(every)
        print(f"digests: {(seconds() - began) / count * 1e6:.1f} us per image (generation of the image included)")
        pack = FeaturePack(cache, recipe)
        for tenth in range(1, 11):
            end, begin = count * tenth // 10, count * (tenth - 1) // 10
            part = images(end - begin, size, begin)
            began = seconds()
            encode_missing(lambda: network, EncodingJob(pack, [part], digests[begin:end]), no_progress)
            took = (seconds() - began) / (end - begin) * 1e3
            print(f"{end:,} images: {took:.3f} ms per image, resident {resident_mb():.0f} MB", flush=True)
        folder = pack.folder
        assert folder is not None
        files = list(folder.glob("*.rows"))
        print(f"pack: {sum(file.stat().st_size for file in files) / count:.0f} bytes per image in {len(files)} files")
        del pack
        before, began = resident_mb(), seconds()
        pack = FeaturePack(cache, recipe)
        print(f"open and verify: {(seconds() - began) / count * 1e6:.1f} us per image", end=", ")
        print(f"{(resident_mb() - before) / count * 1e6:.0f} bytes of memory per image")
        began = seconds()
        table = FeatureTable([pack], digests, CPU, resident=False)
        position = torch.randint(count, (448,))
        found, before = seconds() - began, resident_mb()
        began = seconds()
        for _ in range(20):
            table.gather(position)
        gathered = (seconds() - began) / 20 / len(position)
        print(f"find the rows: {found / count * 1e6:.1f} us per image; read a row: {gathered * 1e6:.1f} us")
        more = images(count // 100, size, count)
        new = image_digests(more)
        began = seconds()
        encode_missing(lambda: network, EncodingJob(pack, [every, more], digests + new), no_progress)
        print(
            f"add {len(more):,} new images to {count:,}: {(seconds() - began) / len(more) * 1e3:.3f} ms per new image"
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
