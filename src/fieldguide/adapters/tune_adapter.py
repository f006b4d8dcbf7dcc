"""Choose a recipe's hyper-parameters, such as learning rate and weight decay, on held-out training images.

  python -m fieldguide.adapters.tune_adapter --records records/images.csv \\
      --images features/…/images/dataset/shard-1-of-1.safetensors \\
      --source reed texts/reed.csv translated/…/reed.safetensors \\
      --settings '{"learning_rates": [0.01, 0.1], "weight_decays": [0], "amount": 400,
                   "budget": "steps", "batch": 256, "validation": 0.2, "tuning_seeds": 2}' \\
      --out tuning/…/thesis/steps.json

Every trial trains on the rest of the training images at image shares 100, 50, 10 and 0 (image only, and mixed with each
text source, as far as the recipe goes), class-wise and fixed; the best mean accuracy over the ratios wins, in all
cells. With `"tune": "per-ratio", "ratios": [90, 50]` it is the best accuracy at each of these ratios, there. Every
recipe has as many trials: the thesis's are learning rates x weight decays, the others' their own. The test set is not
read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.adapters.settings import TuningSettings
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_json
from fieldguide.core.stage import add_settings, new_parser, run_stage
from fieldguide.texts.options import add_source_option


def tune(args: argparse.Namespace) -> None:
    from fieldguide.adapters.inputs import read_data_set, read_sources
    from fieldguide.adapters.tuning import TooFewImagesError, choose_hyperparameters
    from fieldguide.core.settings import parse_settings

    settings = parse_settings(TuningSettings, args.settings)
    data = read_data_set(args.records, args.images)
    sources = read_sources(args.source, settings.recipe, data, settings.replies)
    try:
        chosen = choose_hyperparameters(data.train, sources, settings)
    except TooFewImagesError as error:
        raise FieldguideError(f"{args.records}: {error}") from error
    write_json(args.out, chosen)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("adapters.tune_adapter", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    add_source_option(parser)
    add_settings(parser, TuningSettings)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("tune_adapter", tune, build_parser(), argv, imports=("numpy",))


if __name__ == "__main__":
    main()
