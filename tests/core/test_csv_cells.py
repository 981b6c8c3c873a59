"""No cell of ours is a formula to a spreadsheet, and every text comes back."""

import random

import pytest

from semisup.core.csv_cells import FORMULA_STARTS, protect_cell, restore_cell


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1", "-x", "@SUM(A1)", "\t=1", "\r=1", "'=x", "''-", "'", "a=b", "it's", ""]
)
def test_text_is_no_formula_and_comes_back(text: str) -> None:
    cell = protect_cell(text)
    assert isinstance(cell, str)
    assert not cell.startswith(FORMULA_STARTS)
    assert restore_cell(cell) == text


def test_every_short_text_comes_back_from_a_cell_of_its_own() -> None:
    draw = random.Random(0)
    texts = {"".join(draw.choices("'=+-@\t\rab", k=draw.randrange(6))) for _ in range(3000)}
    cells = {text: str(protect_cell(text)) for text in texts}
    assert len(set(cells.values())) == len(texts)
    assert all(restore_cell(cell) == text for text, cell in cells.items())


@pytest.mark.parametrize("value", [-0.5, -3, None, True])
def test_other_values_stay_as_they_are(value: object) -> None:
    assert protect_cell(value) is value
