"""A table of words, whatever it is written as: Markdown, LaTeX, HTML or a terminal's lines. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class Grid:
    """A table of words: a first column of row names, then columns, which groups may span (label, number of columns)."""

    stub: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    groups: tuple[tuple[str, int], ...] = ()


def format_ratio(image_percent: float) -> str:
    """`90:10`: percent of images, percent of text."""
    return f"{image_percent:g}:{100 - image_percent:g}"


def format_count(count: float, thousands: str = ",") -> str:
    """A count, or a mean of counts with one decimal where it is not whole."""
    return f"{count:,.1f}".removesuffix(".0").replace(",", thousands)


def format_accuracy(mean: float | None, ci95: float | None, published: float | None = None, marks: str = "") -> str:
    """`81.88 ± 0.42 † (81.90)`: ours, the half-width of its 95% interval, marks, the published figure; or any of it."""
    ours = MISSING if mean is None else f"{mean:.2f}" if ci95 is None else f"{mean:.2f} ± {ci95:.2f}"
    ours += f" {marks}" if marks else ""
    return ours if published is None else f"{ours} ({published:.2f})"
