"""Which sampling, redraw and budget explain published figures: combinations of cells, scored column by column.

Pure. A combination need not be one variant: images may be drawn anew each epoch in the image-only column alone, while
the columns with text keep the images and texts that were drawn once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fieldguide.core.significance import prediction_half_width
from fieldguide.tables.cell_results import Cell
from fieldguide.tables.comparison import IMAGE_ONLY, PUBLISHED_RECIPE, PublishedFigure

FIXED, PER_EPOCH = "fixed", "per-epoch"
SHOWN_RATIOS = (100, 50, 10, 0)


@dataclass(frozen=True, order=True)
class Combination:
    """How a whole table may have been made: one sampling and budget, and a redraw for each kind of column."""

    budget: str
    amount: int
    sampling: str
    redraw_alone: str
    redraw_mixed: str

    @property
    def budget_name(self) -> str:
        return f"{self.amount:,} {self.budget}"

    @property
    def title(self) -> str:
        """In words, as a sentence names it."""
        redraw = f"{self.redraw_alone} images"
        if self.redraw_alone != self.redraw_mixed:
            redraw = f"{self.redraw_alone} images in the image-only column alone ({self.redraw_mixed} beside text)"
        return f"{self.sampling} sampling, {redraw}, {self.budget_name}"

    def redraw_of(self, source: str) -> str:
        return self.redraw_alone if source == IMAGE_ONLY else self.redraw_mixed


@dataclass(frozen=True)
class ColumnScore:
    """A published column beside a combination's: root-mean-square error in points over `n` cells of the study.

    `inside`: how many published figures lie in our 95% interval for one further run; None from one seed. `bias`: the
    mean of ours minus published.
    """

    source: str
    n: int
    rmse: float
    bias: float
    inside: int | None


@dataclass(frozen=True)
class StudyScore:
    """One combination against all columns of one study; `missing` published columns have no cells in this run."""

    study: str
    combination: Combination
    columns: tuple[ColumnScore, ...]
    missing: tuple[str, ...] = ()

    @property
    def rmse(self) -> float:
        """Over all cells of the study."""
        total = sum(column.n for column in self.columns)
        return math.sqrt(sum(column.n * column.rmse**2 for column in self.columns) / total)

    @property
    def worst(self) -> ColumnScore:
        return max(self.columns, key=lambda column: column.rmse)

    def explains(self, tolerance: float) -> bool:
        """Whether every column's root-mean-square error is within the tolerance, in points."""
        return self.worst.rmse <= tolerance


class Grouped:
    """The study's cells by combination and column; only the thesis's recipe, which the published figures are of."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells: dict[tuple[str, int, str, str, str], dict[float, Cell]] = {}
        for cell in cells:
            row = cell.row
            if row.recipe == PUBLISHED_RECIPE and cell.amount is not None:
                budget = row.budget.partition("-")[0]
                key = (budget, cell.amount, row.sampling, row.redraw, row.text_source)
                self._cells.setdefault(key, {})[row.image_percent] = cell

    @property
    def sources(self) -> list[str]:
        """Image only first, then as they come."""
        return sorted(dict.fromkeys(key[-1] for key in self._cells), key=lambda source: source != IMAGE_ONLY)

    @property
    def combinations(self) -> list[Combination]:
        """Every sampling, redraw and budget of the cells, and per-epoch in the image-only column alone."""
        found = []
        for budget, amount, sampling in sorted({key[:3] for key in self._cells}):
            redraws = sorted({key[3] for key in self._cells if key[:3] == (budget, amount, sampling)})
            pairs = [(redraw, redraw) for redraw in redraws]
            pairs += [(PER_EPOCH, FIXED)] if {FIXED, PER_EPOCH} <= set(redraws) else []
            found += [Combination(budget, amount, sampling, *pair) for pair in pairs]
        return found

    def column(self, combination: Combination, source: str) -> dict[float, Cell]:
        """A combination's cells of one column by image percent; at 100 a column with text is image only."""
        c = combination
        key = (c.budget, c.amount, c.sampling)
        cells = dict(self._cells.get((*key, c.redraw_of(source), source), {}))
        alone = self._cells.get((*key, c.redraw_alone, IMAGE_ONLY), {})
        if cells and source != IMAGE_ONLY and 100 in alone:
            cells[100] = alone[100]
        return cells


def score_column(source: str, cells: dict[float, Cell], figures: Sequence[PublishedFigure]) -> ColumnScore | None:
    """A column's cells beside published figures at the ratios that both have; None where there are none."""
    pairs = [(cells[f.image_percent], f.accuracy) for f in figures if f.image_percent in cells]
    if not pairs:
        return None
    errors = [fmean(cell.accuracies) - published for cell, published in pairs]
    widths = [prediction_half_width(cell.accuracies) for cell, _ in pairs]
    known = [width for width in widths if width is not None]
    inside = sum(abs(e) <= w for e, w in zip(errors, known, strict=True)) if len(known) == len(errors) else None
    return ColumnScore(source, len(pairs), math.sqrt(fmean(e * e for e in errors)), fmean(errors), inside)


def score_studies(grouped: Grouped, figures: Sequence[PublishedFigure]) -> dict[str, list[StudyScore]]:
    """Every combination against every study, whatever sampling the study states; the nearest first."""
    scores = {}
    for study in dict.fromkeys(figure.study for figure in figures):
        found = []
        for combination in grouped.combinations:
            columns, missing = [], []
            for source in dict.fromkeys(f.text_source for f in figures if f.study == study):
                told = [f for f in figures if (f.study, f.text_source) == (study, source)]
                column = score_column(source, grouped.column(combination, source), told)
                columns += [column] if column else []
                missing += [] if column else [source]
            if columns:
                found.append(StudyScore(study, combination, tuple(columns), tuple(missing)))
        scores[study] = sorted(found, key=lambda score: (len(score.missing), score.rmse, score.combination))
    return scores


def stated_sampling(study: str, figures: Sequence[PublishedFigure]) -> str:
    """The sampling that a study says it used."""
    return next(figure.sampling for figure in figures if figure.study == study)


def tell_study(scores: Sequence[StudyScore], stated: str, tolerance: float, labels: dict[str, str]) -> str:
    """One study's answer: what explains its figures within the tolerance, or that nothing tried here does."""
    study, least = scores[0].study.capitalize(), len(scores[0].missing)
    whole = [score for score in scores if len(score.missing) == least]
    fitting = [score for score in whole if score.explains(tolerance)]
    without = f" (its column {', '.join(scores[0].missing)} has no cells in this run)" if least else ""
    if fitting:
        best = fitting[0]
        others = f" {len(fitting) - 1} more of {len(whole)} do too." if len(fitting) > 1 else ""
        against = "" if best.combination.sampling == stated else f" The study itself states {stated} sampling."
        return (
            f"{study}'s figures{without} are explained by {best.combination.title}: no column is off by more than "
            f"{tolerance:g} points, {best.rmse:.2f} over all cells.{others}{against}"
        )
    best = whole[0]
    worst = best.worst
    return (
        f"No combination tried explains {study}'s figures{without} within {tolerance:g} points in every column. "
        f"The nearest is {best.combination.title}: {best.rmse:.2f} points over all cells, and {worst.rmse:.2f} in the "
        f"column {labels.get(worst.source, worst.source)}."
    )


def tell_both(scores: dict[str, list[StudyScore]], figures: Sequence[PublishedFigure], tolerance: float) -> str:
    """Whether one redraw and budget explains all studies, each with the sampling that it states."""
    if len(scores) < 2:
        return ""
    by_study = [
        {
            (c.redraw_alone, c.redraw_mixed, c.budget, c.amount): score
            for score in found
            if (c := score.combination).sampling == stated_sampling(study, figures)
        }
        for study, found in scores.items()
    ]
    shared = [key for key in by_study[0] if all(key in other for other in by_study[1:])]
    names = " and ".join(study.capitalize() for study in scores)
    if not shared:
        return f"No redraw and budget was tried with the samplings of both {names}."
    total = {key: math.sqrt(fmean(found[key].rmse ** 2 for found in by_study)) for key in shared}
    fitting = sorted(
        (key for key in shared if all(found[key].explains(tolerance) for found in by_study)), key=lambda key: total[key]
    )
    alone, mixed, budget, amount = (fitting or sorted(shared, key=lambda key: total[key]))[0]
    title = Combination(budget, amount, "", alone, mixed).title.removeprefix(" sampling, ")
    if fitting:
        return f"One way of drawing and one budget explains {names}, each with the sampling it states: {title}."
    return (
        f"No single redraw and budget explains {names} together, each with the sampling it states; the nearest is "
        f"{title}."
    )


@dataclass(frozen=True)
class Pattern:
    """What one combination gives in one column: accuracies by image percent, and what lies behind them.

    `images`: distinct images seen, mean over seeds, and `steps`: optimiser steps, both at the fewest images trained on.
    """

    combination: Combination
    source: str
    accuracies: dict[float, float]
    fewest: float
    images: float
    steps: int
    steps_most: int

    @property
    def drop(self) -> float | None:
        """Points lost from 100% of the images to 10%."""
        known = self.accuracies
        return known[100] - known[10] if {100, 10} <= known.keys() else None


def find_patterns(grouped: Grouped) -> list[Pattern]:
    """Every combination's columns, in order."""
    patterns = []
    for combination, source in itertools.product(grouped.combinations, grouped.sources):
        cells = grouped.column(combination, source)
        some = {p: cell for p, cell in cells.items() if p > 0} or cells
        if not cells:
            continue
        few, most = some[min(some)].row, cells[max(cells)].row
        patterns.append(
            Pattern(
                combination,
                source,
                {p: fmean(cells[p].accuracies) for p in sorted(cells, reverse=True)},
                few.image_percent,
                few.distinct_images,
                few.optimiser_steps or 0,
                most.optimiser_steps or 0,
            )
        )
    return patterns
