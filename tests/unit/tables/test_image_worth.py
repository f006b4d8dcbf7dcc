"""The worth of text in images: planted worths are found, and what lies outside the curve is a bound."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldguide.core.files import write_csv
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.tables.differences import find_differences
from fieldguide.tables.image_worth import (
    AT_LEAST,
    AT_MOST,
    BETWEEN,
    EXACT,
    describe_worth,
    find_worth,
    format_worths,
    monotone,
    share_for,
    share_saved,
)
from fieldguide.tables.results import TrainingImages, read_cells
from fieldguide.tables.rows import SOURCE_LABELS
from fieldguide.tables.tabulate_image_worth import WORTH_FORMATS, main
from tests.unit.planted_cells import plant, planted_cell

SEEDS = [0, 1, 2, 3, 4]
IMAGES = TrainingImages(3000, 100)  # 30 a class
# Image only gains 10 points with ten times the images, each seed on its own level.
LEVELS = (60.0, 61.0, 59.5, 60.5, 60.2)
SHARES = (10, 50, 100)


def curve(share: float) -> float:
    return 10 * math.log10(share)


def cell(source: str, percent: int, accuracy: list[float], **changes: Any) -> dict[str, Any]:
    counts = {"distinct_images": [percent] * 5, "distinct_texts": [0 if source == "none" else 1] * 5}
    return planted_cell(source, percent, seeds=SEEDS, accuracy=accuracy, **(counts | changes))


def image_only(**changes: Any) -> list[dict[str, Any]]:
    return [cell("none", p, [level + curve(p) for level in LEVELS], **changes) for p in SHARES]


def worth_as(percent: int, gain: list[float], source: str = "reed", **changes: Any) -> dict[str, Any]:
    """A text cell as accurate as image only with so much more of the images, in percent, seed by seed."""
    accuracy = [level + curve(percent + g) for level, g in zip(LEVELS, gain, strict=True)]
    return cell(source, percent, accuracy, **changes)


def find(folder: Path, cells: list[dict[str, Any]]) -> pd.DataFrame:
    worth, flat = find_worth(read_cells(plant(folder, cells)), IMAGES)
    assert flat.empty
    return worth.assign(text=format_worths(worth))


def found(folder: Path, cells: list[dict[str, Any]]) -> dict[tuple[str, str, float], Any]:
    return {(w.recipe, w.image_only_recipe, w.image_percent): w for w in find(folder, cells).itertuples()}


def test_a_share_is_read_off_the_curve_by_hand() -> None:
    shares, curve = [10, 20, 40, 90], [60.0, 70.0, 70.0, 80.0]
    # Halfway up between two shares is their geometric mean.
    assert share_for(65, shares, curve) == (pytest.approx(200**0.5), EXACT)
    assert share_for(75, shares, curve) == (pytest.approx(60), EXACT)
    # On a level stretch the fewest images that reach it.
    assert share_for(70, shares, curve) == (20, EXACT)
    assert share_for(60, shares, curve) == (10, EXACT) and share_for(80, shares, curve) == (90, EXACT)
    assert share_for(59, shares, curve) == (10, AT_MOST) and share_for(81, shares, curve) == (90, AT_LEAST)
    assert monotone([60, 70, 66, 80]) == pytest.approx([60, 68, 68, 80])


@given(st.lists(st.floats(0, 100), min_size=2, max_size=10), st.floats(0, 100))
def test_a_share_is_where_the_monotone_curve_has_the_accuracy(raw: list[float], accuracy: float) -> None:
    import numpy as np

    curve, shares = monotone(raw), [float(10 * (i + 1)) for i in range(len(raw))]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(curve))
    share, relation = share_for(accuracy, shares, curve)
    if relation == EXACT:
        assert float(np.interp(np.log(share), np.log(shares), curve)) == pytest.approx(accuracy, abs=1e-6)
    else:
        assert share == (shares[0] if relation == AT_MOST else shares[-1])


def test_a_planted_worth_is_found_with_its_interval(tmp_path: Path) -> None:
    # 10% of the images and text are worth 5, 15, 10, 10, 10% more: 3 of 30 images a class on average.
    cells = [*image_only(), worth_as(10, [5, 15, 10, 10, 10])]
    worth = found(tmp_path, cells)["thesis", "thesis", 10]
    assert worth.images_per_class_saved == pytest.approx(3.0) and worth.relation == EXACT
    # The standard deviation of 1.5, 4.5, 3, 3, 3 is 1.0607; t(0.975, 4) = 2.776445.
    assert worth.images_per_class_saved_ci95 == pytest.approx(2.776445 * 1.06066 / 5**0.5, rel=1e-4)
    assert worth.text == "+3.0 ± 1.3 (+300)" and worth.verdict == "saves"


def test_text_that_hurts_costs_images(tmp_path: Path) -> None:
    worth = found(tmp_path, [*image_only(), worth_as(50, [-10, -11, -9, -10, -10])])["thesis", "thesis", 50]
    assert worth.images_per_class_saved == pytest.approx(-3.0) and worth.verdict == "costs"
    assert worth.text.startswith("-3.0 ± 0.")


def test_outside_the_curve_is_a_bound(tmp_path: Path) -> None:
    cells = [
        *image_only(),
        worth_as(90, [20] * 5),
        worth_as(50, [60, 60, 45, 45, 45]),
        worth_as(10, [-5, -5.1, -4.9, -5, -5]),
        worth_as(0, [5] * 5),
        worth_as(20, [-15, 90, 0, 0, 0]),
    ]
    worths = found(tmp_path, cells)
    told = {percent: worth.text for (_, _, percent), worth in worths.items()}
    # 90%: above all images, so at least the 10% that are missing, 3 of 30; 0%: below three images, so at most 3.
    assert told == {
        90: "≥ +3.0 (+300)",
        50: "≥ +14.1 (+1,410)",
        20: "outside",
        10: "≤ +0.0 (+0)",
        0: "≤ +3.0 (+300)",
    }
    # At 90% and 20% no image-only training has the share, and at 10% the accuracies differ significantly though none
    # is on the curve; at 50% the gain is 4.5 to 6 points.
    assert [worths["thesis", "thesis", p].verdict for p in (90, 50, 20, 10, 0)] == [
        "undecided",
        "saves",
        "undecided",
        "costs",
        "undecided",
    ]
    assert [worths["thesis", "thesis", p].seeds_outside_curve for p in (90, 50, 20, 10, 0)] == [5, 2, 2, 5, 5]
    assert worths["thesis", "thesis", 20].relation == BETWEEN
    assert all(pd.isna(w.images_per_class_saved_ci95) for w in worths.values())


def test_text_that_changes_nothing_is_worth_nothing_where_noise_bends_the_curve(tmp_path: Path) -> None:
    # Image only falls from 50% to 70% by chance; the monotone curve lies between, below one and above the other.
    bent = {
        10: [60.0, 61, 60, 59, 62],
        50: [75.0, 70, 72, 74, 71],
        70: [71.0, 76, 73, 72, 73],
        100: [80.0, 82, 81, 83, 80],
    }
    cells = [cell("none", percent, told) for percent, told in bent.items()]
    cells += [cell("reed", percent, told) for percent, told in bent.items() if percent < 100]
    worths = found(tmp_path, cells)
    assert {
        percent: (w.images_per_class_saved, w.images_per_class_saved_ci95, w.relation)
        for (_, _, percent), w in worths.items()
    } == {percent: (0.0, 0.0, EXACT) for percent in (10, 50, 70)}
    assert share_saved(72.0, 72.0, 50, [10, 50], [60.0, 71.0]) == (0, EXACT)
    # Image only itself lies above the monotone curve: text above it says nothing, text below it costs at least so much.
    assert share_saved(71.5, 72.0, 50, [10, 50], [60.0, 71.0]) == (0, BETWEEN)
    half = (10 * 50) ** 0.5
    assert share_saved(65.5, 72.0, 50, [10, 50], [60.0, 71.0]) == (pytest.approx(half - 50), AT_MOST)
    assert share_saved(65.5, 59.0, 10, [10, 50], [60.0, 71.0]) == (pytest.approx(half - 10), AT_LEAST)
    assert share_saved(58.0, 59.0, 10, [10, 50], [60.0, 71.0]) == (0, BETWEEN)
    assert share_saved(65.0, None, 5, [10, 50], [60.0, 70.0]) == (pytest.approx(half - 5), EXACT)


def test_another_recipe_is_weighed_against_both_image_only_columns(tmp_path: Path) -> None:
    control = image_only(recipe="anchored-image-only")
    for one in control:  # as good as the thesis's with 1.5 times the images
        one["accuracy"] = [a + curve(1.5) for a in one["accuracy"]]
    cells = [*image_only(), *control, worth_as(10, [20] * 5, recipe="anchored"), worth_as(10, [5] * 5)]
    cells += [worth_as(10, [9] * 5, recipe="tip-adapter")]
    worths = found(tmp_path, cells)
    assert {key: round(w.images_per_class_saved, 6) for key, w in worths.items()} == {
        ("thesis", "thesis", 10): 1.5,
        ("anchored", "thesis", 10): 6.0,
        ("anchored", "anchored-image-only", 10): 3.0,
    }


def test_a_flat_image_only_curve_gives_no_worth(tmp_path: Path) -> None:
    noise = {10: (0.1, -0.2, 0, 0.1, -0.1), 50: (-0.1, 0.1, 0.1, 0, 0), 100: (0, 0.1, -0.1, 0.1, 0.1)}
    cells = [cell("none", p, [83 + n for n in told]) for p, told in noise.items()]
    worths, flat_curves = find_worth(read_cells(plant(tmp_path, [*cells, worth_as(10, [5] * 5)])), IMAGES)
    (flat,) = flat_curves.itertuples()
    assert worths.empty and abs(flat.rise) <= flat.rise_ci95


def test_the_sentence_says_where_it_helps_and_where_not(tmp_path: Path) -> None:
    near = [0, 5, -5, 2, -2]
    cells = [
        *image_only(),
        worth_as(10, [10, 11, 9, 10, 10]),
        worth_as(50, [-20, -21, -19, -20, -20]),
        worth_as(90, near),
    ]
    told = describe_worth(find(tmp_path, cells), SOURCE_LABELS["reed"], IMAGES)
    assert told == (
        "human (Reed): at 10% of the images, the fewest here, the text is worth +3.0 ± 0.3 labelled images per class "
        "(of 30.0), +300 in all (of 3,000). The text saves images at 10%; it costs images at 50%; "
        "it is undecided at 1 of 3 shares."
    )
    worth = find(tmp_path, cells)
    assert describe_worth(worth[worth["image_percent"] == 90], "human", IMAGES) == (
        "human: at 90% of the images, the fewest here, the text is worth +0.0 ± 1.4 labelled images per class "
        "(of 30.0), +0 in all (of 3,000), not significantly different "
        "from nothing. The text saves images at no share; it is undecided at "
        "1 of 1 shares."
    )


def test_what_saves_images_is_what_the_table_of_differences_calls_significant(tmp_path: Path) -> None:
    """An interval that leaves out 0 is not enough among many: the pages never say different things of one cell."""
    shares = range(10, 100, 10)
    cells = [cell("none", p, [level + curve(p) for level in LEVELS]) for p in (*shares, 100)]
    cells += [worth_as(p, [2, 1, 3, 0.5, 4] if p == 30 else [0.1, -0.1, 0, 0.2, -0.2]) for p in shares]
    worth = found(tmp_path, cells)["thesis", "thesis", 30]
    assert worth.images_per_class_saved > worth.images_per_class_saved_ci95
    differences = find_differences(read_cells(plant(tmp_path, cells)))
    (tested,) = differences[differences["image_percent"] == 30].itertuples()
    assert worth.difference_mean == tested.difference_mean and tested.p < 0.05
    assert tested.significant is worth.significant is False and worth.verdict == "undecided"


ACCURACIES = st.lists(st.integers(500, 900).map(lambda a: a / 10), min_size=5, max_size=5)
COLUMNS = [("none", "thesis"), ("none", "anchored-image-only")]
COLUMNS += [(source, recipe) for source in ("reed", "llm") for recipe in ("thesis", "anchored")]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_both_tables_agree_in_every_cell(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A text cell also differs from the other recipe's cell of the same text, which says nothing of images saved."""
    cells = [
        cell(source, percent, data.draw(ACCURACIES), recipe=recipe)
        for source, recipe in COLUMNS
        for percent in (10, 40, 100)
        if source == "none" or (percent < 100 and data.draw(st.booleans()))
    ]
    # So that some differ significantly, and by less than another text of the same recipe does.
    for one in cells:
        level = {"none": 0.0, "reed": 10.0, "llm": -10.0}[one["text_source"]] * data.draw(st.booleans())
        one["accuracy"] = [a * 0.02 + 70 + level + curve(one["image_percent"]) for a in one["accuracy"]]
    read = read_cells(plant(tmp_path_factory.mktemp("cells"), cells))
    differences = find_differences(read)
    tested = {
        (d.variant, d.first_path, d.second_recipe): d
        for d in differences.itertuples()
        if d.second_text_source == "none" and d.first_text_source != "none"
    }
    worth, _ = find_worth(read, IMAGES)
    assert len(worth) == sum(d.image_percent < 100 for d in tested.values())
    for w in worth.itertuples():
        d = tested[w.variant, w.path, w.image_only_recipe]
        expected = {True: "saves" if d.difference_mean > 0 else "costs"}.get(d.significant, "undecided")
        assert (w.verdict, w.difference_mean) == (expected, d.difference_mean)


def test_what_another_recipe_gains_is_not_called_the_texts(tmp_path: Path) -> None:
    """A recipe that is better on images alone and ignores its text saves images against the thesis's; its text none."""
    better = [level + curve(60 + more) for level, more in zip(LEVELS, (0, 0.2, -0.2, 0.1, -0.1), strict=True)]
    control = [cell("none", p, [a + curve(p / 50) for a in better], recipe="anchored-image-only") for p in SHARES]
    worth = find(tmp_path, [*image_only(), *control, cell("reed", 50, better, recipe="anchored")])
    against = {name: describe_worth(own, "it", IMAGES) for name, own in worth.groupby("image_only_recipe")}
    assert "the recipe with its text is worth +3.0 ± 0.1" in against["thesis"]
    assert "The recipe with its text saves images at 50%." in against["thesis"]
    assert "the text is worth +0.0 ± 0.0" in against["anchored-image-only"]
    assert "The text saves images at no share" in against["anchored-image-only"]


def test_one_seed_tells_nothing_of_what_is_saved(tmp_path: Path) -> None:
    one: dict[str, Any] = {"seeds": [0], "distinct_images": [1]}
    cells = [planted_cell("none", p, accuracy=[60 + curve(p)], distinct_texts=[0], **one) for p in SHARES]
    cells += [planted_cell("reed", 10, accuracy=[60 + curve(30)], distinct_texts=[1], **one)]
    worth = find(tmp_path, cells)
    (row,) = worth.itertuples()
    assert (row.images_per_class_saved, row.verdict) == (pytest.approx(6.0), "undecided")
    assert pd.isna(row.images_per_class_saved_ci95)
    assert describe_worth(worth, "it", IMAGES).startswith("it: one seed, so nothing can be said")


def test_the_stage_writes_a_page_and_a_table(tmp_path: Path) -> None:
    rows = [(str(i), "x", str(i % 2), "train" if i < 12 else "test") for i in range(30)]
    write_csv(tmp_path / "images.csv", IMAGE_COLUMNS, (dict(zip(IMAGE_COLUMNS, row, strict=True)) for row in rows))
    paths = plant(tmp_path / "cells", [*image_only(), worth_as(10, [10] * 5), worth_as(0, [5] * 5)])
    outputs = ["--csv", str(tmp_path / "w.csv"), "--md", str(tmp_path / "w.md")]
    main(
        [
            "--cells",
            *paths,
            "--records",
            str(tmp_path / "images.csv"),
            "--settings",
            '{"dataset": "tiny", "notes": ["N."]}',
            *outputs,
        ]
    )
    page = (tmp_path / "w.md").read_text(encoding="utf-8")
    assert "A class has 6.0 training images on average, 12 are there in all." in page and "**N.**" in page
    assert "| 10:90 | +0.6 ± 0.0 (+1) |" in page and "| 0:100 | ≤ +0.6 (+1) |" in page
    with (tmp_path / "w.csv").open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert tuple(first) == tuple(WORTH_FORMATS)
    assert (first["image_percent"], first["relation"], first["images_per_class_saved"]) == ("10", "=", "0.600")
    assert (first["percent_of_images_saved"], second["relation"], second["seeds_outside_curve"]) == ("10.00", "<=", "5")


def test_without_an_image_only_column_the_page_says_so(tmp_path: Path) -> None:
    write_csv(tmp_path / "images.csv", IMAGE_COLUMNS, [dict(zip(IMAGE_COLUMNS, ("1", "x", "1", "train"), strict=True))])
    paths = plant(tmp_path / "cells", [worth_as(10, [10] * 5)])
    outputs = ["--csv", str(tmp_path / "w.csv"), "--md", str(tmp_path / "w.md")]
    main(["--cells", *paths, "--records", str(tmp_path / "images.csv"), "--settings", '{"dataset": "tiny"}', *outputs])
    assert "No variant has both a text column and an image-only column" in (tmp_path / "w.md").read_text()
