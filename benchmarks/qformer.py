"""The Q-Former's training beside transformers' `Blip2QFormerModel`, and what length bucketing adds, in one run.

Training pairs a second of the forward pass, the loss, its gradients, clipping and AdamW, on the same batches, device
and threads, taking turns; dropout is 0, since the two draw it differently.
  theirs   Blip2QFormerModel (its attention through torch's fused kernel) with our pooling, projection and loss on top
  ours     translators.qformer.QFormer, of equal weights at the start: the losses of the first steps must be equal
  bucketed ours, captions of like length together (fieldguide.translators.batches), each batch padded to its longest
The first two pad every caption to CLIP's 77 tokens, as its own loops do. Lengths are drawn like COCO's captions: a
median of 13 tokens with those of begin and end, 8 to 50. Sizes are those of config/cub-quick.yaml: 512 wide tokens,
8 queries, 2 layers of 256; with a GPU config.yaml's at ViT-L/14's width are measured there.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

CORES = int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(CORES)

import numpy as np  # noqa: E402

from fieldguide.translators.batches import BatchOrder  # noqa: E402

if TYPE_CHECKING:
    import torch

    from fieldguide.translators.qformer import QFormer, QFormerSize

CONTEXT, CAPTIONS, STEPS_EQUAL, TOLERANCE = 77, 5, 50, 2e-3
"""CLIP's tokens of a text; captions of an image; steps whose losses must agree, and how closely, relative."""


class Theirs:
    """transformers' Q-Former with the same queries, pooling and projection as ours, and the same weights."""

    def __init__(self, ours: QFormer) -> None:
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        size = ours.size
        config = Blip2QFormerConfig(
            hidden_size=size.hidden,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            intermediate_size=4 * size.hidden,
            cross_attention_frequency=size.cross_attention_frequency,
            encoder_hidden_size=size.token_width,
            use_qformer_text_input=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="sdpa",
        )
        self.model = Blip2QFormerModel(config).train()
        self.model.load_state_dict(blip2_weights(ours))
        self.queries, self.project = copy.deepcopy(ours.queries), copy.deepcopy(ours.project)

    def parameters(self) -> list[torch.nn.Parameter]:
        return [self.queries, *self.model.parameters(), *self.project.parameters()]

    def to(self, device: torch.device) -> Theirs:
        import torch

        self.model, self.project = self.model.to(device), self.project.to(device)
        self.queries = torch.nn.Parameter(self.queries.to(device))
        return self

    def __call__(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.model(
            query_embeds=self.queries.expand(len(tokens), -1, -1),
            encoder_hidden_states=tokens,
            encoder_attention_mask=mask,
        ).last_hidden_state
        found: torch.Tensor = self.project(states.mean(1))
        return found


def blip2_weights(model: QFormer) -> dict[str, torch.Tensor]:
    """Our weights under the names of transformers' Blip2QFormerModel."""
    attention = {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
        "out": "output.dense",
        "norm": "output.LayerNorm",
    }
    names = {"widen": "intermediate_query.dense", "narrow": "output_query.dense", "norm": "output_query.LayerNorm"}
    names |= {f"attention.{ours}": f"attention.{theirs}" for ours, theirs in attention.items()}
    names |= {f"cross_attention.{ours}": f"crossattention.{theirs}" for ours, theirs in attention.items()}
    theirs: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        part, _, kind = name.rpartition(".")
        if part == "norm":
            theirs[f"layernorm.{kind}"] = tensor.clone()
        elif part.startswith("layers."):
            _, index, inner = part.split(".", 2)
            theirs[f"encoder.layer.{index}.{names[inner]}.{kind}"] = tensor.clone()
    return theirs


def draw_lengths(captions: int) -> Any:
    """Tokens of each caption, as COCO's are: a median of 13, a tail to the right."""
    rng = np.random.default_rng(0)
    return np.clip(np.round(rng.lognormal(np.log(12.8), 0.21, captions)), 8, 50).astype(np.int64)


class Trainer:
    """One way of training: a model, its optimiser and where its batches come from."""

    def __init__(self, model: Any, forward: Callable[..., Any], order: BatchOrder, longest: int | None, data: Data):
        import torch

        self.forward, self.order, self.longest, self.data = forward, order, longest, data
        self.parameters = list(model.parameters())
        self.optimiser = torch.optim.AdamW(self.parameters, lr=1e-4, weight_decay=0.05)
        self.losses: list[float] = []

    def step(self) -> None:
        import torch

        from fieldguide.translators.qformer import LossWeights, conversion_loss

        rows = self.order[len(self.losses)]
        tokens, mask = self.data.read(rows, self.longest)
        image_ids = torch.from_numpy(self.order.image_of[rows]).to(tokens.device)
        out = self.forward(tokens, mask)
        loss = conversion_loss(out, self.data.images[image_ids], image_ids, LossWeights())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.losses.append(loss.item())


class Data:
    """Captions' tokens, ragged and in memory as float16, and the images' features."""

    def __init__(self, size: QFormerSize, lengths: Any, device: torch.device) -> None:
        import torch
        from torch.nn.functional import normalize

        rng = torch.Generator().manual_seed(0)
        self.offsets = torch.from_numpy(np.concatenate([[0], lengths.cumsum()]))
        self.tokens = torch.randn(int(self.offsets[-1]), size.token_width, generator=rng).half()
        images = torch.randn(len(lengths) // CAPTIONS, size.image_width, generator=rng)
        self.images, self.device = normalize(images, dim=-1).to(device), device

    def read(self, rows: Any, longest: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        from fieldguide.translators.qformer import pad_tokens

        tokens, mask = pad_tokens(self.tokens, self.offsets, torch.from_numpy(rows), longest)
        return tokens.to(self.device), mask.to(self.device)


def compare(size: QFormerSize, batch: int, captions: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Pairs a second of the three ways; exits where the losses of the first two differ."""
    import torch

    from fieldguide.translators.qformer import QFormer

    torch.manual_seed(0)
    model = QFormer(size).train()
    lengths = draw_lengths(captions)
    data = Data(size, lengths, device)
    plain, sorted_ = (
        BatchOrder(np.arange(captions), lengths, np.arange(captions) // CAPTIONS, batch, window) for window in (1, 16)
    )
    theirs, ours, bucketed = Theirs(model).to(device), copy.deepcopy(model).to(device), model.to(device)
    ways = {
        "theirs": Trainer(theirs, theirs, plain, CONTEXT, data),
        "ours": Trainer(ours, ours.correction, plain, CONTEXT, data),
        "bucketed": Trainer(bucketed, bucketed.correction, sorted_, None, data),
    }
    for _ in range(STEPS_EQUAL):
        ways["theirs"].step()
        ways["ours"].step()
    apart = max(abs(a - b) / abs(b) for a, b in zip(ways["ours"].losses, ways["theirs"].losses, strict=True))
    first, last = ways["ours"].losses[0], ways["ours"].losses[-1]
    print(f"losses of {STEPS_EQUAL} steps, {first:.4f} to {last:.4f}, differ by {apart:.1e} at most, relative")
    if not apart < TOLERANCE:
        sys.exit("ours and theirs do not train the same: no ratio means anything")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, trainer in ways.items():
            trainer.step()  # it finds cold caches
            for _ in range(5):
                started = time.perf_counter()
                trainer.step()
                seconds[way].append(time.perf_counter() - started)
    rates = {way: batch / statistics.median(found) for way, found in seconds.items()}
    for way, rate in rates.items():
        print(f"{way:<10} {rate:10.0f} pairs/s")
    return rates


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--captions", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way")
    args = parser.parse_args(argv)
    import torch

    from fieldguide.translators.qformer import QFormerSize

    torch.set_num_threads(CORES)
    small = QFormerSize(512, 512, queries=8, layers=2, hidden=256, heads=4, cross_attention_frequency=1, dropout=0.0)
    print(f"{CORES} cores, batches of {args.batch}, tokens of 512")
    rates = compare(small, args.batch, args.captions, args.rounds, torch.device("cpu"))
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}, batches of 512, tokens of 768")
        rates = compare(QFormerSize(768, 768, dropout=0.0), 512, 100_000, args.rounds, torch.device("cuda"))
        print(f"an epoch of 591,435 captions: {591_435 / rates['bucketed'] / 60:.1f} minutes")
    print(f"ratio qformer_vs_transformers {rates['ours'] / rates['theirs']:.3f}")
    print(f"ratio qformer_bucketing {rates['bucketed'] / rates['ours']:.3f}")


if __name__ == "__main__":
    main()
