"""Text less the texts' mean plus the images' mean: closes the modality gap where it is a constant (Liang et al., 2022).

Zhang et al., Diagnosing and Rectifying Vision Models using Language (ICLR 2023), found it to be nearly one.
"""

from __future__ import annotations

from fieldguide.core.arrays import Floats
from fieldguide.translators.task import Pairs, Setting, State, normalise

VALUES: dict[str, tuple[float, ...]] = {}


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Floats]:
    """The difference of the means, (d,)."""
    moments = pairs.moments
    return {"shift": (moments.image_mean - moments.text_mean).astype("float32")}


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d) of unit norm to (n, d) of unit norm."""
    return normalise(texts + state["shift"])
