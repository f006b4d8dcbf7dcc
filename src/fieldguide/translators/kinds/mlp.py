"""A multi-layer perceptron beside a linear map: unit(x A + b + relu(x U + u) V), trained by gradient on the cosine.

A and b start at the ridge solution and V at zero, so that training begins at the best linear map and adds what is not
linear; CapDec's bridger likewise starts at the identity. The start's penalty is in units of width / pairs, the best one
where features are white and noise is as large as what is to be learnt (Hoerl, Kennard and Baldwin, 1975). AdamW with a
cosine schedule. Translating needs no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.core.random import generator
from fieldguide.translators.kinds import ridge
from fieldguide.translators.task import Pairs, Setting, State, normalise

VALUES: dict[str, tuple[float, ...]] = {
    "width": (256, 1024),
    "epochs": (2, 6),
    "learning_rate": (1e-3,),
    "weight_decay": (0.05,),
    "batch": (256,),
    "penalty": (1.0,),
}


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Any]:
    """`width` of the hidden layer, `epochs`, `learning_rate`, `weight_decay`, `batch`, `penalty` of the start."""
    import torch
    from torch.nn.functional import cosine_similarity, relu

    width, inner = pairs.texts.shape[1], int(setting["width"])
    start = ridge.fit(pairs, {"penalty": setting["penalty"] * width / len(pairs)}, seed)
    drawn = generator(seed, "mlp").standard_normal((width, inner)) * (2 / width) ** 0.5
    first = {**start, "into": drawn.astype(np.float32), "level": np.zeros(inner, np.float32)}
    first["out"] = np.zeros((inner, pairs.images.shape[1]), np.float32)
    state = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in first.items()}
    batch = min(int(setting["batch"]), len(pairs))
    per_epoch = len(pairs) // batch
    steps = per_epoch * int(setting["epochs"])
    # A coordinate of a unit feature is about 1 / sqrt(d); at 1, weights train at the usual rates.
    scale = float(width) ** 0.5
    optimiser = torch.optim.AdamW(state.values(), setting["learning_rate"], weight_decay=setting["weight_decay"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    texts, images = torch.from_numpy(pairs.texts), torch.from_numpy(pairs.images)
    image_of = torch.from_numpy(pairs.image_of)
    for epoch in range(int(setting["epochs"])):
        order = torch.from_numpy(generator(seed, "mlp", epoch).permutation(len(pairs)))
        for rows in order[: per_epoch * batch].split(batch):
            x = texts[rows]
            hidden = relu(scale * x @ state["into"] + state["level"])
            translated = x @ state["weight"] + state["bias"] + hidden @ state["out"] / scale
            loss = 1 - cosine_similarity(translated, images[image_of[rows]]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    learnt = {name: tensor.detach().numpy() for name, tensor in state.items()}
    return {**learnt, "into": learnt["into"] * np.float32(scale), "out": learnt["out"] / np.float32(scale)}


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d_text) of unit norm to (n, d_image) of unit norm."""
    hidden = np.maximum(texts @ state["into"] + state["level"], 0)
    return normalise(texts @ state["weight"] + state["bias"] + hidden @ state["out"])
