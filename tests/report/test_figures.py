"""Figures do not depend on the user's matplotlib settings, and a drawing error costs no text result."""

import argparse
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from rich.console import Console

from semisup.analysis.comparison import compare_runs
from semisup.analysis.runs import find_runs, read_runs
from semisup.cli.compare import compare
from semisup.cli.show import show_command
from semisup.report.figures.confusion import confusion_figure
from semisup.report.figures.heatmap import draw_heatmap
from semisup.report.figures.style import class_labels, figure_style, installed_fonts, render_png
from semisup.report.figures.svg import render_svg
from tests.report.run_maker import make_with_references, plain_of

CLASSES = ("$1_to_$5", "$\\frac{$", "100 % & more")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    for tau in (0.8, 0.9):
        for strength in (0.25, 0.5):
            plain = plain_of(f"threshold.tau={tau}", f"augment.strength={strength}")
            make_with_references(folder, plain, test=tau, control=0.7, baseline=0.5, labelings=[(tau, 0.9)])
    return folder


def test_users_matplotlib_settings_change_nothing(experiment: Path, tmp_path: Path) -> None:
    """A notebook's MPLBACKEND that is missing here, and a matplotlibrc with LaTeX, in the real program."""
    expected = draw_heatmap(compare_runs(read_runs(find_runs([experiment]))))
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\naxes.facecolor: red\nfont.size: 30\n")
    environment = os.environ | {"MPLBACKEND": "module://backend_of_a_notebook"}
    for command in (["compare", "mine"], ["show", str(next(experiment.glob("self_training-*")))]):
        done = subprocess.run(
            [sys.executable, "-m", "semisup", *command],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "not drawn" not in done.stdout
    assert (experiment / "comparison.png").read_bytes() == expected


def test_class_names_are_text_and_never_formulas() -> None:
    def draw() -> tuple[bytes, str]:
        with figure_style():
            png = render_png(confusion_figure([[3, 1, 0], [0, 2, 2], [1, 0, 3]], CLASSES))
        with figure_style(transparent=True):
            return png, render_svg(confusion_figure([[3, 1, 0], [0, 2, 2], [1, 0, 3]], CLASSES), "a-", "classes")

    expected = draw()
    assert "$1_to_$5</text>" in expected[1]
    with matplotlib.rc_context({"text.usetex": True, "text.parse_math": True, "font.size": 30}):
        assert draw() == expected


def fail(*_: Any, **__: Any) -> bytes:
    raise RuntimeError("no font \x1b[2J")


def test_compare_without_charts_has_its_text_results(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semisup.report.figures.heatmap.draw_heatmaps", fail)
    monkeypatch.setattr("semisup.report.html.comparison_page.comparison_page", fail)
    file = io.StringIO()
    assert compare([experiment], Console(file=file, width=200)) == 0
    for name in ("comparison.png", "report.html"):
        assert f"warning: {name} was not drawn: RuntimeError: no font \\x1b[2J" in file.getvalue()
        assert not (experiment / name).exists()
    assert "points better than the control" in file.getvalue()
    assert (experiment / "comparison.csv").is_file()
    assert (experiment / "comparison.json").is_file()


def test_show_without_charts_has_its_text_result(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("semisup.report.html.run_page.run_page", fail)
    assert show_command(argparse.Namespace(run=next(experiment.glob("self_training-*")))) == 0
    output = capsys.readouterr().out
    assert "validation accuracy" in output
    assert "warning: report.html was not drawn: RuntimeError" in output


def test_names_are_drawn_as_they_are_or_numbered() -> None:
    """DejaVu Sans, which comes with matplotlib, has no Chinese letters; other fonts may be installed or not."""
    drawn, note = class_labels(("Piñón, salado", "a=b & 'c\" #1", "Grüße", "\u202e x"), 30)
    assert (drawn, note) == (["Piñón, salado", "a=b & 'c\" #1", "Grüße", "\\u202e x"], "")
    labels, note = class_labels(("Grüße", "西红柿 炒鸡蛋"), 30)
    assert labels[0] == "Grüße"
    assert labels[1] == ("西红柿 炒鸡蛋" if "Noto Sans CJK SC" in installed_fonts() else "class 1")
    assert ("run.json" in note) == (labels[1] == "class 1")
    with warnings.catch_warnings(), figure_style():
        warnings.simplefilter("error")
        render_png(confusion_figure([[3, 1], [0, 2]], ("Grüße", "西红柿 炒鸡蛋")))
