"""Train the Q-Former on image/caption pairs (COCO): caption tokens to image feature. Stage 1 of the thesis.

  python -m fieldguide.translators.train_qformer --settings '{"kind": "qformer", "queries": 16, …}' \\
      --pairs records/pairs.csv --pair-images features/…/images/pairs/*.safetensors \\
      --pair-texts features/…/texts/pairs/*.safetensors --out translators/…/qformer

Writes translator.safetensors (the checkpoint with the best retrieval on held-out images), curve.csv and curve.svg.

A killed training goes on from `training.checkpoint` in the same folder and ends in the same weights, to the bit; a
checkpoint of other settings, inputs or code is ignored.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, return_large_blocks, run_stage
from fieldguide.translators.pairs import add_pair_options, read_encoded
from fieldguide.translators.settings import TrainQFormer

if TYPE_CHECKING:
    from fieldguide.translators.training import Progress, Training

CURVE_COLUMNS = ("step", "train_loss", "heldout_loss", "heldout_cosine", "heldout_r1")
CHECKPOINT = "training.checkpoint"
"""Beside the outputs and none of them: Snakemake deletes the outputs of a job that was killed."""


def train(args: argparse.Namespace) -> None:
    import torch

    from fieldguide.features.backbone import pick_device
    from fieldguide.features.store import save_tensors
    from fieldguide.features.tokens import TokenTable
    from fieldguide.translators.training import TokenPairs, Training, key_of, load_checkpoint

    settings = parse_settings(TrainQFormer, args.settings)
    return_large_blocks()
    read = read_encoded(args, ("rows",), settings.exclude, settings.test_share)
    tokens = TokenTable(args.pair_texts, "pooled" if settings.kind == "qformer-pooled" else "tokens")
    pairs = TokenPairs(read.image_of, read.texts["rows"], torch.from_numpy(read.images), tokens)
    device = pick_device(args.device)
    training = Training(settings, pairs, read.usable, device)
    key = key_of([*args.pair_images, *args.pair_texts], args.pairs, settings, args.threads, device)
    progress = load_checkpoint(args.out / CHECKPOINT, key, training)
    run_steps(training, progress, args.out / CHECKPOINT, key, args.checkpoint_seconds)

    about = {"translator": settings.kind, **read.about, **training.model.metadata()}
    save_tensors(args.out / "translator.safetensors", progress.best_state, about)
    rows = ({name: f"{value:.6g}" for name, value in row.items()} for row in progress.curve)
    write_csv(args.out / "curve.csv", CURVE_COLUMNS, rows)
    plot_curve(progress.curve, args.out / "curve.svg")
    (args.out / CHECKPOINT).unlink(missing_ok=True)


def run_steps(training: Training, progress: Progress, checkpoint: Path, key: str, seconds: float) -> None:
    """All steps that are left, with measurements in between and a checkpoint every so many seconds.

    Raises FieldguideError where the training diverges.
    """
    from fieldguide.translators.training import save_checkpoint

    settings, began = training.settings, progress.step
    started = saved = time.perf_counter()
    total, done = settings.steps * settings.batch, began * settings.batch
    with tqdm(total=total, initial=done, desc="train_qformer", unit="pair", unit_scale=True, disable=None) as bar:
        while progress.step < settings.steps:
            progress.running += training.learn(progress.step + 1)
            progress.step += 1
            bar.update(settings.batch)
            if progress.step % settings.evaluate_every == 0 or progress.step == settings.steps:
                found = training.measure()
                if not math.isfinite(found.loss):
                    checkpoint.unlink(missing_ok=True)  # it would diverge again
                    raise FieldguideError(
                        f"the training diverged before step {progress.step}; try a smaller lr than {settings.lr:g}"
                    )
                progress.record(found, training.model, CURVE_COLUMNS)
                line = "step %d: held-out loss %.4f, cosine %.4f, R@1 %.1f%%"
                log.info(line, progress.step, found.loss, found.cosine, found.r1)
            if time.perf_counter() - saved >= seconds:
                save_checkpoint(checkpoint, key, training, progress)
                saved = time.perf_counter()
    rate = (settings.steps - began) * settings.batch / (time.perf_counter() - started)
    log.info("%d steps over %d pairs, %.0f pairs a second", settings.steps, len(training.fit_rows), rate)


def plot_curve(curve: Sequence[dict[str, float]], path: Path) -> None:
    """Loss and held-out retrieval over training."""
    import matplotlib
    from matplotlib.figure import Figure

    from fieldguide.core.plotting import COLOURS, plain_axes, save_svg

    matplotlib.rcdefaults()
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [row["step"] for row in curve]
    left.plot(steps, [row["train_loss"] for row in curve], "--", color=COLOURS[1], label="training pairs")
    left.plot(steps, [row["heldout_loss"] for row in curve], color=COLOURS[0], label="held-out pairs")
    left.set(xlabel="optimiser step", ylabel="loss")
    left.legend(frameon=False)
    right.plot(steps, [row["heldout_r1"] for row in curve], color=COLOURS[0])
    right.set(xlabel="optimiser step", ylabel="R@1 on held-out images, %", ylim=(0, None))
    for axes in (left, right):
        plain_axes(axes)
    save_svg(figure, path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("translators.train_qformer", __doc__)
    add_pair_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    add_settings(parser, TrainQFormer)
    parser.add_argument("--checkpoint-seconds", type=float, default=60, help="time between checkpoints")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    # torch.optim brings torch._dynamo along; here it counts as start-up, not as work.
    run_stage("train_qformer", train, parser, argv, imports=("torch", "torch._dynamo"))


if __name__ == "__main__":
    main()
