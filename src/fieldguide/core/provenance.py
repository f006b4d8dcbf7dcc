"""Which source files a stage runs, found by its imports, so that changing one reruns the stage."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Command line, log, file handling and the words of a card: they cannot change a number, so nothing runs again for them.
HARNESS = {
    "fieldguide",
    "fieldguide.core.stage",
    "fieldguide.core.files",
    "fieldguide.core.errors",
    "fieldguide.inference.model_card",
}


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree that run; what stands under `if TYPE_CHECKING:` does not."""
    yield tree
    children = ast.iter_child_nodes(tree)
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        children = iter(tree.orelse)
    for node in children:
        yield from running_nodes(node)


@cache  # a plan asks for every job, and parsing is nearly all that planning takes
def imported_modules(path: Path) -> frozenset[str]:
    """Modules of this package that a file imports when it runs, also inside functions."""
    found: set[str] = set()
    for node in running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.split(".")[0] == "fieldguide")


def modules_of(module: str, source: Path) -> list[Path]:
    """Files under `source` that `fieldguide.<module>` runs, sorted; the module itself among them."""
    waiting, seen = [f"fieldguide.{module}"], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        path = source.joinpath(*name.split(".")).with_suffix(".py")
        if name in seen or name in HARNESS or not path.is_file():
            continue
        seen[name] = path
        waiting.extend(imported_modules(path))
    return sorted(seen.values())
