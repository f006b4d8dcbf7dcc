"""Read a text source that somebody brings along, about classes or about images, from JSON, JSON lines, CSV or TSV.

  python -m fieldguide.texts.import_texts --settings '{"kind": "file", "path": "gpt-4.json"}' \\
      --images records/images.csv --classes records/classes.csv --out texts/raw/gpt-4.csv

JSON is {class: [texts]}, {class: text}, {class: {field: text or [texts]}}, or a list of records; a line of JSON lines
or a row of a table is a record, with the columns that the settings name. For texts of images read image for class.
"""

from __future__ import annotations

import argparse
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any
from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.class_names import NO_CLASS, in_nfc, match_names, report
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS
from fieldguide.data.user_files import DELIMITERS, forward_slashes, read_json_lines, read_json_strictly, read_rows
from fieldguide.texts.settings import CLASS_NAMES_HINT, FileSource
from fieldguide.texts.table import UNNAMED_FIELD, TextRow, has_words, write_texts


class Columns(NamedTuple):
    """What a record calls what a text is about, its field and the text; `fields` are wanted, in this order, or all."""

    owner: str
    field: str
    text: str
    fields: tuple[str, ...]


class Text(NamedTuple):
    """A text, the class or image that it is about as the file names it, and where it stands."""

    owner: str
    field: str
    text: str
    where: str


def clean_text(text: str) -> str:
    """A text in composed Unicode, on one line, without control characters."""
    kept = (" " if c.isspace() else c for c in unicodedata.normalize("NFC", text))
    return " ".join("".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cs", "Cn")).split())


def read_file(path: Path, columns: Columns) -> list[Text]:
    """All texts of a file as they stand there; raises FieldguideError naming what has another shape."""
    if not path.is_file():
        raise FieldguideError(f"{path}: is no file; correct the `path` of the text source")
    ending = path.suffix.lower()
    if ending in DELIMITERS:
        rows = read_rows(path, [columns.owner])
        has_text = bool(rows) and columns.text in rows[0].values
        if rows and not has_text:
            _need_fields(rows[0].values, columns, str(path))
        return [text for row in rows for text in _record_texts(row.values, columns, f"line {row.line}")]
    if ending in (".jsonl", ".ndjson"):
        lines = read_json_lines(path)
        return [text for number, record in lines for text in _record(record, columns, path, f"line {number}")]
    if ending != ".json":
        raise FieldguideError(f"{path}: should end in .json, .jsonl, .csv or .tsv, which says how it is read")
    content = read_json_strictly(path)
    if isinstance(content, list):
        records = enumerate(content, 1)
        return [text for number, record in records for text in _record(record, columns, path, f"record {number}")]
    if not isinstance(content, dict):
        raise FieldguideError(f"{path}: holds {_kind(content)}; it should map names to texts, or be a list of records")
    return [text for owner, value in content.items() for text in _owner_texts(owner, value, columns, path)]


def _record(record: Any, columns: Columns, path: Path, where: str) -> Iterator[Text]:
    if not isinstance(record, dict):
        raise FieldguideError(f"{path}, {where}: is {_kind(record)}; a record should be an object of columns")
    if columns.owner not in record:
        raise FieldguideError(
            f"{path}, {where}: lacks {columns.owner!r} (it has {name_some(sorted(record))}); name the column by "
            "class_column or image_column"
        )
    if columns.text not in record:
        _need_fields(record, columns, f"{path}, {where}")
    owner = record[columns.owner]
    if isinstance(owner, bool) or not isinstance(owner, str | int):
        raise FieldguideError(f"{path}, {where}: {columns.owner} is {_kind(owner)}; it should be a name")
    return _record_texts({**record, columns.owner: str(owner)}, columns, where, path)


def _need_fields(record: Mapping[str, Any], columns: Columns, where: str) -> None:
    """Without a column of texts the configured fields are columns themselves."""
    lacks = [field for field in columns.fields if field not in record]
    if not columns.fields or lacks:
        what = f"the column(s) {', '.join(lacks)} of `fields`" if lacks else f"the column {columns.text!r}"
        raise FieldguideError(
            f"{where}: lacks {what} (it has {name_some(list(record))}); name the column by text_column, "
            "or the columns of texts by fields"
        )


def _record_texts(record: Mapping[str, Any], columns: Columns, where: str, path: Path | None = None) -> Iterator[Text]:
    owner = record[columns.owner].strip()
    if columns.text in record:
        field = record.get(columns.field) or UNNAMED_FIELD
        if not isinstance(field, str):
            raise FieldguideError(f"{path}, {where}: {columns.field} is {_kind(field)}; it should be a name")
        yield from _texts(owner, field, record[columns.text], where, path)
    else:
        for field in columns.fields:
            yield from _texts(owner, field, record[field], where, path)


def _owner_texts(owner: str, value: Any, columns: Columns, path: Path) -> Iterator[Text]:
    if not isinstance(value, dict):
        yield from _texts(owner, UNNAMED_FIELD, value, owner, path)
        return
    lacks = [field for field in columns.fields if field not in value]
    refuse_if_any(lacks, f"{path}: {owner!r} lacks fields", "add them, or name other `fields`")
    if not value:
        yield Text(owner, UNNAMED_FIELD, "", owner)
    for field in columns.fields or sorted(value):
        yield from _texts(owner, field, value[field], f"{owner}, {field}", path)


def _texts(owner: str, field: str, value: Any, where: str, path: Path | None) -> Iterator[Text]:
    # An empty list stands for a text that is not there, so that its class is named among those without one.
    for text in (value or [None]) if isinstance(value, list) else [value]:
        if text is not None and not isinstance(text, str):
            raise FieldguideError(f"{path}, {where}: holds {_kind(text)} where a text should be; correct it")
        yield Text(owner, field, clean_text(text or ""), where)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), f"the number {value}")


def in_order(texts: Sequence[Text], fields: Sequence[str]) -> list[Text]:
    """The texts of wanted fields; those of one owner by field where fields are wanted, else as they stand.

    Owners keep the order of their first text.
    """
    if not fields:
        return list(texts)
    place = {field: number for number, field in enumerate(fields)}
    return sorted((text for text in texts if text.field in place), key=lambda text: place[text.field])


def class_rows(
    texts: Sequence[Text], classes: Sequence[Mapping[str, str]], class_ids: Mapping[str, str]
) -> list[TextRow]:
    """The rows of the table for texts of classes: by class, then in their order; others are left out."""
    names = {row["class_id"]: row["class_name"] for row in classes}
    rows = [
        TextRow(class_ids[text.owner], names[class_ids[text.owner]], "", text.field, text.text)
        for text in texts
        if text.owner in class_ids
    ]
    place = {class_id: number for number, class_id in enumerate(names)}
    return sorted(rows, key=lambda row: place[row.class_id])


class ImageNames:
    """Images by id, path, path below the first folder, file name, with ending or without; the strictest decides."""

    def __init__(self, images: Sequence[Mapping[str, str]]) -> None:
        self.found: list[dict[str, list[str]]] = []
        spellings = (
            lambda image, _: image["image_id"],
            lambda _, path: str(path),
            lambda _, path: "/".join(path.parts[1:]),
            lambda _, path: "/".join((*path.parent.parts[1:], path.stem)),
            lambda _, path: path.name,
            lambda _, path: path.stem,
        )
        for spelling in spellings:
            by_name: dict[str, list[str]] = {}
            for image in images:
                by_name.setdefault(in_nfc(spelling(image, PurePosixPath(image["path"]))), []).append(image["image_id"])
            self.found.append(by_name)

    def find(self, name: str) -> list[str]:
        """Ids of the images that a name may be; several where a file name occurs more than once, none where unknown."""
        name = forward_slashes(in_nfc(name))
        return next((by_name[name] for by_name in self.found if name in by_name), []) if name else []


def image_rows(
    texts: Sequence[Text],
    images: Sequence[Mapping[str, str]],
    classes: Sequence[Mapping[str, str]],
    path: Path,
    others: str,
) -> list[TextRow]:
    """The rows of the table for texts of images: training images in their order; texts of test images are left out."""
    names = ImageNames(images)
    owners = list(dict.fromkeys(text.owner for text in texts))
    found = {owner: names.find(owner) for owner in owners}
    unclear = [f"{owner} ({' or '.join(ids[:3])})" for owner, ids in found.items() if len(ids) > 1]
    refuse_if_any(unclear, f"{path}: names that several images have", "give paths or ids instead of file names")
    unknown = [owner for owner, ids in found.items() if not ids]
    if others == "refuse":
        hint = "correct them, or leave them out by `others: leave-out`"
        refuse_if_any(unknown, f"{path}: images that the data set does not have", hint)
    elif unknown:
        log.info(
            "left out the texts of %d images that the data set does not have: %s", len(unknown), name_some(unknown)
        )
    by_image: dict[str, list[Text]] = {}
    for text in texts:
        if found[text.owner]:
            by_image.setdefault(found[text.owner][0], []).append(text)
    train = [image for image in images if image["split"] == "train"]
    lacking = [image["path"] for image in train if image["image_id"] not in by_image]
    refuse_if_any(lacking, f"{path}: training images without a text", "add texts for them, or take the images out")
    tested = by_image.keys() - {image["image_id"] for image in train}
    if tested:
        log.info("left out %d texts of %d test images", sum(len(by_image[i]) for i in tested), len(tested))
    class_names = {row["class_id"]: row["class_name"] for row in classes}
    return [
        TextRow(image["class_id"], class_names[image["class_id"]], image["image_id"], text.field, text.text)
        for image in train
        for text in by_image[image["image_id"]]
    ]


def match_classes(
    owners: Sequence[str], classes: Sequence[Mapping[str, str]], names: Mapping[str, str], path: Path, others: str
) -> dict[str, str]:
    """Class ids by the file's names; all that is left over on either side is refused in one report."""
    try:
        matching = match_names(owners, classes, names)
    except FieldguideError as error:
        raise FieldguideError(f"{path}: {error}") from error
    unknown = [name for name, why in matching.unmatched.items() if why == NO_CLASS]
    if mismatch := report(matching, classes, unknown=others == "refuse"):
        leave_out = ", or leave other classes out by `others: leave-out`" if unknown and not matching.lacking else ""
        raise FieldguideError(f"{path}: {mismatch} - {CLASS_NAMES_HINT}{leave_out}")
    if unknown:
        log.info("left out the texts of %d other classes: %s", len(unknown), name_some(unknown))
    spelled = [name for name, class_id in matching.class_ids.items() if name not in _spellings(classes, class_id)]
    log.info("%d classes matched, %d of them spelled differently", len(matching.class_ids), len(spelled))
    return matching.class_ids


def _spellings(classes: Sequence[Mapping[str, str]], class_id: str) -> tuple[str, str]:
    return next((row["class_name"], row["folder"]) for row in classes if row["class_id"] == class_id)


def without_empty(texts: Sequence[Text]) -> list[Text]:
    """The texts that say anything; the others are named in the log."""
    empty = [text.where for text in texts if not has_words(text.text)]
    if empty:
        log.warning("left out %d texts without a word: %s", len(empty), name_some(empty, "; "))
    return [text for text in texts if has_words(text.text)]


def check_texts(read: Sequence[Text], owner: str, fields: Sequence[str], path: Path) -> list[Text]:
    """The texts that are taken, in their order; raises FieldguideError where one is about nothing, or a field lacks."""
    if not read:
        raise FieldguideError(f"{path}: holds no text")
    unnamed = [text.where for text in read if not text.owner.strip()]
    refuse_if_any(unnamed, f"{path}: texts that do not say what they are about", f"fill in {owner}")
    texts = in_order(without_empty(read), fields)
    found = sorted({text.field for text in read})
    lacking = [field for field in fields if field not in found]
    refuse_if_any(lacking, f"{path}: has no texts of some of `fields` (it has {name_some(found)})", "correct them")
    return texts


def log_repeats(rows: Sequence[TextRow]) -> None:
    """Name classes in which a text stands more than once; all are kept."""
    count = Counter((row.class_name, row.image_id, row.text) for row in rows)
    again: Counter[str] = Counter()
    for (name, image_id, _), number in count.items():
        if number > 1:
            again[image_id or name] += number - 1
    if again:
        named = name_some([f"{name} ({number})" for name, number in again.items()])
        log.warning("%d texts occur more than once: %s", again.total(), named)


def import_texts(args: argparse.Namespace) -> None:
    """Read, match, check and write."""
    settings = parse_settings(FileSource, args.settings)
    path = Path(settings.path)
    images = read_csv(args.images, IMAGE_COLUMNS)
    classes = sorted(read_csv(args.classes, CLASS_COLUMNS), key=lambda row: int(row["class_id"]))
    owner = settings.class_column if settings.per == "class" else settings.image_column
    read = read_file(path, Columns(owner, settings.field_column, settings.text_column, settings.fields))
    texts = check_texts(read, owner, settings.fields, path)
    if settings.per == "class":
        named = list(dict.fromkeys(text.owner for text in read))
        class_ids = match_classes(named, classes, settings.class_names, path, settings.others)
        rows = class_rows(texts, classes, class_ids)
        found = {row.class_id for row in rows}
        lacking = [row["class_name"] for row in classes if row["class_id"] not in found]
        refuse_if_any(lacking, f"{path}: classes without a text", "add texts for them")
    elif settings.class_names:
        raise FieldguideError(f"{path}: `class_names` is for texts of classes; these are of images")
    else:
        rows = image_rows(texts, images, classes, path, settings.others)
    log_repeats(rows)
    write_texts(args.out, rows)
    fields = name_some([f"{name} ({count})" for name, count in Counter(row.field for row in rows).items()])
    owners = len({row.image_id or row.class_id for row in rows})
    what = "classes" if settings.per == "class" else "images"
    log.info("%s: %d texts of %d %s, of the field(s) %s", path, len(rows), owners, what, fields)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.import_texts", __doc__)
    add_settings(parser, FileSource)
    parser.add_argument("--images", type=Path, required=True, help="table of images")
    parser.add_argument("--classes", type=Path, required=True, help="table of classes")
    parser.add_argument("--out", type=Path, required=True, help="table of texts to write")
    run_stage("import_texts", import_texts, parser, argv)


if __name__ == "__main__":
    main()
