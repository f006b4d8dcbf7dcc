"""Train the Q-Former on image/caption pairs (COCO): caption tokens to image feature. Stage 1 of the thesis.

  python -m fieldguide.translators.train_qformer --pairs records/pairs.csv --images features/…/images/pairs/*.safetensors \\
      --texts features/…/texts/pairs/*.safetensors --out translators/…/qformer

Writes translator.safetensors (the checkpoint with the best retrieval on held-out images), curve.csv and curve.svg.
`--exclude REGEX` leaves out every image one of whose captions matches: a translator that never saw a bird.
`--kind qformer-pooled` reads the pooled text feature as a single token.

A killed training goes on from `training.checkpoint` in the same folder and ends in the same weights, to the bit; a
checkpoint of other settings, inputs or code is ignored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import atomic_path, sha256_of, write_csv
from fieldguide.core.provenance import code_hash
from fieldguide.core.stage import log, new_parser, return_large_blocks, run_stage
from fieldguide.features.backbone import pick_device, pick_precision
from fieldguide.features.store import check_same_backbone, kept_dtype, read_features, save_tensors
from fieldguide.features.tokens import TokenTable
from fieldguide.translators.pairs import read_pairs, split_images, usable_pairs

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fieldguide.translators.qformer import QFormer

CURVE_COLUMNS = ("step", "train_loss", "heldout_loss", "heldout_cosine", "heldout_r1")
POOLINGS = ("mean", "first", "concat")
EXACT, RIDGE, TOWARDS_TEXT = 1e-6, 1e-2, 5.0
"""Penalties, in units of the inputs' mean variance: from a caption's last token to its pooled feature, which CLIP makes
by a linear map; from it to the image; and from the pooled feature to the image, towards the pooled feature itself."""
CHECKPOINT = "training.checkpoint"
"""Beside the outputs and none of them: Snakemake deletes the outputs of a job that was killed."""


@dataclass
class Pairs:
    """The world's pairs: which image and which distinct text each is, and their features; tokens stay on disk."""

    image_of: NDArray[np.int64]  # (n,) row in `images` of each pair
    text_of: NDArray[np.int64]  # (n,) row in `tokens` of each pair
    images: torch.Tensor  # (m, d) float32, unit norm
    tokens: TokenTable
    usable: NDArray[np.int64]  # pairs that are not excluded
    about: dict[str, str]  # what the trained file says of them

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each pair's caption."""
        found: NDArray[np.int64] = self.tokens.lengths[self.text_of]
        return found

    def read(self, rows: NDArray[np.int64], longest: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Token features of these pairs' captions and their mask, padded."""
        import torch

        from fieldguide.translators.qformer import pad_tokens

        tokens, offsets = (torch.from_numpy(part) for part in self.tokens.take(self.text_of[rows]))
        return pad_tokens(tokens, offsets, torch.arange(len(rows)), longest)


def read_world(args: argparse.Namespace) -> Pairs:
    """What the command line names; raises FieldguideError where it does not fit together or is too little."""
    import torch

    image_ids, captions, image_of = read_pairs(args.pairs)
    images, about_images = read_features(args.images, image_ids)
    texts, about_texts = read_features(args.texts, captions, names=("rows",))
    backbone = check_same_backbone((args.images[0], about_images), (args.texts[0], about_texts))
    usable = usable_pairs(args.pairs, image_ids, captions, image_of, args.exclude, args.test_share)
    tokens = TokenTable(args.texts, "pooled" if args.kind == "qformer-pooled" else "tokens")
    about = {"backbone": backbone, **kept_dtype(about_texts)}
    return Pairs(image_of, texts["rows"], torch.from_numpy(images["features"]), tokens, usable, about)


@dataclass
class Training:
    """All that a step changes, so that a training can be stopped after any and go on."""

    model: QFormer
    optimiser: torch.optim.Optimizer
    step: int = 0
    running: float = 0.0  # sum of the losses since the last look at held-out pairs
    curve: list[dict[str, float]] = field(default_factory=list)
    best: tuple[float, float] = (-1.0, -1.0)  # R@1 and cosine
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)

    def save(self, path: Path, key: str) -> None:
        """Write everything, the generators of dropout too, under the key of what is trained."""
        import torch

        kept = {
            "key": key,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "running": self.running,
            "curve": self.curve,
            "best": self.best,
            "best_state": self.best_state,
            "generators": [torch.get_rng_state(), *torch.cuda.get_rng_state_all()],
        }
        with atomic_path(path) as beside:
            torch.save(kept, beside)

    def load(self, path: Path, key: str) -> None:
        """Take everything up again where the file is of the same key; otherwise say so and begin anew."""
        import torch

        if not path.exists():
            return
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            if kept["key"] != key:
                log.info("%s is of other settings, inputs or code: beginning anew", path)
                return
        except Exception as error:  # whatever a damaged file makes torch raise
            log.warning("%s cannot be read (%s): beginning anew", path, str(error).splitlines()[0])
            return
        self.model.load_state_dict(kept["model"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.step, self.running, self.curve = kept["step"], kept["running"], kept["curve"]
        self.best, self.best_state = tuple(kept["best"]), kept["best_state"]
        first, *others = kept["generators"]
        torch.set_rng_state(first)
        torch.cuda.set_rng_state_all(others)
        log.info("going on after step %d, from %s", self.step, path)


def key_of(args: argparse.Namespace, device: torch.device) -> str:
    """What a training is of: its settings, its inputs and the code. Equal keys train equal weights, to the bit."""
    import torch

    ignored = ("out", "pairs", "images", "texts", "checkpoint_seconds", "device")
    settings = {name: value for name, value in vars(args).items() if name not in ignored}
    # Features are large; one that was made anew has another time.
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in (*args.images, *args.texts)]
    code = code_hash(("translators.train_qformer",), Path(__file__).parents[2])
    whole = [settings, sha256_of(args.pairs), files, code, torch.__version__, device.type]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def start_model(args: argparse.Namespace, pairs: Pairs, fit_rows: NDArray[np.int64]) -> QFormer:
    """The model before its first step."""
    from fieldguide.translators.qformer import QFormer, QFormerSize

    size = QFormerSize(
        token_width=pairs.tokens.width,
        image_width=pairs.images.shape[1],
        queries=args.queries,
        layers=args.layers,
        hidden=args.hidden,
        heads=args.heads,
        cross_attention_frequency=args.cross_attention_frequency,
        dropout=args.dropout,
        pooling=args.pooling,
        residual=args.residual != "none",
    )
    model = QFormer(size)
    if size.residual:
        weight, bias = fit_base(args.residual, pairs, fit_rows)
        model.base.load_state_dict({"weight": weight, "bias": bias})
    return model


def fit_base(residual: str, pairs: Pairs, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the linear map that a residual Q-Former corrects, from each caption's last token.

    `ridge`: to the image feature. `text`: to the pooled text feature, and from there to the image feature by a ridge
    regression towards what the pooled feature is anyway.
    """
    import torch

    from fieldguide.translators.qformer import LeastSquares

    pooled = TokenTable(pairs.tokens.paths, "pooled")
    to_image = LeastSquares(pairs.tokens.width if residual == "ridge" else pooled.width, pairs.images.shape[1])
    to_text = LeastSquares(pairs.tokens.width, pooled.width)
    for start in range(0, len(rows), 4096):
        some = rows[start : start + 4096]
        last = torch.from_numpy(pairs.tokens.take(pairs.text_of[some], only_last=True)[0]).float()
        images = pairs.images[torch.from_numpy(pairs.image_of[some])]
        if residual == "ridge":
            to_image.add(last, images)
        else:
            text = torch.from_numpy(pooled.take(pairs.text_of[some])[0])
            to_text.add(last, text)
            to_image.add(text, images)
    if residual == "ridge":
        return to_image.solve(RIDGE)
    first, second = to_text.solve(EXACT), to_image.solve(TOWARDS_TEXT, towards_inputs=True)
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def start_optimiser(model: QFormer, args: argparse.Namespace) -> torch.optim.Optimizer:
    """AdamW, which decays matrices alone."""
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": args.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=args.lr)


def rate_at(step: int, lr: float, warmup: int, steps: int) -> float:
    """The learning rate of a step, counted from 1: a linear warm-up under a cosine to zero."""
    return lr * min(1.0, step / max(1, warmup)) * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))


def train(args: argparse.Namespace) -> None:
    import torch

    from fieldguide.translators.batches import BatchOrder
    from fieldguide.translators.qformer import LossWeights, conversion_loss, retrieval_at

    return_large_blocks()
    pairs = read_world(args)
    image_of, lengths = pairs.image_of, pairs.lengths
    fit_rows, held_rows = (
        pairs.usable[rows] for rows in split_images(image_of[pairs.usable], args.held_out, args.seed)
    )
    order = BatchOrder(
        rows=fit_rows,
        lengths=lengths[fit_rows],
        image_of=image_of[fit_rows],
        batch=args.batch,
        window=args.bucketing,
        one_caption=args.captions == "one",
        seed=args.seed,
    )
    torch.manual_seed(args.seed)
    device = pick_device(args.device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=pick_precision(args.precision, device) == "bf16")
    model = start_model(args, pairs, fit_rows).to(device)
    now = Training(model, start_optimiser(model, args))
    checkpoint, key = args.out / CHECKPOINT, key_of(args, device)
    now.load(checkpoint, key)

    weights = LossWeights(args.cosine, args.mse, args.info_nce, args.temperature, args.correction)
    held_images = pairs.images[torch.from_numpy(image_of[held_rows])].to(device)
    held_longest = int(lengths[held_rows].max())
    truth = torch.arange(len(held_rows), device=device)

    def predict(rows: NDArray[np.int64], longest: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Translated captions of these pairs, float32, not yet normalised, and what the queries added to them."""
        tokens, mask = (part.to(device) for part in pairs.read(rows, longest))
        with autocast:
            correction = model.correction(tokens, mask).float()
        return model.linear(tokens, mask) + correction, correction

    def measure() -> tuple[float, float, float]:
        """Loss, mean cosine and R@1 on the held-out pairs."""
        model.eval()
        parts = (held_rows[start : start + args.batch] for start in range(0, len(held_rows), args.batch))
        with torch.inference_mode():
            # One length for all: a caption's result depends on its padding in the last bits.
            looks = [predict(part, held_longest) for part in parts]
            out, correction = (torch.cat(part) for part in zip(*looks, strict=True))
            loss = conversion_loss(out, held_images, truth, weights, correction)
            out = torch.nn.functional.normalize(out, dim=-1)
        model.train()
        return loss.item(), float((out * held_images).sum(1).mean()), retrieval_at(out, held_images, truth, 1)

    def learn(step: int) -> float:
        """One optimiser step; returns its loss."""
        rows = order[step - 1]
        for group in now.optimiser.param_groups:
            group["lr"] = rate_at(step, args.lr, args.warmup, args.steps)
        target = torch.from_numpy(image_of[rows])
        texts, correction = predict(rows)
        images = pairs.images[target].to(device)
        loss = conversion_loss(texts, images, target.to(device), weights, correction)
        now.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        now.optimiser.step()
        return loss.item()

    def look(step: int) -> None:
        """Measure on the held-out pairs, and keep the model if it is the best so far."""
        held_loss, cosine, r1 = measure()
        if not math.isfinite(held_loss):
            checkpoint.unlink(missing_ok=True)  # it would diverge again
            raise FieldguideError(f"the training diverged before step {step}; try a smaller --lr than {args.lr:g}")
        since = step - (int(now.curve[-1]["step"]) if now.curve else 0)
        now.curve.append(dict(zip(CURVE_COLUMNS, (step, now.running / since, held_loss, cosine, r1), strict=True)))
        now.running = 0.0
        log.info("step %d: held-out loss %.4f, cosine %.4f, R@1 %.1f%%", step, held_loss, cosine, r1)
        if (r1, cosine) > now.best:
            now.best, now.best_state = (r1, cosine), {k: v.cpu().clone() for k, v in model.state_dict().items()}

    model.train()
    began, clock = now.step, time.perf_counter()
    saved = clock
    total, done = args.steps * args.batch, now.step * args.batch
    with tqdm(total=total, initial=done, desc="train_qformer", unit="pair", unit_scale=True, disable=None) as bar:
        while now.step < args.steps:
            now.running += learn(now.step + 1)
            now.step += 1
            bar.update(args.batch)
            if now.step % args.evaluate_every == 0 or now.step == args.steps:
                look(now.step)
            if time.perf_counter() - saved >= args.checkpoint_seconds:
                now.save(checkpoint, key)
                saved = time.perf_counter()
    rate = (args.steps - began) * args.batch / (time.perf_counter() - clock)
    log.info("%d steps over %d pairs, %.0f pairs a second", args.steps, len(fit_rows), rate)

    about = {"translator": args.kind, **pairs.about, **model.metadata()}
    save_tensors(args.out / "translator.safetensors", now.best_state, about)
    write_csv(args.out / "curve.csv", CURVE_COLUMNS, ({k: f"{v:.6g}" for k, v in row.items()} for row in now.curve))
    plot_curve(now.curve, args.out / "curve.svg")
    checkpoint.unlink(missing_ok=True)


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


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translators.train_qformer", __doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="CSV with image_id and caption")
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, help="image features of those pairs, in shards"
    )
    parser.add_argument(
        "--texts", type=Path, nargs="+", required=True, help="text features of those captions, in shards"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--exclude", default="", help="leave out images with a caption that matches this expression")
    parser.add_argument(
        "--kind",
        choices=("qformer", "qformer-pooled"),
        default="qformer",
        help="what is read: the caption's tokens, or its pooled feature as the only one",
    )
    parser.add_argument("--test-share", type=float, default=0.0, help="share of images left out, to measure on")
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--cross-attention-frequency", type=int, default=2, help="cross-attention every n-th layer")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--pooling", choices=POOLINGS, default="mean", help="how the queries become one")
    parser.add_argument(
        "--residual",
        choices=("none", "text", "ridge"),
        default="none",
        help="what the queries correct: nothing, ridge towards the text feature, or plain ridge",
    )
    parser.add_argument("--correction", type=float, default=0.0, help="weight of the correction's squared norm")
    parser.add_argument("--steps", type=int, default=20_000, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=512, help="pairs per step")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--warmup", type=int, default=1000, help="steps of linear warm-up")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of a step's gradient")
    parser.add_argument("--cosine", type=float, default=1.0, help="weight of the cosine loss")
    parser.add_argument("--mse", type=float, default=0.0, help="weight of the squared distance before normalisation")
    parser.add_argument("--info-nce", type=float, default=1.0, help="weight of InfoNCE")
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument(
        "--captions",
        choices=("all", "one"),
        default="all",
        help="an epoch is every pair, or every image with one of its captions, drawn anew",
    )
    parser.add_argument(
        "--bucketing", type=int, default=16, help="sort captions by length within so many batches; 1: not at all"
    )
    parser.add_argument("--held-out", type=float, default=0.05, help="share of images that chooses the checkpoint")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps between held-out measurements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of the forward pass")
    parser.add_argument("--checkpoint-seconds", type=float, default=60, help="time between checkpoints")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    # torch.optim brings torch._dynamo along; here it counts as start-up, not as work.
    run_stage("train_qformer", train, build_parser(), argv, imports=("torch", "torch._dynamo"))


if __name__ == "__main__":
    main()
