"""Test the progress bars of a notebook, with a fake of the output of a cell."""

from typing import Any

import IPython.display
import pytest
import rich.console

from semisup.runner import notebook_output
from semisup.runner.progress import Bars


class Handle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        self.shown.append(content["text/plain"])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that a cell shows, one after another."""
    texts: list[str] = []

    def display(content: dict[str, str], **_: Any) -> Handle:
        texts.append(content["text/plain"])
        return Handle(texts)

    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    return texts


def test_bars_are_shown_below_the_cell_and_removed_at_the_end(
    shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook_output, "INTERVAL_SECONDS", 0.0)
    with Bars() as bars:
        assert list(bars.watch(range(3), "reading", 3)) == [0, 1, 2]
    *during, last = shown
    assert [text.split()[0] for text in during] == ["reading"] * 3
    assert [part for text in during for part in text.split() if "/" in part] == ["1/3", "2/3", "3/3"]
    assert "\u2501" in during[0]
    assert last == ""


def test_updates_are_rare(shown: list[str]) -> None:
    with Bars() as bars:
        for _ in bars.watch(range(1000), "reading", 1000):
            pass
    assert len(shown) < 20
