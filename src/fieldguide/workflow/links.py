"""Names under which Snakemake can take any path.

In the paths that a rule names, and in those that its functions return, Snakemake reads `{x}` as a wildcard and `<x>` as
a path variable, and knows no way to write a brace itself. A path that holds such a character is therefore named by a
link, `.snakemake/fieldguide/<hash>/…`, to the last part of it that does. All other paths stay as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from fieldguide.core.errors import FieldguideError

SPECIAL = frozenset("{}<>")
FOLDER = Path(".snakemake", "fieldguide")


def is_plain(path: str) -> bool:
    """Whether Snakemake takes a path as it is."""
    return SPECIAL.isdisjoint(path)


def link_path(path: str) -> str:
    """The path itself where Snakemake takes it as it is, else one through a link, which is made where it is missing."""
    if is_plain(path):
        return path
    parts = Path(path).parts
    last = max(number for number, part in enumerate(parts, 1) if not is_plain(part))
    target = Path(*parts[:last])
    # A folder for each, since Snakemake looks once into a folder to see what is there; and the ending says what it is.
    folder = FOLDER / hashlib.sha256(str(target).encode()).hexdigest()[:16]
    link = folder / "".join("_" if letter in SPECIAL else letter for letter in target.name)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(target if target.is_absolute() else os.path.relpath(target, folder))
        os.utime(link, (0, 0), follow_symlinks=False)  # a new link is no new input
    return link.joinpath(*parts[last:]).as_posix()


def link_folder(path: str) -> str:
    """The same for a folder in which something will be made."""
    if not is_plain(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return link_path(path)


def link_output(key: str, path: str) -> str:
    """The same for a file that will be made, whose own name has to be plain; raises FieldguideError where it is not."""
    whole = Path(path)
    if not is_plain(whole.name):
        raise FieldguideError(
            f"config: {key}: Snakemake cannot make a file called '{whole.name}'; give it a name without {{ }} < and >"
        )
    return (link_folder(str(whole.parent)) + f"/{whole.name}") if not is_plain(path) else path


def refuse_checkout(checkout: Path) -> None:
    """Raises FieldguideError where Snakemake could not name the environment files of the repository itself."""
    if not is_plain(str(checkout)):
        raise FieldguideError(
            f"{checkout}: Snakemake runs nothing from a folder whose path holds {{ }} < or >; move this repository"
        )
