"""Which code a stage runs, found by its imports, and a hash of it, so that a change of it reruns the stage.

The hash is of what Python runs: comments, docstrings, blank lines and the places of lines are not in it. Of a
`settings` module only the methods are: its fields, bounds and descriptions say which values a configuration may hold,
and the values themselves reach a stage in its rule's params, which are compared as well.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Command line, log, file handling and messages: they cannot change a number, so nothing runs again for them.
HARNESS = {
    "fieldguide",
    "fieldguide.core.stage",
    "fieldguide.core.settings",
    "fieldguide.core.files",
    "fieldguide.core.errors",
}


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree that run; what stands under `if TYPE_CHECKING:` does not."""
    yield tree
    children = ast.iter_child_nodes(tree)
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        children = iter(tree.orelse)
    for node in children:
        yield from running_nodes(node)


@cache  # parsing is nearly all that planning takes
def parse(path: Path) -> ast.Module:
    """A module's syntax tree; of a settings module the methods alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.stem == "settings":
        sections = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        for section in sections:
            section.body = [node for node in section.body if isinstance(node, ast.FunctionDef) and not validates(node)]
        tree.body = [*sections]
    return tree


def validates(method: ast.FunctionDef) -> bool:
    """Whether a method of a settings model only checks a value."""
    return any("_validator" in ast.unparse(decorator) for decorator in method.decorator_list)


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Modules of this package that a file imports when it runs, also inside functions."""
    found: set[str] = set()
    for node in running_nodes(parse(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.split(".")[0] == "fieldguide")


def modules_of(module: str, source: Path, without: frozenset[str] = frozenset()) -> list[Path]:
    """Files under `source` that `fieldguide.<module>` runs, sorted; the module itself among them.

    Modules of `without`, named like `module`, are left out, with what only they import.
    """
    left_out = HARNESS | {f"fieldguide.{name}" for name in without}
    waiting, seen = [f"fieldguide.{module}"], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        path = source.joinpath(*name.split(".")).with_suffix(".py")
        if name in seen or name in left_out or not path.is_file():
            continue
        seen[name] = path
        waiting.extend(imported_modules(path))
    return sorted(seen.values())


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a body that do something: a string that stands alone, as a docstring does, is no code."""
    return [node for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]


@cache
def module_hash(path: Path) -> str:
    """A hash of a module's code, without what nobody runs."""
    tree = parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = without_docstring(node.body)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def code_hash(modules: tuple[str, ...], source: Path, without: frozenset[str] = frozenset(), entry: str = "") -> str:
    """A hash of the code under `source` that `fieldguide.<module>` runs, for all of the modules together.

    Where a stage runs one of several modules that a registry lists, the registry can be left out (`without`) and the
    line of the one that runs be given (`entry`): a further line then changes nothing.
    """
    paths = sorted({path for module in modules for path in modules_of(module, source, without)})
    lines = [f"{path.relative_to(source).as_posix()} {module_hash(path)}\n" for path in paths]
    return hashlib.sha256("".join([entry, *lines]).encode()).hexdigest()[:16]
