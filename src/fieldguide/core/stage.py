"""What every stage shares: its command line, its log, its clock, and how it fails."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fieldguide.core.errors import FieldguideError, format_os_error, hint_for_os_error
from fieldguide.core.signals import handle_termination
from fieldguide.core.streams import discard_output

if TYPE_CHECKING:
    from fieldguide.core.settings import Section

log = logging.getLogger("fieldguide")

STOPPED = "stopped; run the same command again to go on"
ERRORS = "FIELDGUIDE_ERRORS"  # the variable that names the descriptor on which a rule's shell takes what no log holds

# How the errors of libraries say that memory ran out; they have no type of their own.
NO_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "is killed by signal: Killed", "BrokenProcessPool")


def new_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m fieldguide.<name>`, or for `fieldguide <its last part>` where that was typed."""
    is_command = Path(sys.argv[0]).name == "fieldguide"
    return argparse.ArgumentParser(
        prog=f"fieldguide {name.rpartition('.')[2]}" if is_command else f"python -m fieldguide.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_settings(parser: argparse.ArgumentParser, model: type[Section]) -> None:
    """Add `--settings JSON`: all of a stage's options that are no files, checked by the model of the configuration.

    `settings.parse_settings(model, args.settings)` then gives the model, or one sentence on what is wrong.
    """
    named = ", ".join(model.model_fields)
    is_needed = any(field.is_required() for field in model.model_fields.values())
    parser.add_argument(
        "--settings",
        required=is_needed,
        default="{}",
        metavar="JSON",
        help=f"settings as in the configuration: {named}",
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


def is_out_of_memory(error: BaseException) -> bool:
    """True where memory ran out: of this process, of the GPU, or of a worker that the system killed for it."""
    message = f"{type(error).__name__}: {error}"
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in message for words in NO_MEMORY)
    )


def format_out_of_memory(name: str, error: BaseException) -> str:
    """A sentence on memory that ran out, with the ways out."""
    what = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"memory ran out ({what}); run fewer jobs at once (--cores 1), or on a cluster ask for more"
        f" (--set-resources {name}:mem_mb=…), or set a smaller batch, and run the same command again"
    )


def stop_with(sentence: str) -> NoReturn:
    """Exit with 1 and a sentence; where a full disk keeps it out of the log, the rule's shell gets it."""
    if ERRORS in os.environ:
        line = f"{sentence}\n".encode(errors="backslashreplace")  # a file's name need not be UTF-8
        try:
            os.write(2, line)
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.write(int(os.environ[ERRORS]), line)
            os._exit(1)  # an ordinary exit would try the log once more
        sys.exit(1)
    sys.exit(sentence)


def format_usage() -> str:
    """What the process used: its peak memory, its CPU time and, where it used one, the GPU. `run_page` reads it."""
    own, forked = (resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    peak = max(own.ru_maxrss, forked.ru_maxrss) * unit / 2**20
    cpu = sum(use.ru_utime + use.ru_stime for use in (own, forked))
    text = f"used: memory {peak:.0f} MB, CPU {cpu:.2f} s"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        text += f", GPU memory {torch.cuda.max_memory_reserved() / 2**20:.0f} MB of {torch.cuda.get_device_name()}"
    return text


def run_stage(
    name: str,
    run: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
    imports: Sequence[str] = (),
    resumes: bool = True,
) -> None:
    """Parse, import what is heavy, run, and log how long the work itself took (imports not counted).

    resumes: one that is stopped is told to be run again, to go on; not so what begins anew.
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
        with handle_termination():
            for module in imports:
                importlib.import_module(module)
            if "torch" in sys.modules:
                torch = sys.modules["torch"]
                torch.set_num_threads(threads)
                # use_deterministic_algorithms(True, warn_only=True), without importing torch's compiler for 4 s.
                torch.set_deterministic_debug_mode("warn")
            started = time.perf_counter()
            run(args)
            log.info("%s", format_usage())
            # `summarise_run` reads this line.
            used = max(threads, getattr(args, "workers", 1))
            log.info("done: work %.2f s, threads %d", time.perf_counter() - started, used)
    except FieldguideError as error:
        stop_with(f"{name}: error: {error}")
    except BrokenPipeError:
        # `| head` has read all it wants; Python would complain again when it closes the pipe.
        discard_output(sys.stdout.fileno())
    except OSError as error:
        if error.filename is None and not hint_for_os_error(error.errno):
            raise
        stop_with(f"{name}: error: {format_os_error(error)}")
    except KeyboardInterrupt:
        stop_with(f"{name}: {STOPPED if resumes else 'stopped'}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        stop_with(f"{name}: error: {format_out_of_memory(name, error)}")
