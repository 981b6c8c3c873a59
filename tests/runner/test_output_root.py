"""Test that an unusable `output_root` is refused in one line, before anything is read or written."""

from pathlib import Path

import pytest

from tests.conftest import Program

LONG = "a" * 300


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("s3://bucket/runs", "must be a local directory"),
        ("gs://bucket", "must be a local directory"),
        ("file:///tmp/runs", "must be a local directory"),
        ("/dev/null", "is not a directory"),
        ("a_file", "is not a directory"),
        ("a_file/inside", "is inside a_file, which is not a directory"),
        (LONG, "cannot be a directory (File name too long)"),
        (f"outputs/{LONG}/more", "cannot be a directory (File name too long)"),
    ],
)
@pytest.mark.parametrize("command", ["run", "sweep", "swept", "reproduce"])
def test_invalid_output_root_is_refused_in_one_line(
    program: Program, tmp_path: Path, command: str, value: str, reason: str
) -> None:
    (tmp_path / "a_file").write_text("mine")
    fixture = str(Path(__file__).parents[1] / "fixtures" / "run-0.1.0")
    words = {
        "run": ("train", f"output_root={value}"),
        "sweep": ("train", "-m", f"output_root={value}", "seed=0,1"),
        "swept": ("train", "-m", f"output_root={value},b"),
        "reproduce": ("reproduce", fixture, f"output_root={value}"),
    }[command]
    status, output = program(*words)
    assert status == 2, output
    assert f"output_root={value[:40]}" in output
    assert reason in output
    assert len(output.splitlines()) == 1, output
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]
    assert (tmp_path / "a_file").read_text() == "mine"
