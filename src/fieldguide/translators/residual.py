"""The linear map that a residual Q-Former corrects: least squares on the pairs, fitted before the training."""

from __future__ import annotations

import torch
from torch import Tensor

from fieldguide.core.arrays import Ints
from fieldguide.features.tokens import TokenTable

EXACT, RIDGE, TOWARDS_TEXT = 1e-6, 1e-2, 5.0
"""Penalties, in units of the inputs' mean variance: from a caption's last token to its pooled feature, which CLIP makes
by a linear map; from it to the image; and from the pooled feature to the image, towards the pooled feature itself."""
BLOCK = 4096
"""Pairs that are read at a time."""


class LeastSquares:
    """A linear map with an offset, fitted to rows that come in parts; memory does not grow with their number."""

    def __init__(self, width: int, target_width: int) -> None:
        self.count = 0
        self.products = torch.zeros(width + 1, width + 1, dtype=torch.float64)
        self.targets = torch.zeros(width + 1, target_width, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Further rows x (n, width) and their targets y (n, target_width)."""
        whole = torch.cat([x.double(), torch.ones(len(x), 1, dtype=torch.float64)], 1)
        self.count += len(x)
        self.products += whole.T @ whole
        self.targets += whole.T @ y.double()

    def solve(self, penalty: float, towards_inputs: bool = False) -> tuple[Tensor, Tensor]:
        """Weight (target_width, width) and bias (target_width,) float32, of ridge regression.

        `penalty` is in units of the inputs' mean variance; it pulls the weight to zero, or `towards_inputs` to the
        scaled identity that fits best: what the pairs do not determine is kept as it is. The offset is not penalised.
        """
        n = self.count
        mean, target_mean = self.products[-1, :-1] / n, self.targets[-1] / n
        covariance = self.products[:-1, :-1] / n - torch.outer(mean, mean)
        shared = self.targets[:-1] / n - torch.outer(mean, target_mean)
        spread = covariance.diagonal().sum().clamp(min=1e-12)
        scale = shared.diagonal().sum() / spread if towards_inputs else torch.zeros((), dtype=torch.float64)
        unit = torch.eye(len(mean), dtype=torch.float64)
        ridge = covariance + penalty * spread / len(mean) * unit
        prior = scale * unit if towards_inputs else torch.zeros_like(shared)
        weight = (prior + torch.linalg.solve(ridge, shared - covariance @ prior)).T
        return weight.float(), (target_mean - weight @ mean).float()


def fit_base(residual: str, tokens: TokenTable, text_of: Ints, images: Tensor, image_of: Ints) -> tuple[Tensor, Tensor]:
    """Weight (d, token width) and bias (d,) of the map from each caption's last token to its image feature.

    `ridge`: by ridge regression. `text`: to the pooled text feature, and from there to the image feature by a ridge
    regression towards what the pooled feature is anyway. text_of (n,) row in `tokens` and image_of (n,) row in `images`
    (m, d) of each pair; tokens stay on disk.
    """
    pooled = TokenTable(tokens.paths, "pooled")
    to_image = LeastSquares(tokens.width if residual == "ridge" else pooled.width, images.shape[1])
    to_text = LeastSquares(tokens.width, pooled.width)
    for start in range(0, len(text_of), BLOCK):
        rows = slice(start, start + BLOCK)
        last = torch.from_numpy(tokens.take(text_of[rows], only_last=True)[0]).float()
        targets = images[torch.from_numpy(image_of[rows])]
        if residual == "ridge":
            to_image.add(last, targets)
        else:
            text = torch.from_numpy(pooled.take(text_of[rows])[0])
            to_text.add(last, text)
            to_image.add(text, targets)
    if residual == "ridge":
        return to_image.solve(RIDGE)
    first, second = to_text.solve(EXACT), to_image.solve(TOWARDS_TEXT, towards_inputs=True)
    return second[0] @ first[0], second[0] @ first[1] + second[1]
