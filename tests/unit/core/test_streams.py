"""Output that nobody reads any more."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldguide.core.streams import TolerantStream, discard_output


def test_what_is_written_after_the_reader_has_left_is_dropped() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1) as stream:
        tolerant = TolerantStream(stream)
        print("heard", file=tolerant, flush=True)
        assert os.read(reading, 100) == b"heard\n"
        os.close(reading)
        for _ in range(3):
            print("lost", file=tolerant, flush=True)
        os.write(writing, b"what a child would write")
        assert tolerant.fileno() == writing and not tolerant.isatty()


def test_other_errors_are_errors() -> None:
    with Path("/dev/full").open("w") as full:
        tolerant = TolerantStream(full)
        tolerant.write("x")
        with pytest.raises(OSError, match="No space left") as caught:
            tolerant.flush()
        assert caught.value.errno == errno.ENOSPC
        discard_output(full.fileno())  # or closing it fails again


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_descriptor_is_taken_by_no_other_file(closed: str) -> None:
    code = (
        "import os, sys; from fieldguide.core.streams import open_missing_descriptors\n"
        "open_missing_descriptors()\n"
        "assert all(os.get_inheritable(n) for n in (0, 1, 2)) and open(os.devnull).fileno() > 2"
    )
    command = ["bash", "-c", f'exec {sys.executable} -c "$0" {closed}', code]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
