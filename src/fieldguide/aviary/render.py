"""Paint the aviary: from the records of `traits` to RGB pictures, the same bytes for the same records.

Geometry lives in unit coordinates. A bird is sketched in its own frame (x towards the bill, y down, the trunk about
one unit long) as a list of polygons, posed, fitted into the picture, painted at twice the picture's size and reduced;
light, blur and noise come last. Every random choice is drawn from a seed that the record carries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from fieldguide.aviary.traits import LIGHTS, MORPHS, PALETTE, CocoScene, Family, Plumage, SceneObject, Species, View

Points = NDArray[np.float64]  # (n, 2), x and y
Colour = tuple[int, int, int]

_OVERSAMPLE = 2  # the canvas is this many times the picture's side
_DARK = (34, 30, 32)
_BARK = (96, 72, 54)


# ---------------------------------------------------------------- colours and curves


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` (0 to 1) of `b` in it."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def _times(colour: Colour, factor: float) -> Colour:
    """`colour` with its channels scaled, cut at 255."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return r, g, b


def _jittered(colour: Colour, rng: Random, spread: float) -> Colour:
    """`colour` a little lighter or darker and of slightly other hue; `spread` in grey levels."""
    value = rng.gauss(0, spread)
    r, g, b = (min(255, max(0, round(c + value + rng.gauss(0, spread * 0.6)))) for c in colour)
    return r, g, b


def _luma(colour: Colour) -> float:
    """Brightness, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _catmull(steps: int) -> NDArray[np.float64]:
    """Catmull-Rom weights of four neighbouring control points at `steps` places, (steps, 4)."""
    s = np.arange(steps) / steps
    columns = (-s + 2 * s**2 - s**3, 2 - 5 * s**2 + 3 * s**3, s + 4 * s**2 - 3 * s**3, -(s**2) + s**3)
    return np.stack(columns, axis=1) / 2


_CURVE = _catmull(5)


def _closed(points: Points) -> Points:
    """A smooth closed curve through `points`, five samples a point."""
    ring = np.stack([np.roll(points, 1, 0), points, np.roll(points, -1, 0), np.roll(points, -2, 0)], axis=1)
    return np.asarray((_CURVE @ ring).reshape(-1, points.shape[1]))


def _open(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve from the first to the last of `points` (n, d), five samples a span."""
    before, after = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
    line = np.concatenate([before, points, after])
    spans = np.stack([line[:-3], line[1:-2], line[2:-1], line[3:]], axis=1)
    return np.concatenate([(_CURVE @ spans).reshape(-1, points.shape[1]), points[-1:]])


_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


# ---------------------------------------------------------------- the bird's body


@dataclass(frozen=True)
class _Build:
    """A body plan: the trunk is a stroke of varying width along `axis`, rump first; lengths in trunk units."""

    axis: tuple[tuple[float, float, float], ...]  # x, y, half width
    head: tuple[float, float, float]  # x, y, radius
    belly_end: float  # shares of the axis, rump 0 to neck 1
    breast_end: float
    back_end: float
    shoulder: tuple[float, float]  # where the wing begins: share of the axis, side (-1 belly to 1 back)
    wing_tip: tuple[float, float]  # x, y
    wing_width: float
    hip: float  # share of the axis
    tail_drop: float  # degrees below the horizontal


_BUILDS = {
    "round": _Build(
        ((-0.47, 0.06, 0.12), (-0.27, 0.03, 0.30), (0.03, 0.02, 0.385), (0.28, -0.1, 0.33), (0.40, -0.28, 0.24)),
        (0.43, -0.36, 0.265), 0.50, 0.87, 0.95, (0.69, 0.06), (-0.56, 0.08), 0.180, 0.42, 6,
    ),
    "slim": _Build(
        ((-0.60, 0.06, 0.08), (-0.32, 0.02, 0.21), (0.05, 0.0, 0.265), (0.34, -0.09, 0.225), (0.52, -0.22, 0.16)),
        (0.57, -0.27, 0.205), 0.50, 0.86, 0.95, (0.71, 0.0), (-0.68, 0.09), 0.125, 0.45, 5,
    ),
    "upright": _Build(
        ((-0.32, 0.46, 0.09), (-0.22, 0.25, 0.23), (-0.05, -0.03, 0.30), (0.09, -0.30, 0.26), (0.15, -0.48, 0.20)),
        (0.20, -0.57, 0.235), 0.50, 0.86, 0.95, (0.73, 0.10), (-0.42, 0.52), 0.150, 0.30, 50,
    ),
    "long-necked": _Build(
        (
            (-0.52, 0.10, 0.09), (-0.28, 0.04, 0.25), (0.02, 0.02, 0.30), (0.27, -0.07, 0.23),
            (0.39, -0.27, 0.145), (0.40, -0.48, 0.105), (0.45, -0.66, 0.11),
        ),
        (0.50, -0.74, 0.185), 0.34, 0.60, 0.62, (0.47, 0.05), (-0.62, 0.13), 0.150, 0.30, 12,
    ),
}  # fmt: skip
_HEAD_OF_SIZE = {"small": 1.12, "medium": 1.0, "large": 0.93}  # small birds are big-headed
_SHARE_OF_SIZE = {"small": 0.88, "medium": 0.94, "large": 1.0}  # of View.zoom
_BILL_LENGTH = {"short": 0.95, "medium": 1.65, "long": 2.8}  # head radii
_TAIL_LENGTH = {"short": 0.24, "medium": 0.5, "long": 0.86, "forked": 0.72}
_LEG_LENGTH = {"short": 0.2, "long": 0.5}
# Side views of the bills: x in bill lengths, y in head radii.
_BILLS = {
    "conical": ((-0.4, -0.62), (0.25, -0.5), (0.7, -0.14), (1.0, 0.14), (0.6, 0.36), (0.15, 0.52), (-0.4, 0.56)),
    "thin": ((-0.4, -0.2), (0.3, -0.18), (1.0, -0.05), (1.0, 0.08), (0.3, 0.22), (-0.4, 0.26)),
    "hooked": (
        (-0.4, -0.46), (0.25, -0.52), (0.7, -0.42), (1.0, -0.02), (0.97, 0.72), (0.8, 0.3), (0.5, 0.28), (0.2, 0.42),
        (-0.4, 0.44),
    ),
    "dagger": ((-0.4, -0.4), (0.1, -0.42), (0.55, -0.26), (1.0, 0.06), (0.5, 0.36), (-0.4, 0.48)),
    "curved": (
        (-0.4, -0.22), (0.2, -0.2), (0.55, -0.02), (0.85, 0.4), (1.0, 0.92), (0.92, 0.9), (0.7, 0.5), (0.45, 0.25),
        (0.15, 0.14), (-0.4, 0.18),
    ),
    "flat": (
        (-0.4, -0.44), (0.2, -0.3), (0.5, -0.02), (0.85, -0.08), (1.06, 0.0), (1.1, 0.22), (0.98, 0.42), (0.6, 0.42),
        (0.2, 0.44), (-0.4, 0.46),
    ),
}  # fmt: skip
_STRAIGHT_BILLS = ("dagger", "thin")
_CRESTS = {  # in head radii around the head
    "short": ((0.5, -0.72), (0.15, -1.2), (-0.15, -1.12), (-0.62, -1.5), (-0.68, -1.1), (-1.15, -1.05), (-0.9, -0.4)),
    "tall": ((0.6, -0.7), (0.3, -1.35), (-0.3, -1.95), (-1.35, -2.35), (-0.95, -1.75), (-1.5, -1.6), (-1.0, -1.05),
             (-1.35, -0.85), (-0.92, -0.2)),
}  # fmt: skip
_WING = np.array(  # along the wing (0 shoulder, 1 tip), across it (half widths, up is negative)
    ((0.0, 0.1), (0.02, -0.55), (0.18, -0.95), (0.42, -0.95), (0.72, -0.62), (1.0, -0.06), (0.99, 0.1), (0.78, 0.5),
     (0.5, 0.92), (0.24, 1.0), (0.06, 0.7)),
)  # fmt: skip


@dataclass
class _Patch:
    """One polygon of the sketch."""

    part: str
    points: Points
    colour: Colour
    solid: bool  # part of the silhouette


class _Trunk:
    """The stroke of a build: places on the body from (share of the axis, side)."""

    def __init__(self, axis: NDArray[np.float64]) -> None:
        line = _open(axis)
        tangent = np.gradient(line[:, :2], axis=0)
        tangent /= np.hypot(tangent[:, 0], tangent[:, 1])[:, None]
        self.centre = line[:, :2]
        self.out = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) * line[:, 2:]

    def at(self, u: NDArray[np.float64], side: NDArray[np.float64] | float) -> Points:
        """Points at shares `u` of the axis, `side` -1 on the belly's outline to 1 on the back's."""
        last = len(self.centre) - 1
        place = np.clip(u, 0, 1) * last
        low = np.minimum(place.astype(np.intp), last - 1)
        part = (place - low)[:, None]
        out = self.out[low] * (1 - part) + self.out[low + 1] * part
        places = self.centre[low] * (1 - part) + self.centre[low + 1] * part + out * np.asarray(side).reshape(-1, 1)
        return np.asarray(places)

    def strip(self, start: float, end: float, low: float, high: float, bulge: float = 0.0) -> Points:
        """The region between two shares and two sides; `bulge` rounds its front."""
        bow = bulge * _BOW
        u = np.concatenate([start + (end - start) * _STEP9, end + bow, end - (end - start) * _STEP9, start + bow[::-1]])
        across = low + (high - low) * _STEP7
        side = np.concatenate([np.full(9, low), across, np.full(9, high), across[::-1]])
        return self.at(u, side)


_STEP9, _STEP7 = np.linspace(0, 1, 9), np.linspace(0, 1, 7)
_BOW = np.sin(np.pi * _STEP7)


def _sketch(family: Family, plumage: Plumage, individual: int) -> tuple[list[_Patch], Points, float]:
    """The bird in its own frame: patches in painting order without legs, the two hips (2, 2), the leg length."""
    build = _BUILDS[family.build]
    rng = Random(individual)
    wide, neck, head_scale, bill_scale, tail_scale, leg_scale = (1 + rng.uniform(-0.06, 0.06) for _ in range(6))
    paint = {
        part: _jittered(PALETTE[getattr(plumage, part)], rng, 3.5)
        for part in ("crown", "throat", "breast", "belly", "back", "wing", "tail", "bill", "legs", "wing_bar_colour")
    }
    patches: list[_Patch] = []

    def add(part: str, points: Points, colour: Colour, solid: bool = False) -> None:
        patches.append(_Patch(part, points, colour, solid))

    axis = np.array(build.axis)
    axis[:, 2] *= wide
    axis[-2:, :2] += (neck - 1) * 0.4 * (axis[-1, :2] - axis[-2, :2])
    trunk = _Trunk(axis)
    radius = build.head[2] * head_scale * _HEAD_OF_SIZE[family.size]
    head = np.array(build.head[:2]) + (neck - 1) * 0.5 * (axis[-1, :2] - axis[-2, :2])

    # tail
    length = _TAIL_LENGTH[family.tail_length] * tail_scale
    angle = math.radians(build.tail_drop)
    way, cross = np.array([-math.cos(angle), math.sin(angle)]), np.array([math.sin(angle), math.cos(angle)])
    rump = axis[0, :2] - way * 0.14
    base, tip = 0.115, 0.15
    profile: tuple[tuple[float, float], ...]
    if family.tail_length == "forked":
        profile = (
            (0, -base),
            (0.45, -0.10),
            (1.0, -0.30),
            (0.6, -0.02),
            (0.5, 0.02),
            (1.0, 0.30),
            (0.42, 0.12),
            (0, base),
        )
    elif family.tail_length == "short":
        profile = ((0, -base), (0.6, -tip), (0.96, -0.16), (1.0, 0.0), (0.96, 0.16), (0.6, tip), (0, base))
    else:
        profile = ((0, -base), (0.5, -0.10), (0.97, -0.125), (1.0, 0.0), (0.97, 0.125), (0.5, 0.115), (0, base))
    shape = np.array(profile)
    tail = rump + np.outer(shape[:, 0] * (length + 0.14), way) + np.outer(shape[:, 1], cross)
    add("tail", tail, paint["tail"], True)
    vane = _times(paint["tail"], 0.72) if _luma(paint["tail"]) > 60 else _mix(paint["tail"], (255, 255, 255), 0.16)
    if family.tail_length != "forked":
        for offset in (-0.045, 0.045):
            a, b = rump + cross * offset * 0.6, rump + way * (length + 0.12) + cross * offset * 1.3
            add("tail", np.array([a, b, b + cross * 0.014, a + cross * 0.014]), vane)

    # bill, under the head
    gauge = max(radius, 0.235)  # a slim bird's bill is not as small as its head
    bill_length = _BILL_LENGTH[family.bill_length] * gauge * bill_scale
    if family.build == "long-necked" and family.bill_length == "long":
        bill_length *= 1.1
    bill = np.array(_BILLS[family.bill_shape])
    if family.bill_shape == "thin":
        bill_length *= 1.2
    if family.bill_shape == "curved":
        bill_length *= 0.85
    start = head + np.array([radius * 0.96, radius * 0.12])
    bill = bill * np.array([bill_length, gauge * 0.98])
    bill[bill[:, 0] < 0, 0] = -radius * 0.4
    outline = bill if family.bill_shape in _STRAIGHT_BILLS else _closed(bill)
    add("bill", start + outline, paint["bill"], True)

    # trunk
    ends = np.linspace(0, 1, 24)
    add("back", np.concatenate([trunk.at(ends, 1.0), trunk.at(ends[::-1], -1.0)]), paint["back"], True)
    add("belly", trunk.strip(0.0, build.belly_end, -1.0, -0.02, 0.03), paint["belly"])
    add("breast", trunk.strip(build.belly_end - 0.03, build.breast_end, -1.0, 0.42, 0.05), paint["breast"])
    add("throat", trunk.strip(build.breast_end - 0.02, 1.0, -1.0, 0.25, 0.04), paint["throat"])
    if build.back_end < 0.9:  # a long neck's nape
        add("crown", trunk.strip(build.back_end + 0.02, 1.0, 0.25, 1.0), paint["crown"])
    if plumage.streaks != "none":
        bold = plumage.streaks == "bold"
        rows, per_row = (4, 5) if bold else (6, 8)
        half_length, half_width = (0.062, 0.03) if bold else (0.034, 0.014)
        places = [
            (0.1 + (build.breast_end - 0.12) * (column + 0.5 * (row % 2) + rng.uniform(-0.15, 0.15)) / per_row, side)
            for row in range(rows)
            for side in (-0.86 + 1.2 * row / (rows - 1),)
            for column in range(per_row)
        ]
        places = [(u, side) for u, side in places if side <= 0 or u >= build.belly_end]
        us, sides = np.array(places).T
        middles, fronts = trunk.at(us, sides * 0.95), trunk.at(us + 0.02, sides * 0.95)
        along = fronts - middles
        along /= np.hypot(along[:, 0], along[:, 1])[:, None]
        beside = np.stack([-along[:, 1], along[:, 0]], axis=1) * half_width
        along *= half_length
        dashes = np.stack([middles - along, middles + beside, middles + along, middles - beside], axis=1)
        inks = {
            part: _mix(under, (48, 34, 28), 0.82) if _luma(under) > 80 else _mix(under, (190, 180, 170), 0.5)
            for part, under in ((name, paint[name]) for name in ("belly", "breast"))
        }
        for (u, _), dash in zip(places, dashes, strict=True):
            add("streaks", dash, inks["belly" if u < build.belly_end else "breast"])

    # head
    skull = np.array([1.08, 1.0]) * radius
    if plumage.crest != "none":
        crest = np.array(_CRESTS[plumage.crest]) * radius * (1.15 if family.build == "long-necked" else 1.0)
        add("crest", head + crest, paint["crown"], True)
    add("throat", head + _CIRCLE * skull, paint["throat"], True)
    cap = np.linspace(math.radians(-6), math.radians(-212), 16)
    add("crown", head + np.stack([np.cos(cap), np.sin(cap)], axis=1) * skull, paint["crown"])

    # wing
    along_from = trunk.at(np.array([build.shoulder[0]]), build.shoulder[1])[0]
    span = np.array(build.wing_tip) - along_from
    # the wing's lower side is the belly's: for a bird that looks right, the wing points left and down is +y
    down = np.array([span[1], -span[0]]) / math.hypot(span[0], span[1])

    def on_wing(places: Points) -> Points:
        across = np.outer(places[:, 1] * build.wing_width * wide, down)
        return np.asarray(along_from + np.outer(places[:, 0], span) + across)

    wing = paint["wing"]
    edge = _times(wing, 0.62) if _luma(wing) > 60 else _mix(wing, (255, 255, 255), 0.2)
    rim = _closed(_WING)
    add("wing", on_wing(rim * np.array([1.0, 1.14]) + np.array([-0.012, 0.0])), edge, True)
    add("wing", on_wing(rim), wing, True)
    for offset in (-0.3, 0.1, 0.5):
        quill = np.array(
            [(0.55, offset), (0.93, offset * 0.25 + 0.02), (0.93, offset * 0.25 + 0.09), (0.55, offset + 0.1)]
        )
        add("wing", on_wing(quill), edge)
    bars = {"none": (), "one": (0.36,), "two": (0.24, 0.50)}[plumage.wing_bar]
    for place in bars:
        for half, colour in ((0.078, edge), (0.05, paint["wing_bar_colour"])):
            bow = np.linspace(-0.86, 0.9, 6)
            bend = place + 0.07 * (1 - bow**2)
            bar = np.concatenate([np.stack([bend - half, bow], 1), np.stack([bend + half, bow], 1)[::-1]])
            add("wing_bar", on_wing(bar), colour)

    # eye
    eye = head + np.array([0.30, -0.16]) * radius
    pupil = max(0.05, 0.225 * radius)
    if plumage.eye_mark == "stripe":
        stripe = np.array(
            [(1.0, -0.04), (0.3, -0.40), (-0.5, -0.34), (-1.04, 0.02), (-1.0, 0.24), (-0.3, 0.14), (1.0, 0.2)]
        )
        if _luma(paint["crown"]) < 90:
            add("eye_mark", head + (stripe * np.array([1.0, 1.35]) + np.array([0, -0.14])) * skull, (226, 222, 208))
        add("eye_mark", head + stripe * skull, (24, 22, 24))
    elif plumage.eye_mark == "ring":
        add("eye_mark", eye + _CIRCLE * pupil * 1.95, _mix(paint["crown"], _DARK, 0.55))
        add("eye_mark", eye + _CIRCLE * pupil * 1.72, (252, 248, 228))
    add("eye", eye + _CIRCLE * pupil, (16, 14, 18))
    add("eye", eye + np.array([0.3, -0.35]) * pupil + _CIRCLE * pupil * 0.32, (235, 235, 235))

    hips = trunk.at(np.array([build.hip, build.hip + 0.10]), -0.62)
    return patches, hips, _LEG_LENGTH[family.leg_length] * leg_scale


def _leg(hip: Points, foot: tuple[float, float], thick: float, toes: float) -> list[Points]:
    """Polygons of one leg: a shank from the hip to the foot and three toes."""
    x, y = foot
    half = thick / 2
    shank = np.array([(hip[0] - half, hip[1]), (hip[0] + half, hip[1]), (x + half, y), (x - half, y)])
    front = np.array([(x - half, y - thick), (x + toes, y - thick * 0.15), (x + toes, y + half), (x - half, y + half)])
    back = np.array(
        [(x + half, y - thick * 0.6), (x - toes * 0.6, y), (x - toes * 0.6, y + half), (x + half, y + half)]
    )
    return [shank, front, back]


def _posed(family: Family, plumage: Plumage, view: View) -> tuple[list[_Patch], tuple[float, float], float]:
    """The bird placed in the unit picture: patches, the point between its feet, the length of one trunk unit."""
    patches, hips, leg_length = _sketch(family, plumage, view.individual)
    angle = math.radians(max(-26.0, min(26.0, view.pitch)))
    cos, sin = math.cos(angle), math.sin(angle)
    squeeze = 1 - 0.25 * max(0.0, min(1.0, view.turn))
    pose = np.array([[cos * squeeze, -sin * squeeze], [sin, cos]])  # row vectors: p @ pose
    hips = hips @ pose
    everything = np.concatenate([p.points for p in patches]) @ pose
    trunk = next(p for p in patches if p.part == "back")
    ground = float((trunk.points @ pose)[:, 1].max()) + leg_length
    legs: list[_Patch] = []
    middle = hips.mean(0)
    for index in range(2):
        hip = middle + np.array([0.05 if index else -0.05, 0.0])
        colour = _jittered(PALETTE[plumage.legs], Random(view.individual ^ 0x5EED), 3.5)
        foot = (float(hip[0]) + (0.04 if index else -0.04), ground - (0.0 if index else 0.03))
        for polygon in _leg(hip, foot, 0.066, 0.15):
            legs.append(_Patch("legs", polygon, colour if index else _times(colour, 0.82), True))
    order = legs + patches
    all_points = np.concatenate([p.points for p in legs] + [everything])

    low, high = all_points.min(0), all_points.max(0)
    share = view.zoom * _SHARE_OF_SIZE[family.size]
    if family.build == "slim":  # long and low: larger, so that its parts are as wide as the others'
        share = min(max(0.96, share), share * 1.18)
    unit = share / max(high[0] - low[0], high[1] - low[1])
    if view.facing < 0:
        all_points[:, 0] *= -1
        low[0], high[0] = -high[0], -low[0]
    centre = np.array([0.5 + view.dx, 0.5 + view.dy])
    half = (high - low) / 2 * unit
    margin = 0.015
    centre = np.clip(centre, np.minimum(half + margin, 0.5), np.maximum(1 - half - margin, 0.5))
    all_points = (all_points - (low + high) / 2) * unit + centre

    sizes = [len(p.points) for p in order]
    placed: list[_Patch] = []
    start = 0
    for patch, size in zip(order, sizes, strict=True):
        placed.append(_Patch(patch.part, all_points[start : start + size], patch.colour, patch.solid))
        start += size
    if view.occluder == "edge" and view.hidden:
        move = _cut_off(placed, view.hidden)
        for patch in placed:
            patch.points = patch.points + move
    feet = np.concatenate([p.points for p in placed[: len(legs)]])
    return placed, (float(feet[:, 0].mean()), float(feet[:, 1].max())), unit


def _cut_off(patches: list[_Patch], hidden: Sequence[str]) -> Points:
    """The shift (2,) that puts most of what is seen of the hidden parts beyond the frame, and least of the rest."""
    image, levels = _seen(patches)
    seen = np.asarray(image)
    ours = np.isin(seen, [levels[part] for part in hidden if part in levels])
    part, rest = (np.argwhere(where)[:, ::-1] / _GRID for where in (ours, (seen > 0) & ~ours))
    if not len(part):
        return np.zeros(2)
    if "legs" in hidden:
        return np.array([0.0, 0.985 - float(part[:, 1].min())])
    low, high = np.quantile(part, 0.08, axis=0), np.quantile(part, 0.92, axis=0)
    moves = [np.array([-high[0], 0.0]), np.array([1 - low[0], 0.0]), np.array([0.0, 1 - low[1]])]

    def lost(move: Points) -> float:
        there = rest + move
        return float(((there < 0) | (there > 1)).any(1).mean())

    return min(moves, key=lost)


# ---------------------------------------------------------------- painting


class _Canvas:
    """An RGB picture with a pen that takes unit coordinates."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.n = image.width
        self.draw = ImageDraw.Draw(image)

    def polygon(self, points: Points | Sequence[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon((np.asarray(points) * self.n).ravel().tolist(), fill=colour)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """A polyline `width` (share of the frame) thick, at least one pixel."""
        n = self.n
        self.draw.line([(x * n, y * n) for x, y in points], fill=colour, width=max(1, round(width * n)), joint="curve")

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        n = self.n
        self.draw.ellipse(((x - rx) * n, (y - ry) * n, (x + rx) * n, (y + ry) * n), fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        n = self.n
        self.draw.rectangle((x0 * n, y0 * n, x1 * n, y1 * n), fill=colour)


def _gradient(n: int, *stops: Colour) -> _Canvas:
    """A square canvas of side `n` px that runs through `stops` from top to bottom."""
    places = np.linspace(0, len(stops) - 1, n)
    table = np.array(stops, dtype=np.float64)
    rows = np.stack([np.interp(places, np.arange(len(stops)), table[:, c]) for c in range(3)], axis=1)
    return _Canvas(Image.fromarray(np.ascontiguousarray(np.repeat(rows.astype(np.uint8)[:, None], n, axis=1))))


def _leaf(x: float, y: float, length: float, width: float, angle: float) -> Points:
    """A pointed leaf around its centre; lengths in shares of the frame, angle in radians."""
    shape = _LEAF * np.array([length / 2, width / 2])
    c, s = math.cos(angle), math.sin(angle)
    return np.asarray(shape @ np.array([[c, s], [-s, c]]) + np.array([x, y]))


_LEAF = np.array(
    [(-1, 0), (-0.6, -0.7), (0, -1), (0.55, -0.62), (1, 0), (0.55, 0.62), (0, 1), (-0.6, 0.7)], dtype=float
)


def _sky(n: int, rng: Random) -> _Canvas:
    top = _mix((74, 138, 214), (128, 178, 226), rng.random())
    canvas = _gradient(n, top, _mix(top, (236, 243, 248), 0.65))
    for _ in range(rng.randint(2, 5)):
        x, y, r = rng.random(), rng.random(), rng.uniform(0.06, 0.13)
        for k in range(4):
            canvas.ellipse(x + (k - 1.5) * r * 0.9, y + rng.uniform(-0.3, 0.3) * r, r * 1.1, r * 0.7, (246, 248, 250))
    return canvas


def _leaves(n: int, rng: Random) -> _Canvas:
    base = _mix((40, 84, 38), (92, 120, 52), rng.random())
    canvas = _gradient(n, _times(base, 1.1), _times(base, 0.7))
    for _ in range(34):
        colour = _jittered(_times(base, rng.uniform(0.65, 1.65)), rng, 7)
        size = rng.uniform(0.12, 0.28)
        canvas.polygon(_leaf(rng.random(), rng.random(), size, size * 0.5, rng.uniform(0, 3.1)), colour)
    return canvas


def _grass(n: int, rng: Random) -> _Canvas:
    base = _mix((88, 142, 48), (142, 156, 66), rng.random())
    canvas = _gradient(n, _mix(base, (214, 226, 190), 0.75), base, _times(base, 0.75))
    for k in range(46):
        foot = 0.35 + 0.75 * k / 46
        x, lean, height = rng.random(), rng.gauss(0, 0.07), rng.uniform(0.16, 0.34)
        colour = _jittered(_times(base, rng.uniform(0.6, 1.3)), rng, 6)
        canvas.polygon([(x - 0.014, foot), (x + 0.014, foot), (x + lean, foot - height)], colour)
    return canvas


def _water(n: int, rng: Random) -> _Canvas:
    base = _mix((52, 104, 138), (86, 142, 150), rng.random())
    canvas = _gradient(n, _mix(base, (200, 220, 226), 0.45), base, _times(base, 0.7))
    for k in range(24):
        y = 0.04 + k / 24 + rng.uniform(-0.02, 0.02)
        x, w = rng.uniform(-0.1, 0.9), rng.uniform(0.12, 0.4) * (0.6 + y)
        colour = _mix(base, (232, 242, 246), rng.uniform(0.3, 0.7)) if rng.random() < 0.6 else _times(base, 0.62)
        thick = 0.008 + 0.010 * y
        wave = [(x, y), (x + w * 0.25, y - thick), (x + w * 0.5, y), (x + w * 0.75, y - thick), (x + w, y)]
        canvas.line(wave, colour, thick * 1.3)
    return canvas


def _sand(n: int, rng: Random) -> _Canvas:
    base = _mix((222, 196, 146), (200, 172, 128), rng.random())
    horizon = rng.uniform(0.12, 0.3)
    canvas = _gradient(n, _mix(base, (255, 250, 235), 0.3), _times(base, 0.88))
    canvas.box(0, 0, 1, horizon, _mix((190, 214, 228), (226, 226, 214), rng.random()))
    for k in range(7):
        y = horizon + (1 - horizon) * (k + rng.random()) / 7
        phase = rng.uniform(0, 6)
        ripple = [(x / 6, y + 0.015 * math.sin(phase + x * 1.3)) for x in range(7)]
        canvas.line(ripple, _times(base, 0.8), 0.012)
    for _ in range(26):
        x, y, r = rng.random(), rng.uniform(horizon, 1), rng.uniform(0.006, 0.016)
        canvas.ellipse(x, y, r, r * 0.7, _times(base, rng.choice((0.55, 0.7, 1.2))))
    return canvas


def _snow(n: int, rng: Random) -> _Canvas:
    sky = _mix((150, 172, 196), (196, 204, 214), rng.random())
    canvas = _gradient(n, sky, _mix(sky, (226, 230, 236), 0.5))
    for k in range(3):
        y, r, x = 0.42 + 0.24 * k, rng.uniform(0.5, 0.9), rng.random()
        canvas.ellipse(x, y + 0.32, r, 0.34, _mix((206, 216, 232), (248, 250, 253), (k + 1) / 3))
        canvas.ellipse(x - 0.9, y + 0.38, r, 0.34, _mix((196, 208, 228), (240, 244, 250), (k + 1) / 3))
    for _ in range(rng.randint(0, 2)):
        x, y, h = rng.random(), rng.uniform(0.3, 0.55), rng.uniform(0.2, 0.32)
        canvas.polygon([(x - h * 0.3, y), (x + h * 0.3, y), (x, y - h)], (86, 108, 112))
    for _ in range(22):
        r = rng.uniform(0.008, 0.016)
        canvas.ellipse(rng.random(), rng.random(), r, r, (255, 255, 255))
    return canvas


def _bark(n: int, rng: Random) -> _Canvas:
    base = _mix((112, 86, 64), (84, 70, 60), rng.random())
    canvas = _gradient(n, base, _times(base, 0.9))
    for _ in range(24):
        x, y, h = rng.random(), rng.random(), rng.uniform(0.2, 0.6)
        w = rng.uniform(0.012, 0.032)
        bow = rng.gauss(0, 0.03)
        colour = _times(base, rng.choice((0.55, 0.65, 1.25, 1.4)))
        canvas.polygon([(x, y - h / 2), (x + w + bow, y), (x, y + h / 2), (x - w + bow, y)], colour)
    if rng.random() < 0.5:
        x, y, r = rng.random(), rng.random(), rng.uniform(0.06, 0.12)
        for k, shade in enumerate((0.55, 1.2, 0.5)):
            canvas.ellipse(x, y, r * (1 - 0.3 * k) * 0.7, r * (1 - 0.3 * k), _times(base, shade))
    return canvas


def _dusk(n: int, rng: Random) -> _Canvas:
    top = _mix((66, 52, 104), (104, 70, 116), rng.random())
    canvas = _gradient(n, top, (206, 108, 92), (250, 176, 92))
    x, y, r = rng.random(), rng.uniform(0.45, 0.75), rng.uniform(0.08, 0.13)
    canvas.ellipse(x, y, r, r, (255, 226, 150))
    for _ in range(4):
        x, y = rng.random(), rng.uniform(0.15, 0.7)
        canvas.ellipse(x, y, rng.uniform(0.15, 0.35), 0.018, _mix(top, (230, 130, 110), 0.5))
    ridge = [(x / 6, rng.uniform(0.78, 0.92)) for x in range(7)]
    canvas.polygon([(0.0, 1.0), *ridge, (1.0, 1.0)], (56, 40, 62))
    return canvas


def _reeds(n: int, rng: Random) -> _Canvas:
    base = _mix((168, 152, 92), (136, 144, 84), rng.random())
    canvas = _gradient(n, _mix(base, (226, 230, 216), 0.7), _mix(base, (110, 140, 140), 0.4), (84, 106, 106))
    for _ in range(30):
        x, top, lean = rng.random(), rng.uniform(-0.1, 0.45), rng.gauss(0, 0.05)
        w = rng.uniform(0.009, 0.018)
        colour = _jittered(_times(base, rng.uniform(0.55, 1.2)), rng, 6)
        canvas.polygon([(x - w, 1.0), (x + w, 1.0), (x + lean, top)], colour)
        if rng.random() < 0.35:
            canvas.ellipse(x + lean * 0.85, top + 0.12, 0.022, 0.075, (92, 60, 38))
    return canvas


def _rock(n: int, rng: Random) -> _Canvas:
    base = _mix((146, 144, 140), (116, 112, 114), rng.random())
    canvas = _gradient(n, _times(base, 1.1), _times(base, 0.8))
    for _ in range(13):
        x, y, r = rng.random(), rng.random(), rng.uniform(0.1, 0.24)
        corners = sorted(rng.uniform(0, 6.28) for _ in range(5))
        slab = [(x + r * math.cos(a) * 1.3, y + r * math.sin(a)) for a in corners]
        shade = rng.uniform(0.65, 1.25)
        canvas.polygon(slab, _times(base, shade))
        canvas.line(slab[:3], _times(base, shade * 0.6), 0.012)
    for _ in range(5):
        x, y, r = rng.random(), rng.random(), rng.uniform(0.02, 0.05)
        canvas.ellipse(x, y, r, r * 0.7, (150, 150, 92))
    return canvas


_PAINT_BACKDROP: dict[str, Callable[[int, Random], _Canvas]] = {
    "sky": _sky, "leaves": _leaves, "grass": _grass, "water": _water, "sand": _sand, "snow": _snow, "bark": _bark,
    "dusk": _dusk, "reeds": _reeds, "rock": _rock,
}  # fmt: skip
_FLOORS: dict[str, Colour] = {
    "sky": (120, 116, 92), "leaves": (86, 70, 48), "grass": (104, 132, 58), "water": (84, 134, 156),
    "sand": (208, 180, 132), "snow": (232, 238, 246), "bark": (90, 72, 54), "dusk": (70, 50, 66),
    "reeds": (98, 126, 128), "rock": (124, 122, 122),
}  # fmt: skip


def _stand(canvas: _Canvas, view: View, feet: tuple[float, float], unit: float, rng: Random) -> None:
    """Paint what the bird stands on: a twig, or the ground or the water of its backdrop."""
    x, y = feet
    if view.perched:
        colour = _jittered(_BARK, rng, 12)
        slope, thick = rng.uniform(-0.12, 0.12), max(0.028, 0.11 * unit)
        reach = rng.random()  # a twig may end beside the bird, on one side
        left, right = -0.05 if reach > 0.2 else x - 0.22, 1.05 if reach < 0.8 else x + 0.22
        y += thick * 0.42
        path = [(left, y + slope * (left - x)), (x, y), (right, y + slope * (right - x))]
        if rng.random() < 0.6:
            start = x + rng.choice((-1, 1)) * rng.uniform(0.2, 0.35)
            end = (start + rng.uniform(-0.15, 0.15), y + rng.uniform(0.12, 0.3))
            canvas.line([(start, y + slope * (start - x)), end], _times(colour, 0.85), thick * 0.5)
            canvas.polygon(_leaf(*end, 0.13, 0.06, rng.uniform(0, 3.1)), (84, 124, 58))
        canvas.line(path, _times(colour, 0.62), thick)
        canvas.line([(px, py - thick * 0.14) for px, py in path], colour, thick * 0.7)
        return
    base = _jittered(_FLOORS[view.backdrop], rng, 7)
    rim = y - 0.05 * unit
    edge = [(k / 8, rim + 0.012 * math.sin(k * 1.7 + rng.uniform(-0.6, 0.6))) for k in range(9)]
    canvas.polygon([(0.0, 1.01), *edge, (1.0, 1.01)], base)
    canvas.line(edge, _mix(base, (255, 255, 255), 0.25), 0.008)
    if view.backdrop in ("water", "reeds"):
        for k, shade in enumerate((0.75, 1.18)):
            canvas.ellipse(x, y, (0.34 - 0.1 * k) * unit, (0.055 - 0.02 * k) * unit, _times(base, shade))
    else:
        canvas.ellipse(x, y + 0.02 * unit, 0.36 * unit, 0.045 * unit, _times(base, 0.66))
        for _ in range(10):
            px, py = rng.random(), rng.uniform(min(y + 0.02, 0.97), 1.0)
            canvas.ellipse(px, py, 0.012, 0.007, _times(base, rng.choice((0.75, 1.15))))


_RIM = [min(170, round(v * 1.9)) for v in range(256)]  # opacity of the outline where the blurred mask has v


def _paint_bird(canvas: _Canvas, patches: list[_Patch]) -> Image.Image:
    """The canvas's picture with the bird on it: flat patches, then volume, then a thin dark rim."""
    n = canvas.n
    flat = Image.new("RGB", (n, n), _DARK)
    mask = Image.new("L", (n, n), 0)
    pen, stencil = ImageDraw.Draw(flat), ImageDraw.Draw(mask)
    for patch in patches:
        points = (patch.points * n).ravel().tolist()
        pen.polygon(points, fill=patch.colour)
        if patch.solid:
            stencil.polygon(points, fill=255)
    unit = n / 128
    # volume, worked out on half the canvas's side: lighter inside, darker where more of the bird is above
    soft = mask.reduce(2).filter(ImageFilter.BoxBlur(2.5 * unit)).filter(ImageFilter.BoxBlur(1.5 * unit))
    inside = np.asarray(soft, dtype=np.float32) / 255
    drop = max(1, round(2.5 * unit))
    shade = 0.92 + 0.10 * inside
    shade[:-drop] += 0.30 * inside[drop:]
    shade[drop:] -= 0.30 * inside[:-drop]
    shade = np.clip(shade, 0.74, 1.12).repeat(2, axis=0).repeat(2, axis=1)
    pixels = np.minimum(np.asarray(flat) * shade[..., None], 255)
    solid = Image.fromarray(pixels.astype(np.uint8))
    rim = mask.filter(ImageFilter.BoxBlur(unit)).point(_RIM)
    canvas.image.paste(_DARK, (0, 0, n, n), rim)
    canvas.image.paste(solid, (0, 0), mask)
    return canvas.image


# ---------------------------------------------------------------- what stands in front


_GRID = 64  # side of the map of what is seen where


def _seen(patches: list[_Patch]) -> tuple[Image.Image, dict[str, int]]:
    """A map (_GRID square, mode L) of the part that is seen at each place, and each part's grey level in it."""
    levels = {part: index + 1 for index, part in enumerate(dict.fromkeys(p.part for p in patches))}
    image = Image.new("L", (_GRID, _GRID), 0)
    pen = ImageDraw.Draw(image)
    for patch in patches:
        pen.polygon((patch.points * _GRID).ravel().tolist(), fill=levels[patch.part])
    return image, levels


# what goes with a part when something stands before it
_WITH = {
    "crown": ("crown", "crest"), "wing": ("wing", "wing_bar"), "breast": ("breast",), "belly": ("belly",),
}  # fmt: skip


def _axes(places: Points) -> tuple[Points, Points, Points, float, float]:
    """Centre (2,), directions of the longest extent and across it (2,) each, half extents along both."""
    spread = places - places.mean(0)
    _, vectors = np.linalg.eigh(spread.T @ spread)
    way = vectors[:, 1] if vectors[0, 1] >= 0 else -vectors[:, 1]
    side = np.array([-way[1], way[0]])
    along, across = places @ way, places @ side
    centre = way * (along.min() + along.max()) / 2 + side * (across.min() + across.max()) / 2
    return centre, way, side, float(np.ptp(along)) / 2, float(np.ptp(across)) / 2


def _cover_with_leaves(canvas: _Canvas, places: Points, rng: Random) -> None:
    """Leaves around places that no leaf covers yet, until nearly none is left."""
    base = _mix((56, 104, 44), (104, 132, 54), rng.random())
    size = min(0.30, max(0.15, 2.2 * math.sqrt(len(places)) / _GRID))
    _, way, _, _, _ = _axes(places)
    tilt = math.atan2(way[1], way[0])
    left = places
    for _ in range(24):
        if len(left) <= 0.03 * len(places):
            break
        x, y = (float(v) for v in left[rng.randrange(len(left))])
        angle = tilt + rng.choice((-1, 1)) * rng.uniform(0.0, 0.7)
        colour = _jittered(_times(base, rng.uniform(0.75, 1.3)), rng, 6)
        canvas.polygon(_leaf(x, y, size * 1.12, size * 0.70, angle), _times(colour, 0.62))
        canvas.polygon(_leaf(x, y, size, size * 0.60, angle), colour)
        dx, dy = math.cos(angle) * size * 0.42, math.sin(angle) * size * 0.42
        canvas.line([(x - dx, y - dy), (x + dx, y + dy)], _times(colour, 1.35), 0.006)
        c, s = math.cos(angle), math.sin(angle)
        near = (left - (x, y)) @ np.array([[c, -s], [s, c]]) / (size * 0.47, size * 0.29)
        left = left[np.abs(near).sum(1) > 1.15]


def _log(canvas: _Canvas, a: Points, b: Points, thick: float, rng: Random, taper: float = 0.9) -> None:
    """A branch in front from `a` to `b`, `thick` (shares of the frame) at `a` and `taper` of that at `b`."""
    colour = _jittered(_BARK, rng, 14)
    way = (b - a) / max(1e-6, math.hypot(*(b - a)))
    side = np.array([-way[1], way[0]])
    if side[1] < 0:
        side = -side
    for low, high, shade in ((-0.5, 0.5, 0.55), (-0.42, 0.3, 1.0), (-0.34, -0.1, 1.22)):
        quad = [a + side * low * thick, b + side * low * thick * taper]
        quad += [b + side * high * thick * taper, a + side * high * thick]
        canvas.polygon(np.array(quad), _times(colour, shade))
    for _ in range(5):
        p = a + (b - a) * rng.random() + side * rng.uniform(-0.3, 0.3) * thick
        q = p + way * 0.08
        canvas.line([(float(p[0]), float(p[1])), (float(q[0]), float(q[1]))], _times(colour, 0.7), 0.007)


def _cover_with_branches(canvas: _Canvas, part: str, places: Points, bird: Points, rng: Random) -> None:
    """Branches over `places`; `bird` (n, 2) are the places of all its parts."""
    centre, way, side, along, across = _axes(places)
    if part == "wing":  # comes in from the side on which less of the bird is in the way, and ends behind the wing
        off = bird - centre
        strip = np.abs(off @ side) < across
        ahead = float((strip & (off @ way > along)).sum() - (strip & (off @ way < -along)).sum())
        if ahead > 0:
            way = -way
        thick = across * 2.1 + 0.02
        _log(canvas, centre + way * 1.6, centre - way * (along + 0.03), thick, rng, 0.96)
        end = centre - way * (along + 0.03)
        for turn in (-0.7, 0.7):
            angle = math.atan2(-way[1], -way[0]) + turn
            leaf = _leaf(
                float(end[0]) + 0.05 * math.cos(angle), float(end[1]) + 0.05 * math.sin(angle), 0.13, 0.07, angle
            )
            canvas.polygon(leaf, (84, 124, 58))
    elif part == "tail":  # across it, so away from the body
        way = places.mean(0) - bird.mean(0)
        way = way / max(1e-6, math.hypot(*way))
        side = np.array([-way[1], way[0]])
        reach = places @ way
        along = float(np.ptp(reach)) / 2
        centre = way * (reach.min() + reach.max()) / 2 + side * (places @ side).mean()
        count = max(1, math.ceil(2 * along / 0.2))
        for k in range(count):
            middle = centre + way * along * ((2 * k + 1) / count - 1)
            tilt = way * rng.uniform(-0.06, 0.06)
            _log(canvas, middle - side * 1.5 - tilt, middle + side * 1.5 + tilt, 2 * along / count + 0.02, rng, 1.0)
    else:
        low, high = float(places[:, 1].min()) - 0.01, float(places[:, 1].max()) + 0.01
        count = max(1, math.ceil((high - low) / 0.17))
        thick = (high - low) / count
        for k in range(count):
            y = low + thick * (k + 0.5)
            slope = rng.uniform(-0.03, 0.03)
            _log(canvas, np.array([-0.1, y - slope]), np.array([1.1, y + slope]), max(0.06, thick * 1.08), rng)


def _cover_with_grass(canvas: _Canvas, places: Points, rng: Random) -> None:
    """A dense tuft that reaches as high as the highest of `places` in each column, with thinner grass beside it."""
    low, high = places.min(0) - 0.02, places.max(0) + 0.02
    base = _mix((84, 132, 48), (138, 148, 70), rng.random())
    width, middle = max(high[0] - low[0], 0.08), (low[0] + high[0]) / 2
    blades = []
    for _ in range(26):
        x = middle + rng.choice((-1, 1)) * (width / 2 + abs(rng.gauss(0, 0.16)))
        blades.append((x, 1.0 - (1.0 - low[1]) * rng.uniform(0.25, 0.75), rng.gauss(0, 0.05)))
    count = max(8, round(width / 0.016))
    for _ in range(2):
        for k in range(count):
            x = low[0] + width * (k + rng.random()) / count
            near = places[np.abs(places[:, 0] - x) < 0.05]
            top = (float(near[:, 1].min()) if len(near) else high[1]) - rng.uniform(0.01, 0.07)
            blades.append((x, top, rng.gauss(0, 0.03)))
    for x, top, lean in blades:
        colour = _jittered(_times(base, rng.uniform(0.55, 1.25)), rng, 7)
        half, mid = rng.uniform(0.015, 0.026), top + 0.35 * (1.02 - top)
        blade = [(x - half, 1.02), (x - half, mid), (x + lean, top), (x + half, mid), (x + half, 1.02)]
        canvas.polygon(blade, colour)


def _occlude(canvas: _Canvas, view: View, patches: list[_Patch], rng: Random) -> None:
    """Paint the view's occluder over the parts it hides."""
    image, levels = _seen(patches)
    seen = np.asarray(image)
    bird = (np.argwhere(seen > 0)[:, ::-1] + 0.5) / _GRID
    for part in view.hidden:
        names = _WITH.get(part, (part,))
        places = (np.argwhere(np.isin(seen, [levels[n] for n in names if n in levels]))[:, ::-1] + 0.5) / _GRID
        if len(places) < 3:
            continue
        if view.occluder == "leaf":
            _cover_with_leaves(canvas, places, rng)
        elif view.occluder == "branch":
            _cover_with_branches(canvas, part, places, bird, rng)
        elif view.occluder == "grass":
            _cover_with_grass(canvas, places, rng)


def _expose(image: Image.Image, light: str, exposure: float, blur: float, noise: float, seed: int) -> Image.Image:
    """The photograph of a painted picture: blur (Gaussian radius, px), light and exposure, noise (sd, grey levels)."""
    if blur > 0.02:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(image) * (np.array(LIGHTS[light], dtype=np.float32) * np.float32(exposure))
    np.minimum(pixels, 255, out=pixels)
    if noise > 0:
        pixels += np.float32(noise) * np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
        np.clip(pixels, 0, 255, out=pixels)
    return Image.fromarray((pixels + np.float32(0.5)).astype(np.uint8))


def render_bird(family: Family, plumage: Plumage, view: View, size: int = 64) -> Image.Image:
    """Photograph one bird.

    Args:
        family: the body plan: bill, build, tail, legs, size.
        plumage: the colours and marks.
        view: pose, background, light and what stands in front; all randomness comes from its two seeds.
        size: the picture's side, px.

    Returns:
        An RGB picture, size x size px, the same to the byte for the same arguments.
    """
    backdrop = _PAINT_BACKDROP[view.backdrop](size, Random(view.backdrop_seed)).image
    side = size * _OVERSAMPLE
    backdrop = backdrop.filter(ImageFilter.BoxBlur(0.6 * size / 64))
    canvas = _Canvas(backdrop.resize((side, side), Image.Resampling.BILINEAR))
    patches, feet, unit = _posed(family, plumage, view)
    rng = Random(view.backdrop_seed + 1)
    _stand(canvas, view, feet, unit, rng)
    _paint_bird(canvas, patches)
    if view.occluder not in ("none", "edge"):
        _occlude(canvas, view, patches, rng)
    small = canvas.image.reduce(_OVERSAMPLE)
    return _expose(
        small, view.light, view.exposure, view.blur * size / 64, view.noise, view.backdrop_seed ^ view.individual
    )


# ---------------------------------------------------------------- scenes


class _Brush:
    """A pen for one object: its box is -1 to 1 in both directions, y down, around the object's place.

    It paints on the picture and, in white, on the stencil of the object.
    """

    def __init__(self, pages: Sequence[_Canvas], x: float, y: float, half: float, colour: Colour) -> None:
        self.pages, self.x, self.y, self.half = pages, x, y, half
        self.colour, self.dark, self.light = colour, _times(colour, 0.6), _mix(colour, (255, 255, 255), 0.45)

    def at(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(self.x + px * self.half, self.y + py * self.half) for px, py in points]

    def polygon(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        for page, ink in zip(self.pages, (colour, (255, 255, 255)), strict=True):
            page.polygon(self.at(points), ink)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        for page, ink in zip(self.pages, (colour, (255, 255, 255)), strict=True):
            page.line(self.at(points), ink, width * self.half)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        h = self.half
        for page, ink in zip(self.pages, (colour, (255, 255, 255)), strict=True):
            page.ellipse(self.x + x * h, self.y + y * h, rx * h, ry * h, ink)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        (a, b), (c, d) = self.at([(x0, y0), (x1, y1)])
        for page, ink in zip(self.pages, (colour, (255, 255, 255)), strict=True):
            page.box(a, b, c, d, ink)


_WINDOW = (196, 222, 236)
_WOOD = (112, 78, 50)
_TYRE = (30, 30, 34)


def _house(b: _Brush) -> None:
    b.box(-0.75, -0.15, 0.75, 0.9, b.colour)
    b.polygon([(-0.98, -0.12), (0, -0.95), (0.98, -0.12)], b.dark)
    b.box(-0.18, 0.35, 0.18, 0.9, _WOOD)
    b.box(-0.58, 0.1, -0.3, 0.38, _WINDOW)
    b.box(0.3, 0.1, 0.58, 0.38, _WINDOW)


def _tree(b: _Brush) -> None:
    b.box(-0.13, 0.1, 0.13, 0.95, _WOOD)
    for x, y, r in ((-0.4, -0.1, 0.42), (0.4, -0.1, 0.42), (0.0, -0.45, 0.5)):
        b.ellipse(x, y, r, r, b.dark)
        b.ellipse(x - 0.04, y - 0.05, r * 0.88, r * 0.88, b.colour)


def _boat(b: _Brush) -> None:
    b.polygon([(-0.95, 0.35), (0.95, 0.35), (0.6, 0.85), (-0.65, 0.85)], b.colour)
    b.line([(0, 0.35), (0, -0.95)], _WOOD, 0.1)
    b.polygon([(0.08, -0.9), (0.08, 0.2), (0.8, 0.2)], (244, 242, 234))
    b.polygon([(-0.08, -0.7), (-0.08, 0.2), (-0.6, 0.2)], b.light)


def _ball(b: _Brush) -> None:
    b.ellipse(0, 0, 0.85, 0.85, b.dark)
    b.ellipse(-0.04, -0.06, 0.78, 0.78, b.colour)
    b.polygon([(-0.8, -0.1), (0.72, -0.3), (0.76, 0.0), (-0.78, 0.2)], (245, 245, 240))
    b.ellipse(-0.32, -0.45, 0.16, 0.12, b.light)


def _car(b: _Brush) -> None:
    b.polygon([(-0.55, 0.1), (-0.35, -0.4), (0.35, -0.4), (0.62, 0.1)], b.colour)
    b.polygon([(-0.38, 0.06), (-0.25, -0.27), (-0.04, -0.27), (-0.04, 0.06)], _WINDOW)
    b.polygon([(0.06, 0.06), (0.06, -0.27), (0.27, -0.27), (0.44, 0.06)], _WINDOW)
    b.polygon([(-0.98, 0.1), (0.9, 0.08), (0.98, 0.5), (-0.98, 0.5)], b.colour)
    for x in (-0.52, 0.52):
        b.ellipse(x, 0.5, 0.24, 0.24, _TYRE)
        b.ellipse(x, 0.5, 0.1, 0.1, (190, 190, 190))


def _kite(b: _Brush) -> None:
    b.line([(0, 0.3), (0.2, 0.55), (-0.1, 0.75), (0.15, 0.98)], b.dark, 0.07)
    b.polygon([(0, -0.95), (0.62, -0.3), (0, 0.42), (-0.62, -0.3)], b.colour)
    b.polygon([(0, -0.95), (0.62, -0.3), (0, -0.3)], b.light)
    b.polygon([(0, 0.42), (-0.62, -0.3), (0, -0.3)], b.dark)


def _fence(b: _Brush) -> None:
    for y in (-0.2, 0.35):
        b.box(-1.2, y - 0.09, 1.2, y + 0.09, b.dark)
    for k in range(5):
        x = -0.96 + 0.48 * k
        b.polygon([(x - 0.15, 0.8), (x - 0.15, -0.5), (x, -0.72), (x + 0.15, -0.5), (x + 0.15, 0.8)], b.colour)


def _mountain(b: _Brush) -> None:
    b.polygon([(-1.25, 0.8), (-0.15, -0.95), (1.25, 0.8)], b.colour)
    b.polygon([(-0.15, -0.95), (1.25, 0.8), (0.25, 0.8)], b.dark)
    b.polygon([(-0.15, -0.95), (-0.48, -0.42), (-0.2, -0.55), (0.0, -0.36), (0.29, -0.4)], (250, 250, 252))


def _cup(b: _Brush) -> None:
    b.ellipse(0.6, 0.1, 0.36, 0.36, b.dark)
    b.ellipse(0.6, 0.1, 0.19, 0.19, b.light)
    b.polygon([(-0.65, -0.5), (0.65, -0.5), (0.48, 0.75), (-0.48, 0.75)], b.colour)
    b.ellipse(0, -0.5, 0.65, 0.18, b.light)
    b.ellipse(0, -0.48, 0.52, 0.12, (70, 46, 34))


def _flower(b: _Brush) -> None:
    b.line([(0, 0), (0.05, 0.98)], (56, 122, 52), 0.13)
    b.polygon([(0.04, 0.75), (0.3, 0.42), (0.6, 0.42), (0.35, 0.68)], (72, 140, 60))
    for k in range(6):
        a = k * math.pi / 3
        b.ellipse(
            0.42 * math.cos(a), -0.3 + 0.42 * math.sin(a), 0.27, 0.27, b.colour if k % 2 else _times(b.colour, 0.85)
        )
    b.ellipse(0, -0.3, 0.22, 0.22, (248, 206, 60) if _luma(b.colour) < 190 else (120, 74, 36))


def _chair(b: _Brush) -> None:
    for x in (-0.45, 0.45):
        b.box(x - 0.07, 0.1, x + 0.07, 0.95, b.dark)
    b.box(-0.55, -0.95, -0.35, 0.3, b.colour)
    b.box(-0.55, -0.9, -0.38, 0.1, b.colour)
    b.polygon([(-0.52, -0.95), (-0.2, -0.85), (-0.2, 0.1), (-0.52, 0.1)], b.light)
    b.polygon([(-0.6, 0.05), (0.55, 0.05), (0.65, 0.28), (-0.55, 0.28)], b.colour)


def _bus(b: _Brush) -> None:
    b.box(-1.05, -0.6, 1.05, 0.55, b.colour)
    for k in range(4):
        x = -0.92 + 0.48 * k
        b.box(x, -0.42, x + 0.36, -0.02, _WINDOW)
    b.box(-1.05, 0.16, 1.05, 0.26, b.light)
    for x in (-0.6, 0.6):
        b.ellipse(x, 0.58, 0.22, 0.22, _TYRE)


def _lamp(b: _Brush) -> None:
    b.box(-0.06, -0.2, 0.06, 0.85, (70, 66, 64))
    b.ellipse(0, 0.86, 0.42, 0.12, (70, 66, 64))
    b.ellipse(0, -0.14, 0.3, 0.12, (255, 238, 170))
    b.polygon([(-0.3, -0.9), (0.3, -0.9), (0.66, -0.15), (-0.66, -0.15)], b.colour)


def _dog(b: _Brush) -> None:
    for x in (-0.55, -0.32, 0.22, 0.44):
        b.box(x - 0.08, 0.25, x + 0.08, 0.9, b.dark)
    b.line([(-0.6, 0.0), (-0.98, -0.45)], b.colour, 0.16)
    b.ellipse(-0.08, 0.12, 0.65, 0.32, b.colour)
    b.polygon([(0.3, 0.1), (0.35, -0.5), (0.75, -0.3), (0.6, 0.25)], b.colour)
    b.ellipse(0.55, -0.42, 0.3, 0.27, b.colour)
    b.box(0.6, -0.44, 0.98, -0.22, b.colour)
    b.ellipse(0.96, -0.36, 0.08, 0.08, _TYRE)
    b.ellipse(0.36, -0.38, 0.12, 0.3, b.dark)
    b.ellipse(0.64, -0.5, 0.06, 0.06, _TYRE)


def _cat(b: _Brush) -> None:
    b.line([(0.4, 0.75), (0.85, 0.6), (0.85, 0.1), (0.7, -0.1)], b.dark, 0.17)
    b.ellipse(0, 0.42, 0.46, 0.52, b.colour)
    b.ellipse(0, 0.55, 0.24, 0.34, b.light)
    b.polygon([(-0.46, -0.25), (-0.42, -0.95), (-0.06, -0.55)], b.colour)
    b.polygon([(0.46, -0.25), (0.42, -0.95), (0.06, -0.55)], b.colour)
    b.ellipse(0, -0.3, 0.46, 0.38, b.colour)
    for x in (-0.18, 0.18):
        b.ellipse(x, -0.34, 0.1, 0.1, (196, 214, 80))
        b.ellipse(x, -0.34, 0.05, 0.1, _TYRE)
    b.line([(-0.6, -0.12), (0.6, -0.12)], b.dark, 0.04)
    b.ellipse(0, -0.17, 0.07, 0.05, (220, 120, 130))


def _umbrella(b: _Brush) -> None:
    b.line([(0, -0.3), (0, 0.8), (0.12, 0.93), (0.26, 0.8)], (66, 50, 44), 0.1)
    dome = [(math.cos(a), -0.02 - 0.8 * math.sin(a)) for a in np.linspace(0, math.pi, 17).tolist()]
    scallop = [(-0.66, -0.16), (-0.33, -0.02), (0.0, -0.16), (0.33, -0.02), (0.66, -0.16)]
    b.polygon([*dome, *scallop], b.colour)
    b.polygon([(0, -0.82), (-0.33, -0.02), (0.0, -0.14), (0.33, -0.02)], b.light)


_PAINT_OBJECT: dict[str, Callable[[_Brush], None]] = {
    "house": _house, "tree": _tree, "boat": _boat, "ball": _ball, "car": _car, "kite": _kite, "fence": _fence,
    "mountain": _mountain, "cup": _cup, "flower": _flower, "chair": _chair, "bus": _bus, "lamp": _lamp, "dog": _dog,
    "cat": _cat, "umbrella": _umbrella,
}  # fmt: skip
_SKY_COLOURS: dict[str, tuple[Colour, Colour]] = {
    "clear": ((88, 152, 224), (196, 222, 240)),
    "cloudy": ((158, 166, 176), (206, 210, 214)),
    "dusk": ((96, 66, 120), (250, 160, 96)),
    "night": ((14, 18, 44), (38, 44, 84)),
    "wall": ((222, 208, 184), (206, 190, 164)),
}
_GROUND_COLOURS: dict[str, Colour] = {
    "grass": (104, 156, 66), "sand": (222, 196, 146), "snow": (240, 244, 250), "water": (58, 116, 156),
    "road": (92, 92, 98), "floor": (168, 116, 74),
}  # fmt: skip


def _paint_sky(canvas: _Canvas, kind: str, horizon: float, rng: Random) -> None:
    if kind == "cloudy" or (kind == "clear" and rng.random() < 0.3):
        for _ in range(5 if kind == "cloudy" else 2):
            x, y, r = rng.random(), rng.uniform(0.02, horizon * 0.6), rng.uniform(0.05, 0.1)
            for k in range(4):
                canvas.ellipse(x + (k - 1.5) * r, y + rng.uniform(-0.2, 0.2) * r, r, r * 0.7, (236, 238, 240))
    if kind == "clear":
        canvas.ellipse(rng.random(), rng.uniform(0.06, 0.16), 0.06, 0.06, (255, 236, 150))
    elif kind == "dusk":
        canvas.ellipse(rng.random(), horizon - 0.03, 0.1, 0.1, (255, 214, 130))
    elif kind == "night":
        for _ in range(26):
            canvas.ellipse(rng.random(), rng.uniform(0, horizon), 0.006, 0.006, (240, 240, 220))
        x, y = rng.random(), rng.uniform(0.08, 0.2)
        canvas.ellipse(x, y, 0.07, 0.07, (244, 240, 214))
        canvas.ellipse(x + 0.03, y - 0.02, 0.06, 0.06, (20, 24, 54))
    elif kind == "wall":
        for k in range(7):
            canvas.box(k / 6.5, 0, k / 6.5 + 0.018, horizon, (192, 172, 142))


def _paint_ground(canvas: _Canvas, kind: str, horizon: float, rng: Random) -> None:
    base = _jittered(_GROUND_COLOURS[kind], rng, 6)
    deep = 1 - horizon
    for k in range(4):
        canvas.box(0, horizon + deep * k / 4, 1, 1, _times(base, 1.06 - 0.07 * k))
    if kind == "grass":
        for k in range(44):
            y = horizon + 0.03 + deep * k / 44
            x, h = rng.random(), rng.uniform(0.03, 0.08)
            blade = [(x - 0.01, y), (x + 0.01, y), (x + rng.gauss(0, 0.02), y - h)]
            canvas.polygon(blade, _times(base, rng.choice((0.7, 0.8, 1.2))))
    elif kind == "sand":
        for _ in range(40):
            canvas.ellipse(
                rng.random(), rng.uniform(horizon, 1), 0.009, 0.006, _times(base, rng.choice((0.7, 0.8, 1.12)))
            )
    elif kind == "snow":
        for _ in range(4):
            y = rng.uniform(horizon, 1)
            canvas.ellipse(rng.random(), y, rng.uniform(0.15, 0.35), 0.02, (214, 224, 238))
    elif kind == "water":
        for _ in range(16):
            x, y, w = rng.random(), rng.uniform(horizon, 1), rng.uniform(0.06, 0.2)
            wave = [(x - w, y), (x - w / 2, y - 0.012), (x, y), (x + w / 2, y - 0.012), (x + w, y)]
            canvas.line(wave, (150, 196, 220), 0.011)
    elif kind == "road":
        y = horizon + deep * rng.uniform(0.62, 0.78)
        for k in range(4):
            canvas.box(k * 0.29, y, k * 0.29 + 0.16, y + 0.03, (236, 230, 200))
        canvas.box(0, horizon, 1, horizon + 0.025, (168, 166, 160))
    elif kind == "floor":
        for k in range(1, 5):
            y = horizon + deep * (k / 5) ** 1.3
            canvas.line([(0, y), (1, y)], _times(base, 0.7), 0.009)
        for k in range(-2, 9):
            canvas.line(
                [(0.5 + (k / 6 - 0.5) * 0.7, horizon), (0.5 + (k / 6 - 0.5) * 1.7, 1)], _times(base, 0.75), 0.008
            )


def _paint_thing(canvas: _Canvas, thing: SceneObject) -> None:
    n, half = canvas.n, 0.235 if thing.size == "large" else 0.13
    x, y = thing.x, min(thing.y, 1.0 - half * 0.9)
    if thing.kind == "kite":
        y -= 0.28
    elif thing.kind != "mountain":
        canvas.ellipse(x, y + half * 0.9, half * 0.95, half * 0.14, (58, 54, 56))
    layer, stencil = _Canvas(Image.new("RGB", (n, n))), _Canvas(Image.new("RGB", (n, n)))
    _PAINT_OBJECT[thing.kind](_Brush((layer, stencil), x, y, half, PALETTE[thing.colour]))
    mask = stencil.image.getchannel(0)
    # the rim keeps a white cup visible on snow and a black cat visible at night
    rim = mask.filter(ImageFilter.BoxBlur(n / 128)).point(_RIM)
    canvas.image.paste((170, 170, 176) if _luma(PALETTE[thing.colour]) < 50 else _DARK, (0, 0, n, n), rim)
    canvas.image.paste(layer.image, (0, 0), mask)


def render_scene(scene: CocoScene, size: int = 64) -> Image.Image:
    """Photograph one scene: its setting and objects, or its bird.

    Args:
        scene: what there is to see; all randomness comes from its seed (or, for a bird, from its view's).
        size: the picture's side, px.

    Returns:
        An RGB picture, size x size px, the same to the byte for the same arguments.
    """
    if scene.bird is not None:
        family, plumage, view = scene.bird
        return render_bird(family, plumage, view, size)
    rng = Random(scene.seed)
    top, bottom = _SKY_COLOURS[scene.sky]
    canvas = _gradient(size * _OVERSAMPLE, _jittered(top, rng, 6), bottom, bottom)
    horizon = rng.uniform(0.42, 0.58)
    _paint_sky(canvas, scene.sky, horizon, rng)
    _paint_ground(canvas, scene.ground, horizon, rng)
    for thing in sorted(scene.objects, key=lambda o: (o.kind != "mountain", o.y)):
        _paint_thing(canvas, thing)
    small = canvas.image.reduce(_OVERSAMPLE)
    return _expose(small, scene.light, scene.exposure, 0.0, scene.noise, scene.seed)


# ---------------------------------------------------------------- the contact sheet

_PAPER = (250, 247, 240)
_INK = (44, 42, 48)
_FADED = (128, 120, 112)
_SHEET_BACKDROPS = ("sky", "leaves", "grass", "water", "sand", "snow", "reeds")


def _portrait(rng: Random) -> View:
    """A pleasant view: plain light, the whole bird, no noise."""
    return View(
        facing=1 if rng.random() < 0.7 else -1,
        pitch=rng.uniform(-3, 8),
        turn=rng.uniform(0, 0.2),
        zoom=0.9,
        dx=0.0,
        dy=0.0,
        backdrop=rng.choice(_SHEET_BACKDROPS),
        backdrop_seed=rng.randrange(1 << 30),
        light="plain",
        exposure=1.0,
        occluder="none",
        hidden=(),
        noise=0.0,
        blur=0.0,
        perched=rng.random() < 0.6,
        individual=rng.randrange(1 << 30),
    )


def _wording(part: str, value: str) -> str:
    """A trait in words: "no crest", "two wing bars", "red crown"."""
    plural = "s" if (part, value) == ("wing_bar", "two") else ""
    return f"{'no' if value == 'none' else value} {part}{plural}".replace("_", " ")


def draw_sheet(species: Sequence[Species], columns: int, size: int = 192, seed: int = 0) -> Image.Image:
    """A contact sheet: each species' male, female and juvenile, its name and its changed parts, families grouped.

    Args:
        species: in the order to show them; neighbours of one family share a heading.
        columns: species a row.
        size: side of one portrait, px.
        seed: of the portraits' views.

    Returns:
        An RGB picture as large as the species need.
    """
    gap, margin = max(2, size // 48), max(8, size // 8)
    name_font, small_font = ImageFont.load_default(max(10, size // 11)), ImageFont.load_default(max(8, size // 15))
    head_font = ImageFont.load_default(max(12, size // 8))
    card_width = 3 * size + 2 * gap
    card_height = size + size // 11 + size // 15 + max(10, size // 8)
    head_height = max(18, size // 4)
    groups = [list(group) for _, group in groupby(species, key=lambda s: s.family.name)]
    rows = [math.ceil(len(group) / columns) for group in groups]
    width = 2 * margin + columns * card_width + (columns - 1) * margin
    height = 2 * margin + sum(head_height + r * (card_height + margin // 2) for r in rows)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    y = margin
    for group, n_rows in zip(groups, rows, strict=True):
        family = group[0].family
        pen.text((margin, y), family.name, fill=_INK, font=head_font)
        offset = margin + pen.textlength(family.name + "   ", font=head_font)
        plan = (
            f"{family.size}, {family.build}, {family.bill_length} {family.bill_shape} bill, {family.tail_length} tail"
        )
        pen.text((offset, y + size // 24), f"{plan}; {family.habitat}", fill=_FADED, font=small_font)
        rule = y + head_height - gap * 2
        pen.line((margin, rule, width - margin, rule), fill=(214, 206, 192), width=2)
        y += head_height
        for index, one in enumerate(group):
            left = margin + (index % columns) * (card_width + margin)
            top = y + (index // columns) * (card_height + margin // 2)
            for place, morph in enumerate(MORPHS):
                view = _portrait(Random(f"sheet-{seed}-{one.name}-{morph}"))
                picture = render_bird(family, one.plumage(morph), view, size)
                sheet.paste(picture, (left + place * (size + gap), top))
            pen.text((left, top + size + gap), one.name, fill=_INK, font=name_font)
            traits = ", ".join(_wording(part, getattr(one.male, part)) for part in one.changed)
            pen.text((left, top + size + gap + size // 9), traits, fill=_FADED, font=small_font)
        y += n_rows * (card_height + margin // 2)
    return sheet
