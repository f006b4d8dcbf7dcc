"""What all tests share: one numeric thread each, hypothesis' profile, and an end to every process they start."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.processes import end_groups, end_left, mark_session

# Tests run side by side, so each keeps to one numeric thread. This has to be set before torch or numpy is imported.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# The same examples in every run, and no deadline: a busy machine is no failure.
settings.register_profile("fieldguide", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fieldguide"))


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Whatever the tests started has ended with them: a process left behind holds locks, ports and cores."""
    mark_session()
    yield
    left = end_left()
    assert not left, "tests left processes behind, which are killed now:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def groups_end_with_their_test() -> Iterator[None]:
    """A run that a test starts in a process group of its own is killed with the group when the test ends."""
    yield
    end_groups()
