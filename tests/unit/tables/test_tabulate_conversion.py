"""The tables and pictures of conversion accuracy, from features to files."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from fieldguide.core.files import read_json, write_csv, write_json
from fieldguide.tables import plot_conversion, tabulate_conversion
from fieldguide.translators import measure_conversion
from tests.tiny_data import refusal
from tests.unit.planted_cells import planted_cell
from tests.unit.planted_features import BACKBONE, World
from tests.unit.planted_pairs import measured, write_pairs


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_pairs(tmp_path)


def write_cells(world: World, *names: str) -> list[Path]:
    paths = []
    for name in names:
        for source in ("reed", "llm"):
            for recipe, percent in (("thesis", 50), ("thesis", 0), ("zs-translated", 0)):
                path = world.folder / f"{name}-{source}-{recipe}-{percent}.json"
                unit_of = "caption" if source == "reed" else "field"
                accuracy = [percent + 1.0, percent + 3.0, percent + 5.0]
                cell = planted_cell(
                    source, percent, accuracy=accuracy, text_unit=unit_of, translator=name, recipe=recipe
                )
                write_json(path, {**cell, "backbone": BACKBONE})
                paths.append(path)
    return paths


def tabulated(world: World, names: tuple[str, ...]) -> list[str]:
    given: list[object] = ["--measures", *(world.folder / f"{name}.json" for name in names)]
    given += [
        "--cells",
        *write_cells(world, *names),
        "--settings",
        f'{{"translator": "{names[0]}", "dataset": "easy"}}',
    ]
    return [str(word) for word in (*given, "--out", world.folder / "tables")]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_words_that_stand_together_share_a_line_and_chance_is_not_shown() -> None:
    found = [("crest", 9, 6.0), ("eggs", 4, 5.0), ("laid", 4, 5.0), ("wing", 8, 3.9), ("song", 7, -4.5)]
    words = [{"word": w, "texts": n, "classes": 2, "effect": t / 2, "t": t} for w, n, t in found]
    told = tabulate_conversion.format_words(pd.DataFrame(words))
    converts, lost = told.split("Is lost:")
    assert "| crest | 9 | 2 | +3.00 | +6.0 |\n| eggs, laid | 4 | 2 | +2.50 | +5.0 |\n" in converts
    assert "| song | 7 | 2 | -2.25 | -4.5 |" in lost and "wing" not in told
    assert tabulate_conversion.format_words(pd.DataFrame(words[3:4])).count("None.") == 2


def test_from_features_to_tables_and_pictures(world: World) -> None:
    for name in ("identity", "other"):
        measure_conversion.main(measured(world, name))
    tabulate_conversion.main(tabulated(world, ("identity", "other")))
    tables = world.folder / "tables"
    rows = rows_of(tables / "conversion.csv")
    assert [row["translator"] for row in rows] == ["identity", "other"]
    told = read_json(world.folder / "identity.json")
    assert rows[0]["test_captions"] == str(told["pairs"]["captions"]) == str(2 * told["pairs"]["images"])
    assert float(rows[0]["recall_1"]) == pytest.approx(told["pairs"]["recall_1"][0], rel=1e-5)
    # An easy world: texts lie around the directions of their classes.
    assert float(rows[0]["reed_nearest_class_mean"]) > 95
    assert (rows[0]["llm_accuracy_50"], rows[0]["llm_accuracy_0"], rows[0]["reed_zs_translated"]) == ("53", "3", "3")
    assert float(rows[0]["llm_accuracy_50_ci95"]) == pytest.approx(4.968, abs=1e-3)
    fields = rows_of(tables / "conversion_fields.csv")
    assert {(row["text_source"], row["field"]) for row in fields} == {("reed", "caption"), ("llm", "Size")}
    assert {row["class_name"] for row in rows_of(tables / "conversion_classes.csv")} == {
        f"Bird {c}" for c in range(1, 5)
    }
    assert {row["word"] for row in rows_of(tables / "conversion_words.csv")} <= {
        "caption",
        "of",
        "image",
        "sentence",
        "on",
    }
    text = (tables / "conversion.md").read_text(encoding="utf-8")
    assert "| identity | " in text and "53.0 ± 5.0" in text and "adapter at 50:50" in text
    assert "## Classes: reed, identity" in (tables / "conversion_fields.md").read_text(encoding="utf-8")
    source = ["reed", world.table("reed"), world.translated("reed"), world.raw("reed")]
    given = ["--csv", tables / "conversion.csv", "--records", world.records, "--classes", world.folder / "classes.csv"]
    given += ["--images", world.images, "--source", *source]
    given += ["--settings", '{"translator": "identity", "classes": 2}']
    pictures = [world.folder / name for name in ("a.svg", "b.svg", "c.svg", "d.svg")]
    for svg, pca in (pictures[:2], pictures[2:]):
        plot_conversion.main([str(word) for word in (*given, "--svg", svg, "--pca", pca)])
    assert pictures[0].read_bytes() == pictures[2].read_bytes() and pictures[1].read_bytes() == pictures[3].read_bytes()
    assert b"<svg" in pictures[0].read_bytes()[:1000] and pictures[0].read_bytes() != pictures[1].read_bytes()
    write_csv(world.folder / "classes.csv", ("class_id", "class_name"), [{"class_id": "1", "class_name": "Bird 1"}])
    told = refusal(plot_conversion.main, *given, "--svg", pictures[0], "--pca", pictures[1])
    assert "classes.csv: lacks class 2, which has images" in told


def test_what_cannot_be_tabulated_is_one_sentence(world: World) -> None:
    measure_conversion.main(measured(world))
    given = tabulated(world, ("identity",))
    told = refusal(tabulate_conversion.main, *given, "--settings", '{"translator": "babel", "dataset": "easy"}')
    assert "translator babel: is not among those measured (identity)" in told
    path = world.folder / "identity.json"
    told = refusal(tabulate_conversion.main, *given, "--measures", path, path)
    assert "identity.json: translator identity is there twice; leave one out" in told
    write_json(path, {"translator": "identity"})
    told = refusal(tabulate_conversion.main, *given)
    assert "identity.json: lacks kind, backbone, pairs, sources; delete it to have it made again" in told
    assert not (world.folder / "tables").exists()


def test_a_cell_that_has_no_column_is_refused(world: World) -> None:
    measure_conversion.main(measured(world))
    path = world.folder / "cell.json"
    write_json(path, {**planted_cell("reed", 30, text_unit="caption"), "backbone": BACKBONE})
    told = refusal(tabulate_conversion.main, *tabulated(world, ("identity",)), "--cells", path)
    assert "recipe thesis at 30% has no column here" in told
