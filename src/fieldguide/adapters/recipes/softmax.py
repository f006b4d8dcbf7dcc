"""Softmax regression with a quadratic penalty, many problems at once: a convex solver in numpy.

Each problem is  min over W of  sum_i CE(y_i, W x_i) + lam / 2 ||W - A||^2  with its own anchor A and strength lam. The
table is turned into the basis of its principal directions first, where Boehning's bound on the Hessian (D. Boehning,
Multinomial logistic regression algorithm, Ann. Inst. Statist. Math. 44, 1992), 1/2 X'X + lam, is diagonal: so it costs
nothing as the preconditioner of L-BFGS (Nocedal, 1980), and the work is two matrix products an iteration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldguide.core.arrays import Doubles, Floats, Ints

MEMORY = 6
"""Pairs of steps and gradient changes that L-BFGS remembers."""


def loss_and_gradient(
    x: Floats, onehot: Floats, weight: Floats, anchor: Floats, strength: Floats
) -> tuple[Doubles, Floats]:
    """Penalised losses (R,) and their gradients (R, C, D) of weights (R, C, D) on a table x (N, D).

    onehot (N, C). anchor (R, C, D). strength (R,) is lam.
    """
    runs, classes, width = weight.shape
    logits = (x @ weight.reshape(runs * classes, width).T).reshape(len(x), runs, classes)
    true = np.einsum("nrc,nc->r", logits, onehot, dtype=np.float64)
    top = logits.max(2, keepdims=True)
    logits -= top
    np.exp(logits, out=logits)
    total = logits.sum(2, keepdims=True)
    logits /= total
    logits -= onehot[:, None]
    gradient: NDArray[Any] = (logits.reshape(len(x), runs * classes).T @ x).reshape(weight.shape)
    away = weight - anchor
    losses: Doubles = (np.log(total, dtype=np.float64) + top).sum((0, 2)) - true
    losses += strength * np.einsum("rcd,rcd->r", away, away, dtype=np.float64) / 2
    away *= strength[:, None, None]
    gradient += away
    return losses, gradient


def principal_directions(x: Floats) -> Floats:
    """An orthonormal basis (D, k) of the span of the rows of x (N, D), k = min(N, D)."""
    if len(x) < x.shape[1]:
        return np.linalg.svd(x, full_matrices=False)[2].T.astype(np.float32)
    return np.linalg.eigh(x.T @ x)[1].astype(np.float32)


def fit_softmax(
    x: Floats, labels: Ints, anchor: Floats, strength: Floats, tolerance: float = 3e-3, iterations: int = 200
) -> Floats:
    """The minimising weights (R, C, D), to a relative accuracy: converged when the expected decrease of the loss
    falls below `tolerance` squared per example.

    x (N, D) float32, the same for all R problems. labels (N,). anchor (R, C, D): also the start. strength (R,).
    """
    basis = principal_directions(x)
    runs, classes, _ = anchor.shape
    z = x @ basis
    onehot = np.zeros((len(x), classes), np.float32)
    onehot[np.arange(len(x)), labels] = 1
    # Outside the span of the table the minimum is the anchor itself.
    pull = anchor @ basis
    weight = pull.copy()
    strength = np.asarray(strength, np.float32)
    bound = (z * z).sum(0)[None, None] / 2 + strength[:, None, None]
    dot = lambda a, b: np.einsum("rcd,rcd->r", a, b, dtype=np.float64)  # noqa: E731
    column = lambda a: a.astype(np.float32)[:, None, None]  # noqa: E731
    loss, gradient = loss_and_gradient(z, onehot, weight, pull, strength)
    memory: list[tuple[Floats, Floats, Doubles]] = []
    scale = np.ones(runs)
    done = np.zeros(runs, bool)
    for _ in range(iterations):
        direction = gradient.copy()
        alphas = []
        for step, change, rho in reversed(memory):
            alpha = rho * dot(step, direction)
            direction -= column(alpha) * change
            alphas.append(alpha)
        direction /= bound
        direction *= column(scale)
        for (step, change, rho), alpha in zip(memory, reversed(alphas), strict=True):
            direction += column(alpha - rho * dot(change, direction)) * step
        slope = dot(direction, gradient)
        done |= slope <= tolerance**2 * len(x)
        if done.all():
            break
        length = np.where(done, 0.0, 1.0)
        for _ in range(20):
            tried = weight - column(length) * direction
            new_loss, new_gradient = loss_and_gradient(z, onehot, tried, pull, strength)
            # The slack is the rounding of a sum over all examples.
            worse = new_loss > loss - 1e-4 * length * slope + 1e-6 * np.abs(loss)
            worse &= ~done
            if not worse.any():
                break
            length[worse] /= 2
        step, change = tried - weight, new_gradient - gradient
        curvature = dot(step, change)
        fine = curvature > 1e-12
        rho = np.where(fine, 1 / np.where(fine, curvature, 1), 0)
        scale = np.where(fine, curvature / np.maximum(dot(change, change / bound), 1e-30), scale)
        memory = [*memory[-MEMORY + 1 :], (step, change, rho)]
        weight, loss, gradient = tried, new_loss, new_gradient
    return (anchor + (weight - pull) @ basis.T).astype(np.float32)
