"""Warnings are printed once, as one line, in one process and in the processes of a sweep."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from semisup.runtime.warning_lines import SHARED, printed_warnings, share_printed, short_warnings


@pytest.fixture(autouse=True)
def shown_as_in_the_program(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(SHARED, raising=False)
    formatted = warnings.formatwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        short_warnings()
        yield
    warnings.formatwarning = formatted


def test_equal_warnings_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("ignored 1 file", "ignored 1 file", "two\nlines"):
        warnings.warn(text, stacklevel=2)
    assert capsys.readouterr().err == "semisup: warning: ignored 1 file\nsemisup: warning: two\\nlines\n"
    short_warnings()  # of the next command
    warnings.warn("ignored 1 file", stacklevel=2)
    assert capsys.readouterr().err == "semisup: warning: ignored 1 file\n"


def test_processes_of_a_sweep_share_what_was_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARED, "")
    monkeypatch.delenv(SHARED)
    warnings.warn("before", stacklevel=2)
    share_printed(tmp_path / "warnings")
    assert os.environ[SHARED] == str(tmp_path / "warnings")
    warnings.warn("after", stacklevel=2)
    assert len(capsys.readouterr().err.splitlines()) == 2
    monkeypatch.setattr("semisup.runtime.warning_lines._printed", set())  # as another process begins
    short_warnings()
    for text in ("before", "after", "new"):
        warnings.warn(text, stacklevel=2)
    assert capsys.readouterr().err == "semisup: warning: new\n"


def test_process_that_was_told_what_was_printed_does_not_repeat_it(capsys: pytest.CaptureFixture[str]) -> None:
    warnings.warn("no GPU", stacklevel=2)
    printed = printed_warnings()
    capsys.readouterr()
    short_warnings(printed)
    warnings.warn("no GPU", stacklevel=2)
    assert capsys.readouterr().err == ""


def test_folder_that_cannot_be_written_suppresses_no_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    share_printed(tmp_path / "file")
    assert SHARED not in os.environ
    warnings.warn("still printed", stacklevel=2)
    assert "still printed" in capsys.readouterr().err
