"""The picture: a panel per variant, a telling style per source, the same bytes every time."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.lines import Line2D

from fieldguide.tables.plot_accuracy import draw_figure, main, styles_of
from fieldguide.tables.rows import read_published, read_rows
from tests.unit.planted_cells import planted_cell, thesis_cells, write_accuracy

PUBLISHED = Path(__file__).parents[3] / "workflow" / "resources" / "published.csv"
SETTINGS = ["--settings", '{"dataset": "cub"}']


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata()).tolist()]


def test_bytes_are_the_same_twice_and_carry_no_date(tmp_path: Path) -> None:
    path = write_accuracy(tmp_path, thesis_cells())
    for name in ("first.svg", "second.svg"):
        main(
            [
                "--csv",
                str(path),
                "--svg",
                str(tmp_path / name),
                "--published",
                str(PUBLISHED),
                "--settings",
                '{"dataset": "cub", "notes": ["Planted."]}',
            ]
        )
    first = (tmp_path / "first.svg").read_bytes()
    assert first == (tmp_path / "second.svg").read_bytes()
    assert b"dc:date" not in first
    assert ElementTree.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"
    assert sorted(p.name for p in tmp_path.glob("*.svg")) == ["first.svg", "second.svg"]


def test_a_panel_per_variant_with_its_lines_and_bands(tmp_path: Path) -> None:
    rows = read_rows(write_accuracy(tmp_path, thesis_cells(redraws=("fixed", "per-epoch"))))
    figure = draw_figure(rows, notes=["Planted."])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "sampling class-wise, redraw fixed",
        "sampling global, redraw fixed",
        "sampling class-wise, redraw per-epoch",
        "sampling global, redraw per-epoch",
    ]
    assert [len(axes.lines) for axes in figure.axes] == [3, 2, 3, 2]
    assert [len(axes.collections) for axes in figure.axes] == [3, 2, 3, 2]
    alone = points(figure.axes[0].lines[0])
    assert [x for x, _ in alone] == list(range(10, 101, 10))
    assert alone[0] == (10.0, 62.5)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["image only", "human (Reed)", "gpt-3.5-turbo"]
    assert "Planted." in figure.get_supxlabel()


def test_published_curves_are_dotted_and_those_of_the_panel_only(tmp_path: Path) -> None:
    rows = read_rows(write_accuracy(tmp_path, thesis_cells()))
    figure = draw_figure(rows, read_published(PUBLISHED))
    dotted = [[line for line in axes.lines if line.get_linestyle() == ":"] for axes in figure.axes]
    assert [len(lines) for lines in dotted] == [3, 2]
    assert points(dotted[0][0])[0] == (10.0, 81.88)
    assert points(dotted[1][0])[0] == (10.0, 53.92)
    assert figure.legends[0].get_texts()[-1].get_text() == "published"


def test_published_curves_are_not_drawn_beside_another_llm(tmp_path: Path) -> None:
    rows = read_rows(write_accuracy(tmp_path, thesis_cells(llm="other-llm")))
    figure = draw_figure(rows, read_published(PUBLISHED))
    assert sum(line.get_linestyle() == ":" for line in figure.axes[0].lines) == 2


def test_styles_differ_in_colour_marker_and_dash(tmp_path: Path) -> None:
    rows = read_rows(write_accuracy(tmp_path, thesis_cells()))
    styles = list(styles_of([r.series for r in rows[::10][:3]]).values())
    for part in zip(*styles, strict=True):
        assert len({str(value) for value in part}) == 3


def test_a_recipes_lines_share_the_sources_colour_and_nothing_else(tmp_path: Path) -> None:
    cells = [planted_cell(s, p, recipe=r) for s in ("none", "reed") for p in (10, 50) for r in ("thesis", "anchored")]
    cells += [planted_cell("reed", 50, recipe="tip-adapter")]
    figure = draw_figure(read_rows(write_accuracy(tmp_path, cells)))
    (axes,) = figure.axes
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["thesis: image only", "thesis: human (Reed)", "anchored: image only", "anchored: human (Reed)"]
    colours = [line.get_color() for line in axes.lines]
    assert colours[:2] == colours[2:] and colours[0] != colours[1]
    assert len({line.get_marker() for line in axes.lines}) == 4


def test_a_single_cell_without_an_interval_can_be_drawn(tmp_path: Path) -> None:
    one = {"seeds": [0], "accuracy": [50.0], "distinct_images": [5], "distinct_texts": [5]}
    path = write_accuracy(tmp_path, [planted_cell("reed", 10, **one)])
    main(["--csv", str(path), "--svg", str(tmp_path / "figures" / "accuracy.svg"), *SETTINGS])
    assert (tmp_path / "figures" / "accuracy.svg").stat().st_size > 0


def test_a_table_that_is_not_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.csv"
    path.write_text("a,b\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"accuracy\.csv: lacks the column"):
        main(["--csv", str(path), "--svg", str(tmp_path / "accuracy.svg"), *SETTINGS])
    assert not (tmp_path / "accuracy.svg").exists()
