"""LP++ (Huang et al., CVPR 2024): a linear probe whose weights blend images and texts, logits x (w_c + alpha_c t_c)'.

As published: the mean cross-entropy of all images is minimised in w (C, D) and alpha (C,) by full-batch descent whose
step sizes follow from bounds on the curvature: 4 n / largest eigenvalue of X'X for w, with a momentum of 0.9, and
n / (4 max_c sum_i (x_i t_c)^2) for alpha, which moves after every tenth step of w. w_c starts at the sum of the class's
images, every alpha at 250 times the mean over classes of their images' mean x t_c. Nothing but the number of steps is
chosen: there the best on validation images of 300. Two things of the published code are left out: a bias that is drawn
at random, and that alpha's gradient is never cleared, so that it adds up over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.recipes.cache import one_hot
from fieldguide.adapters.recipes.task import (
    LOGIT_SCALE,
    Fitted,
    Setting,
    Task,
    class_sums,
    normalise,
    softmax,
    spread,
    zero_shot_weights,
)
from fieldguide.core.arrays import Floats, Ints

MOMENTUM, ALPHA_EVERY, ALPHA_START = 0.9, 10, 250
LONGEST = 300


def trials(count: int) -> list[dict[str, float]]:
    """Steps up to the 300 published; a longer training passes through all shorter ones, so that trials cost nothing."""
    return [{"steps": round(steps)} for steps in spread(LONGEST / 30, LONGEST, count)]


def start(x: Floats, labels: Ints, text: Floats) -> tuple[Floats, float]:
    """Where w (C, D) and alpha start: the images' sums, and 250 times how near images lie to their class's text."""
    sums, counts = class_sums(x, labels, len(text))
    seen = counts > 0
    return sums, float(ALPHA_START * ((sums[seen] * text[seen]).sum(1) / counts[seen]).mean())


def descend(x: Floats, labels: Ints, text: Floats, steps: Sequence[int]) -> list[Floats]:
    """Weights w + alpha t (C, D) after each of these numbers of steps, from unit images x (n, D) and texts (C, D)."""
    weight, first = start(x, labels, text)
    alpha = np.full(len(text), first, np.float32)
    told, truth = x @ text.T, one_hot(labels, len(text))
    gram = x.T @ x if len(x) > x.shape[1] else x @ x.T
    rate = np.float32(4 * len(x) / np.linalg.eigvalsh(gram.astype(np.float64))[-1])
    # Texts that no image points to leave alpha as it is.
    alpha_rate = np.float32(len(x) / (4 * max(float((told * told).sum(0).max()), 1e-12)))
    velocity, found = np.zeros_like(weight), {}
    for step in range(1, max(steps) + 1):
        logits = x @ weight.T
        logits += alpha * told
        error = softmax(logits)
        error -= truth
        error /= np.float32(len(x))
        velocity *= np.float32(MOMENTUM)
        velocity += error.T @ x
        weight -= rate * velocity
        if step % ALPHA_EVERY == 0:
            alpha -= alpha_rate * (error * told).sum(0)
        if step in steps:
            found[step] = weight + alpha[:, None] * text
    return [found[step] for step in steps]


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `steps`. Without images it is zero-shot."""
    steps, weights = [round(setting["steps"]) for setting in settings], []
    for seed in task.seeds:
        images, _ = task.draw(seed)
        text = zero_shot_weights(task, seed)
        if len(images):
            weights.append(np.stack(descend(normalise(task.images[images]), task.labels[images], text, steps)))
        else:
            weights.append(np.tile(LOGIT_SCALE * text, (len(steps), 1, 1)))
    weight = np.stack(weights, 1)
    return Fitted(
        Adapter(
            weight.reshape(-1, *weight.shape[2:]), np.zeros((len(steps) * len(task.seeds), task.classes), np.float32)
        ),
        steps[0],
        own_length=True,
    )
