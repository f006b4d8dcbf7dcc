"""Measure how accurately one translator turns texts into image features: on pairs it never saw, and on the data set.

  python -m fieldguide.translators.measure_conversion --name ridge \\
      --translator translators/…/ridge/translator.safetensors --settings '{"test_share": 0.05}' \\
      --pairs records/pairs.csv --pair-images features/…/images/pairs/*.safetensors \\
      --pair-texts features/…/texts/pairs/*.safetensors \\
      --records records/images.csv --classes records/classes.csv --images features/…/images/dataset/*.safetensors \\
      --source reed texts/reed.csv translated/…/ridge/reed.safetensors --out conversion/…/ridge.json

The JSON (`results.ConversionResult`) holds every measure with the half-width of its 95% interval: of the pairs, and of
each text source as a whole, by class, by field and by word. What they mean is said in `translators.conversion`. Class
means are those of test images, whose captions are never used.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.translators.pairs import add_pair_options, measured_images, read_pairs
from fieldguide.translators.results import (
    ClassMeasures,
    ConversionResult,
    FieldMeasures,
    Measure,
    PairMeasures,
    SourceMeasures,
    WordMeasures,
)
from fieldguide.translators.settings import MeasureConversion
from fieldguide.translators.translate_texts import (
    UNFITTED,
    add_translator_option,
    needs_torch,
    read_translator,
    run_translator,
)

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats
    from fieldguide.features.labelled import ImageTable
    from fieldguide.texts.source import TextSource
    from fieldguide.translators.conversion import Estimate

WORD_AT_LEAST = 20
"""Texts that a word has to be in, to be measured."""


def rounded(measures: dict[str, Estimate]) -> dict[str, Any]:
    """Measures as the result holds them."""
    found: dict[str, Measure] = {name: estimate.rounded() for name, estimate in measures.items()}
    return found


def check_width(translated: Floats, images: Floats, name: str) -> None:
    """Raise FieldguideError unless translated texts are as wide as images."""
    if translated.shape[1] != images.shape[1]:
        raise FieldguideError(
            f"--name {name}: its features are {translated.shape[1]} wide, the images' {images.shape[1]}; "
            "take it out of conversion.translators"
        )


def measure_on_pairs(args: argparse.Namespace, test_share: float) -> PairMeasures:
    """The measures on the pairs' images that no translator learnt from."""
    import numpy as np

    from fieldguide.features.store import check_same_backbone, read_features
    from fieldguide.translators.conversion import measure_pairs

    image_ids, captions, image_of = read_pairs(args.pairs)
    kept = measured_images(image_ids, test_share)
    if len(kept) < 2:
        raise FieldguideError(
            f"{args.pairs}: {len(kept)} of {len(image_ids)} images are kept for measuring, and it takes two; "
            f"raise pairs.test_share above {test_share:g}"
        )
    rows = np.flatnonzero(np.isin(image_of, kept))
    images, about_images = read_features(args.pair_images, image_ids)
    translated, about = run_translator(args.translator, args.pair_texts, captions, rows, device=args.device)
    check_same_backbone((args.pair_images[0], about_images), (args.pair_texts[0], about))
    check_width(translated, images["features"], args.name)
    log.info("%d captions of %d images that no translator learns from", len(rows), len(kept))
    measures = measure_pairs(translated, images["features"][kept], np.searchsorted(kept, image_of[rows]))
    return PairMeasures(captions=len(rows), images=len(kept), **rounded(measures))


def measure_source(
    source: TextSource, table: Path, images: ImageTable, means: Floats, names: dict[str, str]
) -> SourceMeasures:
    """The measures of one text source among class means (c, d): as a whole, by class, by field and by word."""
    import numpy as np

    from fieldguide.translators.conversion import place, summarise, word_effects

    assert source.features is not None
    check_width(source.features, means, source.name)
    labels = source.labels
    placed = place(source.features, labels, means)
    rows = read_csv(table, ("field", "text"))
    fields = np.array([row["field"] or source.unit for row in rows])

    def part(rows: Any) -> dict[str, Any]:
        return {"texts": len(rows), **rounded(summarise(placed, labels, rows))}

    effects = word_effects([row["text"] for row in rows], placed.margin, labels, fields.tolist(), WORD_AT_LEAST)
    log.info("%s: %d texts, %d words in %d or more", source.name, len(labels), len(effects), WORD_AT_LEAST)
    return SourceMeasures(
        **part(np.arange(len(labels))),
        classes=tuple(
            ClassMeasures(class_id=class_id, class_name=names[class_id], **part(np.flatnonzero(labels == label)))
            for label, class_id in enumerate(images.class_ids)
            if (labels == label).any()
        ),
        fields=tuple(
            FieldMeasures(field=field, **part(np.flatnonzero(fields == field)))
            for field in dict.fromkeys(fields.tolist())
        ),
        words=tuple(
            WordMeasures(
                word=effect.word,
                texts=effect.texts,
                classes=effect.classes,
                effect=round(effect.effect, 4),
                t=round(effect.t, 3),
            )
            for effect in effects
        ),
    )


def measure(args: argparse.Namespace) -> None:
    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.texts.source import read_source
    from fieldguide.translators.conversion import image_class_means

    settings = parse_settings(MeasureConversion, args.settings)
    images = read_images(args.records)
    names = {row["class_id"]: row["class_name"] for row in read_csv(args.classes, ("class_id", "class_name"))}
    test, labels, backbone = read_split(args.images, images, images.test_rows)
    if absent := [c for label, c in enumerate(images.class_ids) if label not in labels]:
        raise FieldguideError(
            f"{args.records}: class {absent[0]} has no test image, so there is no image mean to compare with"
        )
    means = image_class_means(test, labels, len(images.class_ids))
    sources = {name: (Path(table), Path(translated)) for name, table, translated in args.source}
    ConversionResult(
        translator=args.name,
        kind=read_translator(args.translator)[1]["translator"] if args.translator else UNFITTED,
        backbone=backbone,
        pairs=measure_on_pairs(args, settings.test_share),
        sources={
            name: measure_source(read_source(name, table, translated, images), table, images, means, names)
            for name, (table, translated) in sources.items()
        },
    ).write(args.out)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translators.measure_conversion", __doc__)
    parser.add_argument("--name", required=True, help="the translator's name in the table")
    add_translator_option(parser)
    add_pair_options(parser)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="its image features, in shards")
    parser.add_argument(
        "--source",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "TABLE", "TRANSLATED"),
        help="a text source: its name, its table and its translated features; repeatable",
    )
    add_settings(parser, MeasureConversion)
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
