"""Which code a stage runs, found by its imports, and a hash of it, so that changing it reruns the stage."""

from __future__ import annotations

import ast
import hashlib
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


class Meaning(ast.NodeTransformer):
    """Leaves out what nobody runs: docstrings, and the descriptions of settings."""

    def strip_docstring(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = node.body  # type: ignore[attr-defined]
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = strip_docstring  # noqa: N815

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        return node


@cache
def module_hash(path: Path) -> str:
    """A hash of a module's code without comments, docstrings, descriptions of settings and the places of lines."""
    tree = Meaning().visit(ast.parse(path.read_text(encoding="utf-8")))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def code_hash(modules: tuple[str, ...], source: Path) -> str:
    """A hash of the code under `source` that `fieldguide.<module>` runs, for all of the modules together."""
    paths = sorted({path for module in modules for path in modules_of(module, source)})
    lines = [f"{path.relative_to(source).as_posix()} {module_hash(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
