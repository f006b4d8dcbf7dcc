"""Where the report's figures come from: what the LLM's texts cost, versions, configuration, commit and hashes."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from fieldguide.core.files import sha256_of
from fieldguide.tables.page_tables import EMPTY, Entry, Head, PageTable
from fieldguide.texts.ledger import read_ledger, read_prompt
from fieldguide.texts.prices import price_source
from fieldguide.texts.settings import LLMSource

if TYPE_CHECKING:
    import pandas as pd

VERSIONS = ("fieldguide", "numpy", "torch", "open_clip_torch", "transformers", "snakemake", "altair", "itables")


@dataclass(frozen=True)
class Cost:
    """What an LLM's texts have cost: replies and tokens of its ledger, and what asking for all of them would cost."""

    source: str
    model: str
    replies: int
    rejected: int
    synthetic: int
    tokens_in: int
    tokens_out: int
    dollars: float | None
    anew: float | None
    notes: tuple[str, ...] = ()


def find_costs(sources: Mapping[str, LLMSource], class_names: Sequence[str], thing: str) -> list[Cost]:
    """What the LLM texts of the table have cost by their ledgers, and what they would cost anew by their prices."""
    costs = []
    for name, settings in sources.items():
        ledger = Path(settings.ledger)
        records = read_ledger(ledger) if ledger.is_file() else []
        prompt = read_prompt(settings.prompt)
        anew = price_source(name, settings, prompt, class_names, len(class_names), [], thing)
        invented = sum(record.synthetic for record in records)
        priced = settings.prices.input or settings.prices.output
        notes = [] if records else [f"its ledger {ledger} is not there"]
        if invented and invented == len(records):
            notes.append("these texts are synthetic: no LLM wrote them, and they cost nothing")
        elif priced:
            notes.append(f"what asking anew would cost is an estimate: {anew.notes[0]}")
        costs.append(
            Cost(
                name,
                settings.model,
                len(records),
                sum(record.rejected is not None for record in records),
                invented,
                sum(record.usage.prompt_tokens for record in records if record.usage),
                sum(record.usage.completion_tokens for record in records if record.usage),
                None if invented == len(records) else sum(record.price_usd or 0.0 for record in records),
                anew.dollars if priced else None,
                tuple(notes),
            )
        )
    return costs


def cost_table(costs: Sequence[Cost]) -> PageTable:
    """The table of costs."""
    heads = ("model", "replies", "of them not used", "tokens in", "tokens out", "paid, USD", "asked anew, USD")

    def count(value: int) -> Entry:
        return Entry(f"{value:,}", value)

    def money(value: float | None) -> Entry:
        return EMPTY if value is None else Entry(f"{value:,.4f}", value)

    rows = tuple(
        (
            Entry(cost.source),
            (
                Entry(cost.model),
                count(cost.replies),
                count(cost.rejected),
                count(cost.tokens_in),
                count(cost.tokens_out),
                money(cost.dollars),
                money(cost.anew),
            ),
        )
        for cost in costs
    )
    remarks = tuple(f"{cost.source}: {note}." for cost in costs for note in cost.notes)
    return PageTable("Cost of the LLM texts", "text source", tuple(map(Head, heads)), rows, remarks)


@dataclass(frozen=True)
class Provenance:
    """Where the page's figures come from."""

    facts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    configuration: str


def without_secrets(value: object) -> object:
    """A configuration as it may be shown: an address loses the user and password that may stand in it."""
    if isinstance(value, Mapping):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        if "@" in parts.netloc:
            return urlunsplit(parts._replace(netloc="…@" + parts.netloc.rpartition("@")[2]))
    return value


def git(*command: str) -> str:
    """What git says of the folder that this code is in; empty where it is no clone, or git is not there."""
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def describe_commit() -> str:
    """The commit of the code, and whether it was changed since."""
    commit = git("rev-parse", "HEAD")
    if not commit:
        return "not a git clone"
    is_changed = bool(git("status", "--porcelain", "--untracked-files=no"))
    return f"{commit}{' and uncommitted changes' if is_changed else ''}"


def installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def find_provenance(
    dataset: str, cells: pd.DataFrame, files: Iterable[Path], configuration: Mapping[str, Any]
) -> Provenance:
    """Versions, configuration, commit and hashes; cells: of `read_cells`."""
    import yaml

    from fieldguide.adapters.results import CellResult

    results = [CellResult.read(path) for path in cells["path"].unique()]
    of_cells: dict[str, set[str]] = {}
    for result in results:
        for package, number in (result.versions or {}).items():
            of_cells.setdefault(package, set()).add(number)
    found = {package: installed_version(package) for package in VERSIONS}
    found |= {package: ", ".join(sorted(numbers)) for package, numbers in of_cells.items()}
    facts = (
        ("Data set", dataset),
        ("Backbone", ", ".join(sorted(cells["backbone"].unique()))),
        ("Commit", describe_commit()),
        ("Cells", f"{len(results)}, of {len({result.plan_sha256 for result in results})} plans"),
        ("Python", platform.python_version()),
        ("System", f"{platform.system()} {platform.machine()}"),
    )
    shown = without_secrets(dict(configuration))
    return Provenance(
        facts,
        tuple(sorted(found.items())),
        tuple((str(path), sha256_of(path)) for path in files),
        yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=110) if shown else "",
    )
