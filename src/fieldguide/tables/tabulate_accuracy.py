"""Gather the cells' accuracies and their paired differences into tidy CSVs and the comparison table as Markdown, LaTeX
and HTML."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_text
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, new_parser, run_stage
from fieldguide.tables.comparison import Comparison, build_comparison
from fieldguide.tables.differences import (
    DIFFERENCE_FORMATS,
    find_differences,
    format_legend,
    mark_cells,
    tabulate_differences,
)
from fieldguide.tables.html import render_template
from fieldguide.tables.latex import tex_file, tex_float
from fieldguide.tables.markdown import escape, grid_table
from fieldguide.tables.results import (
    ACCURACY_FORMATS,
    accuracies_by_cell,
    describe_tuning,
    read_cells,
    summarise,
    to_rows,
    write_frame,
)
from fieldguide.tables.rows import read_published
from fieldguide.tables.settings import Heading
from fieldguide.tables.tested_images import read_tested_images

TEMPLATE = Path(__file__).parent / "templates" / "accuracy.html.j2"


def render_markdown(comparison: Comparison) -> str:
    """The comparison as GitHub Markdown; groups of columns stand in the column's name."""
    parts = [f"# {escape(comparison.heading)}"]
    parts += [f"**{escape(note)}**" for note in comparison.notes]
    parts += ["\n".join(f"- {name}: {escape(value)}" for name, value in comparison.facts)]
    for table in comparison.tables:
        parts += [f"## {escape(table.title)}", grid_table(table.accuracies), *map(escape, table.remarks)]
        parts += [grid_table(grid) for grid in (table.over_images, table.counts) if grid.rows]
    return "\n\n".join(parts) + "\n"


def render_tex(comparison: Comparison) -> str:
    r"""The comparison as one LaTeX float per block, to be read by \input; wide ones shrink to the line."""
    facts = ". ".join(f"{name}: {value}" for name, value in comparison.facts)
    floats = []
    for number, table in enumerate(comparison.tables, start=1):
        caption, remarks = f"{comparison.heading}, {table.title}.", [*comparison.notes, *table.remarks, f"{facts}."]
        grids = [table.accuracies, *(grid for grid in (table.over_images, table.counts) if grid.rows)]
        floats.append(tex_float(caption, f"tab:fieldguide-accuracy-{number}", grids, remarks))
    return tex_file(floats)


def render_html(comparison: Comparison) -> str:
    """The comparison as one page that needs nothing else."""
    return render_template(TEMPLATE, comparison=comparison)


RENDERERS: dict[str, Callable[[Comparison], str]] = {"md": render_markdown, "tex": render_tex, "html": render_html}


def run(args: argparse.Namespace) -> None:
    """Read all, check all, render all, and only then write."""
    heading = parse_settings(Heading, args.settings)
    paths = args.cells or [p.strip() for p in args.cells_list.read_text(encoding="utf-8").splitlines() if p.strip()]
    if not paths:
        raise FieldguideError(f"{args.cells_list}: names no cell; give one path per line")
    cells = read_cells(paths)
    published = read_published(args.published) if args.published else []
    notes = heading.notes
    if not notes and not published:
        notes = (f"The data set is {heading.dataset}: these numbers say nothing about CUB.",)
    summary = summarise(cells)
    tested = read_tested_images(cells)
    differences = find_differences(cells, tested)
    marks = mark_cells(differences)
    comparison = build_comparison(
        to_rows(summary),
        heading.dataset,
        cells["seed"].unique().tolist(),
        (*notes, *describe_tuning(cells)),
        published,
        marks,
        format_legend(marks.values(), differences),
        tested.half_widths(accuracies_by_cell(cells)) if tested else None,
        tabulate_differences(differences),
    )
    rendered = {getattr(args, name): render(comparison) for name, render in RENDERERS.items()}
    write_frame(args.csv, summary, ACCURACY_FORMATS)
    if args.differences:
        write_frame(args.differences, differences, DIFFERENCE_FORMATS)
    for path, text in rendered.items():
        write_text(path, text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.tabulate_accuracy", __doc__)
    cells = parser.add_mutually_exclusive_group(required=True)
    cells.add_argument("--cells", nargs="+", metavar="JSON", help="the cells, one JSON each")
    cells.add_argument("--cells-list", type=Path, metavar="FILE", help="a file that names the cells, one path per line")
    parser.add_argument(
        "--published", type=Path, nargs="?", metavar="CSV", help="published figures to compare with ours"
    )
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--differences", type=Path, metavar="CSV", help="the tidy table of paired differences to write")
    for name in RENDERERS:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"the comparison table to write, as {name}")
    add_settings(parser, Heading)
    run_stage("tabulate_accuracy", run, parser, argv, imports=("pandas", "scipy.special", "jinja2"))


if __name__ == "__main__":
    main()
