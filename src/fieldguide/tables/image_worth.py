"""The worth of text in images: how many more labelled images an image-only training needs for the same accuracy.

Pure. At p% of the images and text for the rest, an accuracy a is reached; image only reaches it with q% of the images.
The text is worth (q - p)% of the training images. q is read off the image-only curve of the same seed, made monotone
and straight in the logarithm of the share, as accuracy grows with data, and so is p, by image only's own accuracy
there: where noise bends the curve, text that changes nothing saves nothing.

The interval is over the seeds' worths and, where cells keep which test images they name rightly, over these too, curves
and cells on the same test sets drawn anew (`core.bootstrap`). Whether text saves images is not read off it: more images
mean a higher accuracy, so that is the test of accuracies which the table of differences shows, corrected for many as it
is there.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fieldguide.core.significance import half_width
from fieldguide.tables.differences import find_differences, references_of
from fieldguide.tables.results import TrainingImages, accuracies_by_cell, by_variant, summarise
from fieldguide.tables.rows import IMAGE_ONLY

if TYPE_CHECKING:
    import pandas as pd

    from fieldguide.core.arrays import Doubles
    from fieldguide.tables.tested_images import TestedImages

WORTH_DRAWS = 300
"""Test sets drawn that worths are read off on, each with its own curves: a standard error of them is known to 4%."""
EXACT, AT_LEAST, AT_MOST, BETWEEN = "=", ">=", "<=", "?"
BOUNDS = {EXACT: "", AT_LEAST: "at least ", AT_MOST: "at most "}
SIGNS = "\N{GREATER-THAN OR EQUAL TO}\N{LESS-THAN OR EQUAL TO} "


def monotone(accuracies: Sequence[float]) -> list[float]:
    """The nearest curve that never falls, in the sense of least squares (isotonic regression)."""
    from scipy.optimize import isotonic_regression

    return [float(a) for a in isotonic_regression(list(accuracies)).x]


def share_for(accuracy: float, shares: Sequence[float], curve: Sequence[float]) -> tuple[float, str]:
    """The smallest share of images at which a curve reaches an accuracy; straight in the logarithm of the share.

    shares (k,) rising, above 0, in percent; curve (k,) never falling. An accuracy below the curve gives the smallest
    share as `<=`, one above it the largest as `>=`: what lies outside was not measured.
    """
    if accuracy < curve[0]:
        return shares[0], AT_MOST
    if accuracy > curve[-1]:
        return shares[-1], AT_LEAST
    upper = next(i for i, reached in enumerate(curve) if reached >= accuracy)
    if upper == 0 or curve[upper] == accuracy:
        return shares[upper], EXACT
    low, high = curve[upper - 1], curve[upper]
    return shares[upper - 1] * (shares[upper] / shares[upper - 1]) ** ((accuracy - low) / (high - low)), EXACT


def share_saved(
    accuracy: float, alone: float | None, share: float, shares: Sequence[float], curve: Sequence[float]
) -> tuple[float, str]:
    """Percent of the images that text saves at one share of images, and whether that is a bound.

    alone: accuracy on these images without text, None where no image-only training has this share. The same accuracy
    saves exactly 0. Noise can lift `alone` above the end of the monotone curve too: then it is that much less.
    """
    reached, relation = share_for(accuracy, shares, curve)
    if alone is None:
        return reached - share, relation
    if accuracy == alone:
        return 0.0, EXACT
    without, bound = share_for(alone, shares, curve)
    return reached - without, combine_bounds((relation, {AT_LEAST: AT_MOST, AT_MOST: AT_LEAST, EXACT: EXACT}[bound]))


def combine_bounds(relations: Iterable[str]) -> str:
    """How a sum or a mean is to be read whose parts are to be read so."""
    bounds = set(relations) - {EXACT}
    return EXACT if not bounds else bounds.pop() if len(bounds) == 1 else BETWEEN


def find_worth(
    cells: pd.DataFrame, images: TrainingImages, tested: TestedImages | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every text cell's worth against the image-only columns that its recipe is held against; baselines left out.

    cells: of `read_cells`. images: the labelled training images. tested: what the cells do on other test images.
    Returns two frames.

    Worth, a row per text cell and image-only column: the cell's columns, `variant`, `image_only_recipe`;
    `images_per_class_saved`, a class's on average, negative where text costs images, `images_saved`, in all classes
    together, and `percent_of_images_saved`; of the first the half-widths `images_per_class_saved_ci95`, of the t
    interval over seeds (none from one seed), and `images_per_class_saved_ci95_seeds_images`, over test images too;
    `relation`, how to read them: `=`, or a bound `>=` or `<=` where `seeds_outside_curve` seeds fall outside the
    image-only curve (each counts as its end, and there is no interval), or `?` where some fall above and some below;
    `verdict`: `saves`, `costs` or `undecided`, by whether the accuracies differ significantly on the same images.

    Flat image-only columns, in which nothing can be expressed: `variant`, `image_only_recipe`, and `rise`, the points
    from the smallest share to the largest, with `rise_ci95`.
    """
    import pandas as pd

    from fieldguide.core.bootstrap import infer_over_seeds_and_images

    accuracies = accuracies_by_cell(cells)
    members = by_variant(summarise(cells))
    found: list[dict[str, Any]] = []
    flat: list[dict[str, Any]] = []
    for variant, block in members.groupby("variant", sort=False):
        is_alone = block["text_source"] == IMAGE_ONLY
        for reference in block.loc[is_alone, "recipe"].unique():
            alone = block[is_alone & (block["recipe"] == reference)].sort_values("image_percent")
            texts = block[
                ~is_alone & block["recipe"].isin([r for r in block["recipe"] if reference in references_of(r)])
            ]
            if len(alone) < 2 or texts.empty:
                continue
            shares = alone["image_percent"].tolist()
            paths = dict(zip(shares, alone["path"], strict=True))
            by_seed = list(zip(*(accuracies[path] for path in alone["path"]), strict=True))
            which = {"variant": variant, "image_only_recipe": reference}
            rises = [curve[-1] - curve[0] for curve in by_seed]
            width = half_width(rises)
            if fmean(rises) <= (width or 0.0):
                flat.append({**which, "rise": fmean(rises), "rise_ci95": width})
                continue
            curves = [monotone(curve) for curve in by_seed]
            drawn = _draw_curves(tested, alone["path"].tolist())
            for cell in texts.to_dict("records"):
                # Only the share that this cell's images have is compared with image only on the very same images.
                same_images = paths.get(cell["image_percent"])
                own = accuracies[same_images] if same_images else [None] * len(curves)
                per_seed = [
                    share_saved(accuracy, without, cell["image_percent"], shares, curve)
                    for accuracy, without, curve in zip(accuracies[cell["path"]], own, curves, strict=True)
                ]
                summed = _sum_up(per_seed, images)
                if tested and summed["relation"] == EXACT and len(per_seed) > 1:
                    replicates = _draw_worths(tested, cell, same_images, shares, drawn)
                    saved = infer_over_seeds_and_images([share for share, _ in per_seed], replicates).half_width
                    summed["images_per_class_saved_ci95_seeds_images"] = (saved or 0.0) / 100 * images.per_class
                found.append({**cell, **which, "has_same_images": same_images is not None, **summed})
    columns = [*members.columns, "image_only_recipe", "has_same_images", *_sum_up([(0.0, EXACT)], images)]
    widths = ("images_per_class_saved_ci95", "images_per_class_saved_ci95_seeds_images")
    worth = pd.DataFrame(found, columns=columns).astype(dict.fromkeys(widths, float))
    worth["n_test_images"] = pd.array([tested.count if tested else None] * len(worth), "Int64")
    curves_without_rise = pd.DataFrame(flat, columns=["variant", "image_only_recipe", "rise", "rise_ci95"])
    return add_verdicts(worth, find_differences(cells, tested)), curves_without_rise.astype({"rise_ci95": float})


def _draw_curves(tested: TestedImages | None, alone: Sequence[str]) -> list[list[list[float]]]:
    """Image only's curve on every test set drawn (the first `WORTH_DRAWS`) and of every seed."""
    if tested is None:
        return []
    points = [tested.resampled[path][:WORTH_DRAWS] for path in alone]
    return [
        [monotone(curve) for curve in zip(*by_seed, strict=True)]
        for by_seed in zip(*(of_share.tolist() for of_share in points), strict=True)
    ]


def _draw_worths(
    tested: TestedImages,
    cell: Mapping[Hashable, Any],
    same_images: str | None,
    shares: Sequence[float],
    drawn: Sequence[Sequence[Sequence[float]]],
) -> Doubles:
    """A cell's worths in percent of the images (draws, S), on the test sets that `drawn` has curves of."""
    import numpy as np

    accuracies = tested.resampled[cell["path"]][: len(drawn)].tolist()
    own = tested.resampled[same_images][: len(drawn)].tolist() if same_images else None
    return np.array(
        [
            [
                share_saved(accuracy, own[draw][seed] if own else None, cell["image_percent"], shares, curves[seed])[0]
                for seed, accuracy in enumerate(accuracies[draw])
            ]
            for draw, curves in enumerate(drawn)
        ]
    )


def _sum_up(per_seed: Sequence[tuple[float, str]], images: TrainingImages) -> dict[str, Any]:
    saved = [share / 100 * images.per_class for share, _ in per_seed]
    relation = combine_bounds(relation for _, relation in per_seed)
    return {
        "relation": relation,
        "images_per_class_saved": fmean(saved),
        "images_per_class_saved_ci95": half_width(saved) if relation == EXACT else None,
        "images_per_class_saved_ci95_seeds_images": None,
        "images_saved": fmean(saved) * images.classes,
        "percent_of_images_saved": fmean(share for share, _ in per_seed),
        "seeds_outside_curve": sum(relation != EXACT for _, relation in per_seed),
    }


def add_verdicts(worth: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """With `verdict`, by the difference of the text cell from the reference, where image only has the same images."""
    # A text cell also has differences from the same recipe's text columns, which say nothing of images saved.
    beside_images = differences[differences["comparison"] == "text and image only"]
    key = ["variant", "first_path", "second_recipe"]
    tested = beside_images[[*key, "difference_mean", "significant", "same_predictions"]]
    left = ["variant", "path", "image_only_recipe"]
    found = worth.merge(tested, how="left", left_on=left, right_on=key, validate="one_to_one")
    verdicts = [
        "undecided" if is_significant is not True or not has_own else "saves" if mean > 0 else "costs"
        for has_own, is_significant, mean in zip(
            found["has_same_images"], found["significant"], found["difference_mean"], strict=True
        )
    ]
    return found.assign(verdict=verdicts)


def format_worth(images: float, half_width: float, relation: str, in_all: float | None = None) -> str:
    """`+1.2 ± 0.4`, or a bound such as `≥ +2.0` or `≤ -0.3`, and in brackets how many images that are in all, `(+58)`;
    bounded on neither side is no figure.
    """
    if relation == BETWEEN:
        return "outside"
    sign = {EXACT: "", AT_LEAST: f"{SIGNS[0]} ", AT_MOST: f"{SIGNS[1]} "}[relation]
    width = "" if math.isnan(half_width) else f" ± {half_width:.1f}"
    images = images if math.copysign(1, images) > 0 or round(images, 1) else 0.0
    brackets = "" if in_all is None else f" ({round(in_all):+,d})"
    return f"{sign}{images:+.1f}{width}{brackets}"


def choose_interval(worth: pd.DataFrame) -> pd.Series[float]:
    """The half-width that pages show of each row: over seeds and test images where that is known."""
    return worth["images_per_class_saved_ci95_seeds_images"].fillna(worth["images_per_class_saved_ci95"])


def format_worths(worth: pd.DataFrame, in_all: bool = True) -> list[str]:
    """Each row's."""
    shown = worth.assign(interval=choose_interval(worth))
    columns = ["images_per_class_saved", "interval", "relation", *(["images_saved"] if in_all else [])]
    return [format_worth(*row) for row in shown[columns].itertuples(index=False, name=None)]


def describe_worth(worth: pd.DataFrame, label: str, images: TrainingImages) -> str:
    """One text column against one image-only column, in a sentence or two for a report.

    The figure is that of the fewest images, where text is to help most: the largest would be too large by choice.
    """
    worth = worth.sort_values("image_percent", ascending=False, kind="stable")
    # Where recipe and images are the reference's, the text is all that differs.
    is_texts_own = [
        reference in (recipe, f"{recipe}-image-only")
        for recipe, reference in zip(worth["recipe"], worth["image_only_recipe"], strict=True)
    ]
    subject = "the text" if all(is_texts_own) else "the recipe with its text"
    if (worth["n_seeds"] < 2).any():
        return f"{label}: one seed, so nothing can be said about whether {subject} saves images."
    text = f"{label}: "
    with_images = worth[worth["image_percent"] > 0]
    if len(with_images) and (fewest := with_images.iloc[-1])["relation"] != BETWEEN:
        bound, figure = BOUNDS[fewest["relation"]], format_worths(with_images, False)[-1].lstrip(SIGNS)
        text += (
            f"at {fewest['image_percent']:g}% of the images, the fewest here, {subject} is worth {bound}{figure} "
            f"labelled images per class (of {images.per_class:.1f}), {round(fewest['images_saved']):+,d} in all (of "
            f"{images.total:,})"
            f"{', not significantly different from nothing' if fewest['verdict'] == 'undecided' else ''}. "
        )
    helps, costs = (
        [f"{percent:g}%" for percent in worth.loc[worth["verdict"] == verdict, "image_percent"]]
        for verdict in ("saves", "costs")
    )
    parts = [f"{subject} saves images at {', '.join(helps) or 'no share'}"]
    parts += [f"it costs images at {', '.join(costs)}"] if costs else []
    undecided = len(worth) - len(helps) - len(costs)
    parts += [f"it is undecided at {undecided} of {len(worth)} shares"] if undecided else []
    return f"{text}{'; '.join(parts).capitalize()}."
