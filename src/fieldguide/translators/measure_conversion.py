"""Measure how accurately one translator turns texts into image features: on pairs it never saw, and on the target.

  python -m fieldguide.translators.measure_conversion --name ridge --translator translators/…/ridge/translator.safetensors \\
      --pairs records/pairs.csv --world-images features/…/images/pairs/*.safetensors \\
      --world-texts features/…/texts/pairs/*.safetensors --test-share 0.05 \\
      --records records/images.csv --classes records/classes.csv --images features/…/images/dataset/*.safetensors \\
      --source reed=texts/reed.csv=translated/…/ridge/reed.safetensors --out conversion/…/ridge.json

The JSON holds every measure with the half-width of its 95% interval: of the pairs, and of each text source as a whole,
by class, by field and by word. What they mean is said in `fieldguide.translators.conversion`. Class means are those of test images,
whose captions are never used.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_json
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.texts.options import parse_source
from fieldguide.translators.translate_texts import UNFITTED, needs_torch, run_translator

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats
    from fieldguide.features.labelled import ImageTable
    from fieldguide.texts.options import SourceFiles
    from fieldguide.translators.conversion import Estimate

WORD_AT_LEAST = 20
"""Texts that a word has to be in, to be told of."""


def told(measures: dict[str, Estimate]) -> dict[str, Any]:
    """Measures as they stand in the JSON: [value, half-width]."""
    return {name: estimate.told() for name, estimate in measures.items()}


def on_pairs(args: argparse.Namespace) -> dict[str, Any]:
    """The measures on the world's images that no translator learnt from."""
    import numpy as np

    from fieldguide.features.store import check_same_backbone, read_features
    from fieldguide.translators.conversion import measure_pairs
    from fieldguide.translators.pairs import measured_images, read_pairs

    image_ids, captions, image_of = read_pairs(args.pairs)
    kept = measured_images(image_ids, args.test_share)
    if len(kept) < 2:
        raise FieldguideError(
            f"{args.pairs}: {len(kept)} of {len(image_ids)} images are kept for measuring, and it takes two; "
            f"raise world.test_share above {args.test_share:g}"
        )
    rows = np.flatnonzero(np.isin(image_of, kept))
    images, about_images = read_features(args.world_images, image_ids)
    translated, about = run_translator(args.kind, args.translator, args.world_texts, captions, rows, device=args.device)
    check_same_backbone((args.world_images[0], about_images), (args.world_texts[0], about))
    place = np.searchsorted(kept, image_of[rows])
    check_width(translated, images["features"], args.name)
    log.info("%d captions of %d images that no translator learns from", len(rows), len(kept))
    measures = measure_pairs(translated, images["features"][kept], place)
    return {"captions": len(rows), "images": len(kept), **told(measures)}


def check_width(translated: Floats, images: Floats, name: str) -> None:
    """Raise FieldguideError unless translated texts are as wide as images."""
    if translated.shape[1] != images.shape[1]:
        raise FieldguideError(
            f"--name {name}: its features are {translated.shape[1]} wide, the images' {images.shape[1]}; "
            "take it out of conversion.translators"
        )


def on_source(files: SourceFiles, images: ImageTable, means: Floats, names: dict[str, str]) -> dict[str, Any]:
    """The measures of one text source on the target: as a whole, by class, by field and by word."""
    import numpy as np

    from fieldguide.texts.source import read_source
    from fieldguide.translators.conversion import place, summarise, word_effects

    source = read_source(files.name, files.table, files.translated, images)
    assert source.features is not None
    check_width(source.features, means, files.name)
    labels = source.labels
    placed = place(source.features, labels, means)
    table = read_csv(files.table, ("field", "text"))
    fields = [row["field"] or source.unit for row in table]

    def part(rows: Any) -> dict[str, Any]:
        return {"texts": len(rows), **told(summarise(placed, labels, rows))}

    effects = word_effects([row["text"] for row in table], placed.margin, labels, fields, WORD_AT_LEAST)
    log.info("%s: %d texts, %d words in %d or more", files.name, len(labels), len(effects), WORD_AT_LEAST)
    return {
        **part(np.arange(len(labels))),
        "classes": [
            {"class_id": class_id, "class_name": names[class_id], **part(np.flatnonzero(labels == label))}
            for label, class_id in enumerate(images.class_ids)
            if (labels == label).any()
        ],
        "fields": [
            {"field": field, **part(np.array([i for i, name in enumerate(fields) if name == field]))}
            for field in dict.fromkeys(fields)
        ],
        "words": [
            {
                "word": effect.word,
                "texts": effect.texts,
                "classes": effect.classes,
                "effect": round(effect.effect, 4),
                "t": round(effect.t, 3),
            }
            for effect in effects
        ],
    }


def measure(args: argparse.Namespace) -> None:
    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.translators.conversion import image_class_means

    images = read_images(args.records)
    names = {row["class_id"]: row["class_name"] for row in read_csv(args.classes, ("class_id", "class_name"))}
    test, labels, backbone = read_split(args.images, images, images.test_rows)
    if absent := [c for label, c in enumerate(images.class_ids) if label not in labels]:
        raise FieldguideError(f"{args.records}: class {absent[0]} has no test image, so it has no mean to stand beside")
    means = image_class_means(test, labels, len(images.class_ids))
    write_json(
        args.out,
        {
            "translator": args.name,
            "kind": args.kind or kind_of(args.translator),
            "backbone": backbone,
            "pairs": on_pairs(args),
            "sources": {files.name: on_source(files, images, means, names) for files in args.source},
        },
    )


def kind_of(fitted: Path) -> str:
    """The kind that a translator's file says."""
    from fieldguide.translators.translate_texts import read_translator

    return read_translator(fitted)[1]["translator"]


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translators.measure_conversion", __doc__)
    parser.add_argument("--name", required=True, help="the translator's name in the table")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--translator", type=Path, help="translator.safetensors")
    how.add_argument("--kind", choices=UNFITTED, help="a translator that is not fitted")
    parser.add_argument("--pairs", type=Path, required=True, help="CSV with image_id and caption")
    parser.add_argument(
        "--world-images", type=Path, nargs="+", required=True, help="the pairs' image features, in shards"
    )
    parser.add_argument(
        "--world-texts", type=Path, nargs="+", required=True, help="the pairs' text features, in shards"
    )
    parser.add_argument("--test-share", type=float, required=True, help="share of the pairs' images to measure on")
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="the target's image features, in shards")
    parser.add_argument(
        "--source",
        type=parse_source,
        action="append",
        default=[],
        metavar="NAME=TABLE=TRANSLATED",
        help="a text source and its translated features; repeatable",
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    imports = ("numpy", "torch") if needs_torch(parser.parse_args(argv).translator) else ("numpy",)
    run_stage("measure_conversion", measure, parser, argv, imports)


if __name__ == "__main__":
    main()
