"""Ratio plans: totals, shares, nesting, dealing, and that nothing added changes what is there."""

from __future__ import annotations

import json
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.adapters import plan_images
from fieldguide.adapters.cells import hash_plan
from fieldguide.adapters.plans import (
    ClassWise,
    Drawer,
    TextPool,
    cell_size,
    chairman_sequence,
    count_steps,
    draw_stream,
    images_kept,
    split_folds,
    split_validation,
)
from fieldguide.core.arrays import Ints
from fieldguide.core.files import hash_ids, read_json, write_csv
from fieldguide.core.random import generator
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.labelled import read_images
from tests.tiny_data import refusal

PERCENTS = range(0, 101, 5)
SAMPLINGS = ("class-wise", "global")
CAPTIONS = 3

uneven = st.lists(st.integers(1, 9), min_size=1, max_size=7)
seeds = st.integers(0, 2**31)


def labels_of(counts: list[int], mix: int = 0) -> Ints:
    """Labels with so many images per class, in an order of their own."""
    return np.random.default_rng(mix).permutation(np.repeat(np.arange(len(counts)), counts))


def captions_for(labels: Ints) -> TextPool:
    """CAPTIONS captions per image: image i has the rows CAPTIONS * i and following."""
    return TextPool(by_image=tuple(np.arange(CAPTIONS) + CAPTIONS * i for i in range(len(labels))))


def settings(sampling: str, *seeds: int) -> str:
    """The settings of a plan as its stage takes them."""
    return json.dumps({"sampling": sampling, "seeds": seeds})


def sentences_for(labels: Ints, per_class: int) -> TextPool:
    """`per_class` sentences per class: class c has the rows per_class * c and following."""
    return TextPool(by_class=tuple(np.arange(per_class) + per_class * c for c in range(int(labels.max()) + 1)))


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("percent", "n", "kept"),
    [(10, 5994, 599), (50, 3, 2), (10, 5, 1), (10, 4, 0), (30, 5, 2), (90, 5994, 5395), (0, 7, 0), (100, 7, 7)],
)
def test_images_kept_by_hand(percent: int, n: int, kept: int) -> None:
    assert images_kept(percent, n) == kept


@given(st.integers(0, 100), st.integers(0, 10**6))
def test_images_kept_rounds_half_up(percent: int, n: int) -> None:
    exact = Decimal(percent * n) / 100
    assert images_kept(percent, n) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_cell_size() -> None:
    assert cell_size(10, 200, True) == 200
    assert cell_size(10, 200, False) == 20


@pytest.mark.parametrize(
    ("budget", "amount", "size", "batch", "steps"),
    [("steps", 400, 7, 256, 400), ("epochs", 3, 10, 4, 8), ("epochs", 2, 8, 4, 4), ("epochs", 1, 3, 256, 1)],
)
def test_count_steps_by_hand(budget: str, amount: int, size: int, batch: int, steps: int) -> None:
    assert count_steps(budget, amount, size, batch) == steps


@given(st.integers(1, 50), st.integers(1, 10**4), st.integers(1, 512))
def test_epochs_are_all_seen_with_no_step_to_spare(epochs: int, size: int, batch: int) -> None:
    steps = count_steps("epochs", epochs, size, batch)
    assert (steps - 1) * batch < epochs * size <= steps * batch


# ---------------------------------------------------------------- class-wise order


def test_chairman_sequence_by_hand() -> None:
    # Shares 1/6, 2/6 and 3/6; a class may be chosen when it is due 1/4, the most urgent first.
    assert chairman_sequence([1, 2, 3]).tolist() == [2, 1, 2, 0, 1, 2]
    assert chairman_sequence([4]).tolist() == [0, 0, 0, 0]
    assert sorted(chairman_sequence([1, 1, 1, 1]).tolist()) == [0, 1, 2, 3]


@given(uneven)
def test_every_prefix_holds_each_class_within_one_of_its_share(counts: list[int]) -> None:
    sequence, n = chairman_sequence(counts), sum(counts)
    for label, count in enumerate(counts):
        taken = np.cumsum(sequence == label)
        assert taken[-1] == count
        # |taken - step * count / n| < 1, in whole numbers
        assert (np.abs(taken * n - np.arange(1, n + 1) * count) < n).all()


def test_shares_hold_on_cub_sized_classes() -> None:
    counts = [30] * 194 + [29] * 6
    labels = np.repeat(np.arange(200), counts)
    order = Drawer(labels, "class-wise").order(0)
    for percent in range(10, 100, 10):
        kept = np.bincount(labels[order[: images_kept(percent, len(labels))]], minlength=200)
        share = images_kept(percent, len(labels)) * np.array(counts) / len(labels)
        assert np.abs(kept - share).max() < 1


@given(uneven, seeds, st.integers(0, 3), st.sampled_from(SAMPLINGS))
def test_an_order_has_every_image_once(counts: list[int], seed: int, epoch: int, sampling: str) -> None:
    order = Drawer(labels_of(counts), sampling).order(seed, epoch)
    assert sorted(order.tolist()) == list(range(sum(counts)))


@given(uneven, seeds, st.integers(0, 3))
def test_class_wise_prefixes_follow_the_shares(counts: list[int], seed: int, epoch: int) -> None:
    labels = labels_of(counts, seed)
    drawn, n = labels[Drawer(labels, "class-wise").order(seed, epoch)], len(labels)
    for label, count in enumerate(counts):
        assert (np.abs(np.cumsum(drawn == label) * n - np.arange(1, n + 1) * count) < n).all()


def test_equal_classes_take_turns_in_being_first() -> None:
    labels = labels_of([3, 3, 3, 3])
    drawer = Drawer(labels, "class-wise")
    assert {int(labels[drawer.order(seed)[0]]) for seed in range(60)} == {0, 1, 2, 3}


def test_every_image_of_a_class_can_come_first() -> None:
    drawer = ClassWise.of(np.zeros(5, np.int64))
    assert {int(drawer.draw(generator(seed, "test"))[0]) for seed in range(80)} == set(range(5))


# ---------------------------------------------------------------- cells


def test_a_ratio_plan_by_hand() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2])
    drawer = Drawer(labels, "class-wise")
    for seed in range(5):
        kept, texts = drawer.cell(50, sentences_for(labels, 4), seed)
        # Half of six images by the sequence 2 1 2 0 1 2: one of class 1, two of class 2; a text for each of the others.
        assert labels[kept].tolist() == [2, 1, 2]
        assert (texts // 4).tolist() == [0, 1, 2]
        kept, texts = drawer.cell(0, captions_for(labels), seed)
        assert len(kept) == 0
        assert sorted((texts // CAPTIONS).tolist()) == [0, 1, 2, 3, 4, 5]


@given(uneven, seeds, st.integers(0, 2), st.sampled_from(SAMPLINGS))
def test_totals_nesting_and_own_captions(counts: list[int], seed: int, epoch: int, sampling: str) -> None:
    labels = labels_of(counts, 1)
    drawer, pool, n = Drawer(labels, sampling), captions_for(labels), len(labels)
    order = drawer.order(seed, epoch)
    before = np.empty(0, np.int64)
    for percent in PERCENTS:
        kept, texts = drawer.cell(percent, pool, seed, epoch)
        assert len(kept) + len(texts) == n and len(kept) == images_kept(percent, n)
        assert kept[: len(before)].tolist() == before.tolist(), "a smaller ratio's images are the first of a larger's"
        assert (texts // CAPTIONS).tolist() == order[len(kept) :].tolist(), "the caption is of the image it replaces"
        everything = drawer.cell(0, pool, seed, epoch)[1]
        assert texts.tolist() == everything[len(kept) :].tolist(), "a larger ratio's texts are among a smaller's"
        before = kept


@given(uneven, st.integers(1, 5), seeds, st.sampled_from(SAMPLINGS))
def test_sentences_are_dealt_by_class_without_replacement(
    counts: list[int], per_class: int, seed: int, sampling: str
) -> None:
    labels = labels_of(counts, 2)
    drawer, pool, order = Drawer(labels, sampling), sentences_for(labels, per_class), None
    for percent in PERCENTS:
        kept, texts = drawer.cell(percent, pool, seed)
        order = drawer.order(seed)
        assert (texts // per_class).tolist() == labels[order[len(kept) :]].tolist()
        for label in range(len(counts)):
            times = np.bincount(texts[texts // per_class == label] % per_class, minlength=per_class)
            # No sentence comes again before all of its class have come.
            assert times.max() - times.min() <= 1
        everything = drawer.cell(0, pool, seed)[1]
        assert texts.tolist() == everything[len(kept) :].tolist()


def test_every_caption_of_an_image_is_drawn_in_time() -> None:
    labels = np.zeros(1, np.int64)
    drawer = Drawer(labels, "global")
    drawn = {int(drawer.cell(0, captions_for(labels), 0, epoch)[1][0]) for epoch in range(60)}
    assert drawn == set(range(CAPTIONS))


@given(uneven, seeds, st.sampled_from(SAMPLINGS), st.integers(0, 100))
def test_a_text_source_changes_no_image(counts: list[int], seed: int, sampling: str, percent: int) -> None:
    labels = labels_of(counts)
    drawer = Drawer(labels, sampling)
    alone, none = drawer.cell(percent, None, seed)
    assert len(none) == 0
    for pool in (captions_for(labels), sentences_for(labels, 2)):
        assert drawer.cell(percent, pool, seed)[0].tolist() == alone.tolist()


def test_draws_do_not_depend_on_what_was_drawn_before() -> None:
    labels = labels_of([4, 5, 6])
    pool = captions_for(labels)
    for sampling in SAMPLINGS:
        fresh = Drawer(labels, sampling).cell(40, pool, 3, 2)
        used = Drawer(labels, sampling)
        for seed in range(5):
            for epoch in range(4):
                used.cell(70, pool, seed, epoch)
        again = used.cell(40, pool, 3, 2)
        assert [a.tolist() for a in again] == [f.tolist() for f in fresh]


def test_seeds_epochs_and_purposes_have_generators_of_their_own() -> None:
    keys = [(s, p, e) for s in range(4) for p in ("order-global", "order-class-wise", "shuffle") for e in range(4)]
    assert len({tuple(generator(*key).integers(0, 2**62, 2).tolist()) for key in keys}) == len(keys)


# ---------------------------------------------------------------- streams


@given(
    uneven,
    st.integers(1, 100),
    st.sampled_from(SAMPLINGS),
    st.sampled_from(("fixed", "per-epoch")),
    st.booleans(),
    st.integers(1, 12),
    st.integers(1, 8),
)
def test_a_stream_is_whole_epochs_one_after_the_other(
    counts: list[int], percent: int, sampling: str, redraw: str, with_texts: bool, steps: int, batch: int
) -> None:
    labels = labels_of(counts)
    drawer, n = Drawer(labels, sampling), len(labels)
    pool = captions_for(labels) if with_texts else None
    size = cell_size(percent, n, with_texts)
    if not size:
        with pytest.raises(ValueError, match="nothing to train on"):
            draw_stream(drawer, percent, pool, redraw, 5, steps, batch)
        return
    stream = draw_stream(drawer, percent, pool, redraw, 5, steps, batch)
    assert len(stream.rows) == steps * batch
    for epoch, start in enumerate(range(0, len(stream.rows), size)):
        kept, texts = drawer.cell(percent, pool, 5, epoch if redraw == "per-epoch" else 0)
        whole = Counter([*kept.tolist(), *(texts + n).tolist()])
        part = Counter(stream.rows[start : start + size].tolist())
        # The last epoch may be cut short.
        assert part == whole or (start + size > len(stream.rows) and part <= whole)
    assert stream.images.tolist() == sorted({int(r) for r in stream.rows if r < n})
    assert stream.texts.tolist() == sorted({int(r) - n for r in stream.rows if r >= n})


@given(uneven, st.sampled_from(("fixed", "per-epoch")), st.integers(1, 20), st.integers(1, 20))
def test_more_steps_only_add_to_a_stream(counts: list[int], redraw: str, steps: int, more: int) -> None:
    labels = labels_of(counts)
    drawer, pool = Drawer(labels, "class-wise"), sentences_for(labels, 2)
    short = draw_stream(drawer, 50, pool, redraw, 1, steps, 4).rows
    long = draw_stream(drawer, 50, pool, redraw, 1, steps + more, 4).rows
    # Only the order within the last epoch of the short one may be cut, never changed.
    assert long[: len(short)].tolist() == short.tolist()


def test_epoch_zero_is_the_fixed_one() -> None:
    labels = labels_of([5, 7, 8])
    drawer, pool = Drawer(labels, "class-wise"), captions_for(labels)
    fixed = draw_stream(drawer, 30, pool, "fixed", 2, 10, 4)
    redrawn = draw_stream(drawer, 30, pool, "per-epoch", 2, 10, 4)
    assert fixed.rows[:20].tolist() == redrawn.rows[:20].tolist()
    assert fixed.rows[20:].tolist() != redrawn.rows[20:].tolist()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_per_epoch_sees_everything_in_time_and_fixed_does_not(sampling: str) -> None:
    labels = labels_of([10, 10, 10])
    drawer, pool = Drawer(labels, sampling), captions_for(labels)
    fixed = draw_stream(drawer, 10, pool, "fixed", 0, 300, 30)
    assert (len(fixed.images), len(fixed.texts)) == (3, 27)
    redrawn = draw_stream(drawer, 10, pool, "per-epoch", 0, 300, 30)
    assert (len(redrawn.images), len(redrawn.texts)) == (30, 90)


def test_an_epoch_is_shuffled() -> None:
    labels = labels_of([20, 20])
    drawer = Drawer(labels, "class-wise")
    rows = draw_stream(drawer, 50, captions_for(labels), "fixed", 0, 2, 40).rows
    first, second = rows[:40], rows[40:]
    assert sorted(first.tolist()) == sorted(second.tolist())
    assert first.tolist() != second.tolist()
    assert not (first[:20] < 40).all(), "images and texts are mixed"


# ---------------------------------------------------------------- validation


@given(st.lists(st.integers(2, 12), min_size=1, max_size=6), st.floats(0.01, 0.99), seeds)
def test_validation_is_stratified_and_disjoint(counts: list[int], share: float, seed: int) -> None:
    labels = labels_of(counts)
    fit, held = split_validation(labels, share, seed)
    assert sorted([*fit.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert fit.tolist() == sorted(fit.tolist()) and held.tolist() == sorted(held.tolist())
    for label, count in enumerate(counts):
        taken = int((labels[held] == label).sum())
        assert 1 <= taken < count
        assert taken in (1, count - 1) or abs(taken - share * count) <= 0.5


def test_validation_by_hand() -> None:
    labels = np.repeat([0, 1], [10, 5])
    _, held = split_validation(labels, 0.2, 0)
    assert np.bincount(labels[held]).tolist() == [2, 1]
    assert {tuple(split_validation(labels, 0.2, seed)[1].tolist()) for seed in range(5)} != {tuple(held.tolist())}


def test_a_class_of_one_image_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match="class 1 has one training image"):
        split_validation(np.array([0, 0, 1]), 0.2, 0)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(2, 5), seeds)
def test_folds_spread_every_class_and_leave_alone_what_is_alone(counts: list[int], folds: int, seed: int) -> None:
    labels = labels_of(counts)
    found = split_folds(labels, folds, seed)
    sizes = np.bincount(found[found >= 0], minlength=folds)
    assert np.ptp(sizes) <= 1
    for label, count in enumerate(counts):
        own = found[labels == label]
        assert (own < 0).all() if count == 1 else np.ptp(np.bincount(own, minlength=folds)) <= 1
    np.testing.assert_array_equal(found, split_folds(labels, folds, seed))


# ---------------------------------------------------------------- fingerprints and the stage


def test_a_fingerprint_tells_order_and_groups() -> None:
    groups: list[tuple[list[str], ...]] = [(["1", "2"],), (["2", "1"],), (["1"], ["2"]), (["12"],), (["1", "2"], [])]
    assert len({hash_ids(*group) for group in groups}) == len(groups)
    assert hash_ids(["1", "2"]) == hash_ids(("1", "2"))


def write_records(path: Path, splits: list[tuple[int, bool]]) -> Path:
    """images.csv of images with (class, is it a training image); ids are 1, 2, …"""
    rows = [(str(i), f"{i}.jpg", str(c + 1), "train" if train else "test") for i, (c, train) in enumerate(splits, 1)]
    write_csv(path, IMAGE_COLUMNS, (dict(zip(IMAGE_COLUMNS, row, strict=True)) for row in rows))
    return path


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40), st.sampled_from(SAMPLINGS))
def test_no_test_image_is_in_a_plan(
    tmp_path_factory: pytest.TempPathFactory, splits: list[tuple[int, bool]], sampling: str
) -> None:
    splits = [*splits, (0, True)]
    folder = tmp_path_factory.mktemp("plan")
    records = write_records(folder / "images.csv", splits)
    train = [str(i) for i, (_, is_train) in enumerate(splits, 1) if is_train]
    images = read_images(records)
    assert images.train_ids == train
    plan_images.main(
        ["--records", str(records), "--settings", settings(sampling, 0, 7), "--out", str(folder / "plan.json")]
    )
    plan = read_json(folder / "plan.json")
    assert plan["sampling"] == sampling
    for seed in ("0", "7"):
        ids = plan["seeds"][seed]["image_ids"]
        assert sorted(ids) == sorted(train)
        assert ids == [train[i] for i in Drawer(images.train_labels, sampling).order(int(seed))]
        assert plan["seeds"][seed]["sha256"] == hash_ids(ids)


@given(uneven, st.sampled_from(SAMPLINGS), st.lists(st.tuples(seeds, st.integers(0, 100)), min_size=2, max_size=6))
def test_a_plan_is_the_same_whatever_other_seeds_and_ratios_are_planned(
    counts: list[int], sampling: str, asked: list[tuple[int, int]]
) -> None:
    """Kept by image id with a hash: of one seed and ratio alone, and among others drawn before it."""
    labels = labels_of(counts, 3)
    ids, pool = [f"image {i}" for i in range(len(labels))], captions_for(labels)
    among = Drawer(labels, sampling)
    planned = {(seed, percent): hash_plan(among, percent, pool, [seed], ids) for seed, percent in asked}
    for (seed, percent), found in planned.items():
        assert hash_plan(Drawer(labels, sampling), percent, pool, [seed], ids) == found
        kept, _ = Drawer(labels, sampling).cell(percent, None, seed)
        larger, _ = among.cell(min(100, percent + 10), None, seed)
        assert {ids[i] for i in kept} <= {ids[i] for i in larger}


@given(uneven, seeds, st.sampled_from(SAMPLINGS), st.integers(0, 100))
def test_hashes_tell_what_was_kept(counts: list[int], seed: int, sampling: str, percent: int) -> None:
    labels = labels_of(counts)
    drawer, ids = Drawer(labels, sampling), [str(i) for i in range(len(labels))]
    renamed = [ids[-1], *ids[:-1]]
    (kept, _), same = drawer.cell(percent, None, seed), hash_plan(drawer, percent, None, [seed], ids)
    assert (hash_plan(drawer, percent, None, [seed], renamed) == same) == (
        [ids[i] for i in kept] == [renamed[i] for i in kept]
    )


def test_adding_seeds_changes_no_plan(tmp_path: Path) -> None:
    records = write_records(tmp_path / "images.csv", [(i % 3, i % 4 > 0) for i in range(30)])
    plans = []
    for number, chosen in enumerate(([1], [0, 1, 2], [2, 1, 0])):
        out = tmp_path / f"{number}.json"
        argv = ["--records", str(records), "--settings", settings("class-wise", *chosen), "--out", str(out)]
        plan_images.main(argv)
        plans.append(json.loads(out.read_text())["seeds"])
    assert plans[0]["1"] == plans[1]["1"]
    assert plans[1] == plans[2]
    assert len({plan["sha256"] for plan in plans[1].values()}) == 3


def test_plan_images_names_a_missing_table(tmp_path: Path) -> None:
    argv = ["--records", tmp_path / "no.csv", "--settings", settings("global", 0), "--out", tmp_path / "plan.json"]
    assert f"{tmp_path / 'no.csv'}: No such file" in refusal(plan_images.main, *argv)
    assert not (tmp_path / "plan.json").exists()


@given(st.integers(1, 12), st.integers(0, 3), st.sampled_from(["class-wise", "global"]), st.booleans(), st.data())
def test_all_texts_stand_beside_the_images_at_every_share(
    per_class: int, seed: int, sampling: str, captions: bool, data: st.DataObject
) -> None:
    labels = np.repeat(np.arange(3), per_class)
    n = len(labels)
    own = tuple(np.array([2 * i, 2 * i + 1]) for i in range(n))
    sentences = tuple(np.arange(4) + 4 * label for label in range(3))
    pools = [
        TextPool(by_image=own, beside=beside) if captions else TextPool(by_class=sentences, beside=beside)
        for beside in (False, True)
    ]
    drawer = Drawer(labels, sampling)
    percent = data.draw(st.integers(0, 100))
    kept, replaced = drawer.cell(percent, pools[0], seed)
    same, texts = drawer.cell(percent, pools[1], seed)
    # The images are those of the cell whose texts replace, and its texts are the last of all.
    assert kept.tolist() == same.tolist() and texts[len(kept) :].tolist() == replaced.tolist()
    assert texts.tolist() == drawer.cell(0, pools[0], seed)[1].tolist()
    assert len(kept) + len(texts) == cell_size(percent, n, True, beside=True) == n + images_kept(percent, n)
    whose = texts // 2 if captions else None
    assert whose is None or sorted(whose.tolist()) == list(range(n))
    assert captions or np.bincount(texts // 4, minlength=3).tolist() == [per_class] * 3
