"""Write the report: one page with the tables, curves, confused classes, costs and provenance, that needs nothing else.

  python -m fieldguide.report.write_report --cells adapters/…/ratio-10.json … --tables tables/accuracy.csv … \\
      --dataset aviary --records records/images.csv --classes records/classes.csv --out report.html

The page opens from disk and asks for nothing: Vega (by vl-convert-python) and DataTables (by itables) stand in it, and
photographs are in it as thumbnails. Of --tables whatever is there is shown by its name; the rest is left out and said.
"""

from __future__ import annotations

import argparse
import base64
import functools
import io
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, read_json, sha256_of, write_text
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.data.image_store import open_image_store
from fieldguide.report.charts import accuracy_chart, bar_chart, class_chart
from fieldguide.report.headings import Language, headings
from fieldguide.report.report_page import (
    Confusions,
    Cost,
    Page,
    PageTable,
    Pair,
    Provenance,
    Side,
    bar_values,
    choose_cells,
    choose_texts,
    comparison_tables,
    cost_table,
    measures_of,
    plain_table,
    recipe_table,
    tell_measure,
    tell_terms,
    tell_worths,
    without_secrets,
    worth_tables,
)
from fieldguide.tables.cell_results import Cell, read_cells
from fieldguide.tables.comparison import IMAGE_ONLY, column_labels, format_ratio, read_published
from fieldguide.tables.differences import find_differences, mark_cells, tell_legend
from fieldguide.tables.image_worth import find_worth
from fieldguide.texts.ledger import read_ledger
from fieldguide.texts.price_texts import price_source, read_sources

if TYPE_CHECKING:
    from fieldguide.data.image_store import ImageStore

TEMPLATES = Path(__file__).parent / "templates"
THUMBNAIL = 144
"""Pixels of a thumbnail's longer side: twice what it is shown at, for dense screens."""
QUALITY = 80
TEXTS_SHOWN = 3
MOST_POINTS = 15_000
"""Points of the chart of classes; beyond, it keeps every other ratio, so that the page stays small and quick."""
LARGEST = 10_000_000
"""Bytes of the page, which has to open at once and to go by mail."""
VERSIONS = ("fieldguide", "numpy", "torch", "open_clip_torch", "transformers", "snakemake", "altair", "itables")
FURTHER = {
    "conversion_fields": "Conversion accuracy by field of the text",
    "differences": "Differences between columns, paired by seed",
    "sampling": "Sampling, redraw and budget",
    "probe": "Logistic regression on the same features",
}


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """A tidy table of any columns: their names, and its rows."""
    rows = read_csv(path, ())
    return (list(rows[0]) if rows else []), rows


# ---------------------------------------------------------------- photographs and texts


class Photographs:
    """Thumbnails of images by id, as data URIs; empty where there are no photographs or one does not open."""

    def __init__(self, store: ImageStore | None, paths: Mapping[str, str]) -> None:
        self.store = store
        self.paths = paths
        self.failed = 0

    def thumbnail(self, image_id: str) -> str:
        if self.store is None or image_id not in self.paths:
            return ""
        try:
            image = self.store.open(self.paths[image_id])
        except FieldguideError:
            self.failed += 1
            return ""
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=QUALITY, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def read_class_texts(path: Path) -> dict[str, list[tuple[str, str]]]:
    """A source's texts (field, text) by class."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in read_csv(path, ("class_id", "field", "text")):
        found.setdefault(row["class_id"], []).append((row["field"], row["text"]))
    return found


def tell_confusions(args: argparse.Namespace, cells: Sequence[Cell], rows: Sequence[Mapping[str, str]]) -> Any:
    """The most confused pairs of the chosen cells with photographs and texts, and whether there are photographs."""
    images = read_csv(args.records, ("image_id", "path", "class_id", "split"))
    store = open_image_store(args.photographs) if args.photographs else None
    photographs = Photographs(store, {row["image_id"]: row["path"] for row in images})
    first: dict[str, str] = {}
    for row in images:
        if row["split"] == "train":
            first.setdefault(row["class_id"], row["image_id"])
    texts = {name: read_class_texts(path) for name, path in args.texts}
    labels = column_labels(cell.row for cell in cells)
    told = []
    for chosen in choose_cells([cell.row for cell in cells]):
        mine = chosen.as_csv()
        keys = ("image_percent", "text_source", "text_names", "text_unit", "sampling", "redraw", "budget", "recipe")
        pairs = [row for row in rows if all(row[key] == mine[key] for key in (*keys, "translator"))][: args.pairs]
        source = texts.get(chosen.text_source, {})

        def side(class_id: str, name: str, source: Mapping[str, list[tuple[str, str]]] = source) -> Side:
            shown = choose_texts(source.get(class_id, []), TEXTS_SHOWN)
            return Side(name, photographs.thumbnail(first.get(class_id, "")), shown)

        found = tuple(
            Pair(
                side(row["class_id"], row["class_name"]),
                side(row["taken_for_id"], row["taken_for_name"]),
                float(row["percent"]),
                float(row["percent_back"]),
                photographs.thumbnail(row["image_id"]),
            )
            for row in pairs
        )
        title = f"{labels[chosen.column]}, {chosen.recipe}, {format_ratio(chosen.image_percent)}"
        if found:
            told.append(Confusions(title, bool(source), found))
    if photographs.failed:
        log.info("%d photographs do not open and are left out", photographs.failed)
    return tuple(told), store is not None


def thin(rows: list[dict[str, str]]) -> tuple[list[dict[str, str]], str]:
    """The rows that the chart of classes shows, and what it says of those that it leaves out."""
    left = rows
    while len(left) > MOST_POINTS:
        ratios = sorted({float(row["image_percent"]) for row in left}, reverse=True)
        if len(ratios) < 3:
            break
        kept = set(ratios[::2])
        left = [row for row in left if float(row["image_percent"]) in kept]
    if len(left) == len(rows):
        return rows, ""
    told = ", ".join(f"{ratio:g}" for ratio in sorted({float(row["image_percent"]) for row in left}, reverse=True))
    return left, f"The chart shows {told}% of the images; tables/classes.csv has every ratio."


# ---------------------------------------------------------------- costs and provenance


def tell_costs(sources: str, class_names: Sequence[str], thing: str) -> list[Cost]:
    """What the LLM texts of the table have cost by their ledgers, and what they would cost anew by their prices."""
    costs = []
    for name, settings in read_sources(sources).items():
        ledger = Path(settings.ledger)
        records = read_ledger(ledger) if ledger.is_file() else []
        prompt = Path(settings.prompt).read_text(encoding="utf-8")
        anew = price_source(name, settings, prompt, class_names, len(class_names), [], thing)
        invented = sum(record.synthetic for record in records)
        priced = settings.prices.input or settings.prices.output
        notes = [] if records else [f"its ledger {ledger} is not there"]
        if invented and invented == len(records):
            notes.append("no LLM wrote these texts and nobody paid for them: they are synthetic, and cost nothing")
        elif priced:
            notes.append(f"what asking anew would cost is an estimate: {anew.notes[0]}")
        costs.append(
            Cost(
                name,
                settings.model,
                len(records),
                sum(record.rejected is not None for record in records),
                invented,
                sum(record.usage.prompt_tokens for record in records if record.usage),
                sum(record.usage.completion_tokens for record in records if record.usage),
                None if invented == len(records) else sum(record.price_usd or 0.0 for record in records),
                anew.dollars if priced else None,
                tuple(notes),
            )
        )
    return costs


def git(*command: str) -> str:
    """What git says of the folder that this code is in; empty where it is no clone, or git is not there."""
    if shutil.which("git") is None:
        return ""
    told = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return told.stdout.strip() if told.returncode == 0 else ""


def tell_commit() -> str:
    """The commit of the code, and whether it was changed since."""
    commit = git("rev-parse", "HEAD")
    if not commit:
        return "not a git clone"
    is_changed = bool(git("status", "--porcelain", "--untracked-files=no"))
    return f"{commit}{' and uncommitted changes' if is_changed else ''}"


def tell_provenance(args: argparse.Namespace, cells: Sequence[Cell], files: Iterable[Path]) -> Provenance:
    """Versions, configuration, commit and hashes."""
    import yaml

    from fieldguide.core.versions import find_versions

    of_cells: dict[str, set[str]] = {}
    plans: dict[str, int] = {}
    for cell in cells:
        told = read_json(cell.path)
        for package, number in told.get("versions", {}).items():
            of_cells.setdefault(package, set()).add(number)
        plans[told.get("plan_sha256", "")] = plans.get(told.get("plan_sha256", ""), 0) + 1
    found = find_versions(VERSIONS) | {package: ", ".join(sorted(numbers)) for package, numbers in of_cells.items()}
    configuration = without_secrets(json.loads(args.configuration)) if args.configuration else {}
    facts = (
        ("Data set", args.dataset),
        ("Backbone", ", ".join(sorted({cell.row.backbone for cell in cells}))),
        ("Commit", tell_commit()),
        ("Cells", f"{len(cells)}, of {len(plans)} plans"),
        ("Python", platform.python_version()),
        ("System", f"{platform.system()} {platform.machine()}"),
    )
    return Provenance(
        facts,
        tuple(sorted(found.items())),
        tuple((str(path), sha256_of(path)) for path in files),
        yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True, width=110) if configuration else "",
    )


# ---------------------------------------------------------------- the page


def embed_json(value: Any) -> str:
    """JSON that can stand in a script element, whatever its texts say."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def table_options(table: PageTable) -> str:
    """What DataTables is told of a table, as JSON."""
    buttons = [
        {"extend": "colvis", "text": "Columns", "background": False, "columns": list(range(1, len(table.heads) + 1))},
        {"extend": "copyHtml5", "text": "Copy", "title": None},
    ]
    options = {
        "paging": table.long,
        "pageLength": 25,
        "lengthChange": False,
        "searching": table.long,
        "info": table.long,
        "autoWidth": False,
        "keys": {"blurable": True},
        "order": [],
        "columnDefs": [
            {"targets": 0, "type": "num" if table.rows and table.rows[0][0].order is not None else "string"},
            *(
                {"targets": place, "type": "string" if is_word else "num"}
                for place, is_word in enumerate(table.is_words, start=1)
            ),
            {"targets": [place for place, head in enumerate(table.heads, start=1) if not head.shown], "visible": False},
        ],
        "layout": {
            "topStart": {"buttons": buttons},
            "topEnd": "search" if table.long else None,
            "bottomStart": "info" if table.long else None,
            "bottomEnd": "paging" if table.long else None,
        },
    }
    return json.dumps(options)


@functools.cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).replace("</script", "<\\/script")


def render(page: Page) -> str:
    """The page as HTML, with all that it runs."""
    import itables
    import jinja2
    import vl_convert

    bundle = Path(itables.__file__).parent / "html" / "dt_bundle.js"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["options"] = table_options
    return environment.get_template("report.html.j2").render(
        page=page,
        vega=vega_bundle(),
        tables_module=base64.b64encode(bundle.read_bytes()).decode("ascii"),
        tables_style=bundle.with_suffix(".css").read_text(encoding="utf-8"),
        versions={
            "Vega": vl_convert.get_vega_version(),
            "Vega-Lite": vl_convert.get_vegalite_versions()[-1],
        },
    )


def build_page(args: argparse.Namespace) -> Page:
    """Read what there is and put the page together."""
    tables = {path.stem: path for path in args.tables}
    cells = read_cells(args.cells)
    rows = [cell.row for cell in cells]
    published = read_published(args.published) if args.published else []
    labels = {column.text_source: label for column, label in column_labels(rows).items()}
    words = headings(args.language, labels)
    marks = mark_cells(find_differences(cells))
    charts = {"accuracy": embed_json(accuracy_chart(rows, published, words))}

    def rows_of(name: str) -> list[dict[str, str]]:
        return read_table(tables[name])[1] if name in tables else []

    conversion = None
    if found := rows_of("conversion"):
        columns = list(found[0])
        tips = {column: tell_measure(column) for column in measures_of(columns, found)}
        conversion = plain_table("Conversion accuracy", columns, found, tips)
        if measures := measures_of(columns, found):
            values = bar_values(columns[0], measures, found)
            told = {measure.replace("_", " "): tell_measure(measure) for measure in measures}
            charts["conversion"] = embed_json(bar_chart(values, told, "conversion"))

    class_note = ""
    if found := rows_of("classes"):
        shown, class_note = thin(found)
        translated = {name: words.get(label, label) for name, label in labels.items()}
        charts["classes"] = embed_json(class_chart(shown, translated))
    confusions, has_photographs = (), False
    if found := rows_of("confusions"):
        confusions, has_photographs = tell_confusions(args, cells, found)
    names = [row["class_name"] for row in read_csv(args.classes, ("class_name",))]
    costs = tell_costs(args.sources, names, args.thing) if args.sources else []
    recipes, worth = rows_of("recipes"), rows_of("image_worth")
    train = [row["class_id"] for row in read_csv(args.records, ("class_id", "split")) if row["split"] == "train"]
    images_per_class = len(train) / max(1, len(set(train)))
    sentences = tell_worths(find_worth(cells, images_per_class)[0], labels, images_per_class) if worth else {}
    further = []
    for name, title in FURTHER.items():
        if found := rows_of(name):
            further.append(plain_table(title, list(found[0]), found))
    seeds = cells[0].seeds
    interval = "± half-width of the 95% t interval over seeds" if len(seeds) > 1 else "one seed, so no interval"
    facts = (
        ("Backbone", cells[0].row.backbone),
        ("Translators", ", ".join(sorted({row.translator for row in rows} - {IMAGE_ONLY})) or IMAGE_ONLY),
        ("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"),
        ("Cells", f"accuracy on the test images in percent, {interval}"),
    )
    return Page(
        title=f"Accuracy by share of images: {args.dataset}",
        language=args.language,
        notes=tuple(note for note in args.note if note),
        facts=facts,
        comparison=tuple(comparison_tables(cells, published, marks, words)),
        legend=tell_legend(marks.values()),
        provenance=tell_provenance(args, cells, [*args.tables, *(path for _, path in args.texts)]),
        charts=charts,
        recipes=recipe_table(recipes, labels, words) if recipes else None,
        conversion=conversion,
        worth=tuple(worth_tables(worth, labels, words, sentences)) if worth else (),
        confusions=confusions,
        has_photographs=has_photographs,
        class_note=class_note,
        costs=cost_table(costs) if costs else None,
        further=tuple(further),
        terms=tell_terms(value for row in [*(one.as_csv() for one in rows), *recipes] for value in row.values()),
    )


def run(args: argparse.Namespace) -> None:
    page = render(build_page(args))
    size = len(page.encode())
    if size > LARGEST:
        raise FieldguideError(
            f"{args.out}: would be of {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}; show fewer confused pairs by "
            "--pairs"
        )
    write_text(args.out, page)
    log.info("%s: %.1f MB, %d cells, %d tables", args.out, size / 1e6, len(args.cells), len(args.tables))


def parse_texts(text: str) -> tuple[str, Path]:
    """`name=path` of a text source."""
    name, _, path = text.partition("=")
    if not (name and path):
        raise argparse.ArgumentTypeError(f"{text!r} should be NAME=TABLE")
    return name, Path(path)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("report.write_report", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="the table's cells, one JSON each")
    parser.add_argument(
        "--tables", nargs="*", type=Path, default=[], metavar="CSV", help="tables, known by their names"
    )
    parser.add_argument("--dataset", required=True, help="its name, for the heading")
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--photographs", default="", metavar="FOLDER", help="where the images lie; none: without them")
    parser.add_argument(
        "--texts", nargs="*", type=parse_texts, default=[], metavar="NAME=TABLE", help="texts of each source"
    )
    parser.add_argument("--published", type=Path, metavar="CSV", help="published figures (CUB only)")
    parser.add_argument("--sources", default="", help="LLM sources as in the configuration, a JSON object by name")
    parser.add_argument("--thing", default="", help="what the classes are, for prompts with {thing}")
    parser.add_argument("--configuration", default="", help="the run's configuration, as JSON, to be shown")
    parser.add_argument("--language", choices=get_args(Language), default="en", help="of the tables' headings")
    parser.add_argument("--pairs", type=int, default=5, help="confused pairs shown of a cell (default: 5)")
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand above; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("write_report", run, build_parser(), argv, imports=("scipy.special", "altair", "vl_convert", "PIL.Image"))


if __name__ == "__main__":
    main()
