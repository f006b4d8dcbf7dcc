"""The look that figures share: told apart by the colour-blind and in grey, legends that fit, one module for all."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import fieldguide
from fieldguide.core.plotting import COLOURS, DASHES, MARKERS, legend_columns
from fieldguide.tables.plot_accuracy import draw_figure, styles_of
from fieldguide.tables.rows import Column, Series, read_rows
from tests.unit.planted_cells import planted_cell, write_accuracy

PACKAGE = Path(fieldguide.__file__).parent

# Machado, Oliveira and Fernandes (2009), table 1, severity 1.0; on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_first_colours_differ_for_every_eye(kind: str):
    """The four that a table of sources uses; a difference of 2.3 is just noticeable."""
    seen = [lab(np.asarray(BLINDNESS[kind]) @ linear(colour)) for colour in COLOURS[:4]]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def test_no_colour_is_lost_on_white_paper():
    assert max(lab(linear(colour))[0] for colour in COLOURS) < 75


def test_lines_differ_without_their_colours():
    sources = [Column("none", "none", "none"), Column("reed", "unnamed", "caption"), Column("llm", "unnamed", "field")]
    lines = [Series("class-wise", recipe, source) for recipe in ("thesis", "anchored") for source in sources]
    styles = styles_of(lines).values()
    assert len({style.marker for style in styles}) == len({str(style.dash) for style in styles}) == len(lines)
    assert len(DASHES) == len(MARKERS) == len(set(MARKERS)) == len(set(map(str, DASHES)))


def test_a_legend_fits_its_figure(tmp_path: Path):
    cells = [
        planted_cell(source, percent, recipe=recipe)
        for recipe in ("thesis", "anchored", "anchored-image-only")
        for source in ("none", "reed", "a-model-with-a-rather-long-name")
        for percent in (50, 10)
    ]
    for draws in (("class-wise",), ("class-wise", "global")):
        told = [cell | {"sampling": sampling} for sampling in draws for cell in cells]
        figure = draw_figure(read_rows(write_accuracy(tmp_path / str(len(draws)), told)))
        figure.canvas.draw()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_columns_of_a_legend():
    assert legend_columns(["a", "b"], 100) == 2
    assert legend_columns(["x" * 500, "b"], 5) == 1
    assert legend_columns(["x" * 20] * 6, 9.4) == 4


def test_every_figure_has_the_look_of_one_module():
    drawn = [path for path in PACKAGE.rglob("*.py") if "matplotlib.figure import Figure" in path.read_text("utf-8")]
    drawn = [path for path in drawn if path.name != "plotting.py"]
    assert drawn
    for path in drawn:
        text = path.read_text("utf-8")
        assert "plain_axes(" in text and "save_svg(" in text, f"{path}: draws without plotting's look"
