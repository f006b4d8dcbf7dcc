"""One run at a time per results folder, and what a run that was killed left there.

Snakemake's own lock is a file that a killed run leaves behind, and it cannot tell whether anybody is still at work. So
a run also holds `results/<dataset>/.lock` by `flock`, which the system releases whatever happens to the process. The
next run then knows: held, somebody is at work, and it is refused in a sentence; free, but with the note of a run that
did not take it back, that run was killed, and Snakemake's lock and unfinished files are taken away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError, format_os_error, user_name

LOCK = ".lock"


NO_LOCKING = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system that cannot


UNLOCK = "`snakemake --unlock` (with the same --configfile)"


@dataclass(frozen=True)
class Holder:
    """Who makes a results folder: what a run writes into its lock file."""

    pid: int
    host: str
    user: str
    started: str
    executor: str  # Snakemake's: local, slurm, …

    @classmethod
    def this_process(cls, executor: str = "local") -> Holder:
        return cls(os.getpid(), socket.gethostname(), user_name(), datetime.now().isoformat(" ", "minutes"), executor)

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, started {self.started}"


def open_lock(results: Path) -> int:
    """The lock file's descriptor, made with its folder; raises FieldguideError where the folder cannot be written."""
    path = results / LOCK
    if dangling := [folder for folder in (results, *results.parents) if folder.is_symlink() and not folder.exists()]:
        raise FieldguideError(
            f"{dangling[0]} is a link to {dangling[0].readlink()}, which is not there: bring that folder back (is its"
            " disk mounted?), or take the link away"
        )
    try:
        results.mkdir(parents=True, exist_ok=True)
        if not os.access(results, os.W_OK | os.X_OK):
            number = errno.EROFS if os.statvfs(results).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number), str(results))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise FieldguideError(format_os_error(error)) from error
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o666)  # others who share the folder take turns with us
    return descriptor


def read_holder(descriptor: int) -> Holder | None:
    """The note in the lock file; None where the run before ended and took it back."""
    text = os.pread(descriptor, 4096, 0).decode(errors="replace").partition("\n")[0]
    try:
        return Holder(**json.loads(text)) if text.strip() else None
    except (ValueError, TypeError):
        return Holder(0, "an unknown host", "an unknown user", "at an unknown time", "local")


def last_holder(results: Path) -> tuple[Holder | None, bool]:
    """The note of a run that is at work or was killed, without touching it, and whether that process lives here."""
    import psutil  # Snakemake's

    try:
        descriptor = os.open(results / LOCK, os.O_RDONLY)
    except OSError:
        return None, False
    try:
        holder = read_holder(descriptor)
    finally:
        os.close(descriptor)
    is_here = holder is not None and holder.host == socket.gethostname()
    return holder, holder is not None and is_here and psutil.pid_exists(holder.pid)


def write_holder(descriptor: int, holder: Holder | None) -> None:
    """Put our note into the lock file, or take it back."""
    text = f"{json.dumps(asdict(holder))}\n".encode() if holder else b""
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
    os.fsync(descriptor)  # a machine that goes down leaves the note


def try_lock(descriptor: int) -> bool:
    """Lock the file if nobody does. Where the file system knows no locks, Snakemake's own has to do."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKING
    return True


def refusal(results: Path, holder: Holder | None) -> FieldguideError:
    """The sentence for a second start while a run is at work."""
    at_work = f" ({holder})" if holder else ""
    stop = f", or stop it with `kill {holder.pid}`" if holder and holder.host == socket.gethostname() else ""
    return FieldguideError(
        f"{results} is being made by another run{at_work}: wait for it{stop}; to run another configuration beside it,"
        " give that one a `dataset: name` or a `results` folder of its own"
    )


@contextlib.contextmanager
def hold(results: Path, executor: str = "local", log: Callable[[str], None] = print) -> Iterator[None]:
    """Hold the lock of a results folder; first clear up after a run on this machine that was killed.

    Raises FieldguideError where another run holds it, where jobs of a killed run are still at work, or where a killed
    run may have left jobs elsewhere.
    """
    descriptor = open_lock(results)
    try:
        if not try_lock(descriptor):
            raise refusal(results, read_holder(descriptor))
        if former := read_holder(descriptor):
            clear_up(results, former, log)
        try:
            write_holder(descriptor, Holder.this_process(executor))
        except OSError as error:  # of a disk that is full, before anything has begun
            error.filename = str(results)
            raise FieldguideError(format_os_error(error)) from error
        yield
        write_holder(descriptor, None)
    except BaseException as error:
        # A run that failed or was stopped has ended in order all the same; one that was refused is not ours to end.
        if not isinstance(error, FieldguideError):
            with contextlib.suppress(OSError):
                write_holder(descriptor, None)
        raise
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- after a run that was killed


def clear_up(results: Path, former: Holder, log: Callable[[str], None]) -> None:
    """Take away what a killed run left: Snakemake's lock on this folder, and files that were being written."""
    if former.executor != "local" or former.host not in (socket.gethostname(), "an unknown host"):
        if not locks_on(results):
            return
        raise FieldguideError(
            f"{results}: the last run ({former}, jobs by {former.executor}) did not end cleanly. Make sure that"
            f" neither it nor a job of it is still at work, then type {UNLOCK} and the same command again"
        )
    if jobs := jobs_at_work(results):
        pids = " ".join(map(str, jobs))
        raise FieldguideError(
            f"{results}: the last run ({former}) was killed, and jobs of it are still at work: wait until they end, or"
            f" `kill {pids}`, and run the same command again"
        )
    for lock in locks_on(results):
        lock.unlink(missing_ok=True)
    count, size = remove_unfinished(results)
    what = f"; {count} unfinished file(s) of it ({size / 1e6:.1f} MB) removed" if count else ""
    log(f"The last run of {results} ({former}) was killed; its lock is taken away{what}. What it finished is kept.")


def locks_on(results: Path, folder: Path = Path(".snakemake/locks")) -> list[Path]:
    """Snakemake's lock files that name files of this results folder; it may hold others' too."""
    start = f"{results}/"
    found = []
    for path in sorted(folder.glob("*.lock")):
        with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as stream:
            if any(line.startswith(start) for line in stream):
                found.append(path)
    return found


def unfinished_files(results: Path) -> list[Path]:
    """What `files.atomic_path` names while it is written: `.<name>.<pid>.part`, files and folders."""
    found: list[Path] = []
    for folder, folders, names in os.walk(results):
        parts = [name for name in (*folders, *names) if name.startswith(".") and name.endswith(".part")]
        found += [Path(folder) / name for name in parts]
        folders[:] = [name for name in folders if name not in parts]
    return sorted(found)


def remove_unfinished(results: Path) -> tuple[int, int]:
    """Remove them; returns how many they were, and their bytes. Nobody may be at work on the folder."""
    count = size = 0
    for path in unfinished_files(results):
        files = path.rglob("*") if path.is_dir() else [path]
        size += sum(file.lstat().st_size for file in files)
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            count += 1
    return count, size


def jobs_at_work(results: Path) -> list[int]:
    """Processes on this machine that run a stage for this folder: those of a Snakemake that was killed alone.

    Another user's process does not say in which folder it runs; it counts where its files have the same names.
    """
    import psutil  # Snakemake's

    here, start, found = Path.cwd(), f"{results}/", []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if is_stage(process) and any(start in word for word in process.cmdline()):
                try:
                    is_here = Path(process.cwd()) == here
                except psutil.AccessDenied:
                    is_here = True
                if is_here:
                    found.append(process.pid)
    return sorted(found)


def is_stage(process: Any) -> bool:
    """Whether a process (psutil's) runs a stage."""
    import psutil  # Snakemake's

    with contextlib.suppress(psutil.Error, OSError):
        return any(word.startswith("fieldguide.") for word in process.cmdline()[1:4])
    return False
