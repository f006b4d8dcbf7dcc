"""The translators by kind: which file each is and what it learns from. Standard library only.

A translator is a module of this package with `fit(pairs, setting, seed) -> state` and `translate(state, texts)`, pure
functions on arrays, and `VALUES`, the hyper-parameters that are tried; a new one is its file and its line in
`TRANSLATORS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
