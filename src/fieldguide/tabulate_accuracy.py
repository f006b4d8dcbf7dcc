"""Gather the cells' accuracies into one tidy CSV and the comparison table as Markdown, LaTeX and HTML."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from fieldguide.comparison import (
    ACCURACY_COLUMNS,
    IMAGE_ONLY,
    MISSING,
    AccuracyRow,
    Comparison,
    Grid,
    build_comparison,
    read_published,
    sort_rows,
)
from fieldguide.errors import FieldguideError
from fieldguide.files import read_json, write_csv, write_text
from fieldguide.stage import new_parser, run_stage

TEMPLATES = Path(__file__).parent / "templates"
WORDS = ("text_source", "text_names", "text_unit", "sampling", "redraw", "budget", "recipe", "translator", "backbone")
PER_SEED = ("accuracy", "distinct_images", "distinct_texts")
KEYS = ("image_percent", "text_percent", *WORDS, "seeds", *PER_SEED, "optimiser_steps")
TEX_SPECIALS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    MISSING: "--",
} | {character: f"\\{character}" for character in "&%$#_{}"}


@dataclass(frozen=True)
class Cell:
    """A cell's row, with the file it came from and its seeds."""

    path: str
    row: AccuracyRow
    seeds: tuple[int, ...]


def half_width(accuracies: Sequence[float]) -> float | None:
    """Half-width of the two-sided 95% t interval of the mean, t(0.975, n-1) s / sqrt(n); None from one value."""
    if len(accuracies) < 2:
        return None
    # Only where an interval is wanted, and only this part of scipy: importing scipy.stats takes longer than the table.
    from scipy.special import stdtrit

    return float(stdtrit(len(accuracies) - 1, 0.975)) * stdev(accuracies) / math.sqrt(len(accuracies))


def read_cell(path: str) -> Cell:
    """Read one cell's JSON; raises FieldguideError naming the file and the key that is wrong."""
    told = read_json(path)
    again = "delete the file to have the cell trained again"
    if not isinstance(told, dict):
        raise FieldguideError(f"{path}: not a cell (a JSON object is expected); {again}")
    missing = [key for key in KEYS if key not in told]
    if missing:
        raise FieldguideError(f"{path}: lacks {', '.join(missing)}; {again}")

    def refuse(key: str, wanted: str) -> FieldguideError:
        return FieldguideError(f"{path}: {key} is {told[key]!r}, not {wanted}; {again}")

    for key in WORDS:
        if not isinstance(told[key], str) or not told[key].strip():
            raise refuse(key, "a word")
    for key in ("image_percent", "text_percent"):
        if not _is_number(told[key]) or not 0 <= told[key] <= 100:
            raise refuse(key, "a percentage")
    seeds = told["seeds"]
    if not isinstance(seeds, list) or not seeds or len(set(map(str, seeds))) < len(seeds):
        raise refuse("seeds", "a list of different seeds")
    if not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in seeds):
        raise refuse("seeds", "a list of whole numbers")
    for key in PER_SEED:
        highest = 100 if key == "accuracy" else math.inf
        values = told[key]
        if not isinstance(values, list) or len(values) != len(seeds):
            raise refuse(key, f"a list of one value for each of {len(seeds)} seeds")
        if not all(_is_number(value) and 0 <= value <= highest for value in values):
            raise refuse(key, "percentages" if key == "accuracy" else "counts")
    steps = told["optimiser_steps"]
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise refuse("optimiser_steps", "a count")
    image_only = told["text_source"] == IMAGE_ONLY
    if image_only and any(told["distinct_texts"]):
        raise refuse("distinct_texts", "0, though text_source is none")
    if told["text_percent"] != 100 - told["image_percent"] and not (image_only and told["text_percent"] == 0):
        raise refuse("text_percent", "what image_percent leaves of 100")

    row = AccuracyRow(
        image_percent=told["image_percent"],
        text_percent=0 if image_only else told["text_percent"],
        accuracy_mean=fmean(told["accuracy"]),
        accuracy_ci95=half_width(told["accuracy"]),
        n_seeds=len(seeds),
        distinct_images=fmean(told["distinct_images"]),
        distinct_texts=fmean(told["distinct_texts"]),
        optimiser_steps=steps,
        **{key: _word(told, key, image_only) for key in WORDS},
    )
    return Cell(path, row, tuple(sorted(seeds)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _word(told: Mapping[str, Any], key: str, image_only: bool) -> str:
    # Image-only cells have no texts and no translator, whatever the run's configuration names for its other cells.
    return IMAGE_ONLY if image_only and key in ("text_names", "text_unit", "translator") else str(told[key])


def check_together(cells: Sequence[Cell]) -> None:
    """Refuse cells that cannot stand in one table: the same cell twice, other seeds, another backbone."""
    first = cells[0]
    seen: dict[tuple[str | float, ...], str] = {}
    for cell in cells:
        if cell.row.backbone != first.row.backbone:
            raise FieldguideError(
                f"{cell.path}: backbone {cell.row.backbone}, but {first.path} has {first.row.backbone}; "
                "one table holds one backbone, so leave one of them out"
            )
        if cell.seeds != first.seeds:
            raise FieldguideError(
                f"{cell.path}: seeds {list(cell.seeds)}, but {first.path} has {list(first.seeds)}; "
                "differences are paired by seed, so train both with the same seeds"
            )
        if cell.row.identity in seen:
            raise FieldguideError(f"{cell.path}: the same cell as {seen[cell.row.identity]}; leave one of them out")
        seen[cell.row.identity] = cell.path


def render_markdown(comparison: Comparison) -> str:
    """The comparison as GitHub Markdown; groups of columns are told in the column's name."""

    def escape(text: str) -> str:
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")

    def grid(table: Grid) -> list[str]:
        groups = [label for label, span in table.groups for _ in range(span)]
        names = [f"{g}: {c}" for g, c in zip(groups, table.columns, strict=True)] if groups else list(table.columns)
        lines = [
            [table.stub, *names],
            ["---", *("---:" for _ in names)],
            *([name, *cells] for name, cells in table.rows),
        ]
        return [f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines]

    parts = [f"# {escape(comparison.heading)}"]
    parts += [f"**{escape(note)}**" for note in comparison.notes]
    parts += ["\n".join(f"- {name}: {escape(value)}" for name, value in comparison.facts)]
    for table in comparison.tables:
        parts += [f"## {escape(table.title)}", "\n".join(grid(table.accuracies)), *map(escape, table.remarks)]
        parts += ["\n".join(grid(table.counts))] if table.counts.rows else []
    return "\n\n".join(parts) + "\n"


def escape_tex(text: str) -> str:
    """Text that LaTeX sets as it reads."""
    return "".join(TEX_SPECIALS.get(character, character) for character in text.replace("\n", " "))


def render_tex(comparison: Comparison) -> str:
    r"""The comparison as one LaTeX float per block, to be read by \input; wide ones shrink to the line."""

    def row(cells: Sequence[str]) -> str:
        return f"{' & '.join(cells)} \\\\"

    def grid(table: Grid) -> list[str]:
        lines = [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
        lines += [f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
        if table.groups:
            lines.append(row(["", *(f"\\multicolumn{{{span}}}{{c}}{{{escape_tex(g)}}}" for g, span in table.groups)]))
            ends = [1 + sum(span for _, span in table.groups[: i + 1]) for i in range(len(table.groups))]
            rules = zip(ends, table.groups, strict=True)
            lines.append("".join(f"\\cmidrule(lr){{{end - span + 1}-{end}}}" for end, (_, span) in rules))
        lines += [row([escape_tex(cell) for cell in (table.stub, *table.columns)]), r"\midrule"]
        lines += [row([escape_tex(cell) for cell in (name, *cells)]) for name, cells in table.rows]
        return [*lines, r"\bottomrule", r"\end{tabular}%", "}"]

    facts = ". ".join(f"{name}: {value}" for name, value in comparison.facts)
    lines = [r"% \input this; it needs \usepackage{booktabs} and \usepackage{graphicx}."]
    for number, table in enumerate(comparison.tables, start=1):
        caption = " ".join([f"{comparison.heading}, {table.title}.", *comparison.notes, *table.remarks, f"{facts}."])
        lines += [r"\begin{table}", r"\centering", f"\\caption{{{escape_tex(caption)}}}"]
        lines += [f"\\label{{tab:fieldguide-accuracy-{number}}}", *grid(table.accuracies)]
        lines += [r"\par\medskip", *grid(table.counts)] if table.counts.rows else []
        lines += [r"\end{table}", ""]
    return "\n".join(lines)


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
    cells = sorted((read_cell(path) for path in paths), key=lambda cell: (cell.row.identity, cell.path))
    check_together(cells)
    rows = sort_rows(cell.row for cell in cells)
    notes = [note for note in args.note if note]
    if not notes and not is_cub(args.dataset):
        notes = [f"The data set is {args.dataset}: these numbers say nothing about CUB."]
    published = read_published(args.columns_published) if args.columns_published else []
    comparison = build_comparison(rows, args.dataset, cells[0].seeds, notes, published)
    rendered = {getattr(args, name): render(comparison) for name, render in RENDERERS.items()}
    write_csv(args.csv, ACCURACY_COLUMNS, (row.as_csv() for row in rows))
    for path, text in rendered.items():
        write_text(path, text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tabulate_accuracy", __doc__)
    cells = parser.add_mutually_exclusive_group(required=True)
    cells.add_argument("--cells", nargs="+", metavar="JSON", help="the cells, one JSON each")
    cells.add_argument("--cells-list", type=Path, metavar="FILE", help="a file that names the cells, one path per line")
    parser.add_argument("--dataset", required=True, help="its name, for the heading")
    parser.add_argument("--columns-published", type=Path, metavar="CSV", help="published figures (CUB only)")
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand above the table; repeatable")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    for name in RENDERERS:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"the comparison table to write, as {name}")
    run_stage("tabulate_accuracy", run, parser, argv, imports=("scipy.special", "jinja2"))


if __name__ == "__main__":
    main()
