"""An ablation: the same Q-Former on the pooled text feature as a text's only token.

Cross-attention over one token can select nothing, so what the token sequence is worth is the difference.
"""

from __future__ import annotations

import numpy as np

from fieldguide.core.arrays import Floats, Ints
from fieldguide.translators.kinds import qformer
from fieldguide.translators.task import State


class PooledTokens:
    """Pooled features (n, d) as token features of texts with a single token each, as `features.TokenTable` has them."""

    def __init__(self, pooled: Floats) -> None:
        self.pooled = pooled
        self.width = pooled.shape[1]
        self.lengths = np.ones(len(pooled), np.int64)

    def take(self, texts: Ints) -> tuple[Floats, Ints]:
        """The features of these texts, and offsets (b + 1,)."""
        return self.pooled[texts], np.arange(len(texts) + 1)


def translate(state: State, texts: Floats, device: str = "auto") -> Floats:
    """texts (n, d) of unit norm to (n, d_image) of unit norm."""
    return qformer.translate(state, PooledTokens(texts), device)
