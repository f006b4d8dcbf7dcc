"""The terminal's table: aligned, narrow, complete, and quick to start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldguide.tables import print_table
from fieldguide.tables.grid import Grid
from fieldguide.tables.print_table import WIDTH, aligned, main
from fieldguide.tables.rows import ACCURACY_COLUMNS
from tests.unit.planted_cells import planted_cell, thesis_cells, write_accuracy


def test_all_variants_are_printed_within_100_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = thesis_cells(llm="aviary-llm", redraws=("fixed", "per-epoch"))
    main(["--csv", str(write_accuracy(tmp_path, cells))])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= WIDTH == 100
    assert "ViT-L-14_openai_ab12cd34" in lines[0]
    assert "3 seeds" in lines[0]
    assert [line for line in lines if line.startswith("sampling")] == [
        "sampling class-wise and global, redraw fixed",
        "sampling class-wise and global, redraw per-epoch",
    ]
    rows = [line.split("  ") for line in lines if line.startswith("10:90")]
    assert len(rows) == 2
    assert [cell.strip() for cell in rows[0] if cell.strip()] == [
        "10:90",
        "62.50 ± 2.48",
        "61.50 ± 2.48",
        "60.50 ± 2.48",
        "52.50 ± 2.48",
        "51.50 ± 2.48",
    ]
    header = next(line for line in lines if line.startswith("images:text"))
    for name in ("image only", "human (Reed)", "aviary-llm"):
        assert name in header
    table = lines[lines.index(header) : lines.index(header) + 12]
    assert len({len(line) for line in table}) == 1


def test_columns_that_do_not_fit_go_below() -> None:
    grid = Grid("ratio", tuple(f"source {i}" for i in range(20)), (("90:10", ("81.88 ± 0.42",) * 20),))
    lines = aligned(grid, 60)
    assert max(len(line) for line in lines) <= 60
    assert sum(line.count("81.88 ± 0.42") for line in lines) == 20
    assert all(line.startswith(("ratio", "90:10")) for line in lines)


def test_a_name_too_long_is_cut() -> None:
    lines = aligned(Grid("ratio", ("x" * 300,), (("90:10", ("81.88",)),)), 60)
    assert max(len(line) for line in lines) == 60
    assert lines[0].endswith("…")


def test_one_seed_and_many_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"seeds": [0], "accuracy": [50.0], "distinct_images": [5], "distinct_texts": [5]}
    cells = [planted_cell(f"a-language-model-with-a-long-name-{i}", 10, **one) for i in range(5)]
    main(["--csv", str(write_accuracy(tmp_path, cells))])
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= WIDTH
    assert out.count("50.00") == 5
    assert "±" not in out
    assert "one seed" in out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "lacks the column(s) image_percent"),
        (",".join(ACCURACY_COLUMNS) + "\n", "holds no cell"),
        (",".join(ACCURACY_COLUMNS) + "\n" + ",".join(["x"] * 16) + "\n", "line 2: image_percent is 'x', not a number"),
        (",".join(ACCURACY_COLUMNS) + "\n10,90\n", "row 2, the header counted, has fewer fields than the header"),
    ],
)
def test_a_table_that_is_not_one_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "accuracy.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["--csv", str(path)])
    assert str(path) in str(stop.value.code)
    assert told in str(stop.value.code)


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    path = write_accuracy(tmp_path, [planted_cell("reed", 10)])
    script = (
        "import sys; from fieldguide.tables import print_table; print_table.main(sys.argv[1:]); "
        "print(sorted({'numpy', 'scipy', 'matplotlib', 'jinja2', 'torch', 'pandas'} & set(sys.modules)))"
    )
    # pytest finds the package by its own settings, which a new interpreter does not have.
    environment = os.environ | {"PYTHONPATH": str(Path(print_table.__file__).parents[2])}
    command = [sys.executable, "-c", script, "--csv", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]"
