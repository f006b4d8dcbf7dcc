"""Which sampling, redraw and budget explain published figures: combinations of cells, scored column by column.

Pure. A combination need not be one variant: images may be drawn anew each epoch in the image-only column alone, while
the columns with text keep the images and texts that were drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fieldguide.core.significance import prediction_half_width
from fieldguide.tables.results import summarise
from fieldguide.tables.rows import IMAGE_ONLY, PUBLISHED_RECIPE, PublishedFigure, distinct

if TYPE_CHECKING:
    import pandas as pd

FIXED, PER_EPOCH = "fixed", "per-epoch"
SHOWN_RATIOS = (100, 50, 10, 0)
COMBINATION = ["budget", "amount", "sampling", "redraw_image_only", "redraw_mixed"]
"""How a whole table may have been made: one budget and sampling, and a redraw for each kind of column."""
KEYS = [*COMBINATION, "text_source"]


def describe_combination(combination: Any) -> str:
    """A combination in words, as a sentence names it."""
    alone, mixed = combination.redraw_image_only, combination.redraw_mixed
    redraw = f"{alone} images"
    if alone != mixed:
        redraw = f"{alone} images in the image-only column alone ({mixed} beside text)"
    sampling = f"{combination.sampling} sampling, " if combination.sampling else ""
    return f"{sampling}{redraw}, {format_budget(combination)}"


def format_budget(combination: Any) -> str:
    """`100 epochs`."""
    return f"{combination.amount:,} {combination.budget}"


def combine_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the thesis's recipe, which the published figures are of, under every combination: `COMBINATION`.

    Every sampling, redraw and budget of the cells, and per-epoch in the image-only column alone. A row per combination,
    text source and share of images, the largest first; at 100% a column with text is image only. Beside the columns of
    `summarise`: `prediction_ci95`, the half-width of the 95% interval for one further run, missing from one seed.
    """
    import pandas as pd

    widths = cells.groupby("path")["accuracy"].agg(prediction_half_width).astype(float)
    summary = summarise(cells)
    study = summary[(summary["recipe"] == PUBLISHED_RECIPE) & summary["amount"].notna()]
    study = study.assign(
        budget=[budget.partition("-")[0] for budget in study["budget"]], prediction_ci95=study["path"].map(widths)
    )
    if study.empty:
        return study
    plain = ["budget", "amount", "sampling"]
    study = study.drop_duplicates([*plain, "redraw", "text_source", "image_percent"], keep="last")
    combinations = []
    for key, members in study.groupby(plain):
        redraws = sorted(members["redraw"].unique())
        pairs = [(redraw, redraw) for redraw in redraws]
        pairs += [(PER_EPOCH, FIXED)] if {FIXED, PER_EPOCH} <= set(redraws) else []
        combinations += [(*key, *pair) for pair in pairs]
    tried = pd.DataFrame(combinations, columns=COMBINATION).astype({"amount": "Int64"})
    found = tried.assign(place=range(len(tried))).merge(study, on=plain)
    alone = found["text_source"] == IMAGE_ONLY
    found = found[found["redraw"] == found["redraw_image_only"].where(alone, found["redraw_mixed"])]
    whole = found[(found["text_source"] == IMAGE_ONLY) & (found["image_percent"] == 100)].drop(columns="text_source")
    texts = found.loc[found["text_source"] != IMAGE_ONLY, KEYS].drop_duplicates()
    found = pd.concat([found, texts.merge(whole, on=COMBINATION)]).drop_duplicates(
        [*KEYS, "image_percent"], keep="last"
    )
    sources = sorted(study["text_source"].unique(), key=lambda source: bool(source != IMAGE_ONLY))
    found["source_place"] = found["text_source"].map(sources.index)
    return found.sort_values(
        ["place", "source_place", "image_percent"], ascending=[True, True, False], ignore_index=True
    ).drop(columns=["place", "source_place"])


def find_patterns(combined: pd.DataFrame) -> pd.DataFrame:
    """What every combination gives in each column: a row per combination and text source.

    `accuracy_100` … `accuracy_0` and `drop_100_to_10` in points; `fewest_image_percent`, the smallest share of images
    trained on, with `distinct_images_at_fewest`, their mean over seeds, and `optimiser_steps_at_fewest` and `_at_most`.
    """
    accuracies = combined.pivot(index=KEYS, columns="image_percent", values="accuracy_mean").reindex(
        columns=SHOWN_RATIOS
    )
    is_text_alone = combined["image_percent"] == 0
    by_share = combined.assign(last=is_text_alone).sort_values(["last", "image_percent"])
    fewest, most = (rows.drop_duplicates(KEYS).set_index(KEYS) for rows in (by_share, combined))
    patterns = accuracies.rename(columns="accuracy_{}".format).assign(
        drop_100_to_10=accuracies[100] - accuracies[10],
        fewest_image_percent=fewest["image_percent"],
        distinct_images_at_fewest=fewest["distinct_images"],
        optimiser_steps_at_fewest=fewest["optimiser_steps"],
        optimiser_steps_at_most=most["optimiser_steps"],
    )
    return patterns.reindex(most.index).reset_index()


def score_columns(combined: pd.DataFrame, figures: Sequence[PublishedFigure]) -> pd.DataFrame:
    """Every combination's columns beside those of every study, whatever sampling the study states.

    A row per study, combination and text source, over the `n_cells` ratios that both have: `rmse` and `bias`, ours
    minus published, in points; `n_inside`, how many figures lie in our interval for one further run, missing from one
    seed.
    """
    import pandas as pd

    published = pd.DataFrame(figures, columns=PublishedFigure._fields)[
        ["study", "text_source", "image_percent", "accuracy"]
    ]
    compared = published.merge(combined, on=["text_source", "image_percent"])
    error, width = compared["accuracy_mean"] - compared["accuracy"], compared["prediction_ci95"]
    inside = (error.abs() <= width).astype(float).where(width.notna())
    grouped = compared.assign(error=error, inside=inside).groupby(["study", *KEYS], sort=False)
    return grouped.agg(
        rmse=("error", lambda errors: math.sqrt(fmean(error * error for error in errors))),
        bias=("error", fmean),
        n_cells=("error", "size"),
        n_inside=("inside", lambda inside: inside.sum(skipna=False)),
    ).reset_index()


def score_studies(scores: pd.DataFrame, figures: Sequence[PublishedFigure], tolerance: float) -> pd.DataFrame:
    """Every combination against every study as a whole, the nearest first.

    `rmse` over all cells; `worst_source` and `worst_rmse`, of the column that is off most; `missing`, the study's
    columns that have no cells here; `explains`: whether every column's error is within the tolerance, in points.
    """
    import pandas as pd

    rows = []
    for key, columns in scores.groupby(["study", *COMBINATION], sort=False):
        worst = columns.loc[columns["rmse"].idxmax()]
        sources = distinct(figure.text_source for figure in figures if figure.study == key[0])
        rows.append(
            {
                **dict(zip(["study", *COMBINATION], key, strict=True)),
                "rmse": math.sqrt((columns["n_cells"] * columns["rmse"] ** 2).sum() / columns["n_cells"].sum()),
                "worst_source": worst["text_source"],
                "worst_rmse": worst["rmse"],
                "missing": [source for source in sources if source not in set(columns["text_source"])],
                "n_cells": columns["n_cells"].sum(),
                "n_inside": columns["n_inside"].sum(skipna=False),
                "explains": worst["rmse"] <= tolerance,
            }
        )
    columns = [
        "study",
        *COMBINATION,
        "rmse",
        "worst_source",
        "worst_rmse",
        "missing",
        "n_cells",
        "n_inside",
        "explains",
    ]
    found = pd.DataFrame(rows, columns=columns)
    studies = distinct(figure.study for figure in figures)
    found = found.assign(place=found["study"].map(studies.index), n_missing=found["missing"].map(len))
    return found.sort_values(["place", "n_missing", "rmse", *COMBINATION], ignore_index=True)


def stated_sampling(study: str, figures: Sequence[PublishedFigure]) -> str:
    """The sampling that a study says it used."""
    return next(figure.sampling for figure in figures if figure.study == study)


def describe_study(scores: pd.DataFrame, stated: str, tolerance: float, labels: Mapping[str, str]) -> str:
    """One study's answer: what explains its figures within the tolerance, or that nothing tried here does."""
    whole = scores[scores["n_missing"] == scores["n_missing"].min()]
    nearest = next(whole.itertuples())
    study = nearest.study.capitalize()
    without = f" (its column {', '.join(nearest.missing)} has no cells in this run)" if nearest.missing else ""
    fitting = whole[whole["explains"]]
    if len(fitting):
        best = next(fitting.itertuples())
        others = f" {len(fitting) - 1} more of {len(whole)} do too." if len(fitting) > 1 else ""
        against = "" if best.sampling == stated else f" The study itself states {stated} sampling."
        return (
            f"{study}'s figures{without} are explained by {describe_combination(best)}: no column is off by more than "
            f"{tolerance:g} points, {best.rmse:.2f} over all cells.{others}{against}"
        )
    return (
        f"No combination tried explains {study}'s figures{without} within {tolerance:g} points in every column. "
        f"The nearest is {describe_combination(nearest)}: {nearest.rmse:.2f} points over all cells, and "
        f"{nearest.worst_rmse:.2f} in the column {labels.get(nearest.worst_source, nearest.worst_source)}."
    )


def describe_all(scores: pd.DataFrame, figures: Sequence[PublishedFigure]) -> str:
    """Whether one redraw and budget explains all studies, each with the sampling that it states."""
    studies = distinct(figure.study for figure in figures)
    if len(studies) < 2:
        return ""
    stated = scores[scores["sampling"] == scores["study"].map(lambda study: stated_sampling(study, figures))]
    names = " and ".join(study.capitalize() for study in studies)
    shared = stated.groupby(["redraw_image_only", "redraw_mixed", "budget", "amount"], sort=False).agg(
        studies=("study", "nunique"),
        rmse=("rmse", lambda errors: math.sqrt(fmean(error**2 for error in errors))),
        explains=("explains", "all"),
    )
    shared = shared[shared["studies"] == len(studies)].reset_index().assign(sampling="")
    if shared.empty:
        return f"No redraw and budget was tried with the samplings of both {names}."
    nearest = next(shared.sort_values(["explains", "rmse"], ascending=[False, True]).itertuples())
    if nearest.explains:
        return (
            f"One way of drawing and one budget explains {names}, each with the sampling it states: "
            f"{describe_combination(nearest)}."
        )
    return (
        f"No single redraw and budget explains {names} together, each with the sampling it states; the nearest is "
        f"{describe_combination(nearest)}."
    )
