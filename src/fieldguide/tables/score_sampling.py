"""Score every combination of sampling, redraw and budget against the published figures, and say which explains them.

  python -m fieldguide.tables.score_sampling --cells adapters/…/ratio-10.json … --published published.csv \\
      --settings '{"dataset": "cub", "tolerance": 1.5}' --csv tables/sampling.csv --md tables/sampling.md

Without --published, as on any data set but CUB, the page shows which pattern each combination gives and no more.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_text
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.grid import MISSING, Grid, format_count, format_ratio
from fieldguide.tables.markdown import escape, grid_table
from fieldguide.tables.results import Format, plain_count, read_cells, write_frame
from fieldguide.tables.rows import IMAGE_ONLY, SOURCE_LABELS, PublishedFigure, distinct, read_published
from fieldguide.tables.sampling_study import (
    COMBINATION,
    KEYS,
    SHOWN_RATIOS,
    combine_cells,
    describe_all,
    describe_study,
    find_patterns,
    format_budget,
    score_columns,
    score_studies,
    stated_sampling,
)
from fieldguide.tables.settings import ScoreSettings

if TYPE_CHECKING:
    import pandas as pd

SAMPLING_FORMATS: Mapping[str, Format] = {
    **dict.fromkeys(("sampling", "redraw_image_only", "redraw_mixed", "budget", "amount", "text_source"), ""),
    **{f"accuracy_{ratio}": ".2f" for ratio in SHOWN_RATIOS},
    "drop_100_to_10": ".2f",
    "fewest_image_percent": "g",
    "distinct_images_at_fewest": plain_count,
    "optimiser_steps_at_fewest": "d",
    "optimiser_steps_at_most": "d",
    "study": "",
    "study_states": "",
    "rmse": ".2f",
    "bias": "+.2f",
    "n_cells": ".0f",
    "n_inside": ".0f",
    "explains_study": "",
}
"""The columns of sampling.csv, and how each is written."""


def number(value: float) -> str:
    return MISSING if value != value else f"{value:.2f}"


def format_steps(pattern: Any) -> str:
    """Optimiser steps with the fewest images, and with the most."""
    return f"{pattern.optimiser_steps_at_fewest:,} / {pattern.optimiser_steps_at_most:,}"


def study_grid(studies: pd.DataFrame, scores: pd.DataFrame, patterns: pd.DataFrame, labels: Mapping[str, str]) -> Grid:
    """One study: a row per combination, the nearest first, with a root-mean-square error per column."""
    errors = scores.pivot(index=COMBINATION, columns="text_source", values="rmse")
    sources = [s for s in distinct(scores["text_source"]) if errors.loc[tuple(studies.loc[0, COMBINATION])].notna()[s]]
    alone, mixed = (
        patterns[patterns["text_source"] == source].set_index(COMBINATION) for source in (IMAGE_ONLY, sources[-1])
    )
    fewest = alone["fewest_image_percent"].min() if IMAGE_ONLY in sources else 0
    rows = []
    for score in studies.itertuples():
        key = tuple(getattr(score, name) for name in COMBINATION)
        rows_of_key = [next(some.loc[[key]].itertuples()) if key in some.index else None for some in (alone, mixed)]
        cells = (
            score.redraw_image_only,
            score.redraw_mixed,
            format_budget(score),
            *(number(errors.loc[key, source]) for source in sources),
            number(score.rmse),
            MISSING if score.n_inside != score.n_inside else f"{score.n_inside:.0f} of {score.n_cells}",
            format_count(rows_of_key[0].distinct_images_at_fewest) if rows_of_key[0] else MISSING,
            format_steps(rows_of_key[0]) if rows_of_key[0] else MISSING,
            f"{rows_of_key[1].optimiser_steps_at_fewest:,}" if rows_of_key[1] else MISSING,
        )
        rows.append((score.sampling, cells))
    columns = ("redraw, image only", "redraw, with text", "budget", *(labels.get(s, s) for s in sources), "all cells")
    columns += ("inside", f"images seen at {fewest:g}%", f"steps at {fewest:g}% / 100%", "steps, with text")
    return Grid("sampling", columns, tuple(rows))


def draw_alike(patterns: pd.DataFrame) -> pd.DataFrame:
    """The combinations that draw all columns alike."""
    return patterns[patterns["redraw_image_only"] == patterns["redraw_mixed"]]


def pattern_grid(patterns: pd.DataFrame, figures: Sequence[PublishedFigure]) -> Grid:
    """One column of the table under every combination that draws all columns alike, published figures below."""
    shown = draw_alike(patterns)
    source, fewest = shown["text_source"].iloc[0], shown["fewest_image_percent"].iloc[0]
    ratios = [ratio for ratio in SHOWN_RATIOS if shown[f"accuracy_{ratio}"].notna().any()]
    rows = [
        (
            pattern.sampling,
            (
                pattern.redraw_image_only if source == IMAGE_ONLY else pattern.redraw_mixed,
                format_budget(pattern),
                *(number(getattr(pattern, f"accuracy_{ratio}")) for ratio in ratios),
                number(pattern.drop_100_to_10),
                format_count(pattern.distinct_images_at_fewest),
                format_steps(pattern),
            ),
        )
        for pattern in shown.itertuples()
    ]
    for study in distinct(figure.study for figure in figures if figure.text_source == source):
        # At 100% every column is image only.
        known = {
            f.image_percent: f.accuracy
            for f in figures
            if f.study == study and f.text_source == (IMAGE_ONLY if f.image_percent == 100 else source)
        }
        drop = known[100] - known[10] if {100, 10} <= known.keys() else float("nan")
        cells = ("published", study.capitalize(), *(number(known.get(r, float("nan"))) for r in ratios), number(drop))
        rows.append((stated_sampling(study, figures), (*cells, MISSING, MISSING)))
    columns = ("redraw", "budget", *(format_ratio(r) for r in ratios), "drop 100 to 10")
    return Grid("sampling", (*columns, f"images seen at {fewest:g}%", f"steps at {fewest:g}% / 100%"), tuple(rows))


def describe_drops(patterns: pd.DataFrame) -> str:
    """What redrawing does to the image-only column, in one sentence."""
    alike = draw_alike(patterns)
    known = alike[(alike["text_source"] == IMAGE_ONLY) & alike["drop_100_to_10"].notna()]
    parts = []
    for (sampling, redraw), members in known.groupby(["sampling", "redraw_image_only"], sort=False):
        drops = members["drop_100_to_10"]
        span = " to ".join(distinct(f"{round(drop, 1) + 0.0:.1f}" for drop in (drops.min(), drops.max())))
        parts.append(f"{span} points with {sampling} sampling and {redraw} images")
    if not parts:
        return ""
    budgets = len(alike[["budget", "amount"]].drop_duplicates())
    over = f", over the {budgets} budgets tried" if budgets > 1 else ""
    return f"From 100% of the images to 10% the image-only column loses {', '.join(parts)}{over}."


def render(
    settings: ScoreSettings,
    seeds: int,
    patterns: pd.DataFrame,
    scores: pd.DataFrame,
    studies: pd.DataFrame,
    figures: Sequence[PublishedFigure],
) -> str:
    """The page."""
    labels, dataset, tolerance = SOURCE_LABELS, escape(settings.dataset), settings.tolerance
    parts = [f"# Sampling, redraw and budget: {dataset}", *(f"**{escape(note)}**" for note in settings.notes)]
    if figures:
        parts += ["## Which combination explains the published figures?"]
        by_study = {str(study): found.reset_index() for study, found in studies.groupby("study", sort=False)}
        for study, found in by_study.items():
            parts += [escape(describe_study(found, stated_sampling(study, figures), tolerance, labels))]
        parts += [
            escape(describe_all(studies, figures)),
            "Root-mean-square error of our mean against the published figures in points, column by column; a "
            f"combination explains a study when no column's is above {tolerance:g}. 'inside' counts published figures "
            f"that lie in our 95% interval for one further run. Over {seeds} seed(s).",
        ]
        for study, found in by_study.items():
            parts += [f"## {study.capitalize()}, who states {stated_sampling(study, figures)} sampling"]
            own = scores[scores["study"] == study]
            parts += [grid_table(study_grid(found, own, patterns, labels), numbers_from=3)]
    else:
        parts += [
            f"The published figures are about CUB. Comparing them with {dataset} would be meaningless, so "
            f"nothing is compared: this page shows which pattern each combination gives, over {seeds} seed(s)."
        ]
    parts += ["## What each combination gives", describe_drops(patterns)]
    parts += [
        "Accuracy in percent by images:text. A combination that draws images anew in the image-only column alone has "
        "the per-epoch rows of that column and the fixed rows of the others. Images seen are distinct images over the "
        "whole training, their mean over seeds."
    ]
    for source in distinct(patterns["text_source"]):
        own = patterns[patterns["text_source"] == source]
        parts += [f"### {escape(labels.get(source, source))}", grid_table(pattern_grid(own, figures), numbers_from=2)]
    return "\n\n".join(part for part in parts if part) + "\n"


def run(args: argparse.Namespace) -> None:
    settings = parse_settings(ScoreSettings, args.settings)
    cells = read_cells(args.cells)
    combined = combine_cells(cells)
    if combined.empty:
        raise FieldguideError("--cells: none is of the recipe thesis with a known budget; the study is of that recipe")
    figures = read_published(args.published) if args.published else []
    patterns, scores = find_patterns(combined), score_columns(combined, figures)
    studies = score_studies(scores, figures, settings.tolerance)
    page = render(settings, cells["seed"].nunique(), patterns, scores, studies, figures)
    explains = [
        "yes" if fits and not missing else "no"
        for fits, missing in zip(studies["explains"], studies["missing"], strict=True)
    ]
    whole = studies[["study", *COMBINATION]].assign(explains_study=explains)
    rows_of_key = scores.merge(whole, on=["study", *COMBINATION])
    rows_of_key["study_states"] = [stated_sampling(study, figures) for study in rows_of_key["study"]]
    write_frame(args.csv, patterns.merge(rows_of_key, how="left", on=KEYS), SAMPLING_FORMATS)
    write_text(args.md, page)
    tried = len(patterns[COMBINATION].drop_duplicates())
    log.info("%d combinations of %d cells, %d published figures", tried, cells["path"].nunique(), len(figures))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.score_sampling", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="the study's cells, one JSON each")
    parser.add_argument(
        "--published", type=Path, nargs="?", metavar="CSV", help="published figures to compare with ours"
    )
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--md", type=Path, required=True, help="the page to write")
    add_settings(parser, ScoreSettings)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("score_sampling", run, build_parser(), argv, imports=("pandas", "scipy.special"))


if __name__ == "__main__":
    main()
