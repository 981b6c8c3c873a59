"""Test the decoding of files to pixels or a reason, with one and with many processes."""

import dataclasses
import hashlib
import io
import os
import pickle
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy
import pytest
from PIL import Image, ImageFile, ImageOps

from semisup.errors import DataError, SettingError
from semisup.images import decode as module
from semisup.images import pool, resource_limits
from semisup.images.decode import FORMATS, REASONS, BadImageError, decode
from semisup.images.decode_settings import RESIZES, DecodeSettings
from semisup.images.isolated import starting_processes
from semisup.images.pool import DecodeResult, decode_files
from semisup.images.read_file import read_file
from semisup.images.scan import ImageFile as File
from semisup.images.scan import scan
from tests.images.zoo import (
    BACKGROUND,
    Specimen,
    heic,
    in_child,
    no_pictures,
    noise,
    oriented,
    passes,
    pictures,
    png,
    saved,
)

STRETCH = DecodeSettings(size=16, resize="stretch", draft=False, background=BACKGROUND, max_pixels=50_000_000)
CROP = dataclasses.replace(STRETCH, resize="center_crop")
DRAFT = dataclasses.replace(STRETCH, draft=True)


def rows(image: Image.Image) -> numpy.ndarray:
    return numpy.asarray(image.convert("RGB")).transpose(2, 0, 1)


def torchvision_crop(image: Image.Image, size: int) -> Image.Image:
    """Compute torchvision's Resize(size) followed by CenterCrop(size)."""
    width, height = image.size
    short, long = sorted(image.size)
    other = int(size * long / short)
    width, height = (size, other) if width <= height else (other, size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    top, left = round((height - size) / 2.0), round((width - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


# Bytes


@pytest.mark.parametrize("recipe", [STRETCH, CROP, DRAFT], ids=["stretch", "crop", "draft"])
@pytest.mark.parametrize("kind", pictures(), ids=lambda kind: kind.name)
def test_every_kind_of_image_keeps_its_color(kind: Specimen, recipe: DecodeSettings) -> None:
    pixels, animated = decode(kind.data, recipe)
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == numpy.uint8
    assert pixels.flags.c_contiguous
    wanted = numpy.array(kind.color)[:, None, None]
    assert numpy.abs(pixels.astype(int) - wanted).max() <= kind.tolerance
    assert animated == kind.animated


@pytest.mark.parametrize("kind", no_pictures(), ids=lambda kind: kind.name)
def test_every_kind_of_unusable_file_has_its_reason_within_a_second(kind: Specimen) -> None:
    started = time.process_time()
    with pytest.raises(BadImageError) as caught:
        decode(kind.data, STRETCH)
    assert caught.value.reason == kind.reason
    assert caught.value.reason in REASONS
    assert time.process_time() - started < 1
    assert pickle.loads(pickle.dumps(caught.value)).reason == kind.reason


def test_heic_without_its_reader_has_a_reason_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "heif_version", lambda: None)
    with pytest.raises(BadImageError, match=r"HEIC; type pip install 'semisup\[heic\]'"):
        decode(heic(), STRETCH)


def test_size_is_refused_by_the_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(noise(20, 20), "PNG")
    assert decode(data, dataclasses.replace(STRETCH, max_pixels=400)).pixels.any()
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("loaded"))
    with pytest.raises(BadImageError, match="too large"):
        decode(data, dataclasses.replace(STRETCH, max_pixels=399))


def test_truncated_images_are_refused() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    for source in Path(module.__file__).parent.glob("*.py"):
        assert "LOAD_TRUNCATED_IMAGES =" not in source.read_text()


def test_ghostscript_is_never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    asked: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: asked.append(1))
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", lambda _: asked.append(1))
    eps = saved(noise(), "EPS")
    with pytest.raises(BadImageError, match="unidentified"):
        decode(eps, STRETCH)
    assert asked == []
    assert "EPS" not in FORMATS


def test_memory_error_is_not_blamed_on_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    (tmp_path / "a.png").write_bytes(saved(noise(), "PNG"))
    monkeypatch.setattr(Image.Image, "resize", short)
    with pytest.raises(MemoryError):
        decode(saved(noise(), "PNG"), STRETCH)
    with pytest.raises(DataError, match=r"a\.png.*memory"):
        list(decode_files(scan(tmp_path, tmp_path, follow_symlinks=False).files, STRETCH, 1))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(form: str, orientation: int) -> None:
    data = oriented(orientation, form)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (upright.width > upright.height) == (orientation < 5)
    assert numpy.array_equal(decode(data, STRETCH).pixels, rows(upright.resize((16, 16), Image.Resampling.BILINEAR)))
    assert numpy.array_equal(decode(data, CROP).pixels, rows(torchvision_crop(upright, 16)))


def test_stretch_is_torchvisions_resize() -> None:
    for width, height in ((16, 16), (64, 48), (7, 90), (1, 1), (500, 33)):
        image = noise(width, height)
        wanted = image.resize((16, 16), Image.Resampling.BILINEAR)
        assert numpy.array_equal(decode(saved(image, "PNG"), STRETCH).pixels, rows(wanted))


def test_center_crop_is_torchvisions_resize_and_crop() -> None:
    draw = random.Random(0)
    for _ in range(150):
        image, size = noise(draw.randint(1, 90), draw.randint(1, 90)), draw.randint(1, 70)
        recipe = dataclasses.replace(CROP, size=size)
        assert numpy.array_equal(decode(saved(image, "BMP"), recipe).pixels, rows(torchvision_crop(image, size)))


def test_center_crop_of_a_thread_is_refused_before_memory_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "resize", lambda *_: pytest.fail("resized"))
    with pytest.raises(BadImageError, match="too narrow"):
        decode(png(1, 100_000), dataclasses.replace(CROP, size=64))


def test_jpeg_draft_mode_keeps_at_least_twice_the_target_size() -> None:
    large = noise(40, 30).resize((320, 240), Image.Resampling.BICUBIC)
    data = saved(large, "JPEG")
    exact, rough = decode(data, STRETCH).pixels, decode(data, DRAFT).pixels
    assert not numpy.array_equal(exact, rough)
    assert numpy.abs(exact.astype(int) - rough).mean() < 3
    by_four = Image.open(io.BytesIO(data))
    by_four.draft(None, (80, 60))
    assert by_four.size == (80, 60)
    assert numpy.array_equal(rough, rows(by_four.resize((16, 16), Image.Resampling.BILINEAR)))
    for side, same in ((63, True), (64, False)):
        data = saved(noise(side, side), "JPEG")
        assert numpy.array_equal(decode(data, STRETCH).pixels, decode(data, DRAFT).pixels) == same


# Recipes


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", 0), ("size", 4097), ("resize", "strech"), ("background", -1), ("background", 256), ("max_pixels", 0)],
)
def test_decode_setting_out_of_range_names_its_key(key: str, value: object) -> None:
    with pytest.raises(SettingError) as caught:
        dataclasses.replace(STRETCH, **{key: value})
    assert caught.value.key == key


def test_every_setting_and_every_decoder_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"size": 17, "resize": "center_crop", "draft": True, "background": 0, "max_pixels": 9}
    assert set(others) == {field.name for field in dataclasses.fields(DecodeSettings)}
    prints = {dataclasses.replace(STRETCH, **{key: value}).fingerprint() for key, value in others.items()}
    monkeypatch.setattr("semisup.images.decode_settings.features.version", lambda name: f"another {name}")
    prints |= {STRETCH.fingerprint(), dataclasses.replace(STRETCH).fingerprint()}
    monkeypatch.undo()
    assert len(prints | {STRETCH.fingerprint()}) == 7
    assert Image.__version__ in STRETCH.fingerprint()
    assert "libjpeg_turbo" in STRETCH.fingerprint()
    assert set(RESIZES) == set(module._RESIZE)


# Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with several copies of all test files, except the large ones."""
    for round_ in range(3):
        for kind in [*pictures(), *no_pictures()]:
            if len(kind.data) < 10_000:
                (tmp_path / f"{round_}_{kind.name}").write_bytes(kind.data)
    return tmp_path


def test_number_of_workers_does_not_change_results(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FEW_BYTES", 0)
    files = scan(folder, folder, follow_symlinks=False).files
    assert len(files) > 128
    wanted = list(decode_files(files, STRETCH, 1))
    for kind, file in zip(wanted, files, strict=True):
        assert kind.name == file.name
        assert kind.sha256 == hashlib.sha256(Path(file.path).read_bytes()).hexdigest()
        assert (kind.pixels is None) == (kind.reason in REASONS)
    for workers in (2, 3):
        found = list(decode_files(files, STRETCH, workers))
        assert [kind._replace(pixels=None) for kind in found] == [kind._replace(pixels=None) for kind in wanted]
        assert all(
            numpy.array_equal(one.pixels, other.pixels)
            for one, other in zip(found, wanted, strict=True)
            if one.reason is None
        )


class Deadly(DecodeSettings):
    """Decode settings that end the process that receives them."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


def test_crashes_on_every_file_stop_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadly, files = Deadly(**dataclasses.asdict(STRETCH)), scan(folder, folder, follow_symlinks=False).files
    for few in (2**24, 0):
        monkeypatch.setattr(pool, "FEW_BYTES", few)
        with pytest.raises(DataError, match=r"decoding 16 files in a row killed the process; the last is 0_\w+\.\w+"):
            list(decode_files(files, deadly, 2))


class Trap:
    """Path that harms the process that opens it, as a decoder with a bug might do."""

    name = "trap.png"

    def __init__(self, act: str) -> None:
        self.act = act

    def __fspath__(self) -> str:
        if self.act == "crashed":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest's faulthandler would write to its terminal
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.act == "too slow":
            assert abs(signal.getitimer(signal.ITIMER_PROF)[0] - resource_limits.SECONDS) < 5
            signal.setitimer(signal.ITIMER_PROF, 0.1)
            while True:
                pass
        return str(bytearray(2**33))  # 8 GiB: "too large"


@pytest.mark.parametrize("many", [False, True], ids=["few files", "many files"])
@pytest.mark.parametrize("act", ["crashed", "too slow", "too large"])
def test_file_that_crashes_or_blocks_its_decoder_is_quarantined_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, act: str, many: bool
) -> None:
    files = list(scan(folder, folder, follow_symlinks=False).files)
    wanted = list(decode_files(files, STRETCH, 1))
    for place in (3, 70, 71):
        trap = File(Trap(act), "trap.png", 1, 1, 1, 1)  # type: ignore[arg-type]
        files.insert(place, trap)
        wanted.insert(place, DecodeResult("trap.png", "", None, False, act))
    monkeypatch.setattr(pool, "FEW_BYTES", 0 if many else 2**40)
    found = list(decode_files(files, STRETCH, 2))
    assert [kind._replace(pixels=None) for kind in found] == [kind._replace(pixels=None) for kind in wanted]
    assert all(numpy.array_equal(*pair) for pair in zip(pixels_of(found), pixels_of(wanted), strict=True))


def pixels_of(outcomes: list[DecodeResult]) -> list[numpy.ndarray]:
    return [kind.pixels for kind in outcomes if kind.pixels is not None]


ORPHANS = """
import os, signal, sys, time
from pathlib import Path
from semisup.images import pool, scan
from semisup.images.decode_settings import DecodeSettings
if __name__ == "__main__":
    pool.FEW_BYTES = 0
    files = scan.scan(Path(sys.argv[1]), Path(sys.argv[1]), follow_symlinks=False).files
    outcomes = pool.decode_files(files * 9, DecodeSettings(16, "stretch", False, 0, 10**6), 2)
    next(outcomes)
    time.sleep(0.7)  # until the workers idle: the busy ones notice by themselves
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_killed_parent(folder: Path) -> None:
    (folder / "orphans.py").write_text(ORPHANS)
    command = [sys.executable, folder / "orphans.py", folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, timeout=20)
    assert ended.returncode == -signal.SIGKILL  # and nobody holds our pipe any more


SCRIPT = """
import sys
from pathlib import Path
from semisup.images import pool, scan
from semisup.images.decode_settings import DecodeSettings
print("once", flush=True)
for few in (2**40, 0):
    pool.FEW_BYTES = few
    files = scan.scan(Path(sys.argv[1]), Path(sys.argv[1]), follow_symlinks=False).files
    results = pool.decode_files(files, DecodeSettings(16, "stretch", False, 0, 10**6), 2)
    print(len(files) == sum(1 for _ in results), flush=True)
"""


def test_script_without_a_main_guard_runs_once(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, folder / "script.py", folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (ended.stdout, ended.stderr) == ("once\nTrue\nTrue\n", "")


def test_one_worker_or_few_files_start_no_pool(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_decode_in_pool", lambda *_: pytest.fail("started several processes"))
    files = scan(folder, folder, follow_symlinks=False).files
    assert sum(1 for _ in decode_files(files, STRETCH, 2)) == len(files)
    monkeypatch.setattr(pool, "FEW_BYTES", 0)
    assert sum(1 for _ in decode_files(files[:15], STRETCH, 2)) == 15
    monkeypatch.setattr(pool, "decode_isolated", lambda *_: pytest.fail("started a process"))
    assert sum(1 for _ in decode_files(files, STRETCH, 1)) == len(files)
    assert list(decode_files([], STRETCH, 2)) == []
    with pytest.raises(SettingError, match="workers"):
        decode_files(files, STRETCH, 0)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert pool.max_workers() == 2


def entry(path: Path) -> File:
    return File(path, path.name, 1, 1, 1, 1)


def test_paths_that_are_no_regular_files_are_unreadable_and_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "folder.jpg").mkdir()
    places = [tmp_path / "fifo.jpg", tmp_path / "folder.jpg", tmp_path / "gone.jpg", Path("/dev/zero")]
    for kind in decode_files([entry(place) for place in places], STRETCH, 1):
        assert (kind.sha256, kind.pixels, kind.reason) == ("", None, "unreadable")


def test_file_without_permission_is_unreadable(open_path: Path) -> None:
    (open_path / "a.png").write_bytes(saved(noise(), "PNG"))
    (open_path / "a.png").chmod(0)

    def look() -> None:
        (kind,) = decode_files([entry(open_path / "a.png")], STRETCH, 1)
        assert kind.reason == "unreadable"

    assert passes(in_child(look, user=65534))


def test_file_with_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(2**42)
    tracemalloc.start()
    (kind,) = decode_files([entry(tmp_path / "huge.jpg")], STRETCH, 1)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert (kind.sha256, kind.reason) == ("", "too large")
    (tmp_path / "nine").write_bytes(b"123456789")
    assert read_file(entry(tmp_path / "nine"), 9) == b"123456789"
    with pytest.raises(BadImageError, match="too large"):
        read_file(entry(tmp_path / "nine"), 8)


def test_decoding_processes_do_not_import_torch() -> None:
    code = "import sys, semisup.images.pool; print({'torch', 'hydra', 'wandb'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_interrupt_is_blocked_only_while_processes_start() -> None:
    with starting_processes():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
