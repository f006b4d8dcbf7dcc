"""The `fieldguide` command: lists the stages, and runs one."""

from __future__ import annotations

import ast
import difflib
import importlib
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fieldguide import __doc__ as ABOUT
from fieldguide import __version__
from fieldguide.core.streams import discard_output

WIDTH = 100
COMMANDS = (
    ("make demo", "the whole workflow on the aviary, a small data set that the project renders itself"),
    ("make everything", "the same with every table, figure, translator and the report"),
    ("snakemake --cores all", "the thesis's experiment on CUB and COCO, from config.yaml"),
    ("snakemake all --cores all --configfile config/aviary.yaml", "the aviary, by hand"),
    ("snakemake --workflow-profile profiles/slurm", "on a SLURM cluster"),
)
TOOLS = ("classify", "show", "print_table")
"""Modules that no rule runs: for those who ask the results."""
EXAMPLES = (
    "fieldguide classify bird.jpg",
    "fieldguide classify photographs/ --json > names.jsonl",
    "fieldguide show cardinal",
    "fieldguide print_table --csv results/aviary/tables/accuracy.csv",
    "fieldguide tabulate_accuracy --help",
)


def first_sentence(doc: str | None) -> str:
    """The first sentence of a docstring's first paragraph, on one line."""
    paragraph = " ".join((doc or "").strip().partition("\n\n")[0].split())
    return re.split(r"(?<! al)\. ", paragraph)[0].rstrip(".")


class Stage(NamedTuple):
    """A module that has a `main`, and what it does in one sentence."""

    module: str
    meaning: str

    @property
    def package(self) -> str:
        """The package below fieldguide that holds it."""
        return self.module.split(".")[1]


PACKAGES = ("data", "aviary", "features", "texts", "translators", "adapters", "tables", "report", "inference", "run")
"""In the order in which data flows; whatever else has stages comes after them."""


def list_packages() -> list[tuple[str, str]]:
    """Each package with stages, and what it is for in a sentence."""
    folder = Path(__file__).parent
    others = {stage.package for stage in find_stages().values()} - set(PACKAGES)
    packages = [name for name in (*PACKAGES, *sorted(others)) if (folder / name / "__init__.py").exists()]
    sources = [(name, (folder / name / "__init__.py").read_text(encoding="utf-8")) for name in packages]
    return [(name, first_sentence(ast.get_docstring(ast.parse(source)))) for name, source in sources]


def find_stages() -> dict[str, Stage]:
    """Every stage by its name; read, not imported."""
    package = Path(__file__).parent
    stages: dict[str, Stage] = {}
    for path in sorted(package.rglob("*.py")):
        if path.name.startswith("_") or path == Path(__file__):
            continue
        source = path.read_text(encoding="utf-8")
        if "\ndef main(" in source:
            module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            stages[path.stem] = Stage(module, first_sentence(ast.get_docstring(ast.parse(source))))
    return stages


def format_help() -> str:
    """What `fieldguide --help` prints."""
    stages = find_stages()
    width = max(map(len, stages))
    groups = {"Once there are results:": {name: stages.pop(name) for name in TOOLS}}
    for package, about in list_packages():
        if found := {name: stage for name, stage in stages.items() if stage.package == package}:
            about = re.sub(rf"^(The )?{package}: ", "", about, flags=re.IGNORECASE)
            groups[f"{package}: {about}".rstrip(": ") + ("" if about else ":")] = found
    lines = [f"fieldguide {__version__}: {first_sentence(ABOUT).removeprefix('fieldguide: ')}", ""]
    lines += ["usage: fieldguide classify PHOTO …   name what photographs show"]
    lines += ["       fieldguide show CLASS         what the guide says of a class"]
    lines += ["       fieldguide STAGE [OPTION …]   run one stage by hand, as the workflow's rules do"]
    lines += ["       fieldguide STAGE --help       its options"]
    lines += [
        "       fieldguide --version",
        "",
        "The workflow, which runs the stages in order (in the project's folder):",
    ]
    for command, meaning in COMMANDS:
        lines += [f"  {command}", f"      {meaning}"]
    for head, listed in groups.items():
        lines += ["", *textwrap.wrap(head, WIDTH)]
        for name, stage in listed.items():
            text = f"  {name:<{width}}  {stage.meaning}"
            lines += textwrap.wrap(text, WIDTH, subsequent_indent=" " * (width + 4), break_on_hyphens=False)
    lines += ["", "Examples:", *(f"  {example}" for example in EXAMPLES)]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help", "--version"):
        try:
            print(f"fieldguide {__version__}" if args[:1] == ["--version"] else format_help(), flush=True)
        except BrokenPipeError:  # `| head` has read all it wants
            discard_output(sys.stdout.fileno())
    else:
        stages = find_stages()
        name = args[0].replace("-", "_")
        if name not in stages:
            close = difflib.get_close_matches(name, stages, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            print(f"fieldguide: no stage {args[0]!r}; {hint}`fieldguide --help` lists them", file=sys.stderr)
            sys.exit(2)
        importlib.import_module(stages[name].module).main(args[1:])


if __name__ == "__main__":
    main()
