"""The one rule by which every translator's hyper-parameters are chosen: the energy score on held-out pairs.

The energy score (Gneiting and Raftery, 2007) of a translation T of a caption whose image is x is
E||T - x|| - E||T - T'|| / 2, T' a second, independent draw. Where nothing is drawn that is the distance to the true
image, sqrt(2 - 2 cosine): the largest held-out cosine wins. Where noise is drawn, it is smallest when the noise is
what the caption leaves open, whereas cosine and retrieval would always take the least noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.translators.task import Pairs, Setting, State


def trials_of(values: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Every combination of the values of each hyper-parameter, the last one changing fastest."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def energy_score(first: Floats, second: Floats, images: Floats) -> float:
    """Mean energy score of two draws (n, d) of translations for true images (n, d); smaller is better."""
    near = np.linalg.norm(first - images, axis=1) + np.linalg.norm(second - images, axis=1)
    return float((near - np.linalg.norm(first - second, axis=1)).mean() / 2)


def score(module: ModuleType, state: State, pairs: Pairs) -> float:
    """The energy score of a translator on pairs it did not learn from."""
    first = module.translate(state, pairs.texts)
    second = module.translate({**state, "seed": state["seed"] + 1}, pairs.texts) if "seed" in state else first
    return energy_score(first, second, pairs.images[pairs.image_of])


def choose(
    module: ModuleType, fitted: Pairs, held: Pairs, trials: Sequence[Setting], seed: int
) -> tuple[Setting, list[float]]:
    """The trial of the smallest score on the held-out pairs, the first of equals, and all scores; of one trial none."""
    if len(trials) == 1:
        return trials[0], []
    scores = [score(module, module.fit(fitted, trial, seed), held) for trial in trials]
    return trials[int(np.argmin(scores))], scores
