"""The conversion tables: a row per translator, and what converts and what is lost by field, class and word.

  python -m fieldguide.tables.tabulate_conversion --measures conversion/…/*.json --cells adapters/…/ratio-50.json … \\
      --translator qformer --dataset aviary --out tables
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json, write_csv, write_text
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.tables.grid import Grid
from fieldguide.tables.markdown import grid_table
from fieldguide.tables.measures import PAIR_MEASURES, TARGET_MEASURES
from fieldguide.tables.results import read_cells, summarise, to_rows
from fieldguide.tables.rows import CellRow

CELLS = {("zs-translated", 0): "zs_translated", ("thesis", 50): "accuracy_50", ("thesis", 0): "accuracy_0"}
"""The measure that a cell holds, by its recipe and its share of images."""
PART_MEASURES = ("nearest_class_mean", "cosine", "control")
CLASSES_SHOWN = 5
"""Classes at either end that the Markdown shows."""
WORDS_SHOWN = 12
"""Words at either end that the Markdown shows."""
CHANCE = 4.0
"""Below this |t| a difference may be chance: hundreds of words are tested."""
KEYS = ("translator", "kind", "backbone", "pairs", "sources")


def columns_of(sources: Sequence[str]) -> list[str]:
    """The columns of conversion.csv; every measure is followed by its interval's half-width."""
    measures = [*PAIR_MEASURES, *(f"{source}_{name}" for source in sources for name in TARGET_MEASURES)]
    return ["translator", "kind", "test_captions", "test_images", *(c for m in measures for c in (m, f"{m}_ci95"))]


def read_measures(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The files of measure_conversion, one per translator; raises FieldguideError naming one that cannot stand here."""
    found: list[dict[str, Any]] = []
    for path in paths:
        told = read_json(path)
        missing = [key for key in KEYS if not isinstance(told, dict) or key not in told]
        if missing:
            raise FieldguideError(f"{path}: lacks {', '.join(missing)}; delete it to have it made again")
        if found and told["backbone"] != found[0]["backbone"]:
            raise FieldguideError(
                f"{path}: is of backbone {told['backbone']}, but {paths[0]} of {found[0]['backbone']}"
            )
        if told["translator"] in [other["translator"] for other in found]:
            raise FieldguideError(f"{path}: translator {told['translator']} is there twice; leave one out")
        found.append(told)
    return found


def sort_cells(cells: Sequence[CellRow]) -> dict[tuple[str, str, str], tuple[float, float | None]]:
    """Mean accuracy and half-width over seeds of each cell, by translator, source and measure."""
    sorted_cells = {}
    for cell in cells:
        measure = CELLS.get((cell.recipe, int(cell.image_percent)))
        if measure is None:
            raise FieldguideError(f"{cell.path}: recipe {cell.recipe} at {cell.image_percent}% has no column here")
        key = (cell.translator, cell.text_source, measure)
        sorted_cells[key] = (cell.accuracy_mean, cell.accuracy_ci95)
    return sorted_cells


def row_of(told: Mapping[str, Any], cells: Mapping[tuple[str, str, str], tuple[float, float | None]]) -> dict[str, Any]:
    """A translator's row: its names, and (value, half-width) or None by measure."""
    pairs = told["pairs"]
    row: dict[str, Any] = {name: pairs[name] for name in PAIR_MEASURES}
    for source, measures in told["sources"].items():
        row[f"{source}_nearest_class_mean"] = measures["nearest_class_mean"]
        for name in CELLS.values():
            row[f"{source}_{name}"] = cells.get((told["translator"], source, name))
    names = {"translator": told["translator"], "kind": told["kind"]}
    return {**names, "test_captions": pairs["captions"], "test_images": pairs["images"], **row}


def spread_out(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with every (value, half-width) in two columns, in six significant digits."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, (list, tuple)):
            flat[name], flat[f"{name}_ci95"] = ("" if part is None else f"{part:.6g}" for part in value)
        else:
            flat[name] = "" if value is None else value
    return flat


def show(value: Sequence[float | None] | None, decimals: int = 1) -> str:
    """`67.1 ± 0.8`."""
    if value is None or value[0] is None:
        return "–"
    return f"{value[0]:.{decimals}f}" + ("" if value[1] is None else f" ± {value[1]:.{decimals}f}")


def table(stub: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A Markdown table."""
    return grid_table(Grid(stub, tuple(columns), tuple((name, tuple(cells)) for name, cells in rows)))


def tell(
    measures: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], dataset: str, notes: Sequence[str]
) -> str:
    """conversion.md."""
    parts = [f"# Conversion accuracy: {dataset}", *(f"**{note}**" for note in notes)]
    parts.append(
        f"On {rows[0]['test_captions']} captions of {rows[0]['test_images']} images of the world that no translator "
        "learnt from. Control: the cosine to all other images, beside which the cosine has to be read. R@k: the "
        "caption's own image among the k nearest, percent; centred: texts and images each less their own mean. "
        "Covariance distance: 0 if texts spread as images do, 1 if they were all one point. Variance ratio: the "
        "spread of translated texts by that of images. ± 1.96 bootstrap standard errors, images drawn anew."
    )
    heads = [head for head, _ in PAIR_MEASURES.values()]
    shown = [
        (row["translator"], [show(row[name], places) for name, (_, places) in PAIR_MEASURES.items()]) for row in rows
    ]
    parts.append(table("translator", heads, shown))
    for source in measures[0]["sources"]:
        parts.append(f"## On the target: {source}")
        parts.append(
            "Percent. Nearest class mean: translated texts whose nearest mean of real test images is their own "
            "class's (± by the bootstrap over classes). The others are of test images, ± the half-width of the t "
            "interval over seeds: zero-shot with translated texts, and the thesis recipe at two shares of images to "
            "texts."
        )
        cells = [(row["translator"], [show(row.get(f"{source}_{name}")) for name in TARGET_MEASURES]) for row in rows]
        parts.append(table("translator", list(TARGET_MEASURES.values()), cells))
    return "\n\n".join(parts) + "\n"


def tell_parts(measures: Sequence[Mapping[str, Any]], chosen: str, dataset: str) -> str:
    """conversion_fields.md: by field of all translators; by class and by word of the chosen one."""
    parts = [f"# What converts and what is lost: {dataset}"]
    parts.append(
        "By field of the text: percent of translated texts whose nearest mean of real images is their own class's, ± "
        "1.96 bootstrap standard errors over classes; in brackets the margin, the cosine to the own class's mean less "
        "the mean cosine to the others', in hundredths."
    )
    for source, first in measures[0]["sources"].items():
        fields = [part["field"] for part in first["fields"]]
        rows = []
        for told in measures:
            by_field = {part["field"]: part for part in told["sources"][source]["fields"]}
            rows.append((told["translator"], [show_part(by_field[field]) for field in fields]))
        heads = [f"{part['field']} ({part['texts']} texts)" for part in first["fields"]]
        parts += [f"## {source}", table("translator", heads, rows)]
    own = next(told for told in measures if told["translator"] == chosen)
    for source, told in own["sources"].items():
        classes = sorted(told["classes"], key=lambda part: (-part["nearest_class_mean"][0], -margin_of(part)))
        shown = classes if len(classes) <= 2 * CLASSES_SHOWN else [*classes[:CLASSES_SHOWN], *classes[-CLASSES_SHOWN:]]
        listed = [(part["class_name"], [str(part["texts"]), show_part(part)]) for part in shown]
        parts += [
            f"## Classes: {source}, {chosen}",
            "The best and the worst; all are in conversion_classes.csv.",
        ]
        parts.append(table("class", ["texts", "nearest class mean (margin)"], listed))
        parts += [f"## Words: {source}, {chosen}", tell_words(told["words"])]
    return "\n\n".join(parts) + "\n"


def tell_words(words: Sequence[Mapping[str, Any]]) -> str:
    """The words at both ends, as two tables; words that always stand in the same texts share a line."""
    if not words:
        return "No word is in enough texts."
    head = (
        "Difference in margin, in hundredths, of texts that have the word from texts of the same class and field that "
        "do not, with Welch's t; sorted by t. All words are in conversion_words.csv; with as many words tested as "
        f"there are rows there, a |t| below {CHANCE:g} may be chance and is not shown here."
    )

    def lines(some: Sequence[Mapping[str, Any]]) -> str:
        alike: dict[tuple[str, ...], list[str]] = {}
        for w in some:
            told = (str(w["texts"]), str(w["classes"]), f"{w['effect']:+.2f}", f"{w['t']:+.1f}")
            alike.setdefault(told, []).append(w["word"])
        rows = [(", ".join(names), list(told)) for told, names in list(alike.items())[:WORDS_SHOWN]]
        return table("word", ["texts", "classes", "difference", "t"], rows) if rows else "None."

    best = [word for word in words if word["t"] >= CHANCE]
    worst = [word for word in reversed(words) if word["t"] <= -CHANCE]
    return "\n\n".join([head, "Converts:", lines(best), "Is lost:", lines(worst)])


def show_part(part: Mapping[str, Any]) -> str:
    """`31.2 ± 2.0 (12.4)`."""
    return f"{show(part['nearest_class_mean'])} ({margin_of(part):.1f})"


def margin_of(part: Mapping[str, Any]) -> float:
    """How much nearer a part's texts are to their own class's mean than to others', in hundredths of a cosine."""
    return 100 * float(part["cosine"][0] - part["control"][0])


def part_rows(measures: Sequence[Mapping[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The rows of all translators and sources by "classes", "fields" or "words"."""
    return [
        {"translator": told["translator"], "text_source": source, **spread_out(part)}
        for told in measures
        for source, parts in told["sources"].items()
        for part in parts[kind]
    ]


def tabulate(args: argparse.Namespace) -> None:
    measures = read_measures(args.measures)
    names = [told["translator"] for told in measures]
    if args.translator not in names:
        raise FieldguideError(f"--translator {args.translator}: is not among those measured ({', '.join(names)})")
    cells = sort_cells(to_rows(summarise(read_cells(args.cells))) if args.cells else [])
    rows = [row_of(told, cells) for told in measures]
    sources = list(measures[0]["sources"])
    text, parts = tell(measures, rows, args.dataset, args.note), tell_parts(measures, args.translator, args.dataset)
    write_csv(args.out / "conversion.csv", columns_of(sources), map(spread_out, rows))
    both = [column for name in PART_MEASURES for column in (name, f"{name}_ci95")]
    for kind, own in {"fields": ["field"], "classes": ["class_id", "class_name"]}.items():
        head = ["translator", "text_source", *own, "texts", *both]
        write_csv(args.out / f"conversion_{kind}.csv", head, part_rows(measures, kind))
    head = ["translator", "text_source", "word", "texts", "classes", "effect", "t"]
    write_csv(args.out / "conversion_words.csv", head, part_rows(measures, "words"))
    write_text(args.out / "conversion.md", text)
    write_text(args.out / "conversion_fields.md", parts)
    log.info("%d translators, %d cells, to %s", len(rows), len(cells), args.out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.tabulate_conversion", __doc__)
    parser.add_argument("--measures", type=Path, nargs="+", required=True, help="JSON of measure_conversion, one each")
    parser.add_argument("--cells", type=Path, nargs="*", default=[], help="cells that use those translators")
    parser.add_argument("--translator", required=True, help="the one whose classes and words the Markdown shows")
    parser.add_argument("--dataset", required=True, help="its name, for the heading")
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand above the table; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    run_stage("tabulate_conversion", tabulate, parser, argv, imports=("scipy.special",))


if __name__ == "__main__":
    main()
