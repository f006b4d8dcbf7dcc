"""One training of a Q-Former: its data, its steps and what they are judged by, and the checkpoint it goes on from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fieldguide.core.arrays import Ints
from fieldguide.core.files import atomic_path, sha256_of
from fieldguide.core.provenance import code_hash
from fieldguide.core.stage import log
from fieldguide.features.backbone import pick_precision
from fieldguide.features.tokens import TokenTable
from fieldguide.translators import retrieval
from fieldguide.translators.batches import BatchOrder
from fieldguide.translators.pairs import split_images
from fieldguide.translators.qformer import LossWeights, QFormer, QFormerSize, conversion_loss, pad_tokens
from fieldguide.translators.residual import fit_base
from fieldguide.translators.settings import QFormerSettings, TrainQFormer


@dataclass
class TokenPairs:
    """Pairs as the Q-Former reads them: which image and which distinct text each is; tokens stay on disk."""

    image_of: Ints  # (n,) row in `images` of each pair
    text_of: Ints  # (n,) row in `tokens` of each pair
    images: Tensor  # (m, d) float32, unit norm
    tokens: TokenTable

    @property
    def lengths(self) -> Ints:
        """(n,) tokens of each pair's caption."""
        found: Ints = self.tokens.lengths[self.text_of]
        return found

    def read(self, rows: Ints, longest: int | None = None) -> tuple[Tensor, Tensor]:
        """Token features (b, longest, width) of these pairs' captions and their mask, padded."""
        tokens, offsets = (torch.from_numpy(part) for part in self.tokens.take(self.text_of[rows]))
        return pad_tokens(tokens, offsets, torch.arange(len(rows)), longest)


def start_model(settings: QFormerSettings, pairs: TokenPairs, fit_rows: Ints) -> QFormer:
    """The model before its first step."""
    size = QFormerSize(
        token_width=pairs.tokens.width,
        image_width=pairs.images.shape[1],
        queries=settings.queries,
        layers=settings.layers,
        hidden=settings.hidden,
        heads=settings.heads,
        cross_attention_frequency=settings.cross_attention_frequency,
        dropout=settings.dropout,
        pooling=settings.pooling,
        residual=settings.residual != "none",
    )
    model = QFormer(size)
    if size.residual:
        text_of, image_of = pairs.text_of[fit_rows], pairs.image_of[fit_rows]
        weight, bias = fit_base(settings.residual, pairs.tokens, text_of, pairs.images, image_of)
        model.base.load_state_dict({"weight": weight, "bias": bias})
    return model


def start_optimiser(model: QFormer, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW, which decays matrices alone."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def rate_at(step: int, lr: float, warmup: int, steps: int) -> float:
    """The learning rate of a step, counted from 1: a linear warm-up under a cosine to zero."""
    return lr * min(1.0, step / max(1, warmup)) * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))


@dataclass(frozen=True)
class HeldOut:
    """Measures on the held-out pairs: loss, mean cosine, and R@1 in percent."""

    loss: float
    cosine: float
    r1: float


class Training:
    """A model with its optimiser, pairs to learn from and pairs held out to choose the checkpoint by."""

    def __init__(self, settings: QFormerSettings, pairs: TokenPairs, usable: Ints, device: torch.device) -> None:
        """`usable` (k,): the pairs that may be used, of both kinds. Draws the start from the seed of `settings`."""
        self.settings, self.pairs, self.device = settings, pairs, device
        lengths = pairs.lengths
        split = split_images(pairs.image_of[usable], settings.held_out, settings.seed)
        self.fit_rows, self.held_rows = (usable[rows] for rows in split)
        self.order = BatchOrder(
            rows=self.fit_rows,
            lengths=lengths[self.fit_rows],
            image_of=pairs.image_of[self.fit_rows],
            batch=settings.batch,
            window=settings.bucketing,
            one_caption=settings.captions == "one",
            seed=settings.seed,
        )
        torch.manual_seed(settings.seed)
        is_half = pick_precision(settings.precision, device) == "bf16"
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=is_half)
        self.model = start_model(settings, pairs, self.fit_rows).to(device).train()
        self.optimiser = start_optimiser(self.model, settings.lr, settings.weight_decay)
        self.weights = LossWeights(
            settings.cosine, settings.mse, settings.info_nce, settings.temperature, settings.correction
        )
        self.held_images = pairs.images[torch.from_numpy(pairs.image_of[self.held_rows])].to(device)
        self.held_longest = int(lengths[self.held_rows].max())

    def predict(self, rows: Ints, longest: int | None = None) -> tuple[Tensor, Tensor]:
        """Translated captions (b, d) of these pairs, float32, not yet normalised, and what the queries added."""
        tokens, mask = (part.to(self.device) for part in self.pairs.read(rows, longest))
        with self.autocast:
            correction = self.model.correction(tokens, mask).float()
        return self.model.linear(tokens, mask) + correction, correction

    def learn(self, step: int) -> float:
        """One optimiser step, counted from 1; returns its loss."""
        settings, rows = self.settings, self.order[step - 1]
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(step, settings.lr, settings.warmup, settings.steps)
        image_ids = torch.from_numpy(self.pairs.image_of[rows])
        texts, correction = self.predict(rows)
        images = self.pairs.images[image_ids].to(self.device)
        loss = conversion_loss(texts, images, image_ids.to(self.device), self.weights, correction)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimiser.step()
        return loss.item()

    def measure(self) -> HeldOut:
        """Measure the model as it is on the held-out pairs, each image among all of them."""
        self.model.eval()
        batch, own = self.settings.batch, np.arange(len(self.held_rows))
        with torch.inference_mode():
            # One length for all: a caption's result depends on its padding in the last bits.
            looks = [
                self.predict(self.held_rows[start : start + batch], self.held_longest)
                for start in range(0, len(own), batch)
            ]
            out, correction = (torch.cat(part) for part in zip(*looks, strict=True))
            image_ids = torch.from_numpy(own).to(self.device)
            loss = conversion_loss(out, self.held_images, image_ids, self.weights, correction)
            out = normalize(out, dim=-1)
        self.model.train()
        r1 = retrieval.recall_at(out.cpu().numpy(), self.held_images.cpu().numpy(), own, 1)
        return HeldOut(loss.item(), float((out * self.held_images).sum(1).mean()), r1)


@dataclass
class Progress:
    """How far a training is, and the best model so far; with the model and the optimiser, all that a step changes."""

    step: int = 0
    running: float = 0.0  # sum of the losses since the last look at held-out pairs
    curve: list[dict[str, float]] = field(default_factory=list)
    best: tuple[float, float] = (-1.0, -1.0)  # R@1 and cosine
    best_state: dict[str, Tensor] = field(default_factory=dict)

    def record(self, found: HeldOut, model: QFormer, columns: Sequence[str]) -> None:
        """Add a row of these columns to the curve, and keep the model if it is the best so far."""
        since = self.step - (int(self.curve[-1]["step"]) if self.curve else 0)
        row = (self.step, self.running / since, found.loss, found.cosine, found.r1)
        self.curve.append(dict(zip(columns, row, strict=True)))
        self.running = 0.0
        if (found.r1, found.cosine) > self.best:
            self.best = found.r1, found.cosine
            self.best_state = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}


def key_of(inputs: Sequence[Path], pairs: Path, settings: TrainQFormer, threads: int, device: torch.device) -> str:
    """What a training is of: its settings, its inputs and the code. Equal keys train equal weights, to the bit."""
    # Features are large; one that was made anew has another time.
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in inputs]
    code = code_hash(("translators.train_qformer",), Path(__file__).parents[2])
    whole: list[Any] = [settings.model_dump(mode="json"), threads, sha256_of(pairs), files, code]
    whole += [torch.__version__, device.type]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def save_checkpoint(path: Path, key: str, training: Training, progress: Progress) -> None:
    """Write everything, the generators of dropout too, under the key of what is trained."""
    kept = {
        "key": key,
        "model": training.model.state_dict(),
        "optimiser": training.optimiser.state_dict(),
        "progress": vars(progress),
        "generators": [torch.get_rng_state(), *torch.cuda.get_rng_state_all()],
    }
    with atomic_path(path) as temporary:
        torch.save(kept, temporary)


def load_checkpoint(path: Path, key: str, training: Training) -> Progress:
    """Take everything up again where the file is of the same key; otherwise say so and begin anew."""
    if not path.exists():
        return Progress()
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        if kept["key"] != key:
            log.info("%s is of other settings, inputs or code: beginning anew", path)
            return Progress()
    except Exception as error:  # whatever a damaged file makes torch raise
        log.warning("%s cannot be read (%s): beginning anew", path, str(error).splitlines()[0])
        return Progress()
    training.model.load_state_dict(kept["model"])
    training.optimiser.load_state_dict(kept["optimiser"])
    first, *others = kept["generators"]
    torch.set_rng_state(first)
    torch.cuda.set_rng_state_all(others)
    progress = Progress(**{**kept["progress"], "best": tuple(kept["progress"]["best"])})
    log.info("going on after step %d, from %s", progress.step, path)
    return progress
