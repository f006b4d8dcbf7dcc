"""The worth of text in images: how many more labelled images an image-only training needs for the same accuracy.

Pure. At p% of the images and text for the rest, an accuracy a is reached; image only reaches it with q% of the images.
The text is worth (q - p)% of the training images. q is read off the image-only curve of the same seed, made monotone,
and so is p, by image only's own accuracy there: where noise bends the curve, text that changes nothing saves nothing.

The interval is Student's over the seeds' worths. On curves drawn at random with the aviary's means, spreads and
correlations, 5 seeds each, it held the true worth 94 to 98 times in 100 at 20 to 70% of the images; at 80 and 90%,
where the end of the curve is near and seeds beyond it make a bound, 75 to 98 times. Whether text saves images is not
read off it: more images mean a higher accuracy, so that is the paired test of accuracies which the table of differences
shows, corrected for many as it is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fieldguide.core.significance import half_width
from fieldguide.tables.differences import find_differences, references_of
from fieldguide.tables.results import accuracies_by_cell, by_variant, summarise
from fieldguide.tables.rows import IMAGE_ONLY

if TYPE_CHECKING:
    import pandas as pd

EXACT, AT_LEAST, AT_MOST, BETWEEN = "=", ">=", "<=", "?"
BOUNDS = {EXACT: "", AT_LEAST: "at least ", AT_MOST: "at most "}
SIGNS = "\N{GREATER-THAN OR EQUAL TO}\N{LESS-THAN OR EQUAL TO} "


def monotone(accuracies: Sequence[float]) -> list[float]:
    """The nearest curve that never falls, in the sense of least squares (isotonic regression)."""
    from scipy.optimize import isotonic_regression

    return [float(a) for a in isotonic_regression(list(accuracies)).x]


def share_for(accuracy: float, shares: Sequence[float], curve: Sequence[float]) -> tuple[float, str]:
    """The smallest share of images at which a curve reaches an accuracy, by linear interpolation.

    shares (k,) rising, in percent; curve (k,) never falling. An accuracy below the curve gives the smallest share as
    `<=`, one above it the largest as `>=`: what lies outside was not measured.
    """
    if accuracy < curve[0]:
        return shares[0], AT_MOST
    if accuracy > curve[-1]:
        return shares[-1], AT_LEAST
    upper = next(i for i, reached in enumerate(curve) if reached >= accuracy)
    if upper == 0 or curve[upper] == accuracy:
        return shares[upper], EXACT
    low, high = curve[upper - 1], curve[upper]
    return shares[upper - 1] + (accuracy - low) / (high - low) * (shares[upper] - shares[upper - 1]), EXACT


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


def find_worth(cells: pd.DataFrame, images_per_class: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every text cell's worth against the image-only columns that its recipe is held against; baselines left out.

    cells: of `read_cells`. images_per_class: labelled training images per class, their mean. Returns two frames.

    Worth, a row per text cell and image-only column: the cell's columns, `variant`, `image_only_recipe`,
    `images_per_class_saved`, negative where text costs images, with `images_per_class_saved_ci95`;
    `percent_of_images_saved`; `relation`, how to read them: `=` with a 95% t interval over seeds (none from one seed),
    or a bound `>=` or `<=` where `seeds_outside_curve` seeds fall outside the image-only curve (each counts as its end,
    and there is no interval), or `?` where some fall above and some below; `verdict`: `saves`, `costs` or `undecided`,
    by whether the accuracies differ significantly on the same images.

    Flat image-only columns, in which nothing can be expressed: `variant`, `image_only_recipe`, and `rise`, the points
    from the smallest share to the largest, with `rise_ci95`.
    """
    import pandas as pd

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
            for cell in texts.to_dict("records"):
                # Only the share that this cell's images have is compared with image only on the very same images.
                same_images = paths.get(cell["image_percent"])
                own = accuracies[same_images] if same_images else [None] * len(curves)
                per_seed = [
                    share_saved(accuracy, without, cell["image_percent"], shares, curve)
                    for accuracy, without, curve in zip(accuracies[cell["path"]], own, curves, strict=True)
                ]
                found.append(
                    {**cell, **which, "has_same_images": same_images is not None, **_sum_up(per_seed, images_per_class)}
                )
    columns = [*members.columns, "image_only_recipe", "has_same_images", *_sum_up([(0.0, EXACT)], 1.0)]
    worth = pd.DataFrame(found, columns=columns).astype({"images_per_class_saved_ci95": float})
    curves_without_rise = pd.DataFrame(flat, columns=["variant", "image_only_recipe", "rise", "rise_ci95"])
    return add_verdicts(worth, find_differences(cells)), curves_without_rise.astype({"rise_ci95": float})


def _sum_up(per_seed: Sequence[tuple[float, str]], images_per_class: float) -> dict[str, Any]:
    saved = [share / 100 * images_per_class for share, _ in per_seed]
    relation = combine_bounds(relation for _, relation in per_seed)
    return {
        "relation": relation,
        "images_per_class_saved": fmean(saved),
        "images_per_class_saved_ci95": half_width(saved) if relation == EXACT else None,
        "percent_of_images_saved": fmean(saved) / images_per_class * 100,
        "seeds_outside_curve": sum(relation != EXACT for _, relation in per_seed),
    }


def add_verdicts(worth: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """With `verdict`, by the difference of the text cell from the reference, where image only has the same images."""
    # Keyed by the reference's recipe alone, so that of several differences from that recipe the last one counts.
    key = ["variant", "first_path", "second_recipe"]
    tested = differences.drop_duplicates(key, keep="last")[[*key, "difference_mean", "significant"]]
    found = worth.merge(tested, how="left", left_on=["variant", "path", "image_only_recipe"], right_on=key)
    verdicts = [
        "undecided" if is_significant is not True or not has_own else "saves" if mean > 0 else "costs"
        for has_own, is_significant, mean in zip(
            found["has_same_images"], found["significant"], found["difference_mean"], strict=True
        )
    ]
    return found.assign(verdict=verdicts)


def format_worth(images: float, half_width: float, relation: str) -> str:
    """`+1.2 ± 0.4`, or a bound such as `≥ +2.0` or `≤ -0.3`; bounded on neither side is no figure."""
    if relation == BETWEEN:
        return "outside"
    sign = {EXACT: "", AT_LEAST: f"{SIGNS[0]} ", AT_MOST: f"{SIGNS[1]} "}[relation]
    width = "" if math.isnan(half_width) else f" ± {half_width:.1f}"
    images = images if math.copysign(1, images) > 0 or round(images, 1) else 0.0
    return f"{sign}{images:+.1f}{width}"


def format_worths(worth: pd.DataFrame) -> list[str]:
    """Each row's."""
    columns = ("images_per_class_saved", "images_per_class_saved_ci95", "relation")
    return [format_worth(*row) for row in worth[list(columns)].itertuples(index=False, name=None)]


def describe_worth(worth: pd.DataFrame, label: str, images_per_class: float) -> str:
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
        bound, figure = BOUNDS[fewest["relation"]], format_worths(with_images)[-1].lstrip(SIGNS)
        text += (
            f"at {fewest['image_percent']:g}% of the images, the fewest here, {subject} is worth {bound}{figure} "
            f"labelled images per class (of {images_per_class:.1f})"
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
