"""Paired differences between columns of the comparison table: which are significant, and in words.

Pure. All cells share their seeds, so a difference is taken seed by seed: the same seed keeps the same images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fieldguide.core.significance import LEVEL, PairedTest, holm, paired_test
from fieldguide.tables.comparison import ComparisonTable
from fieldguide.tables.grid import format_ratio
from fieldguide.tables.intervals import describe_interval
from fieldguide.tables.results import Format, accuracies_by_cell, by_variant, ratio_grid, summarise
from fieldguide.tables.rows import IMAGE_ONLY, PUBLISHED_RECIPE, Column, column_labels

if TYPE_CHECKING:
    import pandas as pd

    from fieldguide.tables.tested_images import TestedImages

SAME = "="
LIKE_IMAGES = "\N{DAGGER}"
LIKE_HUMAN = "\N{DOUBLE DAGGER}"
SIGNIFICANT = "*"
HUMAN = "reed"
QUESTIONS = ("text sources", "text and image only", "recipes")
SIDE = ("recipe", "text_source", "text_names", "text_unit", "translator", "accuracy_mean")


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


DIFFERENCE_FORMATS: Mapping[str, Format] = {
    "comparison": "",
    "image_percent": "g",
    **dict.fromkeys(("sampling", "redraw", "budget", "backbone"), ""),
    **{f"{side}_{column}": "" for side in ("first", "second") for column in SIDE},
    **dict.fromkeys(("first_accuracy_mean", "second_accuracy_mean"), ".3f"),
    **dict.fromkeys(("difference_mean", "difference_ci95", "t"), ".3f"),
    **dict.fromkeys(("p", "p_holm"), ".3g"),
    "significant": yes_or_no,
    "detectable": ".3f",
    "n_seeds": "d",
    "n_test_images": "d",
    "difference_ci95_seeds_images": ".3f",
    "p_seeds_images": ".3g",
    "same_predictions": yes_or_no,
    "tests": "d",
    "texts": "",
}
"""The columns of differences.csv, and how each is written."""


def references_of(recipe: str) -> tuple[str, ...]:
    """The recipes whose image-only column a recipe's text columns are held against, the nearest first."""
    return tuple(dict.fromkeys((recipe, f"{recipe}-image-only", PUBLISHED_RECIPE)))


def pair_columns(summary: pd.DataFrame) -> pd.DataFrame:
    """Every two cells of one variant and ratio whose difference the page asks for, as `first_…` and `second_…`.

    Human and LLM text (in the columns' order), text and image only, a further recipe and the thesis's: first - second
    is positive where it is as one hopes. `comparison`: which of the `QUESTIONS` it answers.
    """
    members = by_variant(summary)
    members["place"] = range(len(members))
    side = [*SIDE, "path", "place"]
    first = members.rename(columns={column: f"first_{column}" for column in side})
    second = members[["variant", "image_percent", *side]].rename(
        columns={column: f"second_{column}" for column in side}
    )
    pairs = first.merge(second, on=["variant", "image_percent"])

    import numpy as np

    has_text, beside_text = pairs["first_text_source"] != IMAGE_ONLY, pairs["second_text_source"] != IMAGE_ONLY
    same_recipe = pairs["first_recipe"] == pairs["second_recipe"]
    same_texts = (
        pairs[[f"first_{c}" for c in Column._fields]].to_numpy()
        == pairs[[f"second_{c}" for c in Column._fields]].to_numpy()
    ).all(axis=1)
    recipes = zip(pairs["first_recipe"], pairs["second_recipe"], strict=True)
    is_reference = np.array([second in references_of(first) for first, second in recipes], bool)
    in_order = pairs["first_place"] < pairs["second_place"]
    answers = (
        has_text & beside_text & same_recipe & in_order,
        has_text & ~beside_text & is_reference,
        same_texts & ~same_recipe & ~in_order,
    )
    for question, is_answer in zip(QUESTIONS, answers, strict=True):
        pairs.loc[is_answer, "comparison"] = question
    places = pairs[["first_place", "second_place"]]
    pairs = pairs.assign(lower=places.min(axis=1), upper=places.max(axis=1)).dropna(subset=["comparison"])
    return pairs.sort_values(["lower", "upper"], ignore_index=True)


def find_differences(cells: pd.DataFrame, tested: TestedImages | None = None) -> pd.DataFrame:
    """Every difference that the page asks for, variant by variant, in percentage points; baselines are left out.

    Beside what says which cells they are of: `difference_mean`; over seeds alone `difference_ci95`, `t`, `p` of the
    paired t test; where `tested` says what the cells do on other test images, `difference_ci95_seeds_images` and
    `p_seeds_images`. `same_predictions`: the two name every image alike in every run (a recipe that made nothing of its
    text, say); that is no comparison and has no test.

    `p_holm` is Holm's correction of `p_seeds_images`, or without it of `p`, over the `tests` differences between the
    same two recipes in one variant: a family of its own, so that a further recipe changes no mark. `significant`, None
    where there is no test; `detectable`, see `PairedTest`. `interval` is the half-width that pages show. `variant`,
    `first_path` and `second_path` are not in differences.csv.
    """
    import pandas as pd

    accuracies = accuracies_by_cell(cells)
    pairs = pair_columns(summarise(cells))
    paths = list(zip(pairs["first_path"], pairs["second_path"], strict=True))
    over_seeds = [paired_test(accuracies[a], accuracies[b]) for a, b in paths]
    tests = [compare(accuracies, a, b, tested) for a, b in paths]
    same = [tested is not None and tested.is_same(a, b) for a, b in paths]
    recipes = [" ".join(sorted(pair)) for pair in zip(pairs["first_recipe"], pairs["second_recipe"], strict=True)]
    pairs = pairs.assign(
        difference_mean=[test.mean for test in over_seeds],
        difference_ci95=[test.half_width for test in over_seeds],
        t=[test.t for test in over_seeds],
        p=[None if is_same else test.p for test, is_same in zip(over_seeds, same, strict=True)],
        n_seeds=[test.n for test in over_seeds],
        same_predictions=same,
        interval=[test.half_width for test in tests],
        tested_p=[None if is_same else test.p for test, is_same in zip(tests, same, strict=True)],
    ).astype(dict.fromkeys(("difference_ci95", "t", "p", "interval", "tested_p"), float))
    pairs["n_test_images"] = pd.array([tested.count if tested else None] * len(pairs), "Int64")
    pairs["difference_ci95_seeds_images"] = pairs["interval"] if tested else math.nan
    pairs["p_seeds_images"] = pairs["tested_p"] if tested else math.nan
    family = pairs.groupby([pairs["variant"], recipes], sort=False)
    pairs["tests"] = family["tested_p"].transform("count").astype(int)
    pairs["p_holm"] = family["tested_p"].transform(correct)
    pairs["significant"] = [None if p != p else bool(p < LEVEL) for p in pairs["p_holm"]]
    pairs["significant"] = pairs["significant"].astype(object)
    strictest = pairs["tests"].clip(lower=1)
    pairs["detectable"] = [
        None if is_same else max((d for test in both if (d := test.detectable(count)) is not None), default=None)
        for *both, count, is_same in zip(over_seeds, tests, strictest, same, strict=True)
    ]
    pairs = pairs.astype({"detectable": float})
    return pairs.assign(family=family.ngroup()).sort_values("family", kind="stable", ignore_index=True)


def compare(
    accuracies: Mapping[str, Sequence[float]], first: str, second: str, tested: TestedImages | None = None
) -> PairedTest:
    """The paired difference of two cells, over seeds, and over test images too where `tested` holds them."""
    if tested is None:
        return paired_test(accuracies[first], accuracies[second])
    # The cells' files hold six decimals; what is smaller is rounding.
    differences = [round(a - b, 6) for a, b in zip(accuracies[first], accuracies[second], strict=True)]
    return tested.compare(first, second, differences)


def correct(p: pd.Series) -> pd.Series:
    """Holm's correction over those that are there."""
    import pandas as pd

    there = p.dropna()
    return pd.Series(holm(there.tolist()), there.index, float).reindex(p.index)


def mark_cells(differences: pd.DataFrame) -> dict[str, str]:
    """The marks behind text cells, by path: whether image only, or human text, differs from them significantly, and
    whether image only is the very same."""
    beside_images = differences[differences["comparison"] == "text and image only"]
    like_images, same = set(), set()
    for path, held in beside_images.groupby("first_path"):
        references = references_of(held["first_recipe"].iloc[0])
        nearest = held[held["second_recipe"] == min(held["second_recipe"], key=references.index)]
        same |= {path} if nearest["same_predictions"].any() else set()
        like_images |= {path} if any(s is False for s in nearest["significant"]) else set()
    human = differences[(differences["comparison"] == "text sources") & (differences["first_text_source"] == HUMAN)]
    human = human[human["second_text_source"] != HUMAN]
    is_like_human = (human["significant"] == False) | human["same_predictions"]  # noqa: E712, None is neither
    like_human = set(human.loc[is_like_human, "second_path"])
    return {
        path: SAME * (path in same) + LIKE_IMAGES * (path in like_images) + LIKE_HUMAN * (path in like_human)
        for path in same | like_images | like_human
    }


def format_legend(marks: Iterable[str], differences: pd.DataFrame) -> str:
    """What the marks mean, by the differences that they are of; empty where there is none."""
    used = set("".join(marks))
    meanings = {
        SAME: "names every test image as its recipe's image only does",
        LIKE_IMAGES: "does not differ significantly from its recipe's image only on the same images",
        LIKE_HUMAN: "does not differ significantly from human text",
    }
    parts = [f"{mark} {meaning}" for mark, meaning in meanings.items() if mark in used]
    test = "over seeds and test images" if count_images(differences) else "t test over seeds"
    return f"{'; '.join(parts)} (paired {test}, at 5%, corrected by Holm for each two recipes)" if parts else ""


def count_images(differences: pd.DataFrame) -> int | None:
    """How many test images the intervals of these differences are over; None where they are over seeds alone."""
    known = differences["n_test_images"].dropna()
    return int(known.iloc[0]) if len(known) else None


def describe_pair(differences: pd.DataFrame, first: str, second: str) -> str:
    """One pair of columns of one variant over all ratios, the largest share of images first, in two plain sentences."""
    means, widths = differences["difference_mean"], differences["interval"]
    count = len(differences)
    shares = [format_ratio(percent) for percent in differences["image_percent"]]
    over = f"{count} ratios ({shares[0]} to {shares[-1]})" if count > 1 else f"ratio {shares[0]}"
    middle = f"{means.iloc[0]:+.2f}" if count == 1 else f"{means.min():+.2f} to {means.max():+.2f}"
    text = f"{first} minus {second}: {middle} points at {over}"
    if widths.isna().any():
        return f"{text}. One seed, so nothing can be said about chance."
    significant = [share for share, is_so in zip(shares, differences["significant"], strict=True) if is_so]
    text += f"; significant at {len(significant) or 'none'} of {count}"
    text += f" ({', '.join(significant)})" if significant else ""
    text += f". Every 95% interval lies within ±{(means.abs() + widths).max():.2f} points"
    # The same cell twice, or as good as, without any spread: that says nothing of what could be seen elsewhere.
    seen = sorted(d for d in differences["detectable"].dropna() if d)
    if not seen:
        return f"{text}."
    span = f"{seen[0]:.2f} points" if len(seen) == 1 else f"{seen[0]:.2f} to {seen[-1]:.2f} points, by ratio,"
    images = count_images(differences)
    of = f"{differences['n_seeds'].iloc[0]} seeds" + (f" and {images:,} test images" if images else "")
    return f"{text}; with {of} differences below {span} may go unseen."


def format_difference(difference: Any) -> str:
    """`+1.20 ± 0.40 *`: the mean, the half-width of its interval, and whether it is significant; `=` of the same."""
    if difference.same_predictions:
        return SAME
    width = "" if difference.interval != difference.interval else f" ± {difference.interval:.2f}"
    return f"{difference.difference_mean:+.2f}{width}{f' {SIGNIFICANT}' if difference.significant else ''}"


def describe_tests(differences: pd.DataFrame) -> str:
    """What ± and the marks of one table of differences mean, and what they leave out."""
    has_translator = (differences[["first_translator", "second_translator"]] != IMAGE_ONLY).any(axis=None)
    interval = describe_interval(count_images(differences), has_translator)
    families = differences.loc[differences["tests"] > 0, "family"].nunique()
    each = f", {families} families here, so that each has its own 5%" if families > 1 else ""
    text = (
        f"± is the half-width of the {interval}; it is of each difference by itself, not corrected. {SIGNIFICANT} "
        "differs from 0 at 5% after Holm's correction for all differences between the same two recipes in this "
        f"table{each}. What may go unseen is what the correction asks of the smallest p-value."
    )
    if differences["same_predictions"].any():
        text += f" {SAME}: both name every test image alike in every run, so there is no test, and none is counted."
    return text


def tabulate_differences(differences: pd.DataFrame) -> list[ComparisonTable]:
    """A table per variant: a row per ratio, a column per pair of columns, each described in words below."""
    if differences.empty:
        return []
    sides = [
        [Column(*texts) for texts in differences[[f"{side}_{c}" for c in Column._fields]].itertuples(False, None)]
        for side in ("first", "second")
    ]
    labels = column_labels([*sides[0], *sides[1]])
    several = differences[["first_recipe", "second_recipe"]].stack().nunique() > 1
    named = differences.assign(text=[format_difference(d) for d in differences.itertuples()])
    for side, columns in zip(("first", "second"), sides, strict=True):
        recipes = differences[f"{side}_recipe"]
        named[side] = [f"{r}: {labels[c]}" if several else labels[c] for r, c in zip(recipes, columns, strict=True)]
    named["column"] = named["first"] + " \N{MINUS SIGN} " + named["second"]
    tables = []
    for variant, members in named.groupby("variant", sort=False):
        members = members.sort_values("comparison", key=lambda c: c.map(QUESTIONS.index), kind="stable")
        remarks = [
            describe_pair(
                pair.sort_values("image_percent", ascending=False), pair["first"].iloc[0], pair["second"].iloc[0]
            )
            for _, pair in members.groupby("column", sort=False)
        ]
        if members["interval"].notna().any():
            remarks.append(describe_tests(members))
        grid = ratio_grid(members, members["column"].unique())
        tables.append(ComparisonTable(f"Differences in points: {variant}", grid, remarks=tuple(remarks)))
    return tables
