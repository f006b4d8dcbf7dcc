"""Before a run's first job: whether the LLMs whose texts it makes can be asked.

The stage check_llm runs here, and not as a job that downloads and encoders wait for: as an input of theirs it would
make them again whenever a source is added, with `keep-going` its failure would not end the run, and a check that passed
long ago would say nothing about today.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import STOPPED
from fieldguide.run.snakemake_internals import jobs_to_run
from fieldguide.run.stopping import state

POLL = 0.1
"""Seconds between two looks at the check and at whether the run is to stop."""


def check_llms(
    workflow: Any,
    unasked: Callable[[Iterable[str]], list[str]],
    words: Callable[[Iterable[str]], list[str]],
    log: str,
    source: Path,
) -> None:
    """Check the LLMs of the run's jobs; raises FieldguideError with the check's own sentence when one cannot be asked.

    `unasked` says which of some text sources may have to be asked, `words` gives check_llm's options for them; `source`
    is the folder of the package.
    """
    sources = unasked(job.wildcards.source for job in jobs_to_run(workflow) if job.rule.name == "generate_texts")
    if not sources:
        return
    if importlib.util.find_spec("openai") is None:
        from snakemake.logging import logger

        logger.warning(
            f"Whether {', '.join(sources)} can be asked is not looked at beforehand: the package openai is not"
            " installed beside Snakemake. `snakemake check_llm` does so where rules have environments of their own."
        )
        return
    run_check([sys.executable, "-m", "fieldguide.texts.check_llm", *words(sources)], Path(log), source)


def run_check(command: Sequence[str], log: Path, source: Path) -> None:
    """Run the check, its log in a file, what it says to the user on the terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=stream, env={**os.environ, "PYTHONPATH": paths}
        )
        is_told = False
        while process.poll() is None:
            if state.stop_requested and not is_told:
                process.terminate()
                is_told = True
            time.sleep(POLL)
    if state.stop_requested:
        raise FieldguideError(f"check_llm: {STOPPED}")
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"check_llm ended with status {process.returncode}"
        raise FieldguideError(f"{said}\nNothing was downloaded or encoded. The check's log: {log}")
