"""Train the aviary's CLIP: the rule that made the checkpoint in workflow/resources/aviary-clip.

A small CLIP (ModifiedResNet image tower, two-layer text tower, byte-level BPE of its own) is trained with the
symmetric contrastive loss of Radford et al. 2021 on renders of birds and scenes. The birds are drawn from the same
families as the aviary's, but never from the quarter of genomes that aviaries are drawn from
(`fieldguide.aviary.traits.is_held_out`), so its species are held out whatever the aviary's seed. Texts come in both
writing styles; family names occur ("a photo of a Calder Mirefinch"), species epithets are dealt at random and so
mean nothing. Every other batch holds birds of few families, so that telling sister species apart is what is learnt.

A contrastive loss alone is slow to tell a bird's parts apart, too slow for two cores. So the image tower is led:
linear heads on its features name each visible part's value, with a weight that falls to zero halfway through; from then
on the loss is CLIP's own, and the heads are thrown away.

The folder it writes is what `open_clip` loads as `local-dir:<folder>`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from fieldguide.aviary import traits
from fieldguide.core.files import atomic_path
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.features.backbone import encode_text

if TYPE_CHECKING:
    import numpy as np
    import torch
    from tokenizers import Tokenizer

IMAGE_SIZE = 64
CONTEXT_LENGTH = 77
PAD, EOS = 0, 1
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
HUMAN, LLM, NAME = 0, 1, 2  # styles of text; a batch holds one style, so that style is never a clue
STYLE_SHARES = (0.5, 0.38, 0.12)
# What the heads name, and how many values each has; -1 stands for hidden or not a bird.
ATTRIBUTES: dict[str, tuple[str, ...]] = {**traits.VARIABLE, "family": tuple(f.name for f in traits.FAMILIES)}
NAME_TEMPLATES = ("a photo of a {}.", "a {}.", "this bird is a {}.", "a photo of a {}, a type of bird.")


def model_config(vocab_size: int) -> dict[str, Any]:
    """The open_clip model configuration."""
    return {
        "embed_dim": 256,
        "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 24, "patch_size": None},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocab_size,
            "hf_tokenizer_name": "aviary-clip",
            "width": 128,
            "heads": 4,
            "layers": 2,
            "pool_type": "eos",
            "eos_id": EOS,
            "pad_id": PAD,
        },
    }


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    """A lower-casing byte-level BPE with [PAD] 0 and [EOS] 1; every text ends in [EOS]."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["[PAD]", "[EOS]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [EOS]", special_tokens=[("[EOS]", EOS)])
    return tokenizer


def attribute_labels(family: traits.Family, plumage: traits.Plumage, hidden: Sequence[str]) -> list[int]:
    """The value of each attribute as an index, -1 where the part is hidden."""
    values = {part: getattr(plumage, part) for part in traits.VARIABLE} | {"family": family.name}
    unseen = set(hidden)
    if "wing" in unseen:
        unseen.add("wing_bar")
    if "crown" in unseen:
        unseen |= {"crest", "eye_mark"}
    return [-1 if name in unseen else ATTRIBUTES[name].index(values[name]) for name in ATTRIBUTES]


def make_example(seed: int, index: int, scene_share: float) -> tuple[bytes, list[int], list[list[str]]]:
    """One training image: its pixels (64 x 64 x 3, uint8), its attributes (all -1 for a scene), its texts by style."""
    from fieldguide.aviary.annotators import caption_bird, caption_scene
    from fieldguide.aviary.render import render_bird, render_scene
    from fieldguide.aviary.writer import write_fields

    rng = Random(f"clip-{seed}-{index}")
    if rng.random() < scene_share:
        scene = traits.draw_scene(rng, bird_share=0.0)
        captions = [caption_scene(scene, rng) for _ in range(4)]
        return render_scene(scene, IMAGE_SIZE).tobytes(), [-1] * len(ATTRIBUTES), [captions, captions, captions]
    family = rng.choice(traits.FAMILIES)
    epithet = rng.choice(traits.EPITHETS)
    species = traits.draw_species(family, f"{epithet} {family.name}", rng, False, (1, 2, 2, 3, 4, 5))
    plumage = species.plumage(rng.choices(traits.MORPHS, traits.MORPH_SHARES)[0])
    view = traits.draw_view(rng)
    human = [caption_bird(family, plumage, view, rng) for _ in range(4)]
    llm = []
    for _ in range(2):
        fields = write_fields(species, rng)
        llm += [fields["Coloration"], fields["Coloration"], rng.choice(list(fields.values()))]
    name = [rng.choice(NAME_TEMPLATES).format(n) for n in (species.name, family.name)]
    labels = attribute_labels(family, plumage, view.hidden)
    return render_bird(family, plumage, view, IMAGE_SIZE).tobytes(), labels, [human, llm, name]


def make_chunk(job: tuple[int, int, int, float]) -> list[tuple[bytes, list[int], list[list[str]]]]:
    """Examples start ... stop - 1; a unit of work for one process."""
    seed, start, stop, scene_share = job
    return [make_example(seed, index, scene_share) for index in range(start, stop)]


class Examples:
    """All training examples in memory: images (n, 64, 64, 3) uint8, attributes (n, a), token ids per style and text."""

    def __init__(self, seed: int, count: int, scene_share: float, workers: int, vocab_size: int) -> None:
        import numpy as np

        jobs = [(seed, start, min(start + 250, count), scene_share) for start in range(0, count, 250)]
        with ProcessPoolExecutor(workers) as pool:
            rows = list(chain.from_iterable(pool.map(make_chunk, jobs)))
        self.images = np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3)
        self.attributes = np.array([row[1] for row in rows])
        self.family = self.attributes[:, list(ATTRIBUTES).index("family")]
        texts = [[row[2][style] for row in rows] for style in (HUMAN, LLM, NAME)]
        everything = [text for style in texts for row in style for text in row]
        self.tokenizer = train_tokenizer(everything, vocab_size)
        self.tokens = [self._tokenise(style) for style in texts]

    def _tokenise(self, texts: list[list[str]]) -> list[list[np.ndarray]]:
        import numpy as np

        flat = self.tokenizer.encode_batch([text for row in texts for text in row])
        ids = iter(
            np.array([*e.ids[: CONTEXT_LENGTH - 1], EOS] if len(e.ids) > CONTEXT_LENGTH else e.ids) for e in flat
        )
        return [[next(ids) for _ in row] for row in texts]


def draw_batch(data: Examples, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Indices (batch,) of one batch and its text style; every other batch keeps to three families."""
    import numpy as np

    style = int(rng.choice(3, p=STYLE_SHARES))
    if style != NAME and rng.random() < 0.5:
        families = rng.choice(len(traits.FAMILIES), 3, replace=False)
        pool = np.flatnonzero(np.isin(data.family, families))
    else:
        pool = np.arange(len(data.images))
    return rng.choice(pool, batch, replace=len(pool) < batch), style


def collate(
    data: Examples, rows: np.ndarray, style: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augmented pixels (b, 3, 64, 64) float32 and padded token ids (b, longest) int64."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2).float().div_(255)
    dy, dx = rng.integers(-3, 4, 2)
    pixels = torch.roll(pixels, (int(dy), int(dx)), (2, 3))
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    ids = [data.tokens[style][r][rng.integers(len(data.tokens[style][r]))] for r in rows]
    padded = np.full((len(ids), max(map(len, ids))), PAD)
    for row, one in zip(padded, ids, strict=True):
        row[: len(one)] = one
    return (pixels - mean) / std, torch.from_numpy(padded)


def contrastive_loss(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE of unit vectors (b, d) and (b, d), pairs on the diagonal."""
    import torch

    logits = scale * images @ texts.T
    labels = torch.arange(len(images))
    loss = torch.nn.functional.cross_entropy
    return (loss(logits, labels) + loss(logits.T, labels)) / 2


def attribute_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over attributes: logits (b, all values end to end), labels (b, a) with -1 left out."""
    import torch

    parts = logits.split([len(values) for values in ATTRIBUTES.values()], dim=1)
    losses = [
        torch.nn.functional.cross_entropy(part, label, ignore_index=-1, reduction="sum")
        for part, label in zip(parts, labels.T, strict=True)
    ]
    return torch.stack(losses).sum() / (labels >= 0).sum().clamp(min=1)


def save(folder: Path, model: Any, tokenizer: Tokenizer, config: dict[str, Any]) -> None:
    """Write the folder that `open_clip` loads as `local-dir:`; weights in half precision."""
    from safetensors.torch import save_file
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    state = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    with atomic_path(folder / "open_clip_model.safetensors") as temporary:
        save_file(state, temporary)
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1)
    (folder / "open_clip_config.json").write_text(text + "\n", encoding="utf-8")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", eos_token="[EOS]").save_pretrained(folder)


def train(args: argparse.Namespace) -> None:
    import numpy as np
    import torch
    from open_clip.model import CLIP

    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    clock = time.perf_counter()
    data = Examples(args.seed, args.images, args.scene_share, args.workers, args.vocab_size)
    log.info("rendered and described %d images in %.0f s", len(data.images), time.perf_counter() - clock)
    config = model_config(data.tokenizer.get_vocab_size())
    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"]).to(memory_format=torch.channels_last)
    heads = torch.nn.Linear(config["embed_dim"], sum(map(len, ATTRIBUTES.values())))
    parameters = [*model.parameters(), *heads.parameters()]
    decayed = [p for p in parameters if p.ndim >= 2]
    others = [p for p in parameters if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98))
    clock = time.perf_counter()
    smooth = 0.0
    for step in range(args.steps):
        # Linear warm-up, then a cosine to zero, over the steps or the time allowed, whichever ends first.
        done = max(step / args.steps, (time.perf_counter() - clock) / 60 / args.minutes if args.minutes else 0.0)
        if done >= 1:
            break
        lr = args.lr * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = lr
        rows, style = draw_batch(data, args.batch, rng)
        pixels, ids = collate(data, rows, style, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            raw = model.encode_image(pixels.contiguous(memory_format=torch.channels_last)).float()
            texts = encode_text(model, ids)[0].float()
        images = torch.nn.functional.normalize(raw, dim=-1)
        loss = contrastive_loss(images, texts, model.logit_scale.exp().clamp(max=100))
        contrastive = loss.item()
        lead = args.lead * max(0.0, 1 - 2 * done)
        if lead:
            loss = loss + lead * attribute_loss(heads(raw), torch.from_numpy(data.attributes[rows]))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        smooth = contrastive if step == 0 else 0.98 * smooth + 0.02 * contrastive
        if (step + 1) % 50 == 0:
            log.info("step %d: loss %.3f, %.2f s a step", step + 1, smooth, (time.perf_counter() - clock) / (step + 1))
        if args.save_every and (step + 1) % args.save_every == 0:
            save(args.out, model, data.tokenizer, config)
    save(args.out, model, data.tokenizer, config)
    log.info("wrote %s after %d steps and %.0f s", args.out, step + 1, time.perf_counter() - clock)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("aviary.train_clip", __doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=40_000, help="renders to train on")
    parser.add_argument("--scene-share", type=float, default=0.2, help="share of them that are scenes without a bird")
    parser.add_argument("--vocab-size", type=int, default=1536)
    parser.add_argument("--steps", type=int, default=2700)
    parser.add_argument("--minutes", type=float, default=0, help="end after this many minutes of training; 0: no limit")
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--lead", type=float, default=3.0, help="first weight of the attribute heads' loss")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="autocast to bfloat16")
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints; 0: only the last")
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("aviary.train_clip", train, build_parser(), argv, imports=("torch", "open_clip"))


if __name__ == "__main__":
    main()
