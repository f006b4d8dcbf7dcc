"""Take text features that were computed elsewhere: write the source's table of texts and its feature file.

  python -m fieldguide.texts.import_text_features --source llm --settings '{"kind": "features", "path": "llm.npz"}' \\
      --image-features features/…/shard-1-of-1.safetensors --images records/images.csv --classes records/classes.csv \\
      --table-out texts/llm.csv --out features/…/shard-1-of-1.safetensors

The file holds the arrays features (t, d), classes (t,) (numbers as the images' labels, or names by the rule of
`data.class_names`) and, if wanted, texts, fields and image_ids (t,). Texts of test images are left out.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError, refuse_if_any
from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.class_names import match_names, report
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS
from fieldguide.texts.settings import CLASS_NAMES_HINT, FeatureSource
from fieldguide.texts.table import UNNAMED_FIELD, TextRow, write_texts


def find_classes(
    labels: Sequence[str | int], classes: Sequence[Mapping[str, str]], names: Mapping[str, str], path: Path
) -> list[str]:
    """The class id of each text: by the images' labels where they are numbers, else by name."""
    if labels and isinstance(labels[0], int):
        ids = {row["folder"]: row["class_id"] for row in classes}
        out = sorted({str(label) for label in labels} - ids.keys(), key=int)
        refuse_if_any(out, f"{path}: classes that are no label of an image", "number classes as the images' labels do")
        return [ids[str(label)] for label in labels]
    found = [str(label) for label in labels]
    try:
        matching = match_names(list(dict.fromkeys(found)), classes, names)
    except FieldguideError as error:
        raise FieldguideError(f"{path}: {error}") from error
    # Classes without texts are refused later, for numbers and names alike.
    if mismatch := report(matching._replace(lacking=[]), classes):
        raise FieldguideError(f"{path}: {mismatch} - {CLASS_NAMES_HINT}")
    return [matching.class_ids[name] for name in found]


def import_text_features(args: argparse.Namespace) -> None:
    """Read, match, check and write."""
    import numpy as np

    from fieldguide.features.given_features import array_of, check_one_line, numbers_if_any, unit_rows, vector_of
    from fieldguide.features.store import read_features, save_features

    settings = parse_settings(FeatureSource, args.settings)
    path = Path(settings.path)
    images = {row["image_id"]: row for row in read_csv(args.images, IMAGE_COLUMNS)}
    classes = read_csv(args.classes, CLASS_COLUMNS)
    given = array_of("features", path)
    assert given is not None
    features = unit_rows(given, str(path))
    count, width = features.shape
    of_images, metadata = read_features(args.image_features, list(images))
    wide = of_images["features"].shape[1]
    if width != wide:
        raise FieldguideError(f"{path}: its features are {width} wide, the images' {wide}; encode both by one model")
    own = settings.model_dump(include={"classes", "texts", "fields", "image_ids"})
    found = {name: vector_of(name, path, count, file, needed=name == "classes") for name, file in own.items()}
    found["classes"] = numbers_if_any(found["classes"], f"{own['classes'] or path}: classes")
    lists = {name: None if one is None else one.tolist() for name, one in found.items()}
    class_ids = find_classes(lists["classes"] or [], classes, settings.class_names, path)
    # A row without a text is named by its place; equal texts would be no error.
    texts = [str(text) for text in lists["texts"] or [f"{path.name}#{row}" for row in range(count)]]
    check_one_line(texts, f"{path}: texts")
    fields = [str(field) or UNNAMED_FIELD for field in lists["fields"] or [UNNAMED_FIELD] * count]
    image_ids = [str(one) for one in lists["image_ids"] or [""] * count]
    unknown = [f"row {row}: {one}" for row, one in enumerate(image_ids) if one and one not in images]
    refuse_if_any(unknown, f"{path}: image_ids that are no image", "correct them")
    wrong = [
        f"row {row}: image {one}"
        for row, one in enumerate(image_ids)
        if one and images[one]["class_id"] != class_ids[row]
    ]
    refuse_if_any(wrong, f"{path}: texts of another class than their image's", "correct classes or image_ids")
    place = {row["class_id"]: number for number, row in enumerate(classes)}
    kept = [row for row in range(count) if not image_ids[row] or images[image_ids[row]]["split"] == "train"]
    if len(kept) < count:
        log.info("left out %d texts of test images", count - len(kept))
    kept.sort(key=lambda row: place[class_ids[row]])
    has = Counter(class_ids[row] for row in kept)
    lacking = [row["class_name"] for row in classes if not has[row["class_id"]]]
    refuse_if_any(lacking, f"{path}: classes without a text", "add texts for them")
    class_names = {row["class_id"]: row["class_name"] for row in classes}
    rows = [
        TextRow(class_ids[row], class_names[class_ids[row]], image_ids[row], fields[row], texts[row]) for row in kept
    ]
    tensors = {"pooled": features[kept], "rows": np.arange(len(kept))}
    of_texts = {"kind": "text", "source": args.source}
    save_features(args.out, tensors, [row.text for row in rows], metadata["backbone"], of_texts)
    write_texts(args.table_out, rows)
    log.info("%s: %d texts of %d classes, %d wide, to %s", path, len(rows), len(has), width, args.out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.import_text_features", __doc__)
    parser.add_argument("--source", required=True, help="the text source's name")
    add_settings(parser, FeatureSource)
    parser.add_argument("--images", type=Path, required=True, help="table of images, from import_features")
    parser.add_argument("--classes", type=Path, required=True, help="table of classes, from import_features")
    parser.add_argument("--image-features", type=Path, required=True, help="the images' feature file")
    parser.add_argument("--table-out", type=Path, required=True, help="table of texts to write")
    parser.add_argument("--out", type=Path, required=True, help="feature file to write")
    run_stage("import_text_features", import_text_features, parser, argv, imports=("numpy", "safetensors.numpy"))


if __name__ == "__main__":
    main()
