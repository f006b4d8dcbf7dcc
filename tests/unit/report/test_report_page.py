"""The report's page as a structure: what each cell tells, published figures beside ours, texts chosen, secrets kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.report.accuracy_tables import comparison_tables, recipe_table
from fieldguide.report.confusions import choose_cells, choose_texts, shorten
from fieldguide.report.headings import headings
from fieldguide.report.measures import measures_of
from fieldguide.report.provenance import without_secrets
from fieldguide.tables.grid import MISSING
from fieldguide.tables.page_tables import plain_table, worth_entry
from fieldguide.tables.results import read_cells, summarise, to_rows
from fieldguide.tables.rows import read_published
from tests.unit.planted_cells import plant, planted_cell, thesis_cells

PUBLISHED = Path(__file__).parents[3] / "workflow" / "resources" / "published.csv"
NAN = float("nan")


def test_each_figure_of_a_study_stands_beside_ours(tmp_path: Path):
    cells = read_cells(plant(tmp_path, thesis_cells()))
    (table,) = comparison_tables(cells, read_published(PUBLISHED))
    heads = [head.text for head in table.heads]
    assert heads[:4] == ["image only", "published: image only", "human (Reed)", "published: human (Reed)"]
    assert [group for group, _ in table.groups] == ["class-wise", "global"]
    rows = {name.text: dict(zip(heads[:6], entries[:6], strict=True)) for name, entries in table.rows}
    assert rows["10:90"]["image only"].text == "62.50 ± 2.48"
    assert rows["10:90"]["published: image only"].text == "81.88"
    assert rows["0:100"]["image only"].text == MISSING and rows["0:100"]["image only"].order is None
    assert rows["0:100"]["published: human (Reed)"].order == 24.12


def test_a_column_in_anothers_place_is_headed_by_the_published_name(tmp_path: Path):
    cells = read_cells(plant(tmp_path, thesis_cells(llm="new-llm")))
    figures = [
        figure._replace(text_source="new-llm", published_as=figure.text_source)
        for figure in read_published(PUBLISHED)
        if figure.text_source == "gpt-3.5-turbo"
    ]
    heads = [head.text for head in comparison_tables(cells, figures)[0].heads]
    assert heads[heads.index("new-llm") + 1] == "published: gpt-3.5-turbo"


def test_without_published_figures_there_is_no_column_for_them(tmp_path: Path):
    tables = comparison_tables(read_cells(plant(tmp_path, thesis_cells())))
    assert not [head for table in tables for head in table.heads if "published" in head.text]
    assert len(tables) == 2


def test_a_cell_tells_seeds_interval_and_images(tmp_path: Path):
    cell = planted_cell("reed", 50, accuracy=[70.0, 71.0, 72.0], distinct_images=[100, 101, 101])
    (table,) = comparison_tables(read_cells(plant(tmp_path, [cell])))
    tip = table.rows[0][1][0].tip.splitlines()
    assert tip == [
        "human (Reed), 50:50, thesis",
        "seeds 0: 70.00, 1: 71.00, 2: 72.00",
        "95% interval 68.52 – 73.48",
        "distinct images 100.7",
        "distinct texts 2,997",
        "optimiser steps 400",
    ]


def test_headings_are_japanese_where_asked(tmp_path: Path):
    cells = read_cells(plant(tmp_path, thesis_cells()))
    words = headings("ja", {"none": "image only", "reed": "human (Reed)", "gpt-3.5-turbo": "gpt-3.5-turbo"})
    table = comparison_tables(cells, (), {}, words)[0]
    assert table.stub == "画像:テキスト (%)"
    assert [h.text for h in table.heads] == [
        "画像のみ",
        "画像＋人手のテキスト (Reed)",
        "画像＋テキスト (gpt-3.5-turbo)",
    ]
    assert "乱数シード 0: " in table.rows[-2][1][0].tip
    assert headings("en", {}) == {}


def test_the_page_shows_every_column_at_the_smallest_share_text_first(tmp_path: Path):
    rows = to_rows(summarise(read_cells(plant(tmp_path, thesis_cells()))))
    chosen = [(row.text_source, row.image_percent) for row in choose_cells(rows)]
    assert chosen == [("reed", 10), ("gpt-3.5-turbo", 10), ("none", 10)]


def test_texts_are_chosen_one_of_each_field_in_turn():
    texts = [("Size", "small"), ("Size", "tiny"), ("Beak", "short"), ("Size", "small"), ("Eyes", "dark")]
    assert choose_texts(texts, 4) == ("Size: small", "Beak: short", "Eyes: dark", "Size: tiny")
    assert choose_texts([("caption", "a bird"), ("caption", "a wren")], 1) == ("a bird",)
    assert choose_texts([], 3) == ()


@given(st.text(max_size=400))
def test_a_shortened_text_is_its_beginning(text: str):
    short = shorten(text)
    assert short == text or (text.startswith(short.removesuffix(" …")) and len(short) <= 242)


def test_a_plain_table_puts_an_interval_beside_its_figure_and_hides_what_is_always_the_same():
    rows = [
        {"translator": name, "kind": "linear", "cosine": cosine, "cosine_ci95": "0.0123456", "images": "1000"}
        for name, cosine in (("a", "0.123456"), ("b", ""))
    ]
    table = plain_table("t", list(rows[0]), rows)
    assert [(head.text, head.shown) for head in table.heads] == [("kind", False), ("cosine", True), ("images", False)]
    assert table.rows[0][1][1].text == "0.123 ± 0.012"
    assert table.rows[0][1][1].order == 0.123456
    assert table.rows[1][1][1].text == MISSING
    assert [column for column in table.grid.columns] == ["cosine"]
    assert measures_of(list(rows[0]), rows) == ["cosine"]


def test_recipes_stand_one_per_line_with_a_column_per_ratio():
    base = {"distinct_images": 5, "distinct_texts": 0, "n_seeds": 3, "accuracy_ci95": float("nan")}
    base |= {"sampling": "class-wise", "redraw": "fixed"}
    rows = [
        {**base, "image_percent": 100, "text_source": "none", "recipe": "thesis", "accuracy_mean": 80},
        {**base, "image_percent": 10, "text_source": "none", "recipe": "thesis", "accuracy_mean": 60},
        {**base, "image_percent": 10, "text_source": "reed", "recipe": "gda", "accuracy_mean": 61},
    ]
    table = recipe_table(pd.DataFrame(rows), {"none": "image only"}, {})
    assert table.title == "Recipes and baselines: sampling class-wise, redraw fixed"
    assert [(name.text, [entry.text for entry in entries]) for name, entries in table.rows] == [
        ("thesis, image only", ["80.00", "60.00"]),
        ("gda, reed", [MISSING, "61.00"]),
    ]


@pytest.mark.parametrize(
    ("relation", "images", "width", "told"),
    [
        ("=", 1.234, 0.5, "+1.2 ± 0.5"),
        (">=", 2.0, NAN, "≥ +2.0"),
        ("<=", -3.0, NAN, "≤ −3.0"),
        ("?", 1.0, NAN, "outside"),
    ],
)
def test_a_worth_is_a_figure_or_a_bound(relation: str, images: float, width: float, told: str):
    entry = worth_entry(images, width, relation, in_all=-58, accuracy=60, percent=4, seeds=3, outside=0)
    assert entry.text == told
    assert entry.tip == "accuracy 60.00%\n-58 images in all, 4.00% of the training images\nseeds 3, outside the curve 0"


def test_an_address_loses_its_user_and_password_and_nothing_else():
    told = without_secrets({"a": ["https://me:key@llm.example:8/v1", "https://llm.example/v1", 3], "b": "me@home"})
    assert told == {"a": ["https://…@llm.example:8/v1", "https://llm.example/v1", 3], "b": "me@home"}
