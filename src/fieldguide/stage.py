"""What every stage shares: its command line, its log, its clock, and how it fails."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldguide.errors import FieldguideError

log = logging.getLogger("fieldguide")


def new_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m fieldguide.<name>`, or `fieldguide <name>` where that was typed, with the docstring."""
    is_command = Path(sys.argv[0]).name == "fieldguide"
    return argparse.ArgumentParser(
        prog=f"fieldguide {name}" if is_command else f"python -m fieldguide.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def use_threads(count: int) -> None:
    """Set the number of numeric threads: a value of the configuration, so that results do not depend on the machine.

    Must be called before torch or numpy is imported.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(count)
    os.environ["OMP_DYNAMIC"] = os.environ["MKL_DYNAMIC"] = "FALSE"


def return_large_blocks() -> None:
    """Have the C library give large blocks back to the system when they are freed, where it is glibc.

    Otherwise it keeps them in a heap, which the blocks of a training step fragment: memory doubles over a few steps.
    Smaller blocks stay in the heap, since asking the system for each of them takes a quarter of a small training.
    """
    largest_in_heap = -3  # M_MMAP_THRESHOLD
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(largest_in_heap, 16 << 20)


def run_stage(
    name: str,
    run: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
    imports: Sequence[str] = (),
) -> None:
    """Parse, import what is heavy, run, and log how long the work itself took (imports not counted).

    Exits with 1 and one sentence on bad input; anything else that goes wrong keeps its traceback.
    """
    if any(action.dest == "threads" for action in parser._actions):
        parser.epilog = (parser.epilog or "") + "\nThe same --threads gives the same result to the bit."
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=f"{name}: %(message)s", force=True)
    log.setLevel(logging.INFO)  # our own lines, and of the libraries only their warnings
    threads = getattr(args, "threads", 1)
    use_threads(threads)
    if getattr(args, "cache", ""):
        # huggingface_hub reads it when it is imported; parts of open_clip take no folder of their own.
        os.environ["HF_HUB_CACHE"] = str(Path(args.cache).resolve())
    try:
        for module in imports:
            importlib.import_module(module)
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            torch.set_num_threads(threads)
            # use_deterministic_algorithms(True, warn_only=True), without importing torch's compiler for 4 s.
            torch.set_deterministic_debug_mode("warn")
        started = time.perf_counter()
        run(args)
        # `summarise_run` reads this line.
        used = max(threads, getattr(args, "workers", 1))
        log.info("done: work %.2f s, threads %d", time.perf_counter() - started, used)
    except FieldguideError as error:
        sys.exit(f"{name}: error: {error}")
    except BrokenPipeError:
        # `| head` has read all it wants; Python would complain again when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"{name}: error: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: stopped; run the same command again to go on")
