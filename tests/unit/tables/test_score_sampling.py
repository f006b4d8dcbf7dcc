"""Which combination explains published figures: a planted one is found, and where none fits the page says so."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.files import write_csv
from fieldguide.tables.rows import PUBLISHED_COLUMNS, PublishedFigure
from fieldguide.tables.score_sampling import SAMPLING_FORMATS, main
from tests.tiny_data import refusal
from tests.unit.planted_cells import plant, planted_cell

RATIOS = (100, 50, 10, 0)
SOURCES = ("none", "reed", "gpt-3.5-turbo")
BUDGETS = (("steps", 400), ("epochs", 50), ("epochs", 100))


def level(source: str, percent: int, sampling: str, redraw: str, budget: str, amount: int) -> float:
    """An accuracy that every axis changes: redrawn images lose little, global sampling loses much, text a bit more."""
    lost = (100 - percent) / 100
    fall = (6.0 if redraw == "per-epoch" else 22.0) + (9.0 if sampling == "global" else 0.0)
    text = {"none": 0.0, "reed": 4.0}.get(source, 5.5) if percent < 100 else 0.0
    return 85.0 - fall * lost - text * lost + {("steps", 400): 0.0, ("epochs", 50): -3.0}.get((budget, amount), 2.0)


def study_cells() -> list[dict[str, Any]]:
    cells = []
    for sampling, redraw, (budget, amount), source, percent in itertools.product(
        ("class-wise", "global"), ("fixed", "per-epoch"), BUDGETS, SOURCES, RATIOS
    ):
        if percent == (0 if source == "none" else 100):
            continue
        mean = level(source, percent, sampling, redraw, budget, amount)
        seen = 5994 if redraw == "per-epoch" else 5994 * percent // 100
        cells.append(
            planted_cell(
                source,
                percent,
                sampling=sampling,
                redraw=redraw,
                budget=budget,
                accuracy=[mean - 0.2, mean, mean + 0.2],
                distinct_images=[seen] * 3,
                optimiser_steps=400 if budget == "steps" else amount * 24 * percent // 100 + 1,
                config={"amount": amount},
            )
        )
    return cells


def figures_of(study: str, states: str, alone: tuple[Any, ...], mixed: tuple[Any, ...]) -> list[PublishedFigure]:
    """A study's figures, truly made by `alone` in its image-only column and `mixed` in the others, 0.3 points off."""
    figures = []
    for source, percent in itertools.product(SOURCES, RATIOS):
        if percent != (0 if source == "none" else 100) and not (states == "global" and source == SOURCES[2]):
            truth = level(source, percent, *(alone if source == "none" else mixed))
            figures.append(PublishedFigure(percent, source, states, study, truth + (0.3 if percent == 50 else -0.3)))
    return figures


def score(
    folder: Path, figures: list[PublishedFigure], cells: list[dict[str, Any]], note: str = ""
) -> tuple[str, list[dict[str, str]]]:
    """Run the stage; returns its page and its rows."""
    published = folder / "published.csv"
    rows = [(f.image_percent, 0, f.text_source, f.sampling, f.study, f.accuracy) for f in figures]
    write_csv(published, PUBLISHED_COLUMNS, (dict(zip(PUBLISHED_COLUMNS, row, strict=True)) for row in rows))
    outputs = ["--csv", str(folder / "sampling.csv"), "--md", str(folder / "sampling.md")]
    beside = ["--published", str(published)] if figures else []
    paths = plant(folder / "cells", cells)
    settings = json.dumps({"dataset": "cub", "tolerance": 1, "notes": [note]})
    main(["--cells", *paths, "--settings", settings, *beside, *outputs])
    with (folder / "sampling.csv").open(encoding="utf-8", newline="") as stream:
        return (folder / "sampling.md").read_text(encoding="utf-8"), list(csv.DictReader(stream))


FIXED = ("class-wise", "fixed", "epochs", 100)
REDRAWN = ("class-wise", "per-epoch", "epochs", 100)


def test_a_planted_combination_is_found(tmp_path: Path) -> None:
    page, rows = score(tmp_path, figures_of("kawagoe", "class-wise", REDRAWN, REDRAWN), study_cells())
    assert (
        "Kawagoe's figures are explained by class-wise sampling, per-epoch images, 100 epochs: no column is off by "
        "more than 1 points, 0.30 over all cells.\n" in page
    )
    fitting = {
        (r["sampling"], r["redraw_image_only"], r["redraw_mixed"], r["budget"], r["amount"])
        for r in rows
        if r["explains_study"] == "yes"
    }
    assert fitting == {("class-wise", "per-epoch", "per-epoch", "epochs", "100")}


def test_images_redrawn_in_the_image_only_column_alone_are_found(tmp_path: Path) -> None:
    page, rows = score(tmp_path, figures_of("kawagoe", "class-wise", REDRAWN, FIXED), study_cells())
    assert (
        "explained by class-wise sampling, per-epoch images in the image-only column alone (fixed beside text), 100 "
        "epochs" in page
    )
    fitting = [r for r in rows if r["explains_study"] == "yes"]
    assert [(r["redraw_image_only"], r["redraw_mixed"]) for r in fitting] == [("per-epoch", "fixed")] * 3
    assert [float(r["rmse"]) for r in fitting] == [0.3] * 3
    assert {r["distinct_images_at_fewest"] for r in fitting if r["text_source"] == "none"} == {"5994"}
    # Accuracies are read off the cells, image only at 100% also where a column has text.
    assert {r["accuracy_100"] for r in fitting} == {"87.00"}


def test_the_sampling_that_a_study_does_not_state_may_explain_it(tmp_path: Path) -> None:
    truth = ("global", "fixed", "steps", 400)
    page, _ = score(tmp_path, figures_of("kawagoe", "class-wise", truth, truth), study_cells())
    assert "explained by global sampling, fixed images, 400 steps" in page
    assert "The study itself states class-wise sampling." in page


def test_where_nothing_fits_the_page_says_so_and_by_how_much(tmp_path: Path) -> None:
    figures = [f._replace(accuracy=f.accuracy - 20) for f in figures_of("kawagoe", "class-wise", FIXED, FIXED)]
    page, rows = score(tmp_path, figures, study_cells())
    assert "No combination tried explains Kawagoe's figures within 1 points in every column. The nearest is " in page
    assert "explained by" not in page
    assert {r["explains_study"] for r in rows} == {"no"}


def test_one_column_off_is_not_explained(tmp_path: Path) -> None:
    figures = [
        f._replace(accuracy=f.accuracy + (4 if f.text_source == "reed" else 0))
        for f in figures_of("kawagoe", "class-wise", FIXED, FIXED)
    ]
    page, _ = score(tmp_path, figures, study_cells())
    assert "No combination tried explains Kawagoe's figures" in page


def test_two_studies_are_answered_apart_and_together(tmp_path: Path) -> None:
    hirano = ("global", "fixed", "epochs", 100)
    figures = figures_of("kawagoe", "class-wise", FIXED, FIXED) + figures_of("hirano", "global", hirano, hirano)
    page, _ = score(tmp_path / "same", figures, study_cells())
    assert "Kawagoe's figures are explained by class-wise sampling, fixed images, 100 epochs" in page
    assert "Hirano's figures are explained by global sampling, fixed images, 100 epochs" in page
    assert "One way of drawing and one budget explains Kawagoe and Hirano" in page
    figures = figures_of("kawagoe", "class-wise", REDRAWN, FIXED) + figures_of("hirano", "global", hirano, hirano)
    page, _ = score(tmp_path / "apart", figures, study_cells())
    assert "No single redraw and budget explains Kawagoe and Hirano together" in page


def test_errors_are_those_of_hand(tmp_path: Path) -> None:
    cells = [planted_cell("none", p, accuracy=[80, 81, 82], config={"amount": 400}) for p in (100, 10)]
    figures = [PublishedFigure(100, "none", "class-wise", "kawagoe", 84.0)]
    figures += [PublishedFigure(10, "none", "class-wise", "kawagoe", 77.0)]
    _, (row,) = score(tmp_path, figures, cells)
    # Off by -3 and +4: the root of (9 + 16) / 2, on average half a point above.
    assert (row["rmse"], row["bias"], row["n_cells"]) == ("3.54", "+0.50", "2")
    # One further run would lie within 4.303 * 1 * sqrt(4/3) = 4.97 of the mean.
    assert (row["n_inside"], row["drop_100_to_10"]) == ("2", "0.00")


def test_off_cub_patterns_are_shown_and_nothing_is_compared(tmp_path: Path) -> None:
    page, rows = score(tmp_path, [], study_cells(), "Made up.")
    assert "would be meaningless, so nothing is compared" in page and "**Made up.**" in page
    assert "explain" not in page and "published |" not in page
    assert (
        "From 100% of the images to 10% the image-only column loses 19.8 points with class-wise sampling and fixed "
        "images, 5.4 points with class-wise sampling and per-epoch images, 27.9 points with global sampling and fixed "
        "images, 13.5 points with global sampling and per-epoch images, over the 3 budgets tried." in page
    )
    assert tuple(rows[0]) == tuple(SAMPLING_FORMATS)
    # Two samplings, three budgets, three ways of redrawing, three columns.
    assert len(rows) == 2 * 3 * 3 * 3 and {r["rmse"] for r in rows} == {""}
    by = {(r["sampling"], r["redraw_image_only"], r["budget"], r["amount"], r["text_source"]): r for r in rows}
    row = by["class-wise", "fixed", "epochs", "50", "none"]
    assert (row["optimiser_steps_at_fewest"], row["optimiser_steps_at_most"]) == ("121", "1201")


def test_a_published_column_without_cells_is_said(tmp_path: Path) -> None:
    cells = [cell for cell in study_cells() if cell["text_source"] != "gpt-3.5-turbo"]
    page, _ = score(tmp_path, figures_of("kawagoe", "class-wise", FIXED, FIXED), cells)
    assert "Kawagoe's figures (its column gpt-3.5-turbo has no cells in this run) are explained by" in page


def test_cells_of_other_recipes_are_refused(tmp_path: Path) -> None:
    (path,) = plant(tmp_path, [planted_cell("none", 10, recipe="anchored", config={"amount": 400})])
    outputs = ["--csv", tmp_path / "s.csv", "--md", tmp_path / "s.md"]
    told = refusal(main, "--cells", path, "--settings", '{"dataset": "cub", "tolerance": 1}', *outputs)
    assert "none is of the recipe thesis" in told and not (tmp_path / "s.md").exists()


@pytest.mark.parametrize("seeds", [1, 3])
def test_it_runs_on_one_seed_too(tmp_path: Path, seeds: int) -> None:
    one = {"seeds": [0], "accuracy": [70.0], "distinct_images": [5], "distinct_texts": [0], "config": {"amount": 1}}
    cells = [planted_cell("none", 10, **(one if seeds == 1 else {"config": {"amount": 1}}))]
    _, (row,) = score(tmp_path, [PublishedFigure(10, "none", "class-wise", "kawagoe", 70.0)], cells)
    assert row["n_inside"] == ("" if seeds == 1 else "0")
