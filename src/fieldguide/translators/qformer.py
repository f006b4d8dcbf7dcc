"""The Q-Former that turns a caption's token features into the image feature it would have had.

Learned queries attend to each other and, by cross-attention, to the caption's tokens (Li et al., BLIP-2, 2023); they
are pooled, projected to the image feature's width and normalised. The layers are those of transformers'
`Blip2QFormerModel` (a test compares them, state by state, on equal weights), written out because importing that takes
ten seconds and importing torch three, and because what is the same for every caption is computed once here. The loss is
a weighted sum of cosine, squared distance and InfoNCE, with captions of one image as positives of each other.
docs/qformer.md says more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, log_softmax, normalize, scaled_dot_product_attention

POOLINGS = ("mean", "first", "concat")


@dataclass(frozen=True)
class QFormerSize:
    """Sizes of a Q-Former; `token_width` and `image_width` come from the backbone."""

    token_width: int
    image_width: int
    queries: int = 16
    layers: int = 4
    hidden: int = 512
    heads: int = 8
    cross_attention_frequency: int = 2
    dropout: float = 0.1
    pooling: str = "mean"
    """How the queries' last states become one: their `mean`, the `first`, or all of them end to end (`concat`)."""
    residual: bool = False
    """Whether the queries correct a fixed linear map of the caption's last token, or make the feature alone."""

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is {self.pooling!r}; known are {', '.join(POOLINGS)}")


class Attention(nn.Module):
    """Multi-head attention with a residual and a layer norm after it; states (b, q, hidden) look at (b, k, width).

    States that are the same for every caption come as (1, q, hidden).
    """

    def __init__(self, hidden: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(width, hidden)
        self.value = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, states: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (b, 1, 1, k) bool is true where `context` may be looked at."""

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key, value = split(self.query(states)), split(self.key(context)), split(self.value(context))
        query = query.expand(len(key), -1, -1, -1)
        p = self.dropout if self.training else 0.0
        attended = scaled_dot_product_attention(query, key, value, mask, p).transpose(1, 2).flatten(2)
        return self.norm(states + dropout(self.out(attended), self.dropout, self.training))


class Layer(nn.Module):
    """One layer: self-attention among queries, cross-attention to the tokens (in some layers), feed-forward."""

    def __init__(self, size: QFormerSize, attends_to_tokens: bool) -> None:
        super().__init__()
        self.dropout = size.dropout
        self.attention = Attention(size.hidden, size.hidden, size.heads, size.dropout)
        self.cross_attention = (
            Attention(size.hidden, size.token_width, size.heads, size.dropout) if attends_to_tokens else None
        )
        self.widen = nn.Linear(size.hidden, 4 * size.hidden)
        self.narrow = nn.Linear(4 * size.hidden, size.hidden)
        self.norm = nn.LayerNorm(size.hidden, eps=1e-12)

    def forward(self, states: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        states = self.attention(states, states)
        if self.cross_attention is not None:
            states = self.cross_attention(states, tokens, mask)
        return self.norm(states + dropout(self.narrow(gelu(self.widen(states))), self.dropout, self.training))


class QFormer(nn.Module):
    """Token features (b, t, token_width) and their mask (b, t) to image features (b, image_width), unit norm."""

    def __init__(self, size: QFormerSize) -> None:
        super().__init__()
        self.size = size
        self.queries = nn.Parameter(torch.randn(1, size.queries, size.hidden) * 0.02)
        self.norm = nn.LayerNorm(size.hidden, eps=1e-12)
        frequency = size.cross_attention_frequency
        self.layers = nn.ModuleList(Layer(size, index % frequency == 0) for index in range(size.layers))
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.project = nn.Linear(size.hidden * (size.queries if size.pooling == "concat" else 1), size.image_width)
        if size.residual:
            self.base = nn.Linear(size.token_width, size.image_width)
            nn.init.zeros_(self.project.weight)  # the training begins at the linear map
            nn.init.zeros_(self.project.bias)
            self.base.requires_grad_(False)

    def states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The queries' last states (b, queries, hidden)."""
        attention_mask = mask.bool()[:, None, None]
        states = self.norm(self.queries)
        if self.training and self.size.dropout:
            # Each caption drops other parts; otherwise the first self-attention is the same for all and done once.
            states = dropout(states.expand(len(tokens), -1, -1), self.size.dropout)
        for layer in self.layers:
            states = layer(states, tokens, attention_mask)
        return states

    def correction(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """What the queries make of captions (b, image_width)."""
        found: Tensor = self.project(pool(self.states(tokens, mask), self.size.pooling))
        return found

    def linear(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """What the queries' part is added to: the linear map of the last token (b, image_width); zero without one."""
        if not self.size.residual:
            return tokens.new_zeros(())
        found: Tensor = self.base(last_tokens(tokens, mask))
        return found

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return normalize(self.linear(tokens, mask) + self.correction(tokens, mask), dim=-1)

    def metadata(self) -> dict[str, str]:
        """The sizes, as a safetensors file keeps them."""
        return {k: str(v) for k, v in asdict(self.size).items()}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> QFormer:
        """The same sizes again, weights at random."""
        # Types are the defaults'; what an older file does not say is as it was then.
        read: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": "True".__eq__}
        known = {f.name: read[str(f.type)](metadata[f.name]) for f in fields(QFormerSize) if f.name in metadata}
        return cls(QFormerSize(**known))


def pool(states: Tensor, pooling: str) -> Tensor:
    """The queries' states (b, queries, hidden) as one vector of each caption."""
    if pooling == "concat":
        return states.flatten(1)
    return states[:, 0] if pooling == "first" else states.mean(1)


def last_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
    """Each caption's last token (b, width), which a CLIP makes its pooled feature from; of padded (b, t, width)."""
    return tokens[torch.arange(len(tokens), device=tokens.device), mask.sum(1) - 1]


def pad_tokens(tokens: Tensor, offsets: Tensor, rows: Tensor, longest: int | None = None) -> tuple[Tensor, Tensor]:
    """Texts `rows` (b,) of a ragged table as (b, longest, width) float32 and their mask (b, longest) int64.

    tokens (total, width), offsets (u + 1,): text i is tokens[offsets[i] : offsets[i + 1]]. `longest` is the longest of
    these texts unless it is given.
    """
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    steps = torch.arange(int(lengths.max()) if longest is None else longest)
    mask = steps < lengths[:, None]
    where = (starts[:, None] + steps).clamp(max=len(tokens) - 1)
    return tokens[where].float().masked_fill(~mask[..., None], 0), mask.long()


def multi_positive_info_nce(texts: Tensor, images: Tensor, image_ids: Tensor, temperature: float) -> Tensor:
    """InfoNCE (van den Oord et al., 2018), both directions, where rows of the same image are all positives.

    texts, images (b, d) unit norm; image_ids (b,). The target is uniform over the positives (Khosla et al., 2020).
    """
    logits = texts @ images.T / temperature
    positive = (image_ids[:, None] == image_ids).float()
    target = positive / positive.sum(1, keepdim=True)  # symmetric: serves both directions
    forward = -(target * log_softmax(logits, 1)).sum(1).mean()
    backward = -(target * log_softmax(logits.T, 1)).sum(1).mean()
    return (forward + backward) / 2


@dataclass(frozen=True)
class LossWeights:
    """What the loss is a sum of. `mse` is of features before they are normalised: of unit vectors it is the cosine.

    `correction` weighs the mean squared norm of what a residual Q-Former adds to its linear map.
    """

    cosine: float = 1.0
    mse: float = 0.0
    info_nce: float = 1.0
    temperature: float = 0.07
    correction: float = 0.0


def conversion_loss(
    texts: Tensor, images: Tensor, image_ids: Tensor, weights: LossWeights, correction: Tensor | None = None
) -> Tensor:
    """The weighted sum of 1 - mean cosine, mean squared distance, multi-positive InfoNCE and mean squared correction.

    texts (b, d) translated and not yet normalised; images (b, d) unit norm, row by row their own; image_ids (b,);
    correction (b, d) the part of `texts` that is to be small.
    """
    unit = normalize(texts, dim=-1)
    loss = weights.cosine * (1 - (unit * images).sum(1).mean())
    if weights.mse:
        loss = loss + weights.mse * (texts - images).square().sum(1).mean()
    if weights.info_nce:
        loss = loss + weights.info_nce * multi_positive_info_nce(unit, images, image_ids, weights.temperature)
    if weights.correction and correction is not None:
        loss = loss + weights.correction * correction.square().sum(1).mean()
    return loss


@torch.inference_mode()
def translate(model: QFormer, tokens: Tensor, offsets: Tensor, batch: int = 512) -> Tensor:
    """Translated features (u, d) float32, unit norm, of all texts of a ragged token table, in order of length."""
    model.eval()
    device = next(model.parameters()).device
    order = (offsets[1:] - offsets[:-1]).argsort(stable=True)
    out = torch.empty(len(order), model.size.image_width)
    for rows in order.split(batch):
        padded, mask = pad_tokens(tokens, offsets, rows)
        out[rows] = model(padded.to(device), mask.to(device)).float().cpu()
    return out
