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
from dataclasses import dataclass
from statistics import fmean

from fieldguide.core.significance import half_width
from fieldguide.tables.cell_results import Cell
from fieldguide.tables.comparison import AccuracyRow, split_blocks
from fieldguide.tables.differences import Difference, find_differences, references_of

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
    return reached - without, together((relation, {AT_LEAST: AT_MOST, AT_MOST: AT_LEAST, EXACT: EXACT}[bound]))


def together(relations: Iterable[str]) -> str:
    """How a sum or a mean is to be read whose parts are to be read so."""
    bounds = set(relations) - {EXACT}
    return EXACT if not bounds else bounds.pop() if len(bounds) == 1 else BETWEEN


@dataclass(frozen=True)
class Worth:
    """What the text of one cell is worth, in labelled images per class; negative where text costs images.

    `relation` says how `images` is to be read: `=` with a 95% t interval over seeds (None from one seed), or a bound
    `>=` or `<=` where seeds fall outside the image-only curve (each counts as its end, and there is no interval), or
    `?` where some fall above and some below. `outside`: how many do. `difference`: of the accuracies, None where no
    image-only training has this share.
    """

    variant: str
    row: AccuracyRow
    reference: str  # the recipe of the image-only column
    images: float
    half_width: float | None
    relation: str
    outside: int
    difference: Difference | None = None

    @property
    def helps(self) -> bool | None:
        """Whether it saves images or costs some, None if that cannot be told: as the accuracies can be told apart."""
        if self.difference is None or not self.difference.told_apart:
            return None
        return self.difference.test.mean > 0

    @property
    def of_text_alone(self) -> bool:
        """Whether recipe and images are the reference's, so that the text is all that differs."""
        return self.reference in (self.row.recipe, f"{self.row.recipe}-image-only")


@dataclass(frozen=True)
class FlatCurve:
    """An image-only column that does not rise with images, so that nothing can be expressed in images.

    `rise`: points from its smallest share to its largest, and the half-width of the 95% interval of that.
    """

    variant: str
    reference: str
    rise: float
    half_width: float | None


def find_worth(cells: Sequence[Cell], images_per_class: float) -> tuple[list[Worth], list[FlatCurve]]:
    """Every text cell's worth against the image-only columns that its recipe is held against; baselines left out.

    images_per_class: labelled training images per class, their mean.
    """
    accuracies = {cell.row.identity: cell.accuracies for cell in cells}
    differences = {(d.variant, d.first.identity, d.second.recipe): d for d in find_differences(cells)}
    found: list[Worth] = []
    flat: list[FlatCurve] = []
    for block in split_blocks(cell.row for cell in cells):
        for reference in dict.fromkeys(row.recipe for row in block.rows if row.image_only):
            alone = sorted(
                (row for row in block.rows if row.image_only and row.recipe == reference),
                key=lambda row: row.image_percent,
            )
            shares = [row.image_percent for row in alone]
            by_seed = list(zip(*(accuracies[row.identity] for row in alone), strict=True))
            texts = [r for r in block.rows if not r.image_only and reference in references_of(r.recipe)]
            if len(alone) < 2 or not texts:
                continue
            rises = [curve[-1] - curve[0] for curve in by_seed]
            width = half_width(rises)
            if fmean(rises) <= (width or 0.0):
                flat.append(FlatCurve(block.title, reference, fmean(rises), width))
                continue
            curves = [monotone(curve) for curve in by_seed]
            for row in texts:
                # Only the share that this cell's images have is compared with image only on the very same images.
                own = dict(zip(shares, zip(*by_seed, strict=True), strict=True)).get(row.image_percent)
                per_seed = [
                    share_saved(accuracy, None if own is None else own[seed], row.image_percent, shares, curves[seed])
                    for seed, accuracy in enumerate(accuracies[row.identity])
                ]
                tested = differences.get((block.title, row.identity, reference)) if own is not None else None
                found.append(_worth(block.title, row, reference, per_seed, images_per_class, tested))
    return found, flat


def _worth(
    variant: str,
    row: AccuracyRow,
    reference: str,
    per_seed: Sequence[tuple[float, str]],
    images_per_class: float,
    difference: Difference | None,
) -> Worth:
    saved = [share / 100 * images_per_class for share, _ in per_seed]
    relation = together(relation for _, relation in per_seed)
    outside = sum(relation != EXACT for _, relation in per_seed)
    width = half_width(saved) if relation == EXACT else None
    return Worth(variant, row, reference, fmean(saved), width, relation, outside, difference)


def format_worth(worth: Worth) -> str:
    """`+1.2 ± 0.4`, or a bound such as `≥ +2.0` or `≤ −0.3`; both ways out of the curve is no figure."""
    if worth.relation == BETWEEN:
        return "outside"
    sign = {EXACT: "", AT_LEAST: f"{SIGNS[0]} ", AT_MOST: f"{SIGNS[1]} "}[worth.relation]
    width = "" if worth.half_width is None else f" ± {worth.half_width:.1f}"
    images = worth.images if math.copysign(1, worth.images) > 0 or round(worth.images, 1) else 0.0
    return f"{sign}{images:+.1f}{width}"


def tell_worth(worths: Sequence[Worth], label: str, images_per_class: float) -> str:
    """One text column against one image-only column, in a sentence or two for a report.

    The figure is that of the fewest images, where text is to help most: the largest would be too large by choice.
    """
    told = sorted(worths, key=lambda w: -w.row.image_percent)
    subject = "the text" if all(w.of_text_alone for w in told) else "the recipe with its text"
    if any(w.row.n_seeds < 2 for w in told):
        return f"{label}: one seed, so nothing can be said about whether {subject} saves images."
    helps, costs = ([f"{w.row.image_percent:g}%" for w in told if w.helps is which] for which in (True, False))
    said = f"{label}: "
    with_images = [w for w in told if w.row.image_percent > 0]
    if with_images and with_images[-1].relation != BETWEEN:
        fewest = with_images[-1]
        said += (
            f"at {fewest.row.image_percent:g}% of the images, the fewest here, {subject} is worth "
            f"{BOUNDS[fewest.relation]}{format_worth(fewest).lstrip(SIGNS)} labelled images per class (of "
            f"{images_per_class:.1f}){', not told apart from nothing' if fewest.helps is None else ''}. "
        )
    parts = [f"{subject} saves images at {', '.join(helps) or 'no share'}"]
    parts += [f"it costs images at {', '.join(costs)}"] if costs else []
    undecided = len(told) - len(helps) - len(costs)
    parts += [f"it is undecided at {undecided} of {len(told)} shares"] if undecided else []
    return f"{said}{'; '.join(parts).capitalize()}."
