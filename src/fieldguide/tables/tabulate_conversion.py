"""The conversion tables: a row per translator, and what converts and what is lost by field, class and word.

  python -m fieldguide.tables.tabulate_conversion --settings '{"translator": "qformer", "dataset": "aviary"}' \\
      --measures conversion/…/*.json --cells adapters/…/ratio-50.json … --out tables
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
from fieldguide.tables.grid import MISSING, Grid
from fieldguide.tables.intervals import describe_interval
from fieldguide.tables.markdown import grid_table
from fieldguide.tables.measures import DATASET_MEASURES, PAIR_MEASURES
from fieldguide.tables.results import read_cells, summarise, to_rows, write_frame
from fieldguide.tables.settings import ConversionTable
from fieldguide.translators.results import ConversionResult

if TYPE_CHECKING:
    import pandas as pd

CELLS = {("zs-translated", 0): "zs_translated", ("thesis", 50): "accuracy_50", ("thesis", 0): "accuracy_0"}
"""The measure that a cell holds, by its recipe and its share of images."""
PART_MEASURES = [f"{name}{end}" for name in ("nearest_class_mean", "cosine", "control") for end in ("", "_ci95")]
PART_COLUMNS = {
    "fields": ["field", "texts", *PART_MEASURES],
    "classes": ["class_id", "class_name", "texts", *PART_MEASURES],
    "words": ["word", "texts", "classes", "effect", "t"],
}
"""Columns of the tables by part, after the translator and the text source."""
CLASSES_SHOWN = 5
"""Classes at either end that the Markdown shows."""
WORDS_SHOWN = 12
"""Words at either end that the Markdown shows."""
CHANCE = 4.0
"""Below this |t| a difference may be chance: hundreds of words are tested."""


# ---------------------------------------------------------------- frames


def read_results(paths: Sequence[Path]) -> list[ConversionResult]:
    """The files of measure_conversion, one per translator; raises FieldguideError naming one that cannot stand here."""
    found: list[ConversionResult] = []
    for path in paths:
        result = ConversionResult.read(path)
        if found and result.backbone != found[0].backbone:
            raise FieldguideError(f"{path}: is of backbone {result.backbone}, but {paths[0]} of {found[0].backbone}")
        if result.translator in [other.translator for other in found]:
            raise FieldguideError(f"{path}: translator {result.translator} occurs twice; leave one out")
        found.append(result)
    return found


def cell_measures(cells: Sequence[Path]) -> list[tuple[str, str, float, float | None]]:
    """Translator, measure, mean accuracy and half-width over seeds of each cell; raises FieldguideError naming one that
    has no column."""
    rows: list[tuple[str, str, float, float | None]] = []
    for cell in to_rows(summarise(read_cells(cells))) if cells else []:
        measure = CELLS.get((cell.recipe, int(cell.image_percent)))
        if measure is None:
            raise FieldguideError(f"{cell.path}: recipe {cell.recipe} at {cell.image_percent}% has no column here")
        rows.append((cell.translator, f"{cell.text_source}_{measure}", cell.accuracy_mean, cell.accuracy_ci95))
    return rows


def measure_frame(results: Sequence[ConversionResult], cells: Sequence[Path]) -> pd.DataFrame:
    """A row per translator and measure: `value`, and `half_width` of its 95% interval, NaN where there is none."""
    import pandas as pd

    rows: list[tuple[str, str, float, float | None]] = []
    for result in results:
        rows += [(result.translator, name, *getattr(result.pairs, name)) for name in PAIR_MEASURES]
        for source, found in result.sources.items():
            rows.append((result.translator, f"{source}_nearest_class_mean", *found.nearest_class_mean))
    rows += cell_measures(cells)
    frame = pd.DataFrame(rows, columns=["translator", "measure", "value", "half_width"]).astype({"half_width": float})
    return frame.drop_duplicates(["translator", "measure"], keep="last")


def conversion_frame(results: Sequence[ConversionResult], measures: pd.DataFrame) -> pd.DataFrame:
    """conversion.csv: a row per translator, every measure followed by its interval's half-width (`_ci95`)."""
    import pandas as pd

    names = [r.translator for r in results]
    columns = [*PAIR_MEASURES, *(f"{s}_{name}" for s in results[0].sources for name in DATASET_MEASURES)]
    table = pd.DataFrame(
        {
            "translator": names,
            "kind": [r.kind for r in results],
            "test_captions": [r.pairs.captions for r in results],
            "test_images": [r.pairs.images for r in results],
        }
    )
    wide = measures.pivot(index="translator", columns="measure", values=["value", "half_width"]).reindex(names)
    for name in columns:
        for part, ending in (("value", ""), ("half_width", "_ci95")):
            table[f"{name}{ending}"] = wide[part][name].to_numpy() if (part, name) in wide else float("nan")
    return table


def part_frame(results: Sequence[ConversionResult], kind: str) -> pd.DataFrame:
    """A row per translator, text source and part; `kind` is "classes", "fields" or "words"."""
    import pandas as pd

    rows = [
        {"translator": result.translator, "text_source": source, **flatten(part.model_dump())}
        for result in results
        for source, found in result.sources.items()
        for part in getattr(found, kind)
    ]
    return pd.DataFrame(rows, columns=["translator", "text_source", *PART_COLUMNS[kind]])


def flatten(part: Mapping[str, Any]) -> dict[str, Any]:
    """Every (value, half-width) as two columns, NaN where there is none."""
    flat: dict[str, Any] = {}
    for name, value in part.items():
        if isinstance(value, tuple):
            flat[name], flat[f"{name}_ci95"] = (float("nan") if number is None else number for number in value)
        else:
            flat[name] = value
    return flat


def write_numbers(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as CSV, numbers in six significant digits."""
    write_frame(path, frame, {name: ".6g" if frame[name].dtype == float else "" for name in frame})


# ---------------------------------------------------------------- Markdown


def format_value(value: float, half: float, decimals: int = 1) -> str:
    """`67.1 ± 0.8`; NaN where there is none."""
    if value != value:
        return MISSING
    return f"{value:.{decimals}f}" + ("" if half != half else f" ± {half:.{decimals}f}")


def format_table(stub: str, frame: pd.DataFrame) -> str:
    """A frame of words as a Markdown table, its index as the first column."""
    rows = ((str(name), tuple(map(str, cells))) for name, cells in zip(frame.index, frame.to_numpy(), strict=True))
    return grid_table(Grid(stub, tuple(frame.columns), tuple(rows)))


def format_columns(table: pd.DataFrame, columns: Mapping[str, tuple[str, int]]) -> str:
    """Some measures of conversion.csv by translator: the column's name to its head and decimals."""
    import pandas as pd

    return format_table(
        "translator",
        pd.DataFrame(
            {
                head: [format_value(v, h, digits) for v, h in zip(table[name], table[f"{name}_ci95"], strict=True)]
                for name, (head, digits) in columns.items()
            },
            index=table["translator"],
        ),
    )


def format_page(table: pd.DataFrame, sources: Sequence[str], dataset: str, notes: Sequence[str]) -> str:
    """conversion.md."""
    parts = [f"# Conversion accuracy: {dataset}", *(f"**{note}**" for note in notes)]
    parts.append(
        f"On {table['test_captions'][0]} captions of {table['test_images'][0]} images of the pairs that no translator "
        "learnt from. Control: the cosine to all other images, beside which the cosine has to be read. R@k: the "
        "caption's own image among the k nearest, percent; centred: texts and images each less their own mean. "
        "Covariance distance: 0 if texts spread as images do, 1 if they were all one point. Variance ratio: the "
        "spread of translated texts by that of images. ± 1.96 bootstrap standard errors, images drawn anew."
    )
    parts.append(format_columns(table, PAIR_MEASURES))
    for source in sources:
        parts.append(f"## On the data set: {source}")
        parts.append(
            "Percent. Nearest class mean: translated texts whose nearest mean of real test images is their own "
            "class's (± by the bootstrap over classes). The others are of test images, ± the half-width of the "
            f"{describe_interval(None, True)}: zero-shot with translated texts, and the thesis recipe at two shares of "
            "images to texts."
        )
        parts.append(format_columns(table, {f"{source}_{name}": (head, 1) for name, head in DATASET_MEASURES.items()}))
    return "\n\n".join(parts) + "\n"


def add_margin(parts: pd.DataFrame) -> pd.DataFrame:
    """With `margin`, the cosine to the own class's mean less that to the others' in hundredths, and `shown`, which is
    `31.2 ± 2.0 (12.4)`."""
    margin = 100 * (parts["cosine"] - parts["control"])
    values = zip(parts["nearest_class_mean"], parts["nearest_class_mean_ci95"], margin, strict=True)
    return parts.assign(margin=margin, shown=[f"{format_value(v, h)} ({m:.1f})" for v, h, m in values])


def format_parts(results: Sequence[ConversionResult], chosen: str, dataset: str) -> str:
    """conversion_fields.md: by field of all translators; by class and by word of the chosen one."""
    parts = [f"# What converts and what is lost: {dataset}"]
    parts.append(
        "By field of the text: percent of translated texts whose nearest mean of real images is their own class's, ± "
        "1.96 bootstrap standard errors over classes; in brackets the margin, the cosine to the own class's mean less "
        "the mean cosine to the others', in hundredths."
    )
    fields, classes = (add_margin(part_frame(results, kind)) for kind in ("fields", "classes"))
    words = part_frame(results, "words")
    for source, found in results[0].sources.items():
        heads = {part.field: f"{part.field} ({part.texts} texts)" for part in found.fields}
        own = fields[fields["text_source"] == source].pivot(index="translator", columns="field", values="shown")
        own = own.reindex(index=[result.translator for result in results], columns=list(heads))
        parts += [f"## {source}", format_table("translator", own.rename(columns=heads))]

    def of_chosen(frame: pd.DataFrame, source: str) -> pd.DataFrame:
        return frame[(frame["translator"] == chosen) & (frame["text_source"] == source)]

    for source in results[0].sources:
        ranked = of_chosen(classes, source).sort_values(["nearest_class_mean", "margin"], ascending=False)
        if len(ranked) > 2 * CLASSES_SHOWN:
            ranked = ranked.iloc[[*range(CLASSES_SHOWN), *range(-CLASSES_SHOWN, 0)]]
        ranked = ranked.set_index("class_name")[["texts", "shown"]]
        parts += [
            f"## Classes: {source}, {chosen}",
            "The best and the worst; all are in conversion_classes.csv.",
            format_table("class", ranked.rename(columns={"shown": "nearest class mean (margin)"})),
            f"## Words: {source}, {chosen}",
            format_words(of_chosen(words, source)),
        ]
    return "\n\n".join(parts) + "\n"


def format_words(words: pd.DataFrame) -> str:
    """The words at both ends, as two tables; words that always stand in the same texts share a line.

    words: columns word, texts, classes, effect and t, sorted by t from the largest.
    """
    if not len(words):
        return "No word is in enough texts."
    head = (
        "Difference in margin, in hundredths, of texts that have the word from texts of the same class and field that "
        "do not, with Welch's t; sorted by t. All words are in conversion_words.csv; with as many words tested as "
        f"there are rows there, a |t| below {CHANCE:g} may be chance and is not shown here."
    )

    def lines(some: pd.DataFrame) -> str:
        if not len(some):
            return "None."
        some = some.assign(difference=some["effect"].map("{:+.2f}".format), t=some["t"].map("{:+.1f}".format))
        alike = some.groupby(["texts", "classes", "difference", "t"], sort=False)["word"].agg(", ".join)
        return format_table("word", alike.head(WORDS_SHOWN).reset_index().set_index("word"))

    best, worst = words[words["t"] >= CHANCE], words[words["t"] <= -CHANCE][::-1]
    return "\n\n".join([head, "Converts:", lines(best), "Is lost:", lines(worst)])


# ---------------------------------------------------------------- the stage


def tabulate(args: argparse.Namespace) -> None:
    settings = parse_settings(ConversionTable, args.settings)
    results = read_results(args.measures)
    names = [result.translator for result in results]
    if settings.translator not in names:
        raise FieldguideError(f"translator {settings.translator}: is not among those measured ({', '.join(names)})")
    table = conversion_frame(results, measure_frame(results, args.cells))
    page = format_page(table, list(results[0].sources), settings.dataset, settings.notes)
    parts = format_parts(results, settings.translator, settings.dataset)
    write_numbers(args.out / "conversion.csv", table)
    for kind in ("fields", "classes"):
        write_numbers(args.out / f"conversion_{kind}.csv", part_frame(results, kind))
    words = part_frame(results, "words")
    write_frame(args.out / "conversion_words.csv", words, dict.fromkeys(words.columns, ""))  # as they were rounded
    write_text(args.out / "conversion.md", page)
    write_text(args.out / "conversion_fields.md", parts)
    log.info("%d translators, %d cells, to %s", len(table), len(args.cells), args.out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.tabulate_conversion", __doc__)
    parser.add_argument("--measures", type=Path, nargs="+", required=True, help="JSON of measure_conversion, one each")
    parser.add_argument("--cells", type=Path, nargs="*", default=[], help="cells that use those translators")
    add_settings(parser, ConversionTable)
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    run_stage("tabulate_conversion", tabulate, parser, argv, imports=("scipy.special", "pandas"))


if __name__ == "__main__":
    main()
