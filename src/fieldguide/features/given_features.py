"""Features that were computed elsewhere: arrays read from .npy, .npz, .safetensors or .txt, and checked."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any
from fieldguide.core.stage import log
from fieldguide.data.user_files import read_text

ENDINGS = ".npy, .npz, .safetensors or .txt"
NEARLY_UNIT = 1e-3
"""Half precision rounds a unit norm by less; rows further off are logged."""
_UNIT = 1e-6
_LARGEST_WHOLE = 2.0**53
"""Below it every whole number is a float of its own."""
_WHOLE = re.compile(r"[+-]?\d{1,1000}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LOST = ("nan", "inf", "+inf", "-inf")
_REPACK = "numpy.savez(file, features=…, labels=…, splits=…)"


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a file by name; of a .npy and of a .txt (a value a line) the only one, under the name "".

    Raises FieldguideError naming a file that is missing, damaged, of another kind, or of pickled objects.
    """
    if not path.is_file():
        raise FieldguideError(f"{path}: is no file; correct the path")
    ending = path.suffix.lower()
    try:
        if ending == ".npy":
            return {"": np.load(path, allow_pickle=False)}
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if ending == ".safetensors":
            return _read_safetensors(path)
        if ending == ".txt":
            lines = read_text(path).split("\n")
            return {"": np.array([line.strip() for line in (lines if lines[-1].strip() else lines[:-1])], dtype=str)}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        if str(error).startswith("Object arrays"):
            why = "holds Python objects, which may run code when read; save strings by numpy.array(names, dtype=str)"
        else:
            why = f"is damaged, or no {ending} ({error}); write it again"
        raise FieldguideError(f"{path}: {why}") from error
    raise FieldguideError(f"{path}: should be {ENDINGS}")


def _read_safetensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise FieldguideError(f"{path}: is damaged, or no .safetensors ({error}); write it again") from error
    except (TypeError, AttributeError) as error:
        raise FieldguideError(f"{path}: holds a type that numpy lacks, such as bfloat16; save it as float32") from error


def array_of(name: str, path: Path, own: Path | str | None = None, needed: bool = True) -> np.ndarray[Any, Any] | None:
    """The array `name` of a file, or the only one of the file `own` where one is named.

    Raises FieldguideError naming the arrays that the file has instead; None where it is missing and not needed.
    """
    if own:
        arrays = read_arrays(Path(own))
        if name not in arrays and len(arrays) != 1:
            has = name_some(sorted(arrays))
            raise FieldguideError(f"{own}: has no array {name!r} (it has {has}); save it alone, or under this name")
        return arrays.get(name, next(iter(arrays.values())))
    arrays = read_arrays(path)
    if "" in arrays:
        arrays = {"features": arrays[""]}
    if name not in arrays and needed:
        has = name_some(sorted(arrays)) or "none"
        raise FieldguideError(
            f"{path}: has no array {name!r} (it has {has}); save it under this name, as by {_REPACK}, "
            f"or name a file of its own by `{name}`"
        )
    return arrays.get(name)


def vector_of(
    name: str, path: Path, count: int, own: Path | str | None = None, needed: bool = True
) -> np.ndarray[Any, Any] | None:
    """The same for an array (n,) of whole numbers or strings; strings come without spaces around them.

    Raises FieldguideError when it has another shape, another length than the features, or another type.
    """
    found = array_of(name, path, own, needed)
    if found is None:
        return None
    where = f"{own or path}: {name}"
    if found.shape != (count,):
        raise FieldguideError(f"{where} has the shape {found.shape}, but there are {count} features: give one each")
    found = _decode(found, where)
    if found.dtype.kind == "f":
        found = _whole(found, where)
    if found.dtype.kind not in "iubU":
        raise FieldguideError(f"{where} is of type {found.dtype}; give whole numbers or strings")
    if found.dtype.kind == "u" and found.size and int(found.max()) > np.iinfo(np.int64).max:
        found = found.astype(str)  # hashes, which name a class as well as words do
    return np.char.strip(found) if found.dtype.kind == "U" else found.astype(np.int64)


def names_of(values: np.ndarray[Any, Any], where: str) -> list[str]:
    """The class names in an array (c,), without spaces around them; raises FieldguideError for another shape."""
    if values.ndim != 1:
        raise FieldguideError(f"{where}: class names have the shape {values.shape}; give a list of them")
    return [str(name).strip() for name in _decode(values, where).tolist()]


def _decode(values: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """Strings of bytes as text, which has to be UTF-8; all else as it is."""
    if values.dtype.kind != "S":
        return values
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError as error:
        shown = error.object.decode("utf-8", "backslashreplace")
        raise FieldguideError(
            f"{where}: holds bytes that are not UTF-8, as in {shown}; save text instead, as by: "
            "numpy.char.decode(names, 'windows-1252')"
        ) from error


def _whole(values: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """Numbers with a point as whole numbers; raises FieldguideError naming those that are none."""
    bad = np.flatnonzero(~(np.isfinite(values) & (np.abs(values) < _LARGEST_WHOLE) & (values == np.floor(values))))
    refuse_if_any(
        [f"row {row}: {values[row]}" for row in bad],
        f"{where}: numbers that are not whole, or too large to be exact",
        "give whole numbers or strings",
    )
    return values.astype(np.int64)


def numbers_if_any(values: np.ndarray[Any, Any] | None, where: str) -> np.ndarray[Any, Any] | None:
    """Strings that are all whole numbers, as a text file has them, as numbers; everything else as it is.

    numpy.savetxt writes them as `1.000000000000000000e+00`. Raises FieldguideError where some are not whole, though
    all are written so, or are `nan`.
    """
    if values is None or values.dtype.kind != "U" or not values.size:
        return values
    written: list[str] = values.tolist()
    if all(map(_WHOLE.fullmatch, written)):
        numbers = [int(word) for word in written]
        fits = all(abs(number) <= np.iinfo(np.int64).max for number in numbers)
        return np.array(numbers, np.int64) if fits else values
    lost = [word.lower() in _LOST for word in written]
    if all(lost) or not all(gone or _NUMBER.fullmatch(word) for word, gone in zip(written, lost, strict=True)):
        return values
    floats = values.astype(np.float64)
    # Words such as 1.5 and 2.5 may be names of classes; 1.5e+00 is none.
    are_names = (
        not any(lost) and not any("e" in word.lower() for word in written) and (floats != np.floor(floats)).any()
    )
    return values if are_names else _whole(floats, where)


def unit_rows(features: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """Features (n, d) as float32 of unit norm; how many rows were not of unit norm is logged.

    Raises FieldguideError naming by index what is not finite or zero, and for another shape or type.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise FieldguideError(f"{where}: features have the shape {features.shape}; give (rows, width)")
    if features.dtype.kind not in "fiu":
        raise FieldguideError(f"{where}: features are of type {features.dtype}; give numbers")
    rows = features.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    refuse_if_any([str(i) for i in bad], f"{where}: rows with values that are not finite", "compute them again")
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    zero = np.flatnonzero(norms == 0)
    refuse_if_any([str(i) for i in zero], f"{where}: rows that are zero and have no direction", "compute them again")
    off = np.abs(norms - 1)
    if count := int((off > NEARLY_UNIT).sum()):
        log.info(
            "%s: %d of %d rows were not of unit norm (%.3g to %.3g) and were normalised",
            *(where, count, len(rows), norms.min(), norms.max()),
        )
    change = off > _UNIT
    rows[change] = (rows[change] / norms[change, None]).astype(np.float32)
    return rows


def check_one_line(values: Sequence[str], where: str) -> None:
    """Refuse names or ids that are empty or hold a line break."""
    bad = [repr(value) for value in values if value.splitlines() != [value]]
    refuse_if_any(bad, f"{where}: values that are empty or not on one line", "correct them")
