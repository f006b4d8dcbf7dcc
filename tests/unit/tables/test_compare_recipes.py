"""Recipes side by side, and differences paired by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from fieldguide.core.files import read_csv, write_json
from fieldguide.core.significance import paired_test
from fieldguide.tables.compare_recipes import is_lower, main
from tests.tiny_data import refusal
from tests.unit.planted_cells import planted_cell


def cell(folder: Path, recipe: str, source: str, percent: int, accuracy: list[float], **other: Any) -> str:
    path = folder / f"{recipe}-{source}-{percent}{''.join(map(str, other.values()))}.json"
    write_json(path, planted_cell(source, percent, recipe=recipe, accuracy=accuracy, **other))
    return str(path)


def compared(folder: Path, *cells: str) -> tuple[list[dict[str, str]], str]:
    words = ["--cells", *cells, "--settings", '{"dataset": "x", "notes": ["A sentence."]}']
    main([*words, "--csv", str(folder / "recipes.csv"), "--md", str(folder / "recipes.md")])
    return read_csv(folder / "recipes.csv", ("recipe",)), (folder / "recipes.md").read_text(encoding="utf-8")


def test_a_paired_difference_is_scipys() -> None:
    ours, theirs = [70.0, 72.0, 71.5, 69.0], [69.0, 72.5, 70.0, 68.0]
    found = paired_test(ours, theirs)
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(tuple(interval))
    assert (paired_test([70.0], [69.0]).mean, paired_test([70.0], [69.0]).half_width) == (1.0, None)


@pytest.mark.parametrize(
    ("mean", "ci95", "lower"),
    [
        (-0.31, 5.0, True),
        (-0.2, 0.1, True),
        (-0.2, 0.3, False),
        (0.0, 0.0, False),
        (1.0, 0.1, False),
        (-0.2, None, False),
    ],
)
def test_what_is_called_lower(mean: float, ci95: float | None, lower: bool) -> None:
    assert is_lower(mean, ci95) == lower


def test_the_tables(tmp_path: Path) -> None:
    rows, text = compared(
        tmp_path,
        cell(tmp_path, "thesis", "none", 10, [60, 61, 62]),
        cell(tmp_path, "anchored-image-only", "none", 10, [62, 63, 64]),
        cell(tmp_path, "anchored", "reed", 10, [61.5, 62.5, 63.5]),
        cell(tmp_path, "anchored", "reed", 0, [50, 50, 50]),
        cell(tmp_path, "zs-text", "reed", 0, [48, 49, 50]),
    )
    assert [(row["recipe"], row["accuracy_mean"], row["n_seeds"]) for row in rows][:2] == [
        ("thesis", "61.00", "3"),
        ("anchored-image-only", "63.00", "3"),
    ]
    assert "**A sentence.**" in text and "| 10:90 | 61.00 ± 2.48 | 63.00 ± 2.48 |" in text
    assert "| 10:90 | +1.50 ± 0.00 | −0.50 ± 0.00 (lower) | – |" in text
    assert "| 0:100 | – | – | +1.00 ± 2.48 |" in text
    assert (
        "- `anchored-image-only`: the anchored recipe without text: its control.\n- `anchored`: softmax regression"
        in text
    )
    assert "tip-adapter" not in text, "what is not in the table is not explained"
    assert "Of 2 differences from an image-only control on the same images 1 are lower" in text


def test_the_tables_say_with_how_many_labels_settings_were_chosen(tmp_path: Path) -> None:
    tuned = {"tune": "per-ratio", "tuning_labels": 402, "tuning_edges": ["largest alpha"]}
    rows, text = compared(
        tmp_path,
        cell(tmp_path, "zs-text+gda", "reed", 10, [61.5, 62.5, 63.5], **tuned),
        cell(tmp_path, "zs-text", "reed", 0, [48, 49, 50], tune="none", tuning_labels=0),
        cell(tmp_path, "gda", "reed", 10, [48, 49, 50]),
    )
    assert "**A sentence.**\n\n**Hyper-parameters were chosen with 402 labels.**" in text
    assert "beyond which may be better (zs-text+gda: largest alpha).**" in text
    told = {row["recipe"]: (row["tune"], row["tuning_labels"]) for row in rows}
    assert told == {"zs-text+gda": ("per-ratio", "402"), "zs-text": ("none", "0"), "gda": ("", "")}


def test_cells_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = cell(tmp_path, "thesis", "none", 10, [60, 61, 62])
    other = cell(tmp_path, "gda", "none", 10, [60, 61, 62], sampling="global")
    rest = [
        "--settings",
        '{"dataset": "x"}',
        "--csv",
        str(tmp_path / "recipes.csv"),
        "--md",
        str(tmp_path / "recipes.md"),
    ]
    assert "gda-none-10global.json: sampling global, but" in refusal(main, "--cells", one, other, *rest)
    assert "the same cell as" in refusal(main, "--cells", one, one, *rest)
    twice = [cell(tmp_path, "thesis", "reed", 10, [60, 61, 62], translator=name) for name in ("mlp", "ridge")]
    assert "thesis reed 10% occurs twice" in refusal(main, "--cells", *twice, *rest)
    write_json(Path(one), {"recipe": "thesis"})
    assert "lacks image_percent" in refusal(main, "--cells", one, *rest)
    assert not (tmp_path / "recipes.csv").exists()
