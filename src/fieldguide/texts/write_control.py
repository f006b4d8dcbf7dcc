"""Write a control: as many texts as a source has, with what they say about their class taken out.

  python -m fieldguide.texts.write_control --settings '{"kind": "control", "of": "reed", "control": "shuffled"}' \\
      --texts texts/reed.csv --classes records/classes.csv --out texts/reed-shuffled.csv

It is made of the texts as they are used, row by row: each row keeps its class, image and field. `shuffled` and `family`
give it a text of another class, which may name that class; `random-words` and `name-only` write one of as many words.
With --features the texts are features that were computed elsewhere, and the control's are rows of them.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any, repeated
from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.class_names import match_names, report
from fieldguide.data.records import CLASS_COLUMNS
from fieldguide.data.user_files import read_rows
from fieldguide.features.store import read_features, save_features
from fieldguide.texts.controls import (
    class_means,
    draw_donors,
    nearest_donors,
    random_words,
    repeat_name,
    take_rows,
    without_names,
)
from fieldguide.texts.settings import ControlSource
from fieldguide.texts.table import TextRow, read_texts, write_texts


def read_vocabulary() -> list[str]:
    """Tokens of CLIP, as open_clip has them, that end a word and have three letters or more."""
    from importlib.metadata import distribution

    path = Path(str(distribution("open_clip_torch").locate_file("open_clip/bpe_simple_vocab_16e6.txt.gz")))
    merges = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    merged = ("".join(line.split()) for line in merges)
    return list(dict.fromkeys(word[: -len("</w>")] for word in merged if re.fullmatch(r"[a-z]{3,}</w>", word)))


def read_families(path: Path, classes: Sequence[Mapping[str, str]]) -> list[str]:
    """The family of each class; raises FieldguideError naming the classes that a table has twice, lacks or invents."""
    if not path.is_file():
        raise FieldguideError(f"{path}: is no file; correct the `families` of the text source")
    family = [(row.values["class"], row.values["family"]) for row in read_rows(path, ["class", "family"])]
    refuse_if_any(repeated(name for name, _ in family), f"{path}: classes given twice", "keep one row of each")
    refuse_if_any([name for name, of in family if not of], f"{path}: classes without a family", "fill it in")
    matching = match_names([name for name, _ in family], classes)
    if mismatch := report(matching, classes):
        raise FieldguideError(f"{path}: {mismatch} - write the classes as the data set calls them")
    by_class = {matching.class_ids[name]: of for name, of in family}
    return [by_class[row["class_id"]] for row in classes]


def read_name_features(table: Path | None, files: Sequence[Path], classes: Sequence[Mapping[str, str]]) -> Floats:
    """The text features (c, d) of the class names, in the classes' order."""
    if table is None or not files:
        raise FieldguideError("control family: needs --names and --name-features, the class names and their features")
    names = read_texts(table)
    if [row.class_id for row in names] != [row["class_id"] for row in classes]:
        raise FieldguideError(f"{table}: has other classes than the data set; make it again by write_prompts")
    arrays, _ = read_features(files, [row.text for row in names], names=("pooled", "rows"))
    return arrays["pooled"][arrays["rows"]]


def find_donors(
    settings: ControlSource,
    classes: Sequence[Mapping[str, str]],
    labels: Ints,
    features: Floats | None,
    args: argparse.Namespace,
) -> Ints:
    """The class (c,) whose texts each class gets."""
    if settings.control == "shuffled":
        return draw_donors(len(classes), settings.seed)
    families = read_families(Path(settings.families), classes) if settings.families else None
    if features is None:
        of_classes = read_name_features(args.names, args.name_features, classes)
    else:
        of_classes = class_means(features, labels, len(classes))
    donors = nearest_donors(of_classes, families)
    if families is not None:
        alone = [row["class_name"] for row, family in zip(classes, families, strict=True) if families.count(family) < 2]
        if alone:
            log.info("%d classes have no other in their family: %s", len(alone), name_some(alone))
    return donors


def write_control(args: argparse.Namespace) -> None:
    """Read, draw and write."""
    settings = parse_settings(ControlSource, args.settings)
    classes = read_csv(args.classes, CLASS_COLUMNS)
    rows = read_texts(args.texts)
    number = {row["class_id"]: place for place, row in enumerate(classes)}
    unknown = sorted({row.class_id for row in rows} - number.keys())
    refuse_if_any(unknown, f"{args.texts}: class ids that {args.classes} lacks", "make both again")
    lacking = [row["class_name"] for row in classes if row["class_id"] not in {one.class_id for one in rows}]
    refuse_if_any(lacking, f"{args.texts}: classes without a text", "make the source's texts again")
    if len(classes) < 2:
        raise FieldguideError(f"{args.classes}: has one class, and a control needs the texts of another")
    labels = np.array([number[row.class_id] for row in rows])
    given, about = read_features(args.features, [row.text for row in rows]) if args.features else ({}, {})
    features = given["pooled"][given["rows"]] if given else None
    written: list[TextRow]
    if settings.control in ("shuffled", "family"):
        donors = find_donors(settings, classes, labels, features, args)
        taken = take_rows(labels, [row.field for row in rows], donors)
        written = [row._replace(text=rows[one].text) for row, one in zip(rows, taken.tolist(), strict=True)]
        pairs = [f"{classes[i]['class_name']} from {classes[d]['class_name']}" for i, d in enumerate(donors.tolist())]
        log.info("texts of other classes: %s", name_some(pairs))
        if features is not None:
            ids = [row.text for row in written]
            tensors = {"pooled": features[taken], "rows": np.arange(len(taken))}
            save_features(args.features_out, tensors, ids, about["backbone"], {"kind": "text", "source": args.out.stem})
    elif features is not None:
        raise FieldguideError(
            f"control {settings.control}: writes texts, but {args.features[0]} is features computed elsewhere; take "
            "shuffled or family"
        )
    elif settings.control == "random-words":
        vocabulary = without_names(read_vocabulary(), (row["class_name"] for row in classes))
        texts = random_words([row.text for row in rows], vocabulary, settings.seed)
        written = [row._replace(text=text) for row, text in zip(rows, texts, strict=True)]
    else:
        written = [row._replace(text=repeat_name(row)) for row in rows]
    write_texts(args.out, written)
    log.info("%s of %s: %d texts of %d classes, to %s", settings.control, args.texts, len(rows), len(classes), args.out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.write_control", __doc__)
    add_settings(parser, ControlSource)
    parser.add_argument("--texts", type=Path, required=True, help="the source's table of texts, as they are used")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--features", type=Path, nargs="*", default=[], help="the source's features, if given")
    parser.add_argument("--names", type=Path, nargs="?", help="table of class names from write_prompts, for family")
    parser.add_argument("--name-features", type=Path, nargs="*", default=[], help="their features, for family")
    parser.add_argument("--out", type=Path, required=True, help="table of texts to write")
    parser.add_argument("--features-out", type=Path, nargs="?", help="feature file to write, with --features")
    run_stage("write_control", write_control, parser, argv, imports=("numpy", "safetensors.numpy"))


if __name__ == "__main__":
    main()
