"""The Q-Former on a text's token sequence (`translators.qformer`), which `train_qformer` trains; here it only runs."""

from __future__ import annotations

import numpy as np
from tqdm import trange

from fieldguide.core.arrays import Floats
from fieldguide.translators.task import State, Tokens

BATCH = 512
"""Texts per forward pass."""


def translate(state: State, texts: Tokens, device: str = "auto") -> Floats:
    """Token features to (n, d) float32 of unit norm; `state` holds the weights, and the sizes in `about`."""
    import torch

    from fieldguide.features.backbone import pick_device
    from fieldguide.translators.qformer import QFormer, translate

    model = QFormer.from_metadata(state["about"])
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items() if name != "about"})
    model.to(pick_device(device))
    translated = np.empty((len(texts.lengths), model.size.image_width), np.float32)
    # In order of length a batch is no longer than its longest text.
    order = texts.lengths.argsort(kind="stable")
    for start in trange(0, len(order), BATCH, desc="translate_texts", unit="batch", disable=None):
        rows = order[start : start + BATCH]
        tokens, offsets = (torch.from_numpy(part) for part in texts.take(rows))
        translated[rows] = translate(model, tokens, offsets, BATCH).numpy()
    return translated
