"""Cells as a frame: a row per cell and seed, summed up, written and read back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.tables.results import (
    by_variant,
    count_training_images,
    describe_tuning,
    find_cells,
    format_frame,
    ratio_grid,
    read_cells,
    summarise,
    to_rows,
)
from tests.unit.planted_cells import plant, planted_cell


def test_a_row_per_cell_and_seed_in_the_order_of_seeds(tmp_path: Path) -> None:
    cell = planted_cell("reed", 10, seeds=[2, 0, 1], accuracy=[82, 80, 81], distinct_images=[5, 3, 4])
    cells = read_cells(plant(tmp_path, [cell]))
    assert cells[["seed", "accuracy", "distinct_images"]].to_numpy().tolist() == [[0, 80, 3], [1, 81, 4], [2, 82, 5]]
    (row,) = summarise(cells).itertuples()
    assert (row.accuracy_mean, row.n_seeds, row.distinct_images, row.recipe) == (81, 3, 4, "thesis")
    assert row.accuracy_ci95 == pytest.approx(4.302653 / 3**0.5, abs=1e-6)


def test_a_budget_with_several_amounts_is_named_with_its_number(tmp_path: Path) -> None:
    planted = [planted_cell("none", 10, budget=b, config={"amount": a}) for b, a in (("epochs", 50), ("epochs", 100))]
    planted += [planted_cell("none", 10, config={"amount": 400}), planted_cell("none", 50)]
    cells = read_cells(plant(tmp_path, planted))
    named = {(row.image_percent, row.budget, row.amount) for row in cells.itertuples() if not pd.isna(row.amount)}
    assert named == {(10, "epochs-50", 50), (10, "epochs-100", 100), (10, "steps", 400)}
    assert cells.loc[cells["amount"].isna(), "budget"].unique().tolist() == ["steps"]


def test_from_one_seed_there_is_no_interval(tmp_path: Path) -> None:
    one = {"seeds": [0], "accuracy": [50.0], "distinct_images": [5], "distinct_texts": [5]}
    summary = summarise(read_cells(plant(tmp_path, [planted_cell("reed", 10, **one)])))
    assert summary["accuracy_ci95"].isna().all() and to_rows(summary)[0].accuracy_ci95 is None


def test_image_only_cells_are_in_the_variant_of_every_translator(tmp_path: Path) -> None:
    planted = [planted_cell("none", 10), planted_cell("reed", 10), planted_cell("reed", 10, translator="ridge")]
    members = by_variant(summarise(read_cells(plant(tmp_path, planted))))
    assert members.groupby("variant")["text_source"].agg(list).tolist() == [["none", "reed"]] * 2


def test_a_frame_is_written_column_by_column_and_what_is_missing_is_empty() -> None:
    frame = pd.DataFrame({"a": [1.0, None], "b": ["x", None], "c": [True, False]})
    rows = format_frame(frame, {"c": lambda value: "yes" if value else "no", "a": ".2f", "b": ""})
    assert rows == [{"c": "yes", "a": "1.00", "b": "x"}, {"c": "no", "a": "", "b": ""}]


def test_a_grid_has_the_largest_share_first_and_a_dash_where_nothing_is() -> None:
    entries = pd.DataFrame({"image_percent": [10, 90], "column": ["b", "a"], "text": ["1", "2"]})
    grid = ratio_grid(entries, ["b", "a", "c"])
    assert grid.rows == (("90:10", ("–", "2", "–")), ("10:90", ("1", "–", "–")))


def test_images_of_a_class_are_counted_among_training_images(tmp_path: Path) -> None:
    rows = [{"class_id": c, "split": s} for c, s in (("1", "train"), ("1", "train"), ("2", "train"), ("2", "test"))]
    write_csv(tmp_path / "images.csv", ("class_id", "split"), rows)
    images = count_training_images(tmp_path / "images.csv")
    assert (images, images.per_class) == ((3, 2), 1.5)
    write_csv(tmp_path / "images.csv", ("class_id", "split"), rows[3:])
    with pytest.raises(FieldguideError, match=r"images\.csv: holds no training image"):
        count_training_images(tmp_path / "images.csv")


def test_a_folder_without_cells_says_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(FieldguideError, match="holds no trained cell in adapters/; run the workflow first"):
        find_cells(tmp_path)


def test_how_settings_were_chosen_is_told_of_the_cells_that_say_so(tmp_path: Path) -> None:
    silent = [planted_cell("none", 10), planted_cell("reed", 10, recipe="zs-text", tune="none", tuning_labels=0)]
    cells = read_cells(plant(tmp_path / "silent", silent))
    assert describe_tuning(cells) == describe_tuning(summarise(cells)) == ()
    chosen = {"tune": "per-ratio", "tuning_labels": 1234}
    planted = [planted_cell("reed", 10, **chosen), planted_cell("reed", 50, **{**chosen, "tuning_labels": 3000})]
    assert describe_tuning(read_cells(plant(tmp_path / "some", [*silent, *planted]))) == (
        "Hyper-parameters were chosen with 1,234 to 3,000 labels.",
    )
    planted = [planted_cell("reed", p, **chosen, tuning_edges=["largest c", "smallest d"][: p // 10]) for p in (10, 20)]
    planted += [planted_cell("reed", 10, recipe="gda", **chosen, tuning_edges=["smallest shrinkage"])]
    assert describe_tuning(summarise(read_cells(plant(tmp_path / "edges", planted)))) == (
        "Hyper-parameters were chosen with 1,234 labels.",
        "The best trial lies at the edge of its range, beyond which may be better (thesis: largest c, smallest d; gda: "
        "smallest shrinkage).",
    )
