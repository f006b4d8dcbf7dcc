"""Output that nobody reads any more: a closed pipe or terminal ends no work, and holds none up."""

from __future__ import annotations

import errno
import os
from typing import Any, TextIO

READER_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Errors of writing to a pipe or terminal whose other end is closed."""


def discard_output(descriptor: int) -> None:
    """From here on what is written to a descriptor is dropped, also what a stream over it still holds back."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    if null != descriptor:
        os.close(null)


def open_missing_descriptors() -> None:
    """Open those of standard input, output and error that are closed, so that no other file takes their numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor, inheritable=True)
            if null != descriptor:
                os.close(null)
            os.set_inheritable(descriptor, True)


class TolerantStream:
    """A text stream that drops what is written once its reader is gone, and is the stream given in all else."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        if error.errno not in READER_GONE:
            raise error
        discard_output(self.stream.fileno())
