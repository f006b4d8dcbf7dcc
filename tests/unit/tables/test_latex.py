"""Tables that LaTeX sets: with booktabs, whatever stands in them and however much is said of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.files import write_csv
from fieldguide.tables import tabulate_accuracy
from fieldguide.tables.compare_recipes import RECIPE_FORMATS
from fieldguide.tables.grid import Grid
from fieldguide.tables.latex import escape_tex, tex_file, tex_float
from fieldguide.tables.settings import Heading
from fieldguide.tables.tabulate_image_worth import WORTH_FORMATS
from fieldguide.tables.typeset_tables import main, typeset
from tests.planted_report import plant_report, report_cells
from tests.unit.planted_cells import plant

GRID = Grid("images:text", ("a & b", "c_d"), (("90:10", ("≥ +1.0 ± 0.5 †", "50%")),), (("first", 1), ("second", 1)))


def needs_tex() -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex: apt-get install texlive-latex-base texlive-latex-recommended")
    found = subprocess.run(["kpsewhich", "booktabs.sty", "graphicx.sty"], capture_output=True, text=True)
    if len(found.stdout.split()) < 2:
        pytest.skip("needs booktabs and graphicx: apt-get install texlive-latex-recommended")


def compile_all(folder: Path) -> None:
    """Compile every table of a folder in one paper; a mistake stops it."""
    inputs = "\n".join(rf"\input{{{path.stem}}}" + r"\clearpage" for path in sorted(folder.glob("*.tex")))
    paper = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{inputs}\end{{document}}"
    (folder / "paper.ltx").write_text(paper, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.ltx"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "paper.pdf").stat().st_size > 10_000


def test_all_tables_compile_with_booktabs(tmp_path: Path):
    needs_tex()
    plant_report(tmp_path)
    out = tmp_path / "tex"
    tables = [str(tmp_path / "tables" / f"{name}.csv") for name in ("recipes", "image_worth", "conversion")]
    main(["--tables", *tables, "--settings", '{"dataset": "a_b & c", "notes": ["100% sure."]}', "--out", str(out)])
    cells = plant(tmp_path / "cells", report_cells())
    files = [word for name in ("csv", "md", "tex", "html") for word in (f"--{name}", str(out / f"accuracy.{name}"))]
    # Far more is said of the table than TeX can take as one line.
    heading = json.dumps({"dataset": "aviary", "notes": ["Much to say. " * 300]})
    tabulate_accuracy.main(["--cells", *cells, "--settings", heading, *files])
    assert sorted(path.name for path in out.glob("*.tex")) == [
        "accuracy.tex",
        "conversion.tex",
        "image_worth.tex",
        "recipes.tex",
    ]
    compile_all(out)


def test_every_special_character_compiles(tmp_path: Path):
    needs_tex()
    words = "\\ ~ ^ < > ± − † ‡ – ≤ ≥ & % $ # _ { }"
    grid = Grid(words, (words,), ((words, (words,)),))
    (tmp_path / "special.tex").write_text(tex_file([tex_float(words, "tab:x", [grid], [words])]), encoding="utf-8")
    compile_all(tmp_path)


def test_a_float_has_its_rules_groups_and_remarks():
    text = tex_file([tex_float("Worth", "tab:worth", [GRID], ["One.", "Two."])])
    for part in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\cmidrule(lr){2-2}\cmidrule(lr){3-3}",
        r"\label{tab:worth}",
    ):
        assert part in text
    assert r"90:10 & $\geq$ +1.0 $\pm$ 0.5 $\dagger$ & 50\% \\" in text
    assert r"\parbox{\linewidth}{\footnotesize One.\par Two.}" in text


def test_what_latex_would_take_for_commands_is_escaped():
    assert escape_tex("50% of a_b & {c}") == r"50\% of a\_b \& \{c\}"


@pytest.mark.parametrize(("name", "columns"), [("image_worth", WORTH_FORMATS), ("recipes", RECIPE_FORMATS)])
def test_a_table_without_rows_sets_nothing(tmp_path: Path, name: str, columns: dict[str, Any]):
    write_csv(tmp_path / f"{name}.csv", list(columns), [])
    assert r"\begin{table}" not in typeset(tmp_path / f"{name}.csv", Heading(dataset="aviary"))


def test_recipes_and_conversion_are_split_by_text_source(tmp_path: Path):
    """All in one is several times as wide as a page, and shrinks to what nobody can read."""
    plant_report(tmp_path)
    for name in ("recipes", "conversion"):
        text = typeset(tmp_path / "tables" / f"{name}.csv", Heading(dataset="aviary"))
        assert text.count(r"\begin{table}") > 1, name
        assert max(line.count("&") for line in text.splitlines()) < 12, name


def test_a_table_that_is_not_typeset_is_named(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"probe\.csv: no table of this name is typeset; those that are: recipes"):
        main(["--tables", str(tmp_path / "probe.csv"), "--settings", '{"dataset": "x"}', "--out", str(tmp_path)])
