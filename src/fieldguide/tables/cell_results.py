"""The cells' JSON files, read and checked: what every table is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean

from fieldguide.adapters.results import CellResult
from fieldguide.core.errors import FieldguideError
from fieldguide.core.significance import half_width
from fieldguide.tables.comparison import AccuracyRow


@dataclass(frozen=True)
class Cell:
    """A cell's row, with the file it came from, its seeds in order and the accuracy of each, in percent.

    `amount`: how many steps or epochs its budget was, where the file says so.
    """

    path: str
    row: AccuracyRow
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    amount: int | None = None


def read_cell(path: str) -> Cell:
    """Read one cell's JSON; raises FieldguideError naming the file and the key that is wrong."""
    result = CellResult.read(path)
    known = {field.name for field in fields(AccuracyRow)} & set(CellResult.model_fields)
    row = AccuracyRow(
        **{key: getattr(result, key) for key in known - {"distinct_images", "distinct_texts"}},
        accuracy_mean=fmean(result.accuracy),
        accuracy_ci95=half_width(result.accuracy),
        n_seeds=len(result.seeds),
        distinct_images=fmean(result.distinct_images),
        distinct_texts=fmean(result.distinct_texts),
    )
    by_seed = dict(zip(result.seeds, result.accuracy, strict=True))
    seeds = tuple(sorted(by_seed))
    return Cell(path, row, seeds, tuple(by_seed[seed] for seed in seeds), result.amount)


def name_budgets(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, each budget that occurs with several amounts named with its number: `epochs-50`, `epochs-100`."""
    amounts: dict[str, set[int]] = {}
    for cell in cells:
        if cell.amount is not None:
            amounts.setdefault(cell.row.budget, set()).add(cell.amount)

    def named(cell: Cell) -> Cell:
        if cell.amount is None or len(amounts[cell.row.budget]) == 1:
            return cell
        return replace(cell, row=replace(cell.row, budget=f"{cell.row.budget}-{cell.amount}"))

    return [named(cell) for cell in cells]


def read_cells(paths: Sequence[str]) -> list[Cell]:
    """Read cells that are to stand in one table, in the table's order; refuses those that cannot."""
    cells = name_budgets([read_cell(path) for path in paths])
    cells.sort(key=lambda cell: (cell.row.identity, cell.path))
    check_together(cells)
    return cells


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
