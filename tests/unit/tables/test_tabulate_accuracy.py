"""The tidy CSV and the comparison table, from planted cells."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldguide.core.significance import half_width
from fieldguide.tables.grid import MISSING
from fieldguide.tables.latex import escape_tex
from fieldguide.tables.results import read_cells, summarise, to_rows
from fieldguide.tables.rows import ACCURACY_COLUMNS, cell_identity, read_published, read_rows
from fieldguide.tables.tabulate_accuracy import main
from tests.unit.planted_cells import BACKBONE, plant, planted_cell, thesis_cells

PUBLISHED = Path(__file__).parents[3] / "workflow" / "resources" / "published.csv"
OUTPUTS = ("csv", "md", "tex", "html")


def tabulate(paths: list[str], out: Path, *options: str, dataset: str = "cub", note: str = "") -> dict[str, str]:
    """Run the stage; returns what it wrote, by format."""
    heading = json.dumps({"dataset": dataset, "notes": [note]})
    outputs = [word for name in OUTPUTS for word in (f"--{name}", str(out / f"accuracy.{name}"))]
    main(["--cells", *paths, "--settings", heading, *options, *outputs])
    return {name: (out / f"accuracy.{name}").read_text(encoding="utf-8") for name in OUTPUTS}


def refused(paths: list[str], out: Path, *options: str, dataset: str = "cub") -> str:
    """Run the stage, which must refuse and write nothing; returns its sentence."""
    with pytest.raises(SystemExit) as stop:
        tabulate(paths, out, *options, dataset=dataset)
    assert not out.exists()
    return str(stop.value.code)


def markdown_row(text: str, ratio: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {ratio} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def tex_row(text: str, ratio: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"{ratio} &"))
    return [cell.strip() for cell in line.removesuffix(r"\\").split("&")]


class TableReader(HTMLParser):
    """Rows of all tables; fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta",):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_half_width_by_hand() -> None:
    # t(0.975, 2) = 4.302653; the standard deviation of 80, 82, 84 is 2; 4.302653 * 2 / sqrt(3) = 4.968276.
    assert half_width([80, 82, 84]) == pytest.approx(4.968276, abs=1e-6)
    # t(0.975, 4) = 2.776445; the standard deviation of 1 ... 5 is sqrt(2.5).
    assert half_width([1, 2, 3, 4, 5]) == pytest.approx(2.776445 * 2.5**0.5 / 5**0.5, abs=1e-6)
    assert half_width([70, 70, 70]) == 0
    assert half_width([81.88]) is None


def test_csv_of_a_mixed_and_an_image_only_cell(tmp_path: Path) -> None:
    mixed = planted_cell("reed", 10, accuracy=[80, 82, 84], distinct_images=[599, 600, 600], distinct_texts=[5, 6, 7])
    alone = planted_cell("none", 10, accuracy=[80, 82, 84.005], text_unit="caption", translator="qformer")
    written = tabulate(plant(tmp_path / "cells", [mixed, alone]), tmp_path / "out")
    lines = written["csv"].splitlines()
    assert lines[0] == ",".join(ACCURACY_COLUMNS)
    assert lines[0] == (
        "image_percent,text_percent,text_source,text_names,text_unit,sampling,redraw,budget,recipe,translator,backbone,"
        "accuracy_mean,accuracy_ci95,n_seeds,distinct_images,distinct_texts"
    )
    assert lines[1] == f"10,0,none,none,none,class-wise,fixed,steps,thesis,none,{BACKBONE},82.00,4.97,3,599,0"
    assert lines[2] == (
        f"10,90,reed,unnamed,caption,class-wise,fixed,steps,thesis,qformer,{BACKBONE},82.00,4.97,3,599.7,6"
    )
    assert len(lines) == 3


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    one = {"seeds": [3], "accuracy": [81.884], "distinct_images": [599], "distinct_texts": [5395]}
    written = tabulate(plant(tmp_path / "cells", [planted_cell("reed", 10, **one)]), tmp_path / "out")
    row = next(csv.DictReader(written["csv"].splitlines()))
    assert (row["accuracy_mean"], row["accuracy_ci95"], row["n_seeds"]) == ("81.88", "", "1")
    assert markdown_row(written["md"], "10:90") == ["10:90", "81.88"]
    assert "one seed, so no interval" in written["md"]


def test_thesis_layout_with_both_studies_in_brackets(tmp_path: Path) -> None:
    paths = plant(tmp_path / "cells", thesis_cells())
    written = tabulate(paths, tmp_path / "out", "--published", str(PUBLISHED))
    header = markdown_row(written["md"], "images:text")
    assert header[1:] == [
        "class-wise: image only",
        "class-wise: human (Reed)",
        "class-wise: gpt-3.5-turbo",
        "global: image only",
        "global: human (Reed)",
    ]
    expected = {
        "100:0": ["85.00 ± 2.48 (85.07)", MISSING, MISSING, "75.00 ± 2.48 (84.80)", MISSING],
        "10:90": [
            "62.50 ± 2.48 (81.88)",
            "61.50 ± 2.48 (57.47)",
            "60.50 ± 2.48 (57.96)",
            "52.50 ± 2.48 (53.92)",
            "51.50 ± 2.48 (49.12)",
        ],
        "0:100": [MISSING, "59.00 ± 2.48 (24.12)", "58.00 ± 2.48 (23.78)", MISSING, "49.00 ± 2.48 (27.67)"],
    }
    reader = TableReader()
    reader.feed(written["html"])
    assert not reader.open
    for ratio, cells in expected.items():
        assert markdown_row(written["md"], ratio) == [ratio, *cells]
        assert tex_row(written["tex"], ratio)[1:] == [c.replace("±", r"$\pm$").replace(MISSING, "--") for c in cells]
        assert [ratio, *cells] in reader.rows
    for name in ("md", "tex", "html"):
        assert "Kawagoe for class-wise sampling, Hirano for global sampling" in written[name]
    assert "say nothing about CUB" not in written["md"]


def test_every_published_figure_stands_in_the_table_once(tmp_path: Path) -> None:
    paths = plant(tmp_path / "cells", thesis_cells())
    written = tabulate(paths, tmp_path / "out", "--published", str(PUBLISHED))
    in_brackets = re.findall(r"\((\d\d\.\d\d)\)", written["md"])
    assert sorted(in_brackets) == sorted(f"{figure.accuracy:.2f}" for figure in read_published(PUBLISHED))


def test_a_missing_cell_is_a_dash_beside_its_published_figure(tmp_path: Path) -> None:
    cells = [c for c in thesis_cells() if (c["text_source"], c["image_percent"]) != ("reed", 50)]
    written = tabulate(plant(tmp_path / "cells", cells), tmp_path / "out", "--published", str(PUBLISHED))
    row = markdown_row(written["md"], "50:50")
    assert (row[2], row[5]) == (f"{MISSING} (77.64)", f"{MISSING} (82.52)")


def test_published_llm_figures_stand_beside_that_llm_only(tmp_path: Path) -> None:
    paths = plant(tmp_path / "cells", thesis_cells(llm="some-other-llm"))
    written = tabulate(paths, tmp_path / "out", "--published", str(PUBLISHED))
    row = markdown_row(written["md"], "10:90")
    assert row[2:4] == ["61.50 ± 2.48 (57.47)", "60.50 ± 2.48"]
    assert "57.96" not in written["md"]


def test_figures_beside_another_llm_say_whose_they_are(tmp_path: Path) -> None:
    text = PUBLISHED.read_text(encoding="utf-8").replace(",gpt-3.5-turbo,", ",new-llm,")
    lines = [f"{line},{'gpt-3.5-turbo' if ',new-llm,' in line else ''}" for line in text.splitlines()]
    lines[0] = lines[0].rstrip(",") + ",published_as"
    (tmp_path / "published.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    paths = plant(tmp_path / "cells", thesis_cells(llm="new-llm"))
    written = tabulate(paths, tmp_path / "out", "--published", str(tmp_path / "published.csv"))
    assert markdown_row(written["md"], "10:90")[3] == "60.50 ± 2.48 (57.96)"
    for page in written["md"], written["tex"], written["html"]:
        assert "Those beside new-llm are of gpt-3.5-turbo, whose text it is not." in page


def test_published_figures_stand_beside_the_thesis_recipe_only(tmp_path: Path) -> None:
    cells = [planted_cell("reed", 10), planted_cell("reed", 10, recipe="anchored")]
    written = tabulate(plant(tmp_path / "cells", cells), tmp_path / "out", "--published", str(PUBLISHED))
    assert markdown_row(written["md"], "images:text")[1:] == ["thesis: human (Reed)", "anchored: human (Reed)"]
    row = markdown_row(written["md"], "10:90")
    assert "(57.47)" in row[1] and "(" not in row[2]


def test_one_block_per_variant_each_with_the_image_only_column(tmp_path: Path) -> None:
    cells = thesis_cells(llm="aviary-llm", redraws=("fixed", "per-epoch"))
    note = "The aviary is made up; its numbers say nothing about CUB_200 & co."
    written = tabulate(plant(tmp_path / "cells", cells), tmp_path / "out", note=note, dataset="aviary")
    titles = [line for line in written["md"].splitlines() if line.startswith("## ")]
    assert titles[4:] == [title.replace("## ", "## Differences in points: ") for title in titles[:4]]
    assert titles[:4] == [
        "## sampling class-wise, redraw fixed",
        "## sampling global, redraw fixed",
        "## sampling class-wise, redraw per-epoch",
        "## sampling global, redraw per-epoch",
    ]
    assert markdown_row(written["md"], "images:text") == ["images:text", "image only", "human (Reed)", "aviary-llm"]
    assert "| distinct images, image only | 5,994 |" in written["md"]
    assert f"| optimiser steps, with text | {MISSING} | 400 |" in written["md"]
    assert f"**{note}**" in written["md"]
    assert r"CUB\_200 \& co." in written["tex"]
    assert "CUB_200 &amp; co." in written["html"]
    assert written["tex"].count(r"\begin{table}") == 8


def test_translators_get_blocks_of_their_own_that_share_image_only(tmp_path: Path) -> None:
    cells = [planted_cell("none", 10), planted_cell("reed", 10), planted_cell("reed", 10, translator="ridge")]
    written = tabulate(plant(tmp_path / "cells", cells), tmp_path / "out")
    blocks = written["md"].split("## Differences")[0].split("## ")[1:]
    assert [block.splitlines()[0].split(", ")[-1] for block in blocks] == ["translator qformer", "translator ridge"]
    for block in blocks:
        assert markdown_row(block, "10:90")[1] == "52.50 ± 2.48"


def test_texts_of_one_source_are_told_apart_where_there_are_several(tmp_path: Path) -> None:
    cells = [planted_cell("reed", 10), planted_cell("reed", 10, text_names="named")]
    written = tabulate(plant(tmp_path / "cells", cells), tmp_path / "out")
    assert markdown_row(written["md"], "images:text")[1:] == ["human (Reed), named", "human (Reed), unnamed"]


def test_what_is_not_cub_says_so_without_being_told(tmp_path: Path) -> None:
    written = tabulate(plant(tmp_path / "cells", [planted_cell("reed", 10)]), tmp_path / "out", dataset="tiny")
    for name in ("md", "tex", "html"):
        assert "say nothing about CUB" in written[name]


def test_tex_is_balanced_and_every_row_has_its_columns(tmp_path: Path) -> None:
    paths = plant(tmp_path / "cells", thesis_cells())
    text = tabulate(paths, tmp_path / "out", "--published", str(PUBLISHED))["tex"]
    bare = re.sub(r"\\[{}%]", "", "\n".join(line for line in text.splitlines() if not line.startswith("%")))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert re.findall(r"\\begin{(\w+)}", bare).count("tabular") == re.findall(r"\\end{(\w+)}", bare).count("tabular")
    for spec, body in re.findall(r"\\begin{tabular}{(l+r+)}(.*?)\\end{tabular}", bare, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 1
        for row in rows:
            spans = [int(span) for span in re.findall(r"\\multicolumn{(\d+)}", row)]
            assert row.count("&") + 1 + sum(spans) - len(spans) == len(spec)


def test_escape_tex() -> None:
    assert escape_tex("a_b & 5% {x} #1 $ ~ ^ \\ 1 ± 2 \N{EN DASH}") == (
        r"a\_b \& 5\% \{x\} \#1 \$ \textasciitilde{} \textasciicircum{} \textbackslash{} 1 $\pm$ 2 --"
    )


def test_names_are_escaped_in_every_format(tmp_path: Path) -> None:
    cells = [planted_cell("llm_<b>|x", 10)]
    written = tabulate(plant(tmp_path / "cells", cells), tmp_path / "out")
    assert r"llm_&lt;b>\|x" in written["md"]
    assert r"llm\_\textless{}b\textgreater{}|x" in written["tex"]
    assert "llm_&lt;b&gt;|x" in written["html"]
    assert "<b>" not in written["html"]


@pytest.mark.parametrize("joined", [False, True])
def test_bytes_are_the_same_twice_and_in_any_order(tmp_path: Path, joined: bool) -> None:
    options = ["--published", str(PUBLISHED)] if joined else []
    paths = plant(tmp_path / "cells", thesis_cells(redraws=("fixed", "per-epoch")))
    first = tabulate(paths, tmp_path / "first", *options)
    assert tabulate(paths, tmp_path / "second", *options) == first
    assert tabulate(paths[::-1], tmp_path / "third", *options) == first


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_depend_on_the_input(tmp_path_factory: pytest.TempPathFactory, random: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "order"
    paths = sorted(str(p) for p in folder.glob("*.json")) or plant(folder, thesis_cells())
    ordered = to_rows(summarise(read_cells(paths)))
    random.shuffle(paths)
    assert to_rows(summarise(read_cells(paths))) == ordered
    rows = list(ordered)
    random.shuffle(rows)
    assert sorted(rows, key=cell_identity) == ordered
    assert [r.image_percent for r in ordered[:10]] == list(range(100, 0, -10))
    assert [r.text_source for r in ordered[::10]] == ["none", "reed", "gpt-3.5-turbo", "none", "reed"]


def test_cells_may_be_named_in_a_file_and_the_csv_reads_back(tmp_path: Path) -> None:
    paths = plant(tmp_path / "cells", thesis_cells())
    listed = tmp_path / "cells.txt"
    listed.write_text("\n".join(paths) + "\n\n", encoding="utf-8")
    outputs = [word for name in OUTPUTS for word in (f"--{name}", str(tmp_path / f"accuracy.{name}"))]
    main(["--cells-list", str(listed), "--settings", '{"dataset": "cub"}', *outputs])
    rows = read_rows(tmp_path / "accuracy.csv")
    assert len(rows) == 50
    assert (rows[0].accuracy_mean, rows[0].accuracy_ci95, rows[0].distinct_images) == (85.0, 2.48, 5994)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "cells.txt"
    listed.write_text("\n", encoding="utf-8")
    outputs = [word for name in OUTPUTS for word in (f"--{name}", str(tmp_path / f"accuracy.{name}"))]
    with pytest.raises(SystemExit, match=r"cells\.txt: names no cell"):
        main(["--cells-list", str(listed), "--settings", '{"dataset": "cub"}', *outputs])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"accuracy": [80, 81]}, "accuracy is [80, 81], not a list of one value for each of 3 seeds"),
        ({"accuracy": [80, 81, 101]}, "not percentages"),
        ({"accuracy": [80, 81, float("nan")]}, "not percentages"),
        ({"accuracy": [80, 81, None]}, "not percentages"),
        ({"accuracy": 80}, "accuracy is 80"),
        ({"seeds": [0, 1, 1]}, "not a list of different seeds"),
        ({"seeds": []}, "not a list of different seeds"),
        ({"seeds": [0, 1, "2"]}, "not a list of whole numbers"),
        ({"image_percent": 110}, "image_percent is 110, not a percentage"),
        ({"text_percent": 80}, "text_percent is 80, not what image_percent leaves of 100"),
        ({"text_source": None}, "text_source is None, not a word"),
        ({"optimiser_steps": "400"}, "optimiser_steps is '400', not a count"),
        ({"distinct_images": [1, 2, -3]}, "not counts"),
    ],
)
def test_a_malformed_cell_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    paths = plant(tmp_path / "cells", [planted_cell("reed", 20), planted_cell("reed", 10, **changes)])
    sentence = refused(paths, tmp_path / "out")
    assert paths[1] in sentence
    assert told in sentence


def test_texts_in_an_image_only_cell_are_refused(tmp_path: Path) -> None:
    paths = plant(tmp_path / "cells", [planted_cell("none", 10, distinct_texts=[0, 0, 4])])
    assert "distinct_texts is [0, 0, 4], not 0, though text_source is none" in refused(paths, tmp_path / "out")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    cell = planted_cell("reed", 10)
    del cell["redraw"], cell["accuracy"]
    paths = plant(tmp_path / "cells", [cell])
    assert f"{paths[0]}: lacks redraw, accuracy" in refused(paths, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null"])
def test_what_is_not_a_cell_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ratio-10.json"
    path.write_text(text, encoding="utf-8")
    assert str(path) in refused([str(path)], tmp_path / "out")


def test_a_cell_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "ratio-10.json: No such file" in refused([str(tmp_path / "ratio-10.json")], tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_percent": 20, "text_percent": 80}, "the same cell as"),
        ({"seeds": [0, 1, 3]}, "seeds [0, 1, 3], but"),
        ({"backbone": "ViT-B-32_openai"}, "backbone ViT-B-32_openai, but"),
    ],
)
def test_cells_that_cannot_share_a_table_name_both_files(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    paths = plant(tmp_path / "cells", [planted_cell("reed", 20), planted_cell("reed", 10, **changes)])
    sentence = refused(paths, tmp_path / "out")
    assert told in sentence
    assert all(path in sentence for path in paths)


def test_image_only_cells_that_differ_in_what_they_do_not_use_are_the_same_cell(tmp_path: Path) -> None:
    cells = [planted_cell("none", 10), planted_cell("none", 10, translator="ridge", text_percent=0)]
    assert "the same cell as" in refused(plant(tmp_path / "cells", cells), tmp_path / "out")


@pytest.mark.parametrize(
    ("line", "told"),
    [("10,90,reed,class-wise,kawagoe,50", "a second figure for 10% images"), ("10,90,x,global,y,z", "not a number")],
)
def test_bad_published_figures_are_refused(tmp_path: Path, line: str, told: str) -> None:
    published = tmp_path / "published.csv"
    published.write_text(PUBLISHED.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    paths = plant(tmp_path / "cells", [planted_cell("reed", 10)])
    sentence = refused(paths, tmp_path / "out", "--published", str(published))
    assert "published.csv, line 52" in sentence
    assert told in sentence


def test_a_refusal_leaves_the_tables_that_are_there(tmp_path: Path) -> None:
    paths = plant(tmp_path / "cells", [planted_cell("reed", 10)])
    first = tabulate(paths, tmp_path / "out")
    Path(paths[0]).write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(SystemExit):
        tabulate(paths, tmp_path / "out")
    assert {name: (tmp_path / "out" / f"accuracy.{name}").read_text(encoding="utf-8") for name in OUTPUTS} == first
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_every_form_says_with_how_many_labels_settings_were_chosen(tmp_path: Path) -> None:
    cells = [planted_cell("none", p, tune="per-ratio", tuning_labels=labels) for p, labels in ((10, 402), (100, 1430))]
    found = tabulate(plant(tmp_path / "cells", cells), tmp_path / "out")
    for name in ("md", "tex", "html"):
        assert "Hyper-parameters were chosen with 402 to 1,430 labels." in found[name]
    assert "402" not in found["csv"]
