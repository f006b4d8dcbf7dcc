"""docs/errors.md: every message of the package with its way out, group by group.

The messages are read from the source, so none can be missing; the ways out are written by people, in the page itself.

  .venv/bin/python -m tests.errors_page            # says what the page lacks, and what it has too much
  .venv/bin/python -m tests.errors_page --write    # adds new messages, takes away old ones, keeps every way out

A new message comes with what stands after its last semicolon as its way out; where there is none, write one.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "fieldguide"
PAGE = ROOT / "docs" / "errors.md"

ANY = "…"
"""Stands for what differs from case to case: a file, a name, a number."""

GROUPS = {
    "The configuration": ("config", "common"),
    "Downloads": ("download_archive", "download_backbone", "transfer"),
    "Archives and images": ("archives", "unpack_archive", "image_store"),
    "Records: images, classes, captions, pairs": (
        "index_images",
        "index_captions",
        "index_folder",
        "index_pairs",
        "class_names",
        "records",
    ),
    "Texts of your own": ("import_texts", "user_files", "check_texts", "sentences", "write_prompts"),
    "Texts of an LLM": ("generate_texts", "llm_client", "ledger", "replies", "questions", "price_texts"),
    "Features computed elsewhere": ("import_features", "import_text_features", "given_features"),
    "Encoding": ("backbone", "encode_images", "encode_texts", "features", "tokenizer"),
    "Translators and their conversion accuracy": (
        "train_qformer",
        "fit_translator",
        "translate_texts",
        "pairs",
        "selection",
        "measure_conversion",
        "tabulate_conversion",
        "plot_conversion",
    ),
    "Adapters": ("cells", "tune_adapter", "train_adapter", "probe_features", "plan_images", "plans"),
    "Tables and figures": (),
    "Starting a run, and going on after one": ("run_guard", "run_hooks", "run_page", "cluster"),
    "Naming photographs": ("classify", "show", "checkpoint", "results_folder"),
    "The aviary": ("render_aviary", "draw_birds", "demo", "write_ledger", "train_clip", "summarise_run"),
    "Small files": ("files",),
}
"""Modules by group; a module that no group has is among the tables."""
OTHERS = "Tables and figures"
RAISED = {"FieldguideError", "ArgumentTypeError"}
TOLD_THROUGH_OTHERS = {"config", "image_store"}
"""Modules whose ValueErrors reach a reader, within another message."""
WORDLESS = re.compile(r"[\W_]*")


def constants_of(tree: ast.AST) -> dict[str, str]:
    """The module's strings that have a name, also those that it imports from its neighbours."""
    found: dict[str, str] = {}
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fieldguide."):
            path = PACKAGE.joinpath(*(node.module or "").split(".")[1:]).with_suffix(".py")
            names = {alias.name: alias.asname or alias.name for alias in node.names if alias.name.isupper()}
            if names and path.is_file():
                theirs = constants_of(ast.parse(path.read_text(encoding="utf-8")))
                found |= {ours: theirs[name] for name, ours in names.items() if name in theirs}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            if node.targets[0].id.isupper() and isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[node.targets[0].id] = value.value
    return found


def text_of(node: ast.AST, constants: dict[str, str]) -> str:
    """A message as it reads, with ANY for what it is told at run time."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ANY
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, constants) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return text_of(node.value, constants) if isinstance(node.value, ast.Name) else ANY
    if isinstance(node, ast.Name):
        return constants.get(node.id, ANY)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left, constants) + text_of(node.right, constants)
    return ANY


def messages_of(path: Path) -> list[str]:
    """The messages that a module raises, in their order, each once; what is only another's words is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = constants_of(tree)
    found: dict[str, None] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        message = ""
        if name in RAISED or (name == "ValueError" and path.stem in TOLD_THROUGH_OTHERS):
            message = text_of(call.args[0], constants) if call.args else ""
        elif name == "refuse_if_any" and len(call.args) == 3:
            what, way_out = (text_of(argument, constants) for argument in call.args[1:])
            message = f"{what} ({ANY}): {ANY} - {way_out}"
        message = re.sub(f"(?:{ANY}){{2,}}", ANY, " ".join(message.split()))
        if not WORDLESS.fullmatch(message):
            found[message] = None
    return list(found)


def group_of(path: Path) -> str:
    """The group of a module."""
    return next((group for group, modules in GROUPS.items() if path.stem in modules), OTHERS)


def collect() -> dict[str, list[str]]:
    """All messages of the package by group."""
    by_group: dict[str, dict[str, None]] = {group: {} for group in GROUPS}
    for path in sorted(PACKAGE.rglob("*.py")):
        by_group[group_of(path)].update(dict.fromkeys(messages_of(path)))
    return {group: list(messages) for group, messages in by_group.items()}


def way_out_of(message: str) -> str:
    """What a message itself says to do: the part after its last semicolon or dash, as a sentence."""
    parts = re.split(r"; | - ", message)
    told = parts[-1].strip()
    if len(parts) < 2 or WORDLESS.fullmatch(told):
        return ""
    return told[0].upper() + told[1:].rstrip(".") + "."


def cell(text: str) -> str:
    """Text as a cell of a table shows it."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def read_page(page: str) -> dict[str, dict[str, str]]:
    """The ways out that stand in the page, by group and message."""
    found: dict[str, dict[str, str]] = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        group, _, body = section.partition("\n")
        rows = re.findall(r"^\| (.+?) (?<!\\)\| (.*?) ?\|$", body, re.MULTILINE)
        found[group.strip()] = {message: way_out for message, way_out in rows if message not in ("message", "---")}
    return found


def write_page(page: str, messages: dict[str, list[str]]) -> str:
    """The page with exactly these messages: ways out that stand there are kept, also when a message moved or one of
    its words changed; what stands outside of the tables is kept too."""
    old = read_page(page)
    anywhere = {message: way_out for rows in old.values() for message, way_out in rows.items()}
    head = re.split(r"^## ", page, flags=re.MULTILINE)[0]
    words = {
        s.partition("\n")[0].strip(): s.partition("\n")[2] for s in re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    }
    sections = []
    for group, listed in messages.items():
        before = re.split(r"^\| message", words.pop(group, "\n"), flags=re.MULTILINE)[0].strip()
        rows = [f"| {cell(m)} | {anywhere.get(cell(m)) or cell(way_out_of(m))} |" for m in listed]
        table = "\n".join(["| message | way out |", "| --- | --- |", *rows])
        sections.append(f"## {group}\n" + (f"{before}\n\n" if before else "") + table)
    first = [f"## {group}\n{body.strip()}" for group, body in words.items()]
    return "\n\n".join([head.strip(), *first, *sections]) + "\n"


def find_faults(page: str, messages: dict[str, list[str]]) -> list[str]:
    """What the page lacks, has too much, or says no way out of."""
    listed = read_page(page)
    faults = []
    for group, of_group in messages.items():
        rows, wanted = listed.get(group, {}), [cell(message) for message in of_group]
        faults += [f"{group}: lacks: {message}" for message in wanted if message not in rows]
        faults += [f"{group}: is no message any more: {message}" for message in rows if message not in wanted]
        faults += [f"{group}: says no way out of: {m}" for m in wanted if m in rows and len(rows[m].split()) < 2]
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="bring the page into line")
    args = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Errors\n"
    if args.write:
        page = write_page(page, collect())
        PAGE.write_text(page, encoding="utf-8")
    faults = find_faults(page, collect())
    print("\n".join(faults) or f"{PAGE.relative_to(ROOT)} lists every message")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
