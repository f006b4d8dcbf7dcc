"""The cells' JSON files, read and checked: what every table is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json
from fieldguide.core.significance import half_width
from fieldguide.tables.comparison import IMAGE_ONLY, AccuracyRow

WORDS = ("text_source", "text_names", "text_unit", "sampling", "redraw", "budget", "recipe", "translator", "backbone")
PER_SEED = ("accuracy", "distinct_images", "distinct_texts")
KEYS = ("image_percent", "text_percent", *WORDS, "seeds", *PER_SEED, "optimiser_steps")


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
    by_seed = dict(zip(seeds, told["accuracy"], strict=True))
    config = told.get("config")
    amount = config.get("amount") if isinstance(config, dict) else None
    return Cell(path, row, tuple(sorted(seeds)), tuple(by_seed[seed] for seed in sorted(seeds)), amount)


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
