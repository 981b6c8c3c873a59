"""The benchmark runs, its names are those of its goals, and its page keeps what was not measured again."""

from pathlib import Path

from bench import goals, results, steps
from bench.clock import Plan


def test_an_entry_is_measured_and_has_a_goal() -> None:
    name = "step_over_bare.small_cnn_64.self_training"
    ((found, measured),) = steps.measure(Plan(quick=True, rounds=1, only=(name,)))
    assert found == name
    assert measured.value > 0.2
    assert measured.seconds["ours"] > 0
    assert [entry.goal for entry in goals.entries(2) if entry.name == found] == ["<= 1.05"]


def test_no_two_entries_have_one_name() -> None:
    names = [entry.name for entry in goals.entries(2)]
    assert len(names) == len(set(names))


def test_the_page_keeps_the_rows_that_were_not_measured_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench -->\n<!-- end -->\nafter\n")
    row = ("1.0", "", "", "", "", "")
    results.write_page(page, "first", ["a", "b"], [("a", *row), ("b", *row)])
    results.write_page(page, "second", ["a", "b"], [("a", "2.0", *row[1:])])
    text = page.read_text()
    assert "second" in text
    assert "| a | 2.0 |" in text
    assert "| b | 1.0 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
