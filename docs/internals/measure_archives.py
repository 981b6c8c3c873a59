"""Measure what an image in a tar shard costs, and the same image in a folder: the table in docs/internals/scaling.md.

python docs/internals/measure_archives.py COUNT    COUNT tiny JPEG files, in folders of 1,000 and in shards of 10,000
"""

import io
import os
import sys
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from semisup.images.archive import list_archives
from semisup.images.read_file import read_file
from semisup.images.scan import ImageFile, scan

SIDE, IN_FOLDER, IN_SHARD, LIMIT = 32, 1000, 10_000, 2**20


def main() -> None:
    """Print a row for the folders and a row for the shards."""
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        folders, shards = Path(place) / "folders", Path(place) / "shards"
        write(folders, shards, count)
        print("| | listing, us | memory of the list, bytes | reading, us |\n|---|---|---|---|")
        measure("files in folders", lambda: scan(folders, folders, follow_symlinks=False).files)
        measure("members of tar shards", lambda: list_archives(sorted(shards.iterdir())).images)


def write(folders: Path, shards: Path, count: int) -> None:
    """Write the images in both forms."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(buffer, "JPEG")
    data = buffer.getvalue()
    shards.mkdir()
    for start in range(0, count, IN_SHARD):
        with tarfile.open(shards / f"{start // IN_SHARD:06d}.tar", "w") as archive:
            for number in range(start, min(start + IN_SHARD, count)):
                name = f"{number // IN_FOLDER:06d}/{number:09d}.jpg"
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
                os.makedirs(folders / os.path.dirname(name), exist_ok=True)
                (folders / name).write_bytes(data)


def measure(name: str, list_images: Callable[[], Sequence[ImageFile]]) -> None:
    """Print CPU times and memory per image."""
    began = time.process_time()
    images = list_images()
    listing = time.process_time() - began
    began = time.process_time()
    for image in images:
        read_file(image, LIMIT)
    reading = time.process_time() - began
    del images
    tracemalloc.start()
    images = list_images()
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    count = len(images)
    print(f"| {name} | {listing / count * 1e6:.1f} | {memory / count:.0f} | {reading / count * 1e6:.1f} |", flush=True)


if __name__ == "__main__":
    main()
