"""The translators by kind: which file each is and what it learns from. Standard library only.

`fieldguide.translators.kinds` says what a kind's module holds; a new kind is its file and its line in `TRANSLATORS`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True)
class Translator:
    """One line of the registry.

    module: its file. rule: what fits it to pairs, "fit_translator" or "train_qformer"; none where nothing is learnt.
    tokens: it reads a text's token sequence rather than its pooled feature. network: it runs torch when it translates.
    gradient: its `fit` runs torch. any_width: texts and images may differ in width.
    """

    module: str
    rule: str = "fit_translator"
    tokens: bool = False
    network: bool = False
    gradient: bool = False
    any_width: bool = False

    def load(self) -> ModuleType:
        """Its module; what it is made of is imported only now."""
        return importlib.import_module(f"fieldguide.translators.kinds.{self.module}")


TRANSLATORS: Mapping[str, Translator] = {
    "identity": Translator("identity", rule=""),
    "mean-shift": Translator("mean_shift"),
    "noise": Translator("noise"),
    "mean-shift-noise": Translator("mean_shift_noise"),
    "covariance": Translator("covariance"),
    "ridge": Translator("ridge", any_width=True),
    "ridge-identity": Translator("ridge_identity"),
    "memory": Translator("memory"),
    "mlp": Translator("mlp", gradient=True, any_width=True),
    "qformer": Translator("qformer", rule="train_qformer", tokens=True, network=True, any_width=True),
    "qformer-pooled": Translator("qformer_pooled", rule="train_qformer", network=True, any_width=True),
}


def kinds_of(rule: str) -> tuple[str, ...]:
    """The kinds that a rule fits."""
    return tuple(kind for kind, line in TRANSLATORS.items() if line.rule == rule)


def values_to_try(kind: str, given: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """The values tried of each hyper-parameter of a kind: its own, or those given in their place.

    Where its own are whole numbers, so are those given. Raises ValueError naming what the kind does not have, or what
    is no list of numbers that it can take.
    """
    module = TRANSLATORS[kind].load()
    own: dict[str, tuple[float, ...]] = module.VALUES
    largest: Mapping[str, float] = getattr(module, "LARGEST", {})
    for name, values in given.items():
        if name not in own:
            raise ValueError(f"{kind} has no hyper-parameter '{name}'; it has {', '.join(own) or 'none'}")
        whole = all(isinstance(value, int) for value in own[name])
        # The configuration reads a list as a tuple; the message shows what was written.
        written = list(values) if isinstance(values, tuple) else values
        if not isinstance(written, list) or not written or not all(is_usable(value, whole) for value in written):
            what = "whole numbers" if whole else "numbers"
            raise ValueError(f"{name} should be a list of {what} above 0, not {written!r}")
        if max(written) > largest.get(name, math.inf):
            raise ValueError(f"{name} should be {largest[name]:g} at most, not {written!r}")
    return {name: tuple(given.get(name, values)) for name, values in own.items()}


def is_usable(value: object, whole: bool) -> bool:
    """Whether a value of the configuration can be a hyper-parameter's."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return False
    return value > 0 and (not whole or value == int(value))
