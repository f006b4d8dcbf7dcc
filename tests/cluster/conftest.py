"""One cluster for all its tests, and the local run that they are compared with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.slurm import ETC, Cluster, NoClusterError, check_machine, install, purge
from tests.workflow.conftest import finished as finished  # the tiny run on this machine, without a cluster

WANTED = os.environ.get("FIELDGUIDE_CLUSTER", "")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """SLURM on this machine, taken away again at the end, packages included if they came for it."""
    if WANTED == "no":
        pytest.skip("FIELDGUIDE_CLUSTER=no")
    if WANTED:
        yield running_cluster(Path(WANTED))
        return
    # A short path, since daemons keep sockets below it.
    state = Path(tempfile.mkdtemp(prefix="fieldguide-slurm-"))
    state.chmod(0o755)
    came: list[str] = []
    found = Cluster(state)
    try:
        try:
            check_machine()
            came = install(state / "apt.log")
            found.start()
        except NoClusterError as reason:
            pytest.skip(f"no SLURM cluster: {reason}")
        yield found
    finally:
        found.stop()
        purge(came, state / "apt.log")
        shutil.rmtree(state, ignore_errors=True)


def running_cluster(state: Path) -> Cluster:
    """The cluster that `python -m tests.cluster.slurm up` started; none but that is ever used."""
    configuration = (ETC / "slurm.conf").resolve()
    if not configuration.is_relative_to(state.resolve()):
        pytest.fail(f"FIELDGUIDE_CLUSTER={state}: the cluster that runs here is another one, of {configuration}")
    return Cluster(state.resolve(), accounting="slurmdbd" in configuration.read_text(encoding="utf-8"))
