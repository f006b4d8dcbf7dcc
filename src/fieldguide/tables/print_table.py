"""Print the comparison table for a terminal, at most 100 columns wide."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fieldguide.core.stage import new_parser, run_stage
from fieldguide.tables.comparison import build_tables
from fieldguide.tables.grid import Grid
from fieldguide.tables.rows import read_rows

WIDTH = 100
GAP = "  "


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def aligned(grid: Grid, width: int = WIDTH) -> list[str]:
    """The grid's lines, numbers to the right; columns that do not fit go below, under the row names again."""
    stub = max(len(grid.stub), *(len(name) for name, _ in grid.rows))
    groups = [label for label, span in grid.groups for _ in range(span)] or [""] * len(grid.columns)
    room = width - stub - len(GAP)
    widths = [
        min(room, max(len(name), *(len(cells[i]) for _, cells in grid.rows))) for i, name in enumerate(grid.columns)
    ]
    lines: list[str] = []
    start = 0
    while start < len(grid.columns):
        stop = start + 1
        while stop < len(widths) and sum(widths[start : stop + 1]) + len(GAP) * (stop - start) <= room:
            stop += 1
        shown = range(start, stop)
        if any(groups):
            spans: list[list[int]] = []
            for i in shown:
                if spans and groups[spans[-1][-1]] == groups[i]:
                    spans[-1].append(i)
                else:
                    spans.append([i])
            headed = [(groups[s[0]], sum(widths[i] for i in s) + len(GAP) * (len(s) - 1)) for s in spans]
            lines.append(GAP.join([" " * stub, *(f" {cut(label, w - 2)} ".center(w, "-") for label, w in headed)]))
        for name, cells in ((grid.stub, grid.columns), *grid.rows):
            lines.append(GAP.join([name.ljust(stub), *(cut(cells[i], widths[i]).rjust(widths[i]) for i in shown)]))
        start = stop
    return lines


def run(args: argparse.Namespace) -> None:
    rows = read_rows(args.csv)
    seeds = max(row.n_seeds for row in rows)
    interval = f" ± 95% interval over {seeds} seeds alone" if seeds > 1 else ", one seed"
    backbones = ", ".join(sorted({row.backbone for row in rows}))
    blocks = [cut(f"Accuracy on the test images, %{interval}; backbone {backbones}", WIDTH)]
    for table in build_tables(rows, join_sampling=True):
        blocks.append("\n".join([cut(table.title, WIDTH), *aligned(table.accuracies)]))
    try:
        print("\n\n".join(blocks), flush=True)
    except BrokenPipeError:
        # `| head` has read all it wants; Python would complain again when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.print_table", __doc__)
    parser.add_argument("--csv", type=Path, required=True, help="accuracy.csv as tabulate_accuracy writes it")
    run_stage("print_table", run, parser, argv)


if __name__ == "__main__":
    main()
