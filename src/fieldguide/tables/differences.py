"""Paired differences between columns of the comparison table, which of them can be told from nothing, and in words.

Pure. All cells share their seeds, so a difference is taken seed by seed: the same seed keeps the same images.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fieldguide.core.significance import LEVEL, PairedTest, holm, paired_test
from fieldguide.tables.cell_results import Cell
from fieldguide.tables.comparison import (
    MISSING,
    PUBLISHED_RECIPE,
    AccuracyRow,
    ComparisonTable,
    Grid,
    Identity,
    column_labels,
    format_ratio,
    split_blocks,
)

LIKE_IMAGES = "\N{DAGGER}"
LIKE_HUMAN = "\N{DOUBLE DAGGER}"
TOLD_APART = "*"
HUMAN = "reed"
DIFFERENCE_COLUMNS = (
    "comparison",
    "image_percent",
    "sampling",
    "redraw",
    "budget",
    "backbone",
    *(
        f"{side}_{what}"
        for side in ("first", "second")
        for what in ("recipe", "text_source", "text_names", "text_unit", "translator", "accuracy_mean")
    ),
    "difference_mean",
    "difference_ci95",
    "t",
    "p",
    "p_holm",
    "told_apart",
    "detectable",
    "n_seeds",
)


@dataclass(frozen=True)
class Difference:
    """first - second at one ratio of one variant, in percentage points.

    `p_holm`: p corrected for all `tests` differences of the two recipes in this variant. `about`: which question.
    """

    about: str  # "text sources", "text and image only" or "recipes"
    variant: str
    first: AccuracyRow
    second: AccuracyRow
    test: PairedTest
    p_holm: float | None = None
    tests: int = 1

    @property
    def told_apart(self) -> bool | None:
        """Whether it differs from 0 after the correction; None from one seed, which tells nothing."""
        return None if self.p_holm is None else self.p_holm < LEVEL

    @property
    def detectable(self) -> float | None:
        return self.test.detectable(self.tests)

    def as_csv(self) -> dict[str, str]:
        """The difference as a line of differences.csv."""

        def told(value: float | None, form: str) -> str:
            return "" if value is None else format(value, form)

        line = {
            "comparison": self.about,
            "image_percent": f"{self.first.image_percent:g}",
            "sampling": self.first.sampling,
            "redraw": self.first.redraw,
            "budget": self.first.budget,
            "backbone": self.first.backbone,
            "difference_mean": f"{self.test.mean:.3f}",
            "difference_ci95": told(self.test.half_width, ".3f"),
            "t": told(self.test.t, ".3f"),
            "p": told(self.test.p, ".3g"),
            "p_holm": told(self.p_holm, ".3g"),
            "told_apart": "" if self.told_apart is None else "yes" if self.told_apart else "no",
            "detectable": told(self.detectable, ".3f"),
            "n_seeds": str(self.test.n),
        }
        for side, row in (("first", self.first), ("second", self.second)):
            for what in ("recipe", "text_source", "text_names", "text_unit", "translator"):
                line[f"{side}_{what}"] = getattr(row, what)
            line[f"{side}_accuracy_mean"] = f"{row.accuracy_mean:.3f}"
        return line


def references_of(recipe: str) -> tuple[str, ...]:
    """The recipes whose image-only column a recipe's text columns are held against, the nearest first."""
    return tuple(dict.fromkeys((recipe, f"{recipe}-image-only", PUBLISHED_RECIPE)))


def _question(first: AccuracyRow, second: AccuracyRow) -> str:
    """What the difference of two cells of one variant and ratio answers; empty if nothing that the page asks."""
    if not first.image_only and not second.image_only and first.recipe == second.recipe:
        return "text sources"
    if not first.image_only and second.image_only and second.recipe in references_of(first.recipe):
        return "text and image only"
    if first.column == second.column and first.recipe != second.recipe:
        return "recipes"
    return ""


def find_differences(cells: Sequence[Cell]) -> list[Difference]:
    """Every difference that the page asks for, variant by variant; baselines are left out.

    Human minus LLM text (in the columns' order), text minus image only, another recipe minus the thesis's. Holm's
    correction is over all differences between two recipes in one variant, so that a further recipe changes no mark.
    """
    accuracies = {cell.row.identity: cell.accuracies for cell in cells}
    found = []
    for block in split_blocks(cell.row for cell in cells):
        place = {series: number for number, series in enumerate(block.series)}
        rows = sorted(block.rows, key=lambda row: place[row.series])
        families: dict[tuple[str, ...], list[Difference]] = {}
        for one, other in itertools.combinations(rows, 2):
            if one.image_percent != other.image_percent:
                continue
            # Text minus image only, and a further recipe minus the thesis's: positive is what one hopes for.
            keep = other.image_only if one.image_only != other.image_only else one.recipe == other.recipe
            pair = (one, other) if keep else (other, one)
            if about := _question(*pair):
                test = paired_test(accuracies[pair[0].identity], accuracies[pair[1].identity])
                key = tuple(sorted((one.recipe, other.recipe)))
                families.setdefault(key, []).append(Difference(about, block.title, *pair, test))
        for family in families.values():
            p_values = [d.test.p for d in family if d.test.p is not None]
            corrected = iter(holm(p_values)) if len(p_values) == len(family) else itertools.repeat(None)
            found += [replace(d, p_holm=p, tests=len(family)) for d, p in zip(family, corrected, strict=False)]
    return found


def mark_cells(differences: Sequence[Difference]) -> dict[Identity, str]:
    """The marks behind text cells: what of image only, and of human text, they cannot be told apart from."""
    marks: dict[Identity, str] = {}
    for difference in differences:
        first, second = difference.first, difference.second
        if difference.told_apart is not False:
            continue
        if difference.about == "text and image only" and second.recipe == _nearest_reference(first, differences):
            marks[first.identity] = LIKE_IMAGES + marks.get(first.identity, "")
        if difference.about == "text sources" and first.text_source == HUMAN != second.text_source:
            marks[second.identity] = marks.get(second.identity, "").replace(LIKE_HUMAN, "") + LIKE_HUMAN
    return marks


def _nearest_reference(row: AccuracyRow, differences: Iterable[Difference]) -> str:
    """The recipe of the image-only cell that a text cell's mark speaks of."""
    held = [d.second.recipe for d in differences if d.first == row and d.about == "text and image only"]
    return next(recipe for recipe in references_of(row.recipe) if recipe in held)


def tell_legend(marks: Iterable[str]) -> str:
    """What the marks mean; empty where there is none."""
    used = set("".join(marks))
    parts = (
        [f"{LIKE_IMAGES} cannot be told apart from its recipe's image only on the same images"]
        if LIKE_IMAGES in used
        else []
    )
    parts += [f"{LIKE_HUMAN} cannot be told apart from human text"] if LIKE_HUMAN in used else []
    return f"{'; '.join(parts)} (paired t test over seeds at 5%, corrected by Holm)" if parts else ""


def tell_pair(differences: Sequence[Difference], first: str, second: str) -> str:
    """One pair of columns of one variant over all ratios, in two plain sentences."""
    means = [d.test.mean for d in differences]
    shares = [format_ratio(d.first.image_percent) for d in differences]
    over = f"{len(differences)} ratios ({shares[0]} to {shares[-1]})" if len(differences) > 1 else f"ratio {shares[0]}"
    middle = f"{means[0]:+.2f}" if len(means) == 1 else f"{min(means):+.2f} to {max(means):+.2f}"
    said = f"{first} minus {second}: {middle} points at {over}"
    if any(d.test.half_width is None for d in differences):
        return f"{said}. One seed, so nothing can be said about chance."
    apart = [format_ratio(d.first.image_percent) for d in differences if d.told_apart]
    reach = max(abs(d.test.mean) + (d.test.half_width or 0.0) for d in differences)
    said += f"; told apart at {len(apart) or 'none'} of {len(differences)}" + (
        f" ({', '.join(apart)})" if apart else ""
    )
    said += f". Every 95% interval lies within ±{reach:.2f} points"
    # Without any spread the two are the same cell, or as good as: that tells nothing of what could be seen elsewhere.
    seen = sorted(d.detectable for d in differences if d.detectable)
    if not seen:
        return f"{said}."
    span = f"{seen[0]:.2f} points" if len(seen) == 1 else f"{seen[0]:.2f} to {seen[-1]:.2f} points, by ratio,"
    return f"{said}; with {differences[0].test.n} seeds differences below {span} may go unseen."


def tabulate_differences(differences: Sequence[Difference]) -> list[ComparisonTable]:
    """A table per variant: a row per ratio, a column per pair of columns, each told in words below."""
    rows = [row for d in differences for row in (d.first, d.second)]
    labels = column_labels(rows)
    recipes = {row.recipe for row in rows}

    def label(row: AccuracyRow) -> str:
        return f"{row.recipe}: {labels[row.column]}" if len(recipes) > 1 else labels[row.column]

    tables = []
    for variant in dict.fromkeys(d.variant for d in differences):
        pairs: dict[tuple[str, str, str], list[Difference]] = {}
        for d in differences:
            if d.variant == variant:
                pairs.setdefault((d.about, label(d.first), label(d.second)), []).append(d)
        order = ("text sources", "text and image only", "recipes")
        columns = sorted(pairs, key=lambda pair: order.index(pair[0]))
        for pair in columns:
            pairs[pair].sort(key=lambda d: -d.first.image_percent)
        ratios = sorted({d.first.image_percent for members in pairs.values() for d in members}, reverse=True)

        def cell(pair: tuple[str, str, str], ratio: float, pairs: dict = pairs) -> str:
            d = next((d for d in pairs[pair] if d.first.image_percent == ratio), None)
            if d is None:
                return MISSING
            width = "" if d.test.half_width is None else f" ± {d.test.half_width:.2f}"
            return f"{d.test.mean:+.2f}{width}{' ' + TOLD_APART if d.told_apart else ''}"

        grid = Grid(
            stub="images:text",
            columns=tuple(f"{first} \N{MINUS SIGN} {second}" for _, first, second in columns),
            rows=tuple((format_ratio(ratio), tuple(cell(pair, ratio) for pair in columns)) for ratio in ratios),
        )
        remarks = [tell_pair(pairs[pair], *pair[1:]) for pair in columns]
        tested = next(iter(pairs.values()))[0]
        if tested.test.half_width is not None:
            remarks.append(
                f"± is the half-width of the 95% t interval of the paired difference, not corrected; {TOLD_APART} "
                "differs from 0 at 5% (paired t test) after Holm's correction for all differences between the same two "
                "recipes in this table. What may go unseen is what the correction asks of the smallest p-value."
            )
        tables.append(ComparisonTable(f"Differences in points: {variant}", grid, Grid("", (), ()), tuple(remarks)))
    return tables
