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
from fieldguide.core.significance import LEVEL
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.differences import correct, count_images, find_differences, format_difference, references_of
from fieldguide.tables.grid import MISSING, Grid, format_ratio
from fieldguide.tables.intervals import describe_interval
from fieldguide.tables.markdown import escape, grid_table
from fieldguide.tables.results import Format, read_cells, write_frame
from fieldguide.tables.rows import IMAGE_ONLY
from fieldguide.tables.settings import ControlsSettings
from fieldguide.tables.tested_images import read_tested_images

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str, float]
"""Variant, text source, recipe and percentage of images."""
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
    "control_gain_mean": ".3f",
    "control_gain_interval": ".3f",
    "p_holm": ".3g",
    "significant": lambda value: "" if value is None else "yes" if value else "no",
    "verdict": "",
}
"""The columns of controls.csv, and how each is written."""
TAKEN = ("against", "control_source", "texts", "difference_mean", "interval", "tested_p", "same_predictions")
"""What a row takes from its difference as it is."""
TESTS = (
    "± is the half-width of the {interval}; it is of each difference by itself, not corrected. * differs from 0 at 5% "
    "after Holm's correction for all differences of own text in the same table here; the controls' own gains are not "
    "tested."
)
READING = (
    "The gain over image only by the same recipe on the same images, of a cell with its own text and of the same cell "
    "with a control's texts, and the points by which own text is better than the control. Controls: *shuffled*, texts "
    "of another class; *family*, texts of the nearest class; *random-words*, as many words of no class; *name-only*, "
    "the class's name and no more. A gain is the text's **own** where it is significant and own text is significantly "
    "better than the controls {decisive}; at 0% of the images there is no image only, and the controls alone decide. "
    "With images but without image only by that recipe in the table nothing is decided. Better than *name-only* says "
    "that the description adds to the name; it decides nothing here."
)


def find_controls(differences: pd.DataFrame, controls: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """A row per own cell that has a control, and what it is held against, of the frame of `find_differences`.

    controls: by the name of a control's source, the source that it is of and its kind. Columns: `text_source`,
    `recipe`, `image_percent`, `texts`, `variant`; `against`, a control's kind or `GAIN`; `control_source`;
    `accuracy_mean` of own text (%); `difference_mean` and `interval` in points, own less the other;
    `control_gain_mean` and `control_gain_interval`, the same of the control less image only, none where there is no
    image only; `p_holm`, Holm's correction over the differences of one source, recipe and variant in this frame alone;
    `significant`, by that; `verdict` of the whole cell, see `decide`.
    """
    import pandas as pd

    gains: dict[Key, dict[str, Any]] = {}
    held: dict[Key, list[dict[str, Any]]] = {}
    for row in differences.to_dict("records"):
        first, second = row["first_text_source"], row["second_text_source"]
        if row["comparison"] == "text and image only":
            key, nearest = key_of(row, "first"), references_of(row["first_recipe"])[:2]
            if row["second_recipe"] in nearest and (key not in gains or row["second_recipe"] == nearest[0]):
                gains[key] = row
        elif row["comparison"] == "text sources":
            for own, other, side, sign in ((first, second, "first", 1), (second, first, "second", -1)):
                if other in controls and controls[other][0] == own:
                    difference = {**row, "difference_mean": sign * row["difference_mean"]}
                    held.setdefault(key_of(row, side), []).append(
                        {"against": controls[other][1], "control_source": other, **difference}
                    )
    rows = []
    for key, controlled in held.items():
        controlled.sort(key=lambda row: [*controls].index(row["control_source"]))
        variant, source, recipe, percent = key
        gain = [{"against": GAIN, "control_source": "none", **gains[key]}] if key in gains else []
        for row in [*gain, *controlled]:
            of_control = gains.get((variant, row["control_source"], recipe, percent), {})
            side = "first" if row["first_text_source"] == source else "second"
            rows.append(
                {
                    "text_source": source,
                    "recipe": recipe,
                    "image_percent": percent,
                    "variant": variant,
                    "accuracy_mean": row[f"{side}_accuracy_mean"],
                    "control_gain_mean": of_control.get("difference_mean"),
                    "control_gain_interval": of_control.get("interval"),
                    **{name: row[name] for name in TAKEN},
                }
            )
    columns = [name for name in CONTROL_FORMATS if name not in ("p_holm", "significant", "verdict")]
    found = pd.DataFrame(rows, columns=[*dict.fromkeys([*columns, "variant", *TAKEN])])
    found = found.astype(dict.fromkeys(("tested_p", "control_gain_mean", "control_gain_interval"), float))
    found["p_holm"] = found.groupby(["variant", "text_source", "recipe"])["tested_p"].transform(correct)
    found["significant"] = pd.Series([None if p != p else bool(p < LEVEL) for p in found["p_holm"]], dtype=object)
    cells = ["variant", "text_source", "recipe", "image_percent"]
    verdicts = {key: decide(list(members.to_dict("records"))) for key, members in found.groupby(cells)}
    keys = found[cells].itertuples(index=False, name=None)
    return found.assign(verdict=[verdicts[key] for key in keys])


def key_of(row: Mapping[str, Any], side: str) -> Key:
    """Variant, text source, recipe and share of images of one side of a difference."""
    return row["variant"], row[f"{side}_text_source"], row[f"{side}_recipe"], row["image_percent"]


def decide(rows: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on one cell: `own`; `no gain`; `not above family`; `not decided` without a decisive control, or with
    images and without image only.

    rows: `image_percent`, `against`, `difference_mean` and `significant` of all that the cell is held against. Of
    several controls of one kind own text has to beat each.
    """
    better: dict[str, bool] = {}
    for row in rows:
        is_better = bool(row["significant"]) and row["difference_mean"] > 0
        better[row["against"]] = better.get(row["against"], True) and is_better
    if not better.get(GAIN, True):
        return "no gain"
    decisive = [kind for kind in DECISIVE if kind in better]
    if failed := [kind for kind in decisive if not better[kind]]:
        return f"not above {' and '.join(failed)}"
    has_gain = GAIN in better or not rows[0]["image_percent"]
    return "own" if decisive and has_gain else "not decided"


def render(settings: ControlsSettings, found: pd.DataFrame, differences: pd.DataFrame) -> str:
    """The page: per variant, source and recipe a table, a row per ratio and two columns per control."""
    named = [kind for kind in DECISIVE if kind in {kind for _, kind in settings.controls.values()}]
    parts = [f"# Is the gain the text's own? {escape(settings.dataset)}"]
    parts += [f"**{escape(note)}**" for note in settings.notes]
    parts += [READING.format(decisive=" and ".join(f"*{kind}*" for kind in named) or "(none is configured)")]
    if found.empty:
        return "\n\n".join([*parts, "No cell has both its own text and a control's."]) + "\n"
    for (variant, source, recipe), members in found.groupby(["variant", "text_source", "recipe"], sort=False):
        parts += [f"## {escape(f'{source}, {recipe}: {variant}')}", grid_table(tabulate(members))]
        own = members.drop_duplicates("image_percent")["verdict"].eq("own").sum()
        parts += [f"The text's own at {own} of {members['image_percent'].nunique()} ratios."]
    has_translator = (differences[["first_translator", "second_translator"]] != IMAGE_ONLY).any(axis=None)
    interval = describe_interval(count_images(differences), has_translator)
    return "\n\n".join([*parts, TESTS.format(interval=interval)]) + "\n"


def tabulate(members: pd.DataFrame) -> Grid:
    """The grid of one source, recipe and variant, of the frame of `find_controls`."""
    controls = members[members["against"] != GAIN].drop_duplicates("control_source")
    repeated = set(controls.loc[controls["against"].duplicated(), "against"])
    labels = {
        source: f"{kind} ({source})" if kind in repeated else kind
        for source, kind in zip(controls["control_source"], controls["against"], strict=True)
    }
    rows = []
    for percent, cells in sorted(members.groupby("image_percent"), reverse=True):
        by_source = {cell.control_source: cell for cell in cells.itertuples()}
        texts = [f"{cells['accuracy_mean'].iloc[0]:.2f}"]
        texts += [format_difference(by_source["none"]) if "none" in by_source else MISSING]
        for source in labels:
            cell = by_source.get(source)
            texts += [format_gain(cell), format_difference(cell)] if cell else [MISSING, MISSING]
        rows.append((format_ratio(percent), (*texts, str(cells["verdict"].iloc[0]))))
    beside = [text for label in labels.values() for text in (f"gain of {label}", f"own less {label}")]
    return Grid("images:text", ("own text, %", "its gain", *beside, "the gain is"), tuple(rows))


def format_gain(cell: Any) -> str:
    """`+1.20 ± 0.40`: a control's gain over image only, which is not tested here."""
    mean, interval = cell.control_gain_mean, cell.control_gain_interval
    if mean != mean:
        return MISSING
    return f"{mean:+.2f}" + (f" ± {interval:.2f}" if interval == interval else "")


def run(args: argparse.Namespace) -> None:
    settings = parse_settings(ControlsSettings, args.settings)
    if not settings.controls:
        raise FieldguideError("--settings: names no control; give a text source of kind control")
    cells = read_cells(args.cells)
    named = {IMAGE_ONLY, *settings.controls, *(of for of, _ in settings.controls.values())}
    cells = cells[cells["text_source"].isin(named)]
    if cells.empty:
        raise FieldguideError("--cells: none is of a text source that --settings names, or of image only")
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
