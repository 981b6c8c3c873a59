"""Render the files that `semisup compare` and `semisup show` write.

A file that cannot be drawn only causes a warning.
"""

from collections.abc import Callable
from pathlib import Path

from semisup.analysis.comparison import Comparison
from semisup.analysis.runs import Run
from semisup.report.export import as_csv, as_json
from semisup.text import printable


def comparison_files(parts: list[tuple[Comparison, str]], destination: Path) -> tuple[dict[str, bytes], list[str]]:
    """Render the files that `semisup compare` writes: CSV, JSON, heat map and HTML page.

    Args:
        parts: the comparison of each data set and its summary text.
        destination: the folder into which the files will be written; their links are relative to it.

    Returns:
        Content by file name, and one warning for each file that could not be drawn.
    """

    def draw_png() -> bytes:
        from semisup.report.figures.heatmap import draw_heatmaps  # imports matplotlib, which may fail

        return draw_heatmaps([comparison for comparison, _ in parts])

    def draw_page() -> bytes:
        from semisup.report.html.comparison_page import comparison_page

        return comparison_page(parts, destination)

    contents = {
        "comparison.csv": as_csv([comparison for comparison, _ in parts], destination),
        "comparison.json": as_json(parts, destination),
    }
    warnings = []
    for name, draw in (("comparison.png", draw_png), ("report.html", draw_page)):
        content, warning = _try_to_draw(name, draw)
        if content is None:
            warnings.append(warning)
        else:
            contents[name] = content
    return contents, warnings


def run_report(run: Run) -> tuple[bytes | None, str]:
    """Render the page report.html of one run.

    Returns:
        The page and "", or None and a warning if the page could not be drawn.
    """

    def draw() -> bytes:
        from semisup.report.html.run_page import run_page

        return run_page(run)

    return _try_to_draw("report.html", draw)


def _try_to_draw(name: str, draw: Callable[[], bytes]) -> tuple[bytes | None, str]:
    try:
        return draw(), ""
    except Exception as error:  # of any library involved: the text result does not depend on it
        return None, f"warning: {name} was not drawn: {type(error).__name__}: {printable(error, 200)}"
