"""Which pairs make up each training batch: captions of like length together. Pure functions of lengths and a seed.

A batch is padded to its longest caption, so captions are sorted by length; but only within windows of a few batches,
whose batches are then shuffled, so that a batch stays a random draw of images, which InfoNCE needs. Every batch follows
from the seed and its number alone: a training that goes on after a kill needs no state of an order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fieldguide.core.arrays import Ints
from fieldguide.core.random import generator


@dataclass
class BatchOrder:
    """Batches of `batch` of the pairs `rows` (n,), epoch after epoch without end.

    `lengths` (n,) tokens of each pair's caption, `image_of` (n,) its image. An epoch is every pair once, or with
    `one_caption` every image once, by a caption drawn anew. `window`: batches that are sorted together, at most an
    epoch's; 1 sorts nothing.
    """

    rows: Ints
    lengths: Ints
    image_of: Ints
    batch: int
    window: int = 1
    one_caption: bool = False
    seed: int = 0
    _epochs: dict[int, Ints] = field(default_factory=dict, repr=False)
    _window: tuple[int, list[Ints]] = field(default=(-1, []), repr=False)

    def __post_init__(self) -> None:
        self.epoch_size = len(np.unique(self.image_of)) if self.one_caption else len(self.rows)
        self.window = max(1, min(self.window, self.epoch_size // self.batch))

    def epoch(self, number: int) -> Ints:
        """The order of an epoch (epoch_size,), as positions in `rows`."""
        if number not in self._epochs:
            rng = generator(self.seed, "pairs", number)
            order = rng.permutation(len(self.rows))
            if self.one_caption:
                # The first of each image in a random order is a random one of its captions.
                order = order[np.sort(np.unique(self.image_of[order], return_index=True)[1])]
            self._epochs[number] = order
        return self._epochs[number]

    def draw(self, number: int) -> list[Ints]:
        """The batches of window `number`, as positions in `rows`."""
        size = self.window * self.batch
        start, end = number * size, (number + 1) * size
        first, last = start // self.epoch_size, (end - 1) // self.epoch_size
        stream = np.concatenate([self.epoch(epoch) for epoch in range(first, last + 1)])
        self._epochs = {last: self._epochs[last]}  # the next window may begin in it
        drawn = stream[start - first * self.epoch_size :][:size]
        if self.window == 1:
            return [drawn]
        drawn = drawn[self.lengths[drawn].argsort(kind="stable")]
        order = generator(self.seed, "batches", number).permutation(self.window)
        return [drawn[place * self.batch : (place + 1) * self.batch] for place in order]

    def __getitem__(self, number: int) -> Ints:
        """The pairs of batch `number` (batch,), counted from 0."""
        window, place = divmod(number, self.window)
        if self._window[0] != window:
            self._window = window, self.draw(window)
        return self.rows[self._window[1][place]]
