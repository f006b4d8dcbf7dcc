"""What a run needs of Snakemake beyond what Snakemake promises to keep."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldguide.run import snakemake_internals
from fieldguide.run.snakemake_internals import REQUIREMENTS, Requirement, missing_requirements

SOURCE = Path(snakemake_internals.__file__).parents[1]


def test_this_version_of_snakemake_has_all_of_it() -> None:
    missing = list(missing_requirements())
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    "owner", ["snakemake.workflow.Workflow", "snakemake.workflow.Gone", "snakemake.gone.Workflow", "snakemake.gone"]
)
def test_what_is_missing_is_a_sentence(owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snakemake_internals, "REQUIREMENTS", (Requirement(owner, ("def fly(",), "birds fly"),))
    (sentence,) = missing_requirements()
    assert re.fullmatch(rf"Snakemake [\d.]+: {owner} has no `def fly\(` any more. Needed since birds fly.", sentence)


def test_nothing_else_looks_into_snakemake() -> None:
    """Attributes of the workflow object are read in one module; elsewhere it is only handed on."""
    looking = re.compile(r"\bworkflow\.(?!\w+ import)[a-z_]+|\bscheduler\._|JobScheduler")
    for path in (SOURCE / "run").glob("*.py"):
        if path.name == "snakemake_internals.py":
            continue
        found = looking.findall(path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: {found}"


def test_reasons_are_given() -> None:
    assert all(part.words and len(part.reason) > 20 for part in REQUIREMENTS)
