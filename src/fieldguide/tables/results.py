"""The cells' results as pandas frames: read, checked, summed up over seeds, and written as tidy tables.

Every table and figure of cells is a pivot or a merge of what `read_cells` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from fieldguide.adapters.results import NONE, CellResult
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_csv
from fieldguide.core.significance import half_width
from fieldguide.tables.grid import MISSING, Grid, format_count, format_ratio
from fieldguide.tables.rows import ACCURACY_COLUMNS, TEXTS, CellRow, cell_identity, split_blocks

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("text_source", "text_names", "text_unit", "sampling", "redraw", "budget", "recipe", "translator")
CELL = ("image_percent", *WORDS)
"""The columns that say which cell a row of any table is about, of one backbone."""
PER_SEED = {"seeds": "seed", "accuracy": "accuracy", "distinct_images": "distinct_images"}
PER_SEED |= {"distinct_texts": "distinct_texts"}
"""The lists of a cell's result, and the column that each becomes."""

TEXT_COLUMNS = ("_id", "_name", "_source", "_names", "_unit", "budget", "recipe", "translator", "field", "word")
"""How the names of columns end that hold texts, also where one could be read as a number."""

Format = str | Callable[[Any], str]


def find_cells(results: Path | str) -> list[Path]:
    """The cells of a results folder; raises FieldguideError where there are none."""
    # Beside a cell lies its calibration, ratio-10.calibration.json.
    found = sorted(path for path in Path(results).glob("adapters/**/ratio-*.json") if "." not in path.stem)
    if not found:
        raise FieldguideError(
            f"{results}: holds no trained cell in adapters/; run the workflow first: `make everything`"
        )
    return found


def read_cells(cells: Path | str | Iterable[Path | str]) -> pd.DataFrame:
    """Read cells (files, or all of a results folder) that are to stand in one table: a row per cell and seed.

    Rows are in the table's order. Columns: `image_percent`, `text_percent` (%), the words `text_source`, `text_names`,
    `text_unit`, `sampling`, `redraw`, `budget`, `recipe`, `translator`, `backbone`; `seed`; `accuracy` on the test
    images (%); `distinct_images`, `distinct_texts` (counts seen in training), `optimiser_steps` (count); `amount`, how
    many steps or epochs the budget was, where that is known; `tune`, `tuning_labels` (count) and `tuning_edges`, how
    hyper-parameters were chosen, likewise; `path`, the cell's file, which identifies it. A budget that occurs with
    several amounts is named with its number: `epochs-50`, `epochs-100`.

    Raises FieldguideError that names the file of a cell that is not one or cannot stand beside the others.
    """
    import pandas as pd

    paths = find_cells(cells) if isinstance(cells, Path | str) else list(cells)
    found = _name_budgets([(str(path), CellResult.read(path)) for path in paths])
    found.sort(key=lambda named: (cell_identity(named[1]), named[0]))
    check_comparable(found)
    words = ("image_percent", "text_percent", *WORDS, "backbone", "optimiser_steps", "amount", "tune", "tuning_labels")
    rows = [
        {name: getattr(cell, name) for name in words}
        | {"tuning_edges": ", ".join(cell.tuning_edges or ())}
        | {"path": path, **dict(zip(PER_SEED.values(), values, strict=True))}
        for path, cell in found
        for values in sorted(zip(*(getattr(cell, name) for name in PER_SEED), strict=True))
    ]
    return pd.DataFrame(rows).astype({"amount": "Int64", "tuning_labels": "Int64", "accuracy": float})


def _name_budgets(cells: Sequence[tuple[str, CellResult]]) -> list[tuple[str, CellResult]]:
    amounts: dict[str, set[int]] = {}
    for _, cell in cells:
        if cell.amount is not None:
            amounts.setdefault(cell.budget, set()).add(cell.amount)
    return [
        (path, cell.model_copy(update={"budget": f"{cell.budget}-{cell.amount}"}))
        if cell.amount is not None and len(amounts[cell.budget]) > 1
        else (path, cell)
        for path, cell in cells
    ]


def check_comparable(cells: Sequence[tuple[str, CellResult]]) -> None:
    """Refuse cells that cannot stand in one table: the same cell twice, other seeds, another backbone."""
    first_path, first = cells[0]
    seeds = sorted(first.seeds)
    seen: dict[tuple[Any, ...], str] = {}
    for path, cell in cells:
        if cell.backbone != first.backbone:
            raise FieldguideError(
                f"{path}: backbone {cell.backbone}, but {first_path} has {first.backbone}; "
                "one table holds one backbone, so leave one of them out"
            )
        if sorted(cell.seeds) != seeds:
            raise FieldguideError(
                f"{path}: seeds {sorted(cell.seeds)}, but {first_path} has {seeds}; "
                "differences are paired by seed, so train both with the same seeds"
            )
        if other := seen.get(identity := cell_identity(cell)):
            raise FieldguideError(f"{path}: the same cell as {other}; leave one of them out")
        seen[identity] = path


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """A row per cell, in the order of `cells`: what is the same for all seeds, and the columns that sum them up.

    `accuracy_mean` and `accuracy_ci95`, the half-width of the 95% t interval (%, missing from one seed); `n_seeds`;
    `distinct_images` and `distinct_texts` are means.
    """
    same = [column for column in cells.columns if column not in (*PER_SEED.values(), "path")]
    grouped = cells.groupby("path", sort=False)
    summed = grouped.agg(
        **{column: (column, "first") for column in same},
        accuracy_mean=("accuracy", fmean),
        accuracy_ci95=("accuracy", half_width),
        n_seeds=("seed", "size"),
        distinct_images=("distinct_images", fmean),
        distinct_texts=("distinct_texts", fmean),
    )
    return summed.astype({"accuracy_ci95": float}).reset_index()


def describe_tuning(cells: pd.DataFrame) -> tuple[str, ...]:
    """Sentences on the cells of `read_cells` or `summarise`: with how many labels hyper-parameters were chosen, and
    which of them lie at an end of the range tried. None where cells do not say."""
    tuned = cells[cells["tuning_labels"].notna() & (cells["tune"] != NONE)]
    if tuned.empty:
        return ()
    fewest, most = (
        format_count(float(count)) for count in (tuned["tuning_labels"].min(), tuned["tuning_labels"].max())
    )
    notes = [f"Hyper-parameters were chosen with {fewest if fewest == most else f'{fewest} to {most}'} labels."]
    edges = tuned[tuned["tuning_edges"] != ""].groupby("recipe", sort=False)["tuning_edges"].unique()
    if len(edges):
        found = "; ".join(
            f"{recipe}: {', '.join(dict.fromkeys(edge for cell in of for edge in cell.split(', ')))}"
            for recipe, of in edges.items()
        )
        notes.append(f"The best trial lies at the edge of its range, beyond which may be better ({found}).")
    return tuple(notes)


def accuracies_by_cell(cells: pd.DataFrame) -> dict[str, list[float]]:
    """The accuracies of each cell in the order of seeds, by its path."""
    return {str(path): values.tolist() for path, values in cells.groupby("path", sort=False)["accuracy"]}


def to_rows(summary: pd.DataFrame) -> list[CellRow]:
    """The rows of `summarise`, as what lays out the table takes them."""
    found = summary[list(CellRow._fields)].astype(object)
    return [CellRow(*row) for row in found.where(found.notna(), None).itertuples(index=False, name=None)]


def by_variant(summary: pd.DataFrame) -> pd.DataFrame:
    """The cells of every block of the comparison table, by column and ratio: `summary` with the columns `variant`
    and `texts`, `replaced` or `all`.

    Image-only cells stand in the block of every translator, and of both kinds of texts.
    """
    import pandas as pd

    cells = summary.set_index("path", drop=False)
    blocks = []
    for block in split_blocks(to_rows(summary)):
        places = {series: place for place, series in enumerate(block.series)}
        paths = [row.path for row in sorted(block.rows, key=lambda row: places[row.series])]
        blocks.append(cells.loc[paths].assign(variant=block.title, texts=TEXTS[block.texts_beside]))
    return pd.concat(blocks, ignore_index=True)


class TrainingImages(NamedTuple):
    """How many labelled training images there are, and of how many classes."""

    total: int
    classes: int

    @property
    def per_class(self) -> float:
        return self.total / self.classes


def count_training_images(records: Path) -> TrainingImages:
    """The training images of records/images.csv; raises FieldguideError where there are none."""
    train = [row["class_id"] for row in read_csv(records, ("class_id", "split")) if row["split"] == "train"]
    if not train:
        raise FieldguideError(f"{records}: holds no training image")
    return TrainingImages(len(train), len(set(train)))


def plain_count(count: float) -> str:
    """`599.7`, `5994`."""
    return format_count(count, thousands="")


ACCURACY_FORMATS: Mapping[str, Format] = dict.fromkeys(ACCURACY_COLUMNS, "") | {
    "image_percent": "g",
    "text_percent": "g",
    "accuracy_mean": ".2f",
    "accuracy_ci95": ".2f",
    "distinct_images": plain_count,
    "distinct_texts": plain_count,
}
"""The columns of accuracy.csv, and how each is written."""
CELL_FORMATS: Mapping[str, Format] = {column: ACCURACY_FORMATS[column] for column in CELL}


def format_frame(frame: pd.DataFrame, formats: Mapping[str, Format]) -> list[dict[str, str]]:
    """A frame's rows as a CSV holds them, each column as `formats` says; what is missing is empty."""
    import pandas as pd

    def write(value: Any, form: Format) -> str:
        return "" if pd.isna(value) else form(value) if callable(form) else format(value, form)

    columns = {column: [write(value, form) for value in frame[column]] for column, form in formats.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write_frame(path: Path, frame: pd.DataFrame, formats: Mapping[str, Format]) -> None:
    """Write a tidy table of these columns."""
    write_csv(path, list(formats), format_frame(frame, formats))


def read_frame(path: Path) -> pd.DataFrame:
    """A tidy table as a frame; what is empty is missing, and names and ids stay texts whatever they look like.

    Raises FieldguideError naming a file that is no table.
    """
    import pandas as pd

    try:
        columns = pd.read_csv(path, nrows=0).columns
        texts = [column for column in columns if column.endswith(TEXT_COLUMNS)]
        return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise FieldguideError(f"{path}: is not a whole table ({error}); delete it to have it made again") from error


def ratio_grid(entries: pd.DataFrame, columns: Sequence[str], stub: str = "images:text") -> Grid:
    """A grid with a row per `image_percent`, the largest first, a column per `column`, and each `text` in its place."""
    table = entries.pivot(index="image_percent", columns="column", values="text").sort_index(ascending=False)
    table = table.reindex(columns=list(columns)).astype(object).fillna(MISSING)
    rows = tuple((format_ratio(percent), tuple(texts)) for percent, *texts in table.itertuples(name=None))
    return Grid(stub, tuple(columns), rows)
