"""Mean shift, then Gaussian noise: C3 (Zhang et al., Connect, Collapse, Corrupt, ICLR 2024).

Connected by CLIP, the gap collapsed by moving the mean, corrupted by noise for what is left of the alignment's error.
C3 moves both kinds to the origin; here texts move to the images, so that images stay as they are.
"""

from __future__ import annotations

from typing import Any

from fieldguide.core.arrays import Floats
from fieldguide.translators.kinds import mean_shift, noise
from fieldguide.translators.task import Pairs, Setting, State, normalise

VALUES = noise.VALUES


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Any]:
    """The states of both."""
    return {**mean_shift.fit(pairs, setting, seed), **noise.fit(pairs, setting, seed)}


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d) of unit norm to (n, d) of unit norm."""
    return normalise(texts + state["shift"] + noise.draw(state, texts))
