"""Say whether a gain is the text's own: every text source beside its controls, on the same images.

A control keeps the number of texts and takes away what they say of their class (`texts/controls.py`). Own text gains
over image only for many reasons: it may only regularise. The gain counts as its own where own text is significantly
better than every control in `DECISIVE` that the configuration names.
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
from fieldguide.tables.differences import describe_tests, find_differences, format_difference, references_of
from fieldguide.tables.grid import MISSING, Grid, format_ratio
from fieldguide.tables.markdown import escape, grid_table
from fieldguide.tables.results import Format, read_cells, write_frame
from fieldguide.tables.settings import ControlsSettings
from fieldguide.tables.tested_images import read_tested_images

if TYPE_CHECKING:
    import pandas as pd

GAIN = "image only"
"""The row of a source's gain over its recipe's image only on the same images, where a control's row has its kind."""
DECISIVE = ("family", "random-words")
"""The controls that own text has to beat: the nearest class's text, and words of no class."""
CONTROL_FORMATS: Mapping[str, Format] = {
    "text_source": "",
    "recipe": "",
    "image_percent": "g",
    "texts": "",
    "against": "",
    "control_source": "",
    "accuracy_mean": ".2f",
    "difference_mean": ".3f",
    "interval": ".3f",
    "p_holm": ".3g",
    "significant": lambda value: "" if value is None else "yes" if value else "no",
    "verdict": "",
}
"""The columns of controls.csv, and how each is written."""
READING = (
    "Points by which a cell with its own text is better than the same cell with a control's texts, and than image only "
    "by the same recipe on the same images. Controls: *shuffled*, texts of another class; *family*, texts of the "
    "nearest class; *random-words*, as many words of no class; *name-only*, the class's name and no more. A gain over "
    "image only is the text's **own** where it is significant and own text is significantly better than the controls "
    "{decisive}; at 0% of the images there is no image only, and the controls alone decide. Better than *name-only* "
    "says that the description adds to the name; it decides nothing here."
)


def find_controls(differences: pd.DataFrame, controls: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """A row per own cell and what it is held against, of the frame of `find_differences`.

    controls: by the name of a control's source, the source that it is of and its kind. Columns: `text_source`,
    `recipe`, `image_percent`, `texts`, `variant`; `against`, a control's kind or `GAIN`; `control_source`;
    `accuracy_mean` of own text (%); `difference_mean` and `interval` in points, own less the other; `p_holm`,
    `significant`, as in the frame; `verdict` of the whole cell, see `decide`.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for row in differences.to_dict("records"):
        first, second = row["first_text_source"], row["second_text_source"]
        for own, other, side, sign in ((first, second, "first", 1), (second, first, "second", -1)):
            is_control = row["comparison"] == "text sources" and controls.get(other, ("",))[0] == own
            is_gain = (
                row["comparison"] == "text and image only"
                and side == "first"
                and own in {of for of, _ in controls.values()}
                and row["second_recipe"] in references_of(row["first_recipe"])[:2]
            )
            if not (is_control or is_gain):
                continue
            rows.append(
                {
                    "text_source": own,
                    "recipe": row[f"{side}_recipe"],
                    "image_percent": row["image_percent"],
                    "texts": row["texts"],
                    "variant": row["variant"],
                    "against": controls[other][1] if is_control else GAIN,
                    "control_source": other if is_control else "none",
                    "accuracy_mean": row[f"{side}_accuracy_mean"],
                    "difference_mean": sign * row["difference_mean"],
                    **{name: row[name] for name in ("interval", "p_holm", "significant", "same_predictions")},
                }
            )
    cell = ["variant", "text_source", "recipe", "image_percent"]
    found = pd.DataFrame(rows, columns=[*CONTROL_FORMATS, "variant", "same_predictions"]).drop(columns="verdict")
    verdicts = {key: decide(list(members.to_dict("records"))) for key, members in found.groupby(cell)}
    keys = found[cell].itertuples(index=False, name=None)
    return found.assign(verdict=[verdicts[key] for key in keys])


def decide(rows: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on one cell: `own`; `no gain`; `not above family`; `not decided` without a decisive control.

    rows: `against`, `difference_mean` and `significant` of all that the cell is held against.
    """
    better = {row["against"]: bool(row["significant"]) and row["difference_mean"] > 0 for row in rows}
    if not better.get(GAIN, True):
        return "no gain"
    decisive = [kind for kind in DECISIVE if kind in better]
    failed = [kind for kind in decisive if not better[kind]]
    return f"not above {' and '.join(failed)}" if failed else "own" if decisive else "not decided"


def render(settings: ControlsSettings, found: pd.DataFrame, differences: pd.DataFrame) -> str:
    """The page: per variant, source and recipe a table, a row per ratio and a column per control."""
    named = [kind for kind in DECISIVE if kind in {kind for _, kind in settings.controls.values()}]
    parts = [f"# Is the gain the text's own? {escape(settings.dataset)}"]
    parts += [f"**{escape(note)}**" for note in settings.notes]
    parts += [READING.format(decisive=" and ".join(f"*{kind}*" for kind in named) or "(none is configured)")]
    if found.empty:
        return "\n\n".join([*parts, "No cell has both its own text and a control's."]) + "\n"
    for (variant, source, recipe), members in found.groupby(["variant", "text_source", "recipe"], sort=False):
        kinds = [GAIN, *dict.fromkeys(kind for kind in members["against"] if kind != GAIN)]
        rows = []
        for percent, cells in sorted(members.groupby("image_percent"), reverse=True):
            by_kind = {cell.against: cell for cell in cells.itertuples()}
            texts = [format_difference(by_kind[kind]) if kind in by_kind else MISSING for kind in kinds]
            first = cells.iloc[0]
            rows.append((format_ratio(percent), (f"{first['accuracy_mean']:.2f}", *texts, str(first["verdict"]))))
        columns = ("own text, %", *(f"less {kind}" for kind in kinds), "the gain is")
        parts += [
            f"## {escape(f'{source}, {recipe}: {variant}')}",
            grid_table(Grid("images:text", columns, tuple(rows))),
        ]
        own = members.drop_duplicates("image_percent")["verdict"].eq("own").sum()
        parts += [f"The text's own at {own} of {members['image_percent'].nunique()} ratios."]
    return "\n\n".join([*parts, describe_tests(differences)]) + "\n"


def run(args: argparse.Namespace) -> None:
    settings = parse_settings(ControlsSettings, args.settings)
    if not settings.controls:
        raise FieldguideError("--settings: names no control; give a text source of kind control")
    cells = read_cells(args.cells)
    differences = find_differences(cells, read_tested_images(cells))
    found = find_controls(differences, settings.controls)
    page = render(settings, found, differences)
    write_frame(args.csv, found, CONTROL_FORMATS)
    write_text(args.md, page)
    log.info("%d comparisons of %d text sources", len(found), found["text_source"].nunique())


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.tabulate_controls", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="the table's cells, one JSON each")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--md", type=Path, required=True, help="the page to write")
    add_settings(parser, ControlsSettings)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("tabulate_controls", run, build_parser(), argv, imports=("pandas",))


if __name__ == "__main__":
    main()
