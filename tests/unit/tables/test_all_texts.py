"""Cells of all texts beside the images: a block of their own in every table, with image only and text alone in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.tables.comparison import build_tables
from fieldguide.tables.differences import find_differences
from fieldguide.tables.image_worth import find_worth
from fieldguide.tables.page_tables import worth_tables
from fieldguide.tables.results import TrainingImages, read_cells, summarise, to_rows
from fieldguide.tables.rows import PublishedFigure, split_blocks
from tests.unit.planted_cells import plant, planted_cell

SHARES = (100, 50, 10)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Image only, reed in the places of images, and all of reed beside them, ten points better."""
    alone = [planted_cell("none", percent) for percent in SHARES]
    replaced = [planted_cell("reed", percent) for percent in (50, 10, 0)]
    better = {p: [59 + p / 4, 60 + p / 4 + 0.1, 61 + p / 4] for p in SHARES}
    beside = [planted_cell("reed", p, text_percent=100, accuracy=better[p]) for p in SHARES]
    return plant(tmp_path, [*alone, *replaced, *beside])


def test_each_kind_of_texts_has_its_block(paths: list[str]) -> None:
    rows = to_rows(summarise(read_cells(paths)))
    blocks = {block.title: block for block in split_blocks(rows)}
    assert [title.rpartition(", ")[2] for title in blocks] == ["texts replaced", "texts all"]
    shares = {title: [row.image_percent for row in block.rows if not row.image_only] for title, block in blocks.items()}
    assert [sorted(found) for found in shares.values()] == [[0, 10, 50], [0, 10, 50, 100]]
    assert all(sum(row.image_only for row in block.rows) == 3 for block in blocks.values())
    # Published figures are of texts in the places of images.
    tables = build_tables(rows, [PublishedFigure(50, "reed", "class-wise", "thesis", 42.0)])
    assert ["[" in str(table.accuracies) or "42.00" in str(table.accuracies) for table in tables] == [True, False]


def test_differences_and_worth_say_of_which_texts_they_are(paths: list[str]) -> None:
    cells = read_cells(paths)
    found = find_differences(cells)
    with_text = found[found["second_text_source"] == "none"]
    means = {(row.texts, row.image_percent): row.difference_mean for row in with_text.itertuples()}
    assert means.keys() == {("replaced", 50), ("replaced", 10), ("all", 100), ("all", 50), ("all", 10)}
    assert all(round(mean) == (10 if texts == "all" else 0) for (texts, _), mean in means.items())
    worth, _ = find_worth(cells, TrainingImages(3000, 100))
    assert not worth.duplicated(["texts", "text_source", "recipe", "image_percent", "image_only_recipe"]).any()
    assert set(worth.loc[worth["texts"] == "all", "image_percent"]) == {100, 50, 10, 0}


def test_other_shares_of_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldguideError, match="text_percent is 70"):
        read_cells(plant(tmp_path, [planted_cell("reed", 50, text_percent=70)]))


def test_the_worth_page_has_a_table_for_each(paths: list[str]) -> None:
    worth, _ = find_worth(read_cells(paths), TrainingImages(3000, 100))
    titles = [table.title for table in worth_tables(worth, {}, {})]
    assert [title.rpartition(", ")[2] for title in titles] == ["texts replaced", "texts all"]
