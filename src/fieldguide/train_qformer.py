"""Train the Q-Former on image/caption pairs (COCO): caption tokens to image feature. Stage 1 of the thesis.

  python -m fieldguide.train_qformer --pairs records/pairs.csv --images features/…/images/world/*.safetensors \\
      --texts features/…/texts/world/*.safetensors --out translators/…/qformer

Writes translator.safetensors (the checkpoint with the best retrieval on held-out images), curve.csv and curve.svg.
`--exclude REGEX` leaves out every image one of whose captions matches: a translator that never saw a bird.
"""

from __future__ import annotations

import argparse
import math
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import trange

from fieldguide.backbone import pick_device
from fieldguide.errors import FieldguideError
from fieldguide.features import TokenTable, check_same_backbone, kept_dtype, read_features, save_tensors
from fieldguide.files import read_columns, write_csv
from fieldguide.pairs import excluded_images, measured_images, split_images
from fieldguide.plans import generator
from fieldguide.stage import log, new_parser, return_large_blocks, run_stage
from fieldguide.translators.qformer_pooled import PooledTokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CURVE_COLUMNS = ("step", "train_loss", "heldout_loss", "heldout_cosine", "heldout_r1")


def train(args: argparse.Namespace) -> None:
    import numpy as np
    import torch

    from fieldguide.qformer import QFormer, QFormerSize, conversion_loss, pad_tokens, retrieval_at

    return_large_blocks()
    captions: list[str] = []
    number: dict[str, int] = {}
    image_rows = array("q")
    for image_id, caption in read_columns(args.pairs, ("image_id", "caption")):
        image_rows.append(number.setdefault(image_id, len(number)))
        captions.append(caption)
    image_of = np.array(image_rows)
    images, about_images = read_features(args.images, list(number))
    texts, about_texts = read_features(args.texts, captions, "np", ("rows",))
    backbone = check_same_backbone((args.images[0], about_images), (args.texts[0], about_texts))
    tokens = (
        PooledTokens(read_features(args.texts, None, "np", ("pooled",))[0]["pooled"])
        if args.kind == "qformer-pooled"
        else TokenTable(args.texts)
    )
    usable = np.flatnonzero(~np.isin(image_of, measured_images(list(number), args.test_share)))
    if args.exclude:
        unseen = excluded_images(image_of, captions, args.exclude)
        usable = usable[~np.isin(image_of[usable], unseen)]
        log.info("left out %d of %d images whose captions match %s", len(unseen), len(number), args.exclude)
    del captions
    if len(np.unique(image_of[usable])) < 2:
        raise FieldguideError(f"{args.pairs}: fewer than two images to train on and hold out")
    fit_rows, held_rows = (usable[rows] for rows in split_images(image_of[usable], args.held_out, args.seed))

    torch.manual_seed(args.seed)
    device = pick_device(args.device)
    size = QFormerSize(
        token_width=tokens.width,
        image_width=images["features"].shape[1],
        queries=args.queries,
        layers=args.layers,
        hidden=args.hidden,
        heads=args.heads,
        cross_attention_frequency=args.cross_attention_frequency,
        dropout=args.dropout,
    )
    model = QFormer(size).to(device)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=args.lr)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

    held_images = images["features"][torch.from_numpy(image_of[held_rows])].to(device)
    held_longest = int(tokens.lengths[texts["rows"][held_rows]].max())
    truth = torch.arange(len(held_rows), device=device)

    def caption_tokens(rows: NDArray[np.int64], longest: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Token features of these captions and their mask, padded, on the device."""
        some, offsets = (torch.from_numpy(part) for part in tokens.take(texts["rows"][rows]))
        padded, mask = pad_tokens(some, offsets, torch.arange(len(rows)), longest)
        return padded.to(device), mask.to(device)

    def measure() -> tuple[float, float, float]:
        """Loss, mean cosine and R@1 on the held-out pairs."""
        model.eval()
        parts = (held_rows[start : start + args.batch] for start in range(0, len(held_rows), args.batch))
        with torch.inference_mode():
            # One length for all: a caption's result depends on its padding in the last bits.
            out = torch.cat([model(*caption_tokens(part, held_longest)).float() for part in parts])
            loss = conversion_loss(out, held_images, truth, args.info_nce, args.temperature)
        model.train()
        return loss.item(), float((out * held_images).sum(1).mean()), retrieval_at(out, held_images, truth, 1)

    curve: list[dict[str, float]] = []
    best, best_state = (-1.0, -1.0), {}
    order, epoch, running = np.empty(0, np.int64), 0, 0.0
    clock = time.perf_counter()
    with trange(1, args.steps + 1, desc="train_qformer", unit="step", disable=None) as bar:
        for step in bar:
            if len(order) < args.batch:
                order = np.concatenate([order, generator(args.seed, "pairs", epoch).permutation(fit_rows)])
                epoch += 1
            rows, order = order[: args.batch], order[args.batch :]
            warm = min(1.0, step / max(1, args.warmup))
            for group in optimiser.param_groups:
                group["lr"] = args.lr * warm * 0.5 * (1 + math.cos(math.pi * (step - 1) / args.steps))
            target = torch.from_numpy(image_of[rows])
            true = images["features"][target].to(device)
            with autocast:
                out = model(*caption_tokens(rows)).float()
            loss = conversion_loss(out, true, target.to(device), args.info_nce, args.temperature)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            running += loss.item()
            if step % args.evaluate_every == 0 or step == args.steps:
                held_loss, cosine, r1 = measure()
                if not math.isfinite(held_loss):
                    raise FieldguideError(
                        f"the training diverged before step {step}; try a smaller --lr than {args.lr:g}"
                    )
                steps = step - (int(curve[-1]["step"]) if curve else 0)
                curve.append(dict(zip(CURVE_COLUMNS, (step, running / steps, held_loss, cosine, r1), strict=True)))
                running = 0.0
                log.info("step %d: held-out loss %.4f, cosine %.4f, R@1 %.1f%%", step, held_loss, cosine, r1)
                if (r1, cosine) > best:
                    best, best_state = (r1, cosine), {k: v.cpu().clone() for k, v in model.state_dict().items()}
    seconds = time.perf_counter() - clock
    log.info(
        "%d steps over %d pairs, %.0f pairs a second", args.steps, len(fit_rows), args.steps * args.batch / seconds
    )

    about = {"translator": args.kind, "backbone": backbone, **kept_dtype(about_texts), **model.metadata()}
    save_tensors(args.out / "translator.safetensors", best_state, about)
    write_csv(args.out / "curve.csv", CURVE_COLUMNS, ({k: f"{v:.6g}" for k, v in row.items()} for row in curve))
    plot_curve(curve, args.out / "curve.svg")


def plot_curve(curve: Sequence[dict[str, float]], path: Path) -> None:
    """Loss and held-out retrieval over training."""
    import matplotlib
    from matplotlib.figure import Figure

    from fieldguide.plotting import COLOURS, plain_axes, save_svg

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


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("train_qformer", __doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="CSV with image_id and caption")
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, help="image features of those pairs, in shards"
    )
    parser.add_argument(
        "--texts", type=Path, nargs="+", required=True, help="text features of those captions, in shards"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--exclude", default="", help="leave out images with a caption that matches this expression")
    kinds = ("qformer", "qformer-pooled")
    parser.add_argument(
        "--kind", choices=kinds, default=kinds[0], help="qformer-pooled: the pooled feature is the only token"
    )
    parser.add_argument("--test-share", type=float, default=0.0, help="share of images left out, to measure on")
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--cross-attention-frequency", type=int, default=2, help="cross-attention every n-th layer")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=20_000, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=512, help="pairs per step")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--warmup", type=int, default=1000, help="steps of linear warm-up")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--info-nce", type=float, default=1.0, help="weight of InfoNCE beside the cosine loss")
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument("--held-out", type=float, default=0.05, help="share of images that chooses the checkpoint")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps between held-out measurements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    # torch.optim brings torch._dynamo along; here it counts as start-up, not as work.
    run_stage("train_qformer", train, build_parser(), argv, imports=("torch", "torch._dynamo"))


if __name__ == "__main__":
    main()
