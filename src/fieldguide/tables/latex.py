"""Grids of words as LaTeX: floats with booktabs, to be read by \\input. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from fieldguide.tables.differences import LIKE_HUMAN, LIKE_IMAGES
from fieldguide.tables.grid import MISSING, Grid

TEX_SPECIALS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    LIKE_IMAGES: r"$\dagger$",
    LIKE_HUMAN: r"$\ddagger$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    MISSING: "--",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def escape_tex(text: str) -> str:
    """Text that LaTeX sets as it reads."""
    return "".join(TEX_SPECIALS.get(character, character) for character in text.replace("\n", " "))


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def grid_lines(table: Grid) -> list[str]:
    """A grid as a tabular that shrinks to the line where it is wider."""
    lines = [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    lines += [f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
    if table.groups:
        lines.append(_row(["", *(f"\\multicolumn{{{span}}}{{c}}{{{escape_tex(g)}}}" for g, span in table.groups)]))
        ends = [1 + sum(span for _, span in table.groups[: i + 1]) for i in range(len(table.groups))]
        rules = zip(ends, table.groups, strict=True)
        lines.append("".join(f"\\cmidrule(lr){{{end - span + 1}-{end}}}" for end, (_, span) in rules))
    lines += [_row([escape_tex(cell) for cell in (table.stub, *table.columns)]), r"\midrule"]
    lines += [_row([escape_tex(cell) for cell in (name, *cells)]) for name, cells in table.rows]
    return [*lines, r"\bottomrule", r"\end{tabular}%", "}"]


def tex_float(caption: str, label: str, grids: Sequence[Grid], remarks: Sequence[str] = ()) -> list[str]:
    """A table float: its caption, its label, grids one below the other, and remarks in small print under them.

    A caption is set on one line first, and longer than some ten pages of one line is no dimension to TeX.
    """
    lines = [r"\begin{table}", r"\centering", f"\\caption{{{escape_tex(caption)}}}", f"\\label{{{label}}}"]
    for number, grid in enumerate(grids):
        lines += [*([r"\par\medskip"] if number else []), *grid_lines(grid)]
    if remarks:
        small = r"\par ".join(map(escape_tex, remarks))
        lines += [r"\par\medskip", f"\\parbox{{\\linewidth}}{{\\footnotesize {small}}}"]
    return [*lines, r"\end{table}", ""]


def tex_file(floats: Sequence[Sequence[str]]) -> str:
    """A file to be read by \\input, with what it needs in its first line."""
    lines = [r"% \input this; it needs \usepackage{booktabs} and \usepackage{graphicx}."]
    return "\n".join([*lines, *(line for one in floats for line in one)])
