"""Check that every fault of the catalog has its tests."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests import reliability
from tests.faults import FAULTS, SECTIONS, Fault

TESTS = Path(__file__).parent


@cache
def names_in(name: str) -> set[str]:
    tree = ast.parse((TESTS / name).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_its_test_or_a_reason() -> None:
    pairs = [test.split("::") for fault in FAULTS for test in fault.tests]
    assert [f"{name}::{test}" for name, test in pairs if test not in names_in(name)] == []
    assert {fault.section for fault in FAULTS} == set(SECTIONS)
    assert len({fault.key for fault in FAULTS}) == len(FAULTS)
    assert all(len(fault.then) > 20 for fault in FAULTS if not fault.tests)
    assert not any("|" in text for fault in FAULTS for text in (fault.codes, fault.what, fault.then))
    reliability.count({})


def test_counts_are_kept_until_they_are_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Fault("A1", "one", "holds", ("x.py::y",)), Fault("A1-2", "other (a, b)", "holds", ("x.py::z",))
    monkeypatch.setattr(reliability, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(reliability, "COMMITTED", tmp_path / "none.md")
    monkeypatch.setattr(reliability, "FAULTS", (one, other, Fault("A3", "none", "for this reason", ())))
    monkeypatch.setattr(reliability, "SECTIONS", {"A": ("Title", "Text.")})
    reliability.report("z-peers", "Beside others", "By hand.", ["a"], [["b"]])
    reliability.count({one.key: (3, 3)})
    reliability.count({other.key: (5, 4)})
    page = (tmp_path / "page.md").read_text()
    assert "| A1 | one | holds | 3 | 3 |" in page
    assert "| A1-2 | other (a, b) | holds | 5 | 4 |" in page
    assert "| A3 | none | for this reason | - | - |" in page
    assert "| A | Title | 2 | 8 | 7 | 1 |" in page
    assert "By hand." in page
    reliability.count({one.key: (3, 2)})
    assert "| A | Title | 2 | 8 | 6 | 1 |" in (tmp_path / "page.md").read_text()
