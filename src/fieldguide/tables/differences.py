"""Paired differences between columns of the comparison table: which are significant, and in words.

Pure. All cells share their seeds, so a difference is taken seed by seed: the same seed keeps the same images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fieldguide.core.significance import LEVEL, holm, paired_test
from fieldguide.tables.comparison import ComparisonTable
from fieldguide.tables.grid import format_ratio
from fieldguide.tables.results import Format, accuracies_by_cell, by_variant, ratio_grid, summarise
from fieldguide.tables.rows import IMAGE_ONLY, PUBLISHED_RECIPE, Column, column_labels

if TYPE_CHECKING:
    import pandas as pd

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


def find_differences(cells: pd.DataFrame) -> pd.DataFrame:
    """Every difference that the page asks for, variant by variant, in percentage points; baselines are left out.

    Beside what says which cells they are of: `difference_mean`, `difference_ci95`, `t`, `p` of the paired t test over
    seeds; `p_holm`, Holm's correction over all `tests` differences between two recipes in one variant, so that a
    further recipe changes no mark; `significant`, None from one seed; `detectable`, see `PairedTest`. `variant`,
    `first_path` and `second_path` are not in differences.csv.
    """
    accuracies = accuracies_by_cell(cells)
    pairs = pair_columns(summarise(cells))
    tests = [
        paired_test(accuracies[a], accuracies[b])
        for a, b in zip(pairs["first_path"], pairs["second_path"], strict=True)
    ]
    recipes = [" ".join(sorted(pair)) for pair in zip(pairs["first_recipe"], pairs["second_recipe"], strict=True)]
    pairs = pairs.assign(
        difference_mean=[test.mean for test in tests],
        difference_ci95=[test.half_width for test in tests],
        t=[test.t for test in tests],
        p=[test.p for test in tests],
        n_seeds=[test.n for test in tests],
    ).astype(dict.fromkeys(("difference_ci95", "t", "p"), float))
    family = pairs.groupby([pairs["variant"], recipes], sort=False)
    pairs["tests"] = family["p"].transform("size")
    pairs["p_holm"] = family["p"].transform(lambda p: p if p.isna().any() else holm(p.tolist()))
    pairs["significant"] = [None if p != p else bool(p < LEVEL) for p in pairs["p_holm"]]
    pairs["significant"] = pairs["significant"].astype(object)
    pairs["detectable"] = [test.detectable(count) for test, count in zip(tests, pairs["tests"], strict=True)]
    pairs = pairs.astype({"detectable": float})
    return pairs.assign(family=family.ngroup()).sort_values("family", kind="stable", ignore_index=True)


def mark_cells(differences: pd.DataFrame) -> dict[str, str]:
    """The marks behind text cells, by path: whether image only, or human text, differs from them significantly."""
    beside_images = differences[differences["comparison"] == "text and image only"]
    like_images = set()
    for path, held in beside_images.groupby("first_path"):
        references = references_of(held["first_recipe"].iloc[0])
        nearest = held[held["second_recipe"] == min(held["second_recipe"], key=references.index)]
        like_images |= {path} if any(s is False for s in nearest["significant"]) else set()
    human = differences[(differences["comparison"] == "text sources") & (differences["first_text_source"] == HUMAN)]
    human = human[human["second_text_source"] != HUMAN]
    like_human = {path for path, s in zip(human["second_path"], human["significant"], strict=True) if s is False}
    return {
        path: LIKE_IMAGES * (path in like_images) + LIKE_HUMAN * (path in like_human)
        for path in like_images | like_human
    }


def format_legend(marks: Iterable[str]) -> str:
    """What the marks mean; empty where there is none."""
    used = set("".join(marks))
    parts = (
        [f"{LIKE_IMAGES} does not differ significantly from its recipe's image only on the same images"]
        if LIKE_IMAGES in used
        else []
    )
    parts += [f"{LIKE_HUMAN} does not differ significantly from human text"] if LIKE_HUMAN in used else []
    return f"{'; '.join(parts)} (paired t test over seeds at 5%, corrected by Holm)" if parts else ""


def describe_pair(differences: pd.DataFrame, first: str, second: str) -> str:
    """One pair of columns of one variant over all ratios, the largest share of images first, in two plain sentences."""
    means, widths = differences["difference_mean"], differences["difference_ci95"]
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
    # Without any spread the two are the same cell, or as good as: that says nothing of what could be seen elsewhere.
    seen = sorted(d for d in differences["detectable"] if d)
    if not seen:
        return f"{text}."
    span = f"{seen[0]:.2f} points" if len(seen) == 1 else f"{seen[0]:.2f} to {seen[-1]:.2f} points, by ratio,"
    return f"{text}; with {differences['n_seeds'].iloc[0]} seeds differences below {span} may go unseen."


def format_difference(difference: Any) -> str:
    """`+1.20 ± 0.40 *`: the mean, the half-width of its interval, and whether it is significant."""
    width = "" if difference.difference_ci95 != difference.difference_ci95 else f" ± {difference.difference_ci95:.2f}"
    return f"{difference.difference_mean:+.2f}{width}{f' {SIGNIFICANT}' if difference.significant else ''}"


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
        if members["difference_ci95"].notna().any():
            remarks.append(
                f"± is the half-width of the 95% t interval of the paired difference, not corrected; {SIGNIFICANT} "
                "differs from 0 at 5% (paired t test) after Holm's correction for all differences between the same two "
                "recipes in this table. What may go unseen is what the correction asks of the smallest p-value."
            )
        grid = ratio_grid(members, members["column"].unique())
        tables.append(ComparisonTable(f"Differences in points: {variant}", grid, remarks=tuple(remarks)))
    return tables
