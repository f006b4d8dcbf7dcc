"""Which code a stage runs, found by its imports, and a hash of it, so that a change of it reruns the stage.

The hash is of what Python runs: comments, docstrings, blank lines and the places of lines are not in it. Of a
`settings` module only the methods are, with what they name: its fields, bounds and descriptions say which values a
configuration may hold, and the values themselves reach a stage in its rule's params, which are compared as well.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Command line, log, signals, file handling, messages and this module: they cannot change a number, so nothing runs
# again for them.
HARNESS = {
    "fieldguide",
    "fieldguide.core.stage",
    "fieldguide.core.settings",
    "fieldguide.core.files",
    "fieldguide.core.errors",
    "fieldguide.core.signals",
    "fieldguide.core.streams",
    "fieldguide.core.provenance",
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
    """A module's syntax tree; of a settings module the methods alone, and what they name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.stem == "settings":
        for section in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            section.body = [node for node in section.body if isinstance(node, ast.FunctionDef) and not validates(node)]
        tree.body = needed_statements(tree.body)
    return tree


def needed_statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """The classes of a module, and the functions, values and imports that their methods name, directly or not."""
    needed = [node for node in body if isinstance(node, ast.ClassDef)]
    waiting = [method for section in needed for method in section.body]
    found: list[ast.stmt] = [*needed]
    while waiting:
        named = {node.id for node in ast.walk(waiting.pop()) if isinstance(node, ast.Name)}
        for node in body:
            if node not in found and named & bound_names(node):
                found.append(node)
                waiting.append(node)
    return [node for node in body if node in found]


def bound_names(node: ast.stmt) -> set[str]:
    """The names that a statement of a module's top level gives a meaning to."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}


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
        elif isinstance(node, ast.ImportFrom):
            # A relative import begins at the folder that as many dots name.
            folder = list(path.parts[path.parts.index("fieldguide") : -node.level]) if node.level else []
            module = ".".join([*folder, *([node.module] if node.module else [])])
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
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


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a body that do something: a string that stands alone, as a docstring does, is no code."""
    return [node for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]


@cache
def module_hash(path: Path, without_table: bool = False) -> str:
    """A hash of a module's code, without what nobody runs; of a registry, also without the table that it holds."""
    tree = parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = without_docstring(node.body)
    if without_table:
        body = [node for node in tree.body if not isinstance(getattr(node, "value", None), ast.Dict)]
        tree = ast.Module(body, tree.type_ignores)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def code_hash(modules: tuple[str, ...], source: Path, registries: frozenset[str] = frozenset(), entry: str = "") -> str:
    """A hash of the code under `source` that `fieldguide.<module>` runs, for all of the modules together.

    Where a stage runs one of several modules that a registry lists, the registry's table can be left out (`registries`,
    named like the modules) and the line of the one that runs be given (`entry`): a further line then changes nothing.
    """
    tables = {source.joinpath("fieldguide", *name.split(".")).with_suffix(".py") for name in registries}
    paths = sorted({path for module in modules for path in modules_of(module, source)})
    lines = [f"{path.relative_to(source).as_posix()} {module_hash(path, path in tables)}\n" for path in paths]
    return hashlib.sha256("".join([entry, *lines]).encode()).hexdigest()[:16]
