"""Score every combination of sampling, redraw and budget against the published figures, and say which explains them.

  python -m fieldguide.tables.score_sampling --cells adapters/…/ratio-10.json … --dataset cub --published published.csv \\
      --tolerance 1.5 --csv tables/sampling.csv --md tables/sampling.md

Without --published, as on any data set but CUB, the page shows which pattern each combination gives and no more.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv, write_text
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.tables.cell_results import read_cells
from fieldguide.tables.comparison import (
    IMAGE_ONLY,
    MISSING,
    SOURCE_LABELS,
    Grid,
    PublishedFigure,
    format_count,
    format_ratio,
    read_published,
)
from fieldguide.tables.markdown import escape, grid_table
from fieldguide.tables.sampling_study import (
    SHOWN_RATIOS,
    ColumnScore,
    Grouped,
    Pattern,
    StudyScore,
    find_patterns,
    score_studies,
    stated_sampling,
    tell_both,
    tell_study,
)

COLUMNS = (
    "sampling",
    "redraw_image_only",
    "redraw_mixed",
    "budget",
    "amount",
    "text_source",
    *(f"accuracy_{ratio}" for ratio in SHOWN_RATIOS),
    "drop_100_to_10",
    "fewest_image_percent",
    "distinct_images_at_fewest",
    "optimiser_steps_at_fewest",
    "optimiser_steps_at_most",
    "study",
    "study_states",
    "rmse",
    "bias",
    "n_cells",
    "n_inside",
    "explains_study",
)


def number(value: float | None, form: str = ".2f") -> str:
    return MISSING if value is None else format(value, form)


def csv_line(pattern: Pattern, score: StudyScore | None, figures: Sequence[PublishedFigure], tolerance: float) -> dict:
    """One combination and column, beside one study or none."""
    c = pattern.combination
    line = {
        "sampling": c.sampling,
        "redraw_image_only": c.redraw_alone,
        "redraw_mixed": c.redraw_mixed,
        "budget": c.budget,
        "amount": c.amount,
        "text_source": pattern.source,
        **{f"accuracy_{r}": number(pattern.accuracies.get(r)).replace(MISSING, "") for r in SHOWN_RATIOS},
        "drop_100_to_10": number(pattern.drop).replace(MISSING, ""),
        "fewest_image_percent": f"{pattern.fewest:g}",
        "distinct_images_at_fewest": format_count(pattern.images, thousands=""),
        "optimiser_steps_at_fewest": pattern.steps,
        "optimiser_steps_at_most": pattern.steps_most,
    }
    column = next((s for s in score.columns if s.source == pattern.source), None) if score else None
    if score and column:
        line |= {
            "study": score.study,
            "study_states": stated_sampling(score.study, figures),
            "rmse": number(column.rmse),
            "bias": number(column.bias, "+.2f"),
            "n_cells": column.n,
            "n_inside": "" if column.inside is None else column.inside,
            "explains_study": "yes" if score.explains(tolerance) and not score.missing else "no",
        }
    return line


def study_grid(scores: Sequence[StudyScore], patterns: Sequence[Pattern], labels: Mapping[str, str]) -> Grid:
    """One study: a row per combination, the nearest first, with a root-mean-square error per column."""
    by_place = {(p.combination, p.source): p for p in patterns}
    sources = [column.source for column in scores[0].columns]
    fewest = min(p.fewest for p in patterns if p.source == IMAGE_ONLY) if IMAGE_ONLY in sources else 0
    rows = []
    for score in scores:
        c = score.combination
        own: dict[str, ColumnScore] = {column.source: column for column in score.columns}
        alone, mixed = (by_place.get((c, source)) for source in (IMAGE_ONLY, sources[-1]))
        inside = [column.inside for column in score.columns]
        known = [count for count in inside if count is not None]
        told = f"{sum(known)} of {sum(column.n for column in score.columns)}" if len(known) == len(inside) else MISSING
        rows.append(
            (
                c.sampling,
                (
                    c.redraw_alone,
                    c.redraw_mixed,
                    c.budget_name,
                    *(number(own[s].rmse if s in own else None) for s in sources),
                    number(score.rmse),
                    told,
                    format_count(alone.images) if alone else MISSING,
                    f"{alone.steps:,} / {alone.steps_most:,}" if alone else MISSING,
                    f"{mixed.steps:,}" if mixed else MISSING,
                ),
            )
        )
    columns = ("redraw, image only", "redraw, with text", "budget", *(labels.get(s, s) for s in sources))
    columns += (
        "all cells",
        "inside",
        f"images seen at {fewest:g}%",
        f"steps at {fewest:g}% / 100%",
        "steps, with text",
    )
    return Grid("sampling", columns, tuple(rows))


def pattern_grid(patterns: Sequence[Pattern], figures: Sequence[PublishedFigure]) -> Grid:
    """One column of the table under every combination that draws all columns alike, published figures below."""
    shown = [p for p in patterns if p.combination.redraw_alone == p.combination.redraw_mixed]
    source, fewest = shown[0].source, shown[0].fewest
    ratios = [r for r in SHOWN_RATIOS if any(r in p.accuracies for p in shown)]
    rows = [
        (
            p.combination.sampling,
            (
                p.combination.redraw_of(source),
                p.combination.budget_name,
                *(number(p.accuracies.get(r)) for r in ratios),
                number(p.drop),
                format_count(p.images),
                f"{p.steps:,} / {p.steps_most:,}",
            ),
        )
        for p in shown
    ]
    for study in dict.fromkeys(f.study for f in figures if f.text_source == source):
        told = {f.image_percent: f.accuracy for f in figures if (f.study, f.text_source) == (study, source)}
        whole = {f.image_percent: f.accuracy for f in figures if (f.study, f.text_source) == (study, IMAGE_ONLY)}
        told |= {100: whole[100]} if 100 in whole else {}
        drop = told[100] - told[10] if {100, 10} <= told.keys() else None
        cells = ("published", study.capitalize(), *(number(told.get(r)) for r in ratios), number(drop))
        rows.append((stated_sampling(study, figures), (*cells, MISSING, MISSING)))
    columns = ("redraw", "budget", *(format_ratio(r) for r in ratios), "drop 100 to 10")
    return Grid("sampling", (*columns, f"images seen at {fewest:g}%", f"steps at {fewest:g}% / 100%"), tuple(rows))


def tell_drops(patterns: Sequence[Pattern]) -> str:
    """What redrawing does to the image-only column, in one sentence."""
    parts = []
    alike = [p for p in patterns if p.combination.redraw_alone == p.combination.redraw_mixed]
    for sampling, redraw in dict.fromkeys((p.combination.sampling, p.combination.redraw_alone) for p in alike):
        drops = [
            p.drop
            for p in alike
            if p.source == IMAGE_ONLY
            and (p.combination.sampling, p.combination.redraw_alone) == (sampling, redraw)
            and p.drop is not None
        ]
        if drops:
            span = " to ".join(dict.fromkeys(f"{round(drop, 1) + 0.0:.1f}" for drop in (min(drops), max(drops))))
            parts.append(f"{span} points with {sampling} sampling and {redraw} images")
    if not parts:
        return ""
    over = (
        f", over the {budgets} budgets tried"
        if (budgets := len({p.combination.budget_name for p in alike})) > 1
        else ""
    )
    return f"From 100% of the images to 10% the image-only column loses {', '.join(parts)}{over}."


def render(
    dataset: str,
    grouped: Grouped,
    seeds: Sequence[int],
    figures: Sequence[PublishedFigure],
    tolerance: float,
    notes: Sequence[str],
) -> str:
    """The page."""
    patterns, labels = find_patterns(grouped), dict(SOURCE_LABELS)
    parts = [f"# Sampling, redraw and budget: {escape(dataset)}", *(f"**{escape(note)}**" for note in notes)]
    criterion = (
        "Root-mean-square error of our mean against the published figures in points, column by column; a combination "
        f"explains a study when no column's is above {tolerance:g}. 'inside' counts published figures that lie in our "
        "95% interval for one further run."
    )
    if figures:
        scores = score_studies(grouped, figures)
        sentences = [
            tell_study(found, stated_sampling(study, figures), tolerance, labels) for study, found in scores.items()
        ]
        parts += ["## Which combination explains the published figures?"]
        parts += [escape(sentence) for sentence in (*sentences, tell_both(scores, figures, tolerance)) if sentence]
        parts += [f"{criterion} Over {len(seeds)} seed(s)."]
        for study, found in scores.items():
            parts += [f"## {study.capitalize()}, who states {stated_sampling(study, figures)} sampling"]
            parts += [grid_table(study_grid(found, patterns, labels), numbers_from=3)]
    else:
        parts += [
            f"The published figures are about CUB. Comparing them with {escape(dataset)} would be meaningless, so "
            f"nothing is compared: this page shows which pattern each combination gives, over {len(seeds)} seed(s)."
        ]
    parts += ["## What each combination gives", tell_drops(patterns)]
    parts += [
        "Accuracy in percent by images:text. A combination that draws images anew in the image-only column alone has "
        "the per-epoch rows of that column and the fixed rows of the others. Images seen are distinct images over the "
        "whole training, their mean over seeds."
    ]
    for source in grouped.sources:
        own = [p for p in patterns if p.source == source]
        parts += [f"### {escape(labels.get(source, source))}", grid_table(pattern_grid(own, figures), numbers_from=2)]
    return "\n\n".join(part for part in parts if part) + "\n"


def run(args: argparse.Namespace) -> None:
    cells = read_cells(args.cells)
    grouped = Grouped(cells)
    if not grouped.combinations:
        raise FieldguideError("--cells: none is of the recipe thesis with a known budget; the study is of that recipe")
    figures = read_published(args.published) if args.published else []
    notes = [note for note in args.note if note]
    page = render(args.dataset, grouped, cells[0].seeds, figures, args.tolerance, notes)
    lines = []
    by_study = score_studies(grouped, figures)
    for pattern in find_patterns(grouped):
        beside: list[StudyScore | None] = [
            score
            for found in by_study.values()
            for score in found
            if score.combination == pattern.combination
            and any(column.source == pattern.source for column in score.columns)
        ]
        lines += [csv_line(pattern, score, figures, args.tolerance) for score in beside or [None]]
    write_csv(args.csv, COLUMNS, lines)
    write_text(args.md, page)
    log.info("%d combinations of %d cells, %d published figures", len(grouped.combinations), len(cells), len(figures))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.score_sampling", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="the study's cells, one JSON each")
    parser.add_argument("--dataset", required=True, help="its name, for the heading")
    parser.add_argument("--published", type=Path, metavar="CSV", help="published figures (CUB only)")
    parser.add_argument(
        "--tolerance", type=float, required=True, help="points that a column may be off, root mean square"
    )
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand above; repeatable")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--md", type=Path, required=True, help="the page to write")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("score_sampling", run, build_parser(), argv, imports=("scipy.special",))


if __name__ == "__main__":
    main()
