"""The house's rules: what may not stand in a file, how a stage answers, and what a rule of the workflow declares."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "fieldguide"
RULE_FILES = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]

# Assembled from pieces, so that this file is not what it looks for.
HOSTS = [
    "py" + "pi.org",
    "py" + "thonhosted.org",
    "registry.np" + "mjs.org",
    "deb.deb" + "ian.org",
    "conda.ana" + "conda.org",
    "download.pyt" + "orch.org",
]
ROOTS = ["wo" + "rk", "fa" + "rm"]
OTHER_ROOTS = ["ro" + "ot", "opt/wh" + "eels", "opt/py" + "pi", "tmp/" + "w"]
FORBIDDEN = re.compile(
    "|".join(
        [
            *map(re.escape, HOSTS),
            rf"/(?:{'|'.join(ROOTS)})/[a-z.]",
            rf"(?<![\w.)}}])/(?:{'|'.join(OTHER_ROOTS)})/",
            "fa" + "rm-[bs][et]",
        ]
    )
)

RULE = re.compile(r"^( *)(?:rule|checkpoint) (\w+):\n((?:\1[ \t]+.*\n|[ \t]*\n)*)", re.MULTILINE)

# Too heavy for a command line to answer; and torch takes its number of threads from what is set before it is imported.
HEAVY = (
    "torch",
    "torchvision",
    "open_clip",
    "transformers",
    "sklearn",
    "scipy",
    "matplotlib",
    "openai",
    "tiktoken",
    "altair",
    "pandas",
)

STAGES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if not path.name.startswith("_") and "\ndef main(" in path.read_text(encoding="utf-8")
}


def tracked_files() -> list[Path]:
    """The files that are in the repository, or would be with `git add --all`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), 1):
            if match := FORBIDDEN.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not found, "\n".join(found)


def test_every_package_says_what_comes_in_and_what_goes_out():
    packages = [path.parent for path in PACKAGE.glob("*/__init__.py")]
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 16
    for package in packages:
        words = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert len(words.split()) > 20, f"{package.name}: its docstring says too little"
        assert (ROOT / "tests" / "unit" / package.name).is_dir(), f"{package.name}: has no folder in tests/unit"


def test_no_tracked_file_is_large():
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked_files()}
    assert not {name: size for name, size in large.items() if size > 9_000_000}


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_answers_help_without_heavy_imports(stage):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{stage}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('fieldguide.{stage}', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not heavy, f'imports {heavy}'\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert stage == "cli" or answer.stdout.startswith(f"usage: python -m fieldguide.{stage} ")
    assert len(answer.stdout.splitlines()) > 3


def examples_of(stage: str) -> list[list[str]]:
    """The options of each `python -m fieldguide.<stage> …` that its docstring, and so its --help, shows."""
    path = PACKAGE.joinpath(*stage.split(".")).with_suffix(".py")
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").replace("\\\n", " ")
    lines = re.findall(rf"^ +python -m fieldguide\.{re.escape(stage)} (.*(?:\n {{4,}}.*)*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("stage", sorted(stage for stage in STAGES if examples_of(stage)))
def test_the_command_that_a_stage_shows_has_the_options_that_it_takes(stage, monkeypatch):
    class ParsedError(Exception):
        pass

    def parse(parser, argv=None, namespace=None):
        _, unknown = parser.parse_known_args(argv, namespace)  # exits where a required option is missing
        assert not unknown
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    module = importlib.import_module(f"fieldguide.{stage}")
    for example in examples_of(stage):
        with pytest.raises(ParsedError):
            module.main(example)


def rules_of_the_workflow() -> dict[str, str]:
    """The text of every rule that runs something, by its name; targets and rules made from other rules are left out."""
    found = {}
    for path in RULE_FILES:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for match in re.finditer(
                r"^( *)(?:rule|checkpoint)(?: (\w+))?:\n((?:\1[ \t]+.*\n|[ \t]*\n)*)", text, re.MULTILINE
            ):
                if re.search(r"^\s+(?:shell|run|script|notebook|wrapper):", match[3], re.MULTILINE):
                    # Rules made in a loop have their name in a directive, with the loop's variable in it.
                    name = match[2] or re.search(r'^\s+name:\s+f?"([^"]+)"', match[3], re.MULTILINE)[1]  # type: ignore[index]
                    assert name not in found, f"two rules are called {name}"
                    found[name] = match[3]
    return found


def faults_of(name: str, body: str) -> list[str]:
    """What a rule lacks: each with a module of its own name, log, benchmark, threads, mem_mb and runtime.

    The rules `download_{archive}` of a loop over archives share the module `download_archive`.
    """
    modules = [stage for stage in STAGES if stage.split(".")[-1] == re.sub(r"[{}]", "", name)]
    if not modules:
        return ["no module of the package has its name"]
    faults = [] if re.match(r'\s*"""|\s*"', body) else ["no docstring"]
    if not any(f"python -m fieldguide.{module}" in body for module in modules):
        faults.append(f"does not run `python -m fieldguide.{modules[0]}`")
    if not re.search(r"2?> ?\{log(?:\[0\])?:q\}", body):
        faults.append("does not write `2> {log:q}`")
    sections = dict(re.findall(r"^\s+(\w+):\s*((?:.*\n)(?:(?!\s+\w+:).*\n)*)", body, re.MULTILINE))
    # A benchmark counts as an output, and a rule that is to run whenever it is asked for has none.
    needed = ("log", "benchmark", "threads", "resources") if "output" in sections else ("log", "threads", "resources")
    faults += [f"no {section}:" for section in needed if section not in sections]
    faults += [f"no {key} among its resources" for key in ("mem_mb", "runtime") if not re.search(rf"\b{key}\b", body)]
    for section in ("log", "benchmark"):
        if section in sections and not re.search(rf'layout\.{section}\(f?"{re.escape(name)}"', sections[section]):
            faults.append(f"its {section} is not the layout's of {name}")
    return faults


def test_every_rule_declares_what_it_needs():
    found = [f"{name}: {fault}" for name, body in rules_of_the_workflow().items() for fault in faults_of(name, body)]
    assert not found, "\n".join(found)


def test_a_rule_that_lacks_something_is_found():
    whole = '''
    """Print it."""
    input:
        csv=f"{RESULTS}/tables/accuracy.csv",
    output:
        "x",
    log:
        layout.log("print_table"),
    benchmark:
        layout.benchmark("print_table")
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "python -m fieldguide.tables.print_table --csv {input.csv:q} > {output:q} 2> {log:q}"
'''
    assert faults_of("print_table", whole) == []
    assert faults_of("print_tables", whole) == ["no module of the package has its name"]
    assert faults_of("print_table", whole.replace("    threads: 1\n", "")) == ["no threads:"]
    assert faults_of("print_table", whole.replace("runtime=5,", "")) == ["no runtime among its resources"]
    assert faults_of("print_table", whole.replace('log("print_table', 'log("x')) == [
        "its log is not the layout's of print_table"
    ]
    assert faults_of("print_table", whole.replace(" 2> {log:q}", "")) == ["does not write `2> {log:q}`"]
    assert faults_of("print_table", whole.replace("    benchmark:\n", ""))[0] == "no benchmark:"


def test_the_workflow_has_rules_once_it_has_a_snakefile():
    if not (ROOT / "Snakefile").is_file():
        pytest.skip("no Snakefile yet")
    assert rules_of_the_workflow()


def test_everything_in_snakemakes_report_has_a_caption_a_category_and_labels():
    flagged = [
        (path.name, told)
        for path in RULE_FILES
        for told in re.findall(r"\breport\(\s*(layout\..*?)\n *\),?\n", path.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert len(flagged) > 10
    for name, told in flagged:
        assert all(word in told for word in ("caption=", "category=", "labels=")), (name, told)
        (caption,) = re.findall(r'caption="../report/(.*?)"', told)
        assert (ROOT / "workflow" / "report" / caption).read_text(encoding="utf-8").strip(), caption
