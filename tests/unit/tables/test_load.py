"""Results in a notebook: the frames, their types, and what is said where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import fieldguide
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.tables import tabulate_accuracy
from fieldguide.tables.predict_classes import CLASS_FORMATS
from tests.unit.planted_cells import plant, thesis_cells


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    paths = plant(tmp_path / "adapters" / "backbone", thesis_cells())
    paths = [str(Path(path).rename(Path(path).with_name(f"ratio-{n}.json"))) for n, path in enumerate(paths)]
    tables = tmp_path / "tables"
    written = [w for end in ("csv", "md", "tex", "html") for w in (f"--{end}", str(tables / f"accuracy.{end}"))]
    written += ["--differences", str(tables / "differences.csv")]
    tabulate_accuracy.main(["--cells", *paths, *written, "--settings", '{"dataset": "tiny"}'])
    return tmp_path


def test_cells_are_a_row_per_cell_and_seed_in_the_tables_order(folder: Path) -> None:
    cells = fieldguide.load_results(str(folder)).cells
    assert len(cells) == 50 * 3
    assert cells["seed"].tolist()[:3] == [0, 1, 2] and cells["accuracy"].tolist()[:3] == [84.0, 85.0, 86.0]
    assert cells["image_percent"].tolist()[::3][:10] == list(range(100, 0, -10))
    assert set(cells.loc[cells["text_source"] == "none", "translator"]) == {"none"}
    table = cells.pivot_table(index="image_percent", columns=["sampling", "text_source"], values="accuracy")
    assert table.loc[10, ("class-wise", "reed")] == 61.5


def test_what_lies_beside_a_cell_is_no_cell(folder: Path) -> None:
    for path in (folder / "adapters" / "backbone").iterdir():
        for ending in (".calibration.json", ".md", ".safetensors"):
            path.with_suffix(ending).write_text("{}")
    assert len(fieldguide.load_results(folder).cells) == 50 * 3


def test_tables_are_typed(folder: Path) -> None:
    results = fieldguide.load_results(folder)
    assert len(results.accuracy) == 50 and results.accuracy["accuracy_ci95"].dtype == float
    assert results.differences["significant"].dtype == "boolean"
    row = {column: "" for column in CLASS_FORMATS} | {"class_id": "007", "class_name": "nan", "accuracy_mean": "50.00"}
    write_csv(folder / "tables" / "classes.csv", list(CLASS_FORMATS), [row])
    (read,) = results.classes.to_dict("records")
    assert (read["class_id"], read["class_name"], read["accuracy_mean"]) == ("007", "nan", 50.0)
    assert pd.isna(read["accuracy_ci95"])
    assert repr(results) == f"<results in {folder}: cells, accuracy, differences, classes>"


def test_what_was_not_made_says_how_to_make_it(folder: Path) -> None:
    results = fieldguide.load_results(folder)
    for name in ("recipes", "image_worth", "conversion", "classes", "confusions", "sampling", "probe"):
        with pytest.raises(FieldguideError, match=rf"{name}\.csv: was not made yet; run `make everything`"):
            getattr(results, name)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(FieldguideError, match="holds no trained cell"):
        fieldguide.load_results(tmp_path / "avairy")


def test_a_file_that_is_no_table_is_named(folder: Path) -> None:
    (folder / "tables" / "recipes.csv").write_bytes(b"")
    with pytest.raises(FieldguideError, match=r"recipes\.csv: is not a whole table"):
        fieldguide.load_results(folder).recipes  # noqa: B018


def test_the_package_alone_imports_no_pandas() -> None:
    code = "import fieldguide, sys; sys.exit('pandas' in sys.modules or hasattr(fieldguide, 'load_result'))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
