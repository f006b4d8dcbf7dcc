"""Which pairs a batch holds: every pair in its turn, captions of like length together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.translators.batches import BatchOrder


def make(pairs: int, batch: int, window: int = 1, one_caption: bool = False, seed: int = 0) -> BatchOrder:
    """Pairs numbered from 100, three captions an image, lengths at random."""
    rng = np.random.default_rng(pairs)
    return BatchOrder(
        rows=np.arange(pairs) + 100,
        lengths=rng.integers(2, 60, pairs),
        image_of=np.arange(pairs) // 3,
        batch=batch,
        window=window,
        one_caption=one_caption,
        seed=seed,
    )


SIZES = (st.integers(3, 60), st.integers(1, 70), st.integers(1, 9), st.integers(0, 99))


@given(*SIZES)
def test_every_pair_has_its_turn_in_every_epoch(pairs: int, batch: int, window: int, seed: int) -> None:
    order = make(pairs, batch, window, seed=seed)
    windows = -(-3 * pairs // (batch * order.window))
    drawn = np.concatenate([order[number] for number in range(windows * order.window)])
    assert all(len(order[number]) == batch for number in range(3))
    # What is drawn is whole epochs but for the last: no pair is a turn ahead of another by more than one.
    turns = np.bincount(drawn - 100, minlength=pairs)
    assert turns.min() >= 3 and turns.max() - turns.min() <= 1


@given(*SIZES, st.booleans())
def test_any_batch_can_be_asked_for_first(pairs: int, batch: int, window: int, seed: int, one: bool) -> None:
    order = make(pairs, batch, window, one, seed)
    seen = [order[number].tolist() for number in range(12)]
    for number in (11, 3, 7, 0):
        assert make(pairs, batch, window, one, seed)[number].tolist() == seen[number]


@given(*SIZES)
def test_an_epoch_of_one_caption_is_every_image_once(pairs: int, batch: int, window: int, seed: int) -> None:
    order = make(pairs, batch, window, one_caption=True, seed=seed)
    for epoch in range(3):
        images = order.image_of[order.epoch(epoch)]
        assert sorted(images.tolist()) == sorted(set(order.image_of.tolist()))


def test_captions_are_drawn_anew_each_epoch() -> None:
    order = make(60, 10, one_caption=True)
    epochs = [set(order.epoch(epoch).tolist()) for epoch in range(20)]
    assert len({frozenset(epoch) for epoch in epochs}) == 20
    assert set.union(*epochs) == set(range(60)), "every caption is drawn at some time"


def test_bucketing_saves_padding_and_leaves_batches_mixed() -> None:
    def padding(order: BatchOrder, batches: int) -> float:
        lengths = [order.lengths[order[number] - 100] for number in range(batches)]
        return sum(len(batch) * batch.max() - batch.sum() for batch in lengths) / sum(map(np.sum, lengths))

    plain, sorted_ = make(4096, 64), make(4096, 64, window=16)
    assert padding(plain, 64) > 0.8 and padding(sorted_, 64) < 0.1
    # Lengths come in no order, and a batch's pairs are not neighbours in the table.
    means = [sorted_.lengths[sorted_[number] - 100].mean() for number in range(16)]
    assert means != sorted(means)
    assert len({pair // 100 for pair in sorted_[0].tolist()}) > 20
    # The first window holds what the first batches would have held without sorting.
    together = np.concatenate([plain[number] for number in range(16)])
    assert sorted(together) == sorted(np.concatenate([sorted_[number] for number in range(16)]))


def test_another_seed_is_another_order() -> None:
    for window in (1, 4):
        assert len({tuple(make(60, 10, window, seed=seed)[0].tolist()) for seed in range(5)}) == 5
