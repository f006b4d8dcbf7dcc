"""Gather the cells' accuracies and their paired differences into tidy CSVs and the comparison table as Markdown, LaTeX
and HTML."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv, write_text
from fieldguide.core.stage import new_parser, run_stage
from fieldguide.tables.cell_results import read_cells
from fieldguide.tables.comparison import ACCURACY_COLUMNS, Comparison, build_comparison, read_published
from fieldguide.tables.differences import (
    DIFFERENCE_COLUMNS,
    find_differences,
    mark_cells,
    tabulate_differences,
    tell_legend,
)
from fieldguide.tables.latex import tex_file, tex_float
from fieldguide.tables.markdown import escape, grid_table

TEMPLATES = Path(__file__).parent / "templates"


def render_markdown(comparison: Comparison) -> str:
    """The comparison as GitHub Markdown; groups of columns are told in the column's name."""

    parts = [f"# {escape(comparison.heading)}"]
    parts += [f"**{escape(note)}**" for note in comparison.notes]
    parts += ["\n".join(f"- {name}: {escape(value)}" for name, value in comparison.facts)]
    for table in comparison.tables:
        parts += [f"## {escape(table.title)}", grid_table(table.accuracies), *map(escape, table.remarks)]
        parts += [grid_table(table.counts)] if table.counts.rows else []
    return "\n\n".join(parts) + "\n"


def render_tex(comparison: Comparison) -> str:
    r"""The comparison as one LaTeX float per block, to be read by \input; wide ones shrink to the line."""
    facts = ". ".join(f"{name}: {value}" for name, value in comparison.facts)
    floats = []
    for number, table in enumerate(comparison.tables, start=1):
        caption, remarks = f"{comparison.heading}, {table.title}.", [*comparison.notes, *table.remarks, f"{facts}."]
        grids = [table.accuracies, *([table.counts] if table.counts.rows else [])]
        floats.append(tex_float(caption, f"tab:fieldguide-accuracy-{number}", grids, remarks))
    return tex_file(floats)


def render_html(comparison: Comparison) -> str:
    """The comparison as one page that needs nothing else."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("accuracy.html.j2").render(comparison=comparison)


RENDERERS: dict[str, Callable[[Comparison], str]] = {"md": render_markdown, "tex": render_tex, "html": render_html}


def is_cub(dataset: str) -> bool:
    """Whether the published figures are about this data set: `cub`, or a run on it such as `cub-quick`."""
    return dataset == "cub" or dataset.startswith("cub-")


def run(args: argparse.Namespace) -> None:
    """Read all, check all, render all, and only then write."""
    paths = args.cells or [p.strip() for p in args.cells_list.read_text(encoding="utf-8").splitlines() if p.strip()]
    if not paths:
        raise FieldguideError(f"{args.cells_list}: names no cell; give one path per line")
    if args.columns_published and not is_cub(args.dataset):
        raise FieldguideError(
            f"--columns-published {args.columns_published}: its figures are about CUB, not {args.dataset}; leave it out"
        )
    cells = read_cells(paths)
    notes = [note for note in args.note if note]
    if not notes and not is_cub(args.dataset):
        notes = [f"The data set is {args.dataset}: these numbers say nothing about CUB."]
    published = read_published(args.columns_published) if args.columns_published else []
    rows = [cell.row for cell in cells]
    differences = find_differences(cells)
    marks = mark_cells(differences)
    comparison = build_comparison(
        rows,
        args.dataset,
        cells[0].seeds,
        notes,
        published,
        marks,
        tell_legend(marks.values()),
        tabulate_differences(differences),
    )
    rendered = {getattr(args, name): render(comparison) for name, render in RENDERERS.items()}
    write_csv(args.csv, ACCURACY_COLUMNS, (row.as_csv() for row in rows))
    if args.differences:
        write_csv(args.differences, DIFFERENCE_COLUMNS, (difference.as_csv() for difference in differences))
    for path, text in rendered.items():
        write_text(path, text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.tabulate_accuracy", __doc__)
    cells = parser.add_mutually_exclusive_group(required=True)
    cells.add_argument("--cells", nargs="+", metavar="JSON", help="the cells, one JSON each")
    cells.add_argument("--cells-list", type=Path, metavar="FILE", help="a file that names the cells, one path per line")
    parser.add_argument("--dataset", required=True, help="its name, for the heading")
    parser.add_argument("--columns-published", type=Path, metavar="CSV", help="published figures (CUB only)")
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand above the table; repeatable")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--differences", type=Path, metavar="CSV", help="the tidy table of paired differences to write")
    for name in RENDERERS:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"the comparison table to write, as {name}")
    run_stage("tabulate_accuracy", run, parser, argv, imports=("scipy.special", "jinja2"))


if __name__ == "__main__":
    main()
