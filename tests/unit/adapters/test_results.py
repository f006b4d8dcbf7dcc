"""A cell's result as a file: written and read back, and what is refused (more in tests/unit/tables)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldguide.adapters.results import CellResult
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_json
from tests.unit.planted_cells import plant, planted_cell


def test_what_is_read_is_written_again(tmp_path: Path) -> None:
    cell = planted_cell("reed", 30, examples_per_epoch=5994, config={"batch": 256, "learning_rate": 0.1})
    write_json(tmp_path / "cell.json", cell)
    CellResult.read(tmp_path / "cell.json").write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "cell.json").read_bytes()


def test_an_older_result_may_say_less_or_more(tmp_path: Path) -> None:
    cell = planted_cell("reed", 30, calibration={"temperature": 2.0}, another=1)
    del cell["plan_sha256"], cell["versions"]
    result = CellResult.read(plant(tmp_path, [cell])[0])
    assert (result.plan_sha256, result.versions, result.config, result.amount) == (None, None, None, None)


def test_an_image_only_cell_has_no_texts_whatever_it_says(tmp_path: Path) -> None:
    result = CellResult.read(plant(tmp_path, [planted_cell("none", 30, text_names="unnamed", translator="ridge")])[0])
    assert result.image_only
    assert (result.text_percent, result.text_names, result.text_unit, result.translator) == (0, "none", "none", "none")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"config": [1]}, "config is [1], not names and their values"),
        ({"seeds": [True]}, "seeds is [True], not a list of whole numbers"),
        ({"seeds": 3}, "seeds is 3, not a list of different seeds"),
        ({"image_percent": True}, "image_percent is True, not a percentage"),
        ({"recipe": " "}, "recipe is ' ', not a word"),
    ],
)
def test_the_file_the_key_and_what_to_do_are_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    path = plant(tmp_path, [planted_cell("reed", 30, **changes)])[0]
    with pytest.raises(FieldguideError) as error:
        CellResult.read(path)
    assert str(error.value) == f"{path}: {expected}; delete the file to have the cell trained again"
