"""Train one cell's adapters, all seeds at once, and score them on the test images.

  python -m fieldguide.adapters.train_adapter --records records/images.csv \\
      --images features/…/images/dataset/shard-1-of-1.safetensors --plan plans/class-wise.json \\
      --tuning tuning/…/thesis/steps.json --source reed texts/reed.csv translated/…/reed.safetensors \\
      --settings '{"ratio": 10, "translator": "qformer", "seeds": [0, 1, 2],
                   "budget": "steps", "amount": 400, "batch": 256}' \\
      --weights adapters/…/ratio-10.safetensors --out adapters/…/ratio-10.json

Without --source the cell is image only. `recipe` says how it is trained (`fieldguide.adapters.recipes.registry` lists
them; default the thesis's). With `tune` within-cell its hyper-parameters are chosen here, seed by seed, by
cross-validation over the cell's own images, among `learning_rates` x `weight_decays` or as many trials of the recipe's
own; otherwise --tuning names them. Beside the result, --weights keeps the trained layers with what `fieldguide
classify` needs to use them, and `ratio-10.correct.safetensors` which test images each run names rightly.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.adapters.settings import CellSettings
from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.texts.options import add_source_option

ENCODER = ("model", "pretrained", "precision", "preprocessing", "preprocessing_given", "weights", "dtype")
"""What image features say of the encoder that made them; another photograph has to go through the same one."""


def train(args: argparse.Namespace) -> None:
    from fieldguide.adapters.correctness import write_correctness
    from fieldguide.adapters.inputs import (
        read_choice,
        read_class_names,
        read_data_set,
        read_plan,
        read_sources,
    )
    from fieldguide.adapters.plans import Drawer
    from fieldguide.adapters.results import NONE
    from fieldguide.adapters.training import CellInputs, check_cell, train_cell
    from fieldguide.adapters.tuning import choose_within_cell
    from fieldguide.core.settings import parse_settings
    from fieldguide.features.store import save_tensors
    from fieldguide.texts.naming import classify_naming
    from fieldguide.texts.table import read_texts

    cell = parse_settings(CellSettings, args.settings)
    if len(args.source) > 1:
        raise FieldguideError("a cell has one text source: give --source once")
    check_cell(cell, has_text=bool(args.source))
    within = cell.tune == "within-cell"
    choice = None if within else read_choice(args.tuning, cell.recipe, cell.ratio)
    data = read_data_set(args.records, args.images)
    plan = read_plan(args.plan, data.images, cell.seeds)
    sources = read_sources(args.source, cell.recipe, data, cell.replies)
    names = classify_naming(read_texts(args.source[0].table)) if sources else NONE
    class_names = read_class_names(args.classes, data.images.class_ids)
    drawer = Drawer(data.train.labels, plan.sampling, plan.orders)
    source = sources[0] if sources else None
    inputs = CellInputs(
        data.train,
        data.read_test(),
        data.features.backbone,
        drawer,
        source,
        names,
        choice or choose_within_cell(data.train, drawer, source, cell),
    )

    trained = train_cell(inputs, cell, args.threads)

    result = trained.result
    about = {
        **{key: value for key, value in data.features.about.items() if key in ENCODER},
        "backbone": data.features.backbone,
        "classes": "\n".join(data.images.class_ids),
        "class_names": "\n".join(class_names),
        "dataset": cell.dataset,
        "recipe": cell.recipe,
        "text_source": result.text_source,
    }
    save_tensors(args.weights, trained.classifier.tensors(), about)
    write_correctness(args.out, trained.predicted, inputs.test.labels, inputs.test.ids)
    result.write(args.out)
    log.info(
        "%d examples an epoch, %d steps, test accuracy per seed: %s",
        result.examples_per_epoch,
        result.optimiser_steps,
        list(result.accuracy),
    )


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("adapters.train_adapter", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--plan", type=Path, required=True, help="plans/<sampling>.json")
    parser.add_argument("--tuning", type=Path, help="JSON of tune_adapter, for a recipe that has something to choose")
    parser.add_argument("--classes", type=Path, help="records/classes.csv: the classes' names; default: their ids")
    add_source_option(parser)
    add_settings(parser, CellSettings)
    parser.add_argument(
        "--weights", type=Path, required=True, help="safetensors file for the layers, (seeds, classes, d)"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("train_adapter", train, build_parser(), argv, imports=("numpy", "safetensors.numpy"))


if __name__ == "__main__":
    main()
