"""Grids of words as GitHub Markdown."""

from __future__ import annotations

from fieldguide.tables.grid import Grid


def escape(text: str) -> str:
    """Text that Markdown shows as it reads, on one line."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def grid_table(table: Grid, numbers_from: int = 0) -> str:
    """A grid as a table; a column's name has its group's before it. Columns before `numbers_from` read left."""
    groups = [label for label, span in table.groups for _ in range(span)]
    names = [f"{g}: {c}" if g else c for g, c in zip(groups, table.columns, strict=True)] if groups else table.columns
    sides = ["---" if i < numbers_from else "---:" for i in range(len(names))]
    lines = [[table.stub, *names], ["---", *sides], *([name, *cells] for name, cells in table.rows)]
    return "\n".join(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines)
