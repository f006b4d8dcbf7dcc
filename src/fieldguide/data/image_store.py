"""Images by name, from a folder or from a zip that is read in place (COCO's 118,287 files are never unpacked).

A store may be shared by threads, survives a fork, and can be pickled.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any
from fieldguide.core.files import write_csv
from fieldguide.core.stage import log
from fieldguide.data.archives import DAMAGE, NO_LIMITS, Limits, zip_content, zip_entries
from fieldguide.data.archives import HINT as HINT

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "AVIF": (".avif",),
}
FORMATS = tuple(ENDINGS)
"""What a file may be, whatever it is called; Pillow would hand some other kinds to programs outside."""
IMAGE_SUFFIXES = tuple(ending for endings in ENDINGS.values() for ending in endings)
HEIC_SUFFIXES = (".heic", ".heif")
"""Phones and photo services call many a JPEG so; what is HEIC indeed is named among the images that do not open."""
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
"""What macOS, network disks and Windows put beside or among images: copies, thumbnails and what was deleted."""
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini")
"""What they put there of files, in lower case."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
"""How an iPhone's photographs begin, after `ftyp`."""
MAX_FILE_BYTES = 1 << 29
"""Bytes of one image file, which are held in memory."""
MAX_ASPECT_RATIO = 100
"""Longer side by shorter side; resized to a backbone's square, a thinner image would be of many millions of pixels."""
UNREADABLE_COLUMNS = ("path", "reason")


class ImageStore(ABC):
    """Images by name; a name is a path relative to the folder's or the zip's root, with forward slashes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> list[str]:
        """All image names, sorted."""

    @abstractmethod
    def __contains__(self, name: object) -> bool: ...

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The file's bytes; raises FieldguideError naming what is missing or damaged."""

    def open(self, name: str) -> Image:
        """The image in RGB, upright; raises FieldguideError naming a file that does not decode."""
        image: Image = self._decode(name, to_rgb)
        return image

    def check(self, name: str) -> None:
        """Raise FieldguideError unless the image decodes to its end."""
        self._decode(name, _load_small)

    def _decode(self, name: str, use: Callable[[Image], Any]) -> Any:
        from PIL import Image

        data = self.read(name)
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                check_shape(image)
                return use(image)
        # A damaged file makes Pillow's plugins raise nearly anything: OSError, SyntaxError, struct.error, ValueError…
        except Exception as error:
            reason = f"does not decode ({_find_reason(data, error)})" if data else "is empty"
            raise FieldguideError(f"{self.path}: the image {name} {reason}; {HINT}") from error


class FolderStore(ImageStore):
    """Images in a folder."""

    def names(self) -> list[str]:
        return [name for name in self.files() if is_image_name(name)]

    def files(self) -> list[str]:
        """The names of all files, sorted, but for those in hidden folders and in the system's own.

        Links are followed, but for a link to a folder that it lies in. Raises FieldguideError for images' names that
        are not UTF-8, and OSError for a folder that cannot be read.
        """
        passed_over: list[str] = []
        found = [(folder / file).as_posix() for folder, files in self.walk(passed_over) for file in files]
        bad = [shown for name in filter(is_image_name, found) if (shown := format_name(name)) != name]
        refuse_if_any(
            sorted(bad),
            f"{self.path}: names that are not UTF-8",
            f"convert them, as by: convmv -f windows-1252 -t utf-8 -r --notest {self.path}",
        )
        if passed_over:
            log.warning("%s: passed over %s", self.path, name_some(sorted(passed_over)))
        return sorted(found)

    def walk(self, passed_over: list[str] | None = None) -> Iterator[tuple[Path, list[str]]]:
        """Each folder that `files` looks into, by its path below the store's, with the names of its own files.

        What it passes over and a person may miss goes to `passed_over`.
        """
        # By folder its real path, behind those of the folders that it lies in.
        around: dict[str, tuple[str, ...]] = {str(self.path): (os.path.realpath(self.path),)}
        for top, folders, files in os.walk(self.path, followlinks=True, onerror=_fail):
            above = around.pop(top)
            inside = Path(top).relative_to(self.path)
            yield inside, files
            kept, left = [], []
            for folder in folders:
                real = os.path.realpath(Path(top, folder))
                if any(Path(one).is_relative_to(real) for one in above):
                    left.append(f"{(inside / folder).as_posix()}, a link to a folder that it lies in")
                elif folder in SYSTEM_FOLDERS:
                    left.append((inside / folder).as_posix())
                elif not folder.startswith("."):
                    around[str(Path(top, folder))] = (*above, real)
                    kept.append(folder)
            folders[:] = kept
            if passed_over is not None:
                passed_over += left

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and is_inside(name) and (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        if name not in self:
            raise FieldguideError(f"{self.path}: has no file {name}; {HINT}")
        path = self.path / name
        try:
            refuse_large(self.path, name, path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise FieldguideError(f"{self.path}: the file {name} cannot be read ({error.strerror}); {HINT}") from error


class ZipStore(ImageStore):
    """Images in a zip. Reads with `pread`, which has no position to share, so threads and forks need no lock."""

    def __init__(self, path: Path, limits: Limits = NO_LIMITS) -> None:
        super().__init__(path)
        try:
            entries = zip_entries(path, limits)
        except DAMAGE as error:
            raise FieldguideError(f"{path}: is damaged or not a zip ({error}); {HINT}") from error
        self._members = {entry.orig_filename: entry for entry in entries if not entry.is_dir()}
        self._file = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def __reduce__(self) -> tuple[type[ZipStore], tuple[Path]]:
        return ZipStore, (self.path,)

    def names(self) -> list[str]:
        return sorted(filter(is_image_name, self._members))

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        member = self._members.get(name)
        if member is None:
            raise FieldguideError(f"{self.path}: has no file {name}; {HINT}")
        refuse_large(self.path, name, member.file_size)
        try:
            return b"".join(zip_content(self._file, member))
        except (zipfile.BadZipFile, OSError, EOFError, struct.error, zlib.error) as error:
            raise FieldguideError(f"{self.path}: the file {name} is damaged ({error}); {HINT}") from error


def open_image_store(path: Path | str, limits: Limits = NO_LIMITS) -> ImageStore:
    """The images in a folder or in a .zip; raises FieldguideError for a zip that is damaged or beyond the limits."""
    path = Path(path)
    if path.is_dir():
        return FolderStore(path)
    if not path.exists():
        raise FieldguideError(f"{path}: does not exist; give a folder of images or a .zip")
    return ZipStore(path, limits)


def refuse_large(path: Path, name: str, size: int) -> None:
    """Refuse a file that is no photograph by its size, before it is read."""
    if size > MAX_FILE_BYTES:
        raise FieldguideError(f"{path}: the file {name} is of {size:,} bytes, too large for an image; {HINT}")


def check_shape(image: Image) -> None:
    """Raise ValueError for a size in pixels that would cost more memory than any photograph's, before it is decoded."""
    from PIL import Image

    width, height = image.size
    if min(width, height) < 1:
        raise ValueError(f"it is of {width} x {height} pixels")
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"it is of {width} x {height} pixels, too many for a photograph")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ValueError(f"it is of {width} x {height} pixels, too thin for a photograph")


def find_unreadable(store: ImageStore, names: Iterable[str], workers: int, doing: str = "decoding") -> dict[str, str]:
    """Why those of `names` that do not open do not, by name, in the given order; decodes in threads."""
    names = list(names)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = pool.map(partial(_why_unreadable, store), names)
        # `disable=None`: no bar where stderr is not a terminal.
        reasons = tqdm(zip(names, found, strict=True), doing, len(names), unit=" images", disable=None)
        return {name: reason for name, reason in reasons if reason is not None}


def _why_unreadable(store: ImageStore, name: str) -> str | None:
    try:
        store.check(name)
    except FieldguideError as error:
        reason = str(error).removeprefix(f"{store.path}: ").removesuffix(f"; {HINT}")
        return reason.removeprefix("the image ").removeprefix("the file ").removeprefix(f"{name} ")
    return None


def report_unreadable(
    store: ImageStore, unreadable: Mapping[str, str], listing: Path, skip: bool, section: str
) -> None:
    """Say of every image that it does not open: a line of the log each, and a row of the table `listing`.

    Raises FieldguideError naming the first few, their number and the table, unless they are to be left out (`skip`).
    `section` of the configuration holds the keys that say so. Where all open, an older table is removed.
    """
    if not unreadable:
        listing.unlink(missing_ok=True)
        return
    for name, reason in unreadable.items():
        log.info("%s %s", name, reason)
    write_csv(listing, UNREADABLE_COLUMNS, ({"path": name, "reason": reason} for name, reason in unreadable.items()))
    if skip:
        log.info("%s: left out %d images that do not open, listed in %s", store.path, len(unreadable), listing)
        return
    refuse_if_any(
        [f"{name} {reason}" for name, reason in unreadable.items()],
        f"{store.path}: images that do not open",
        f"all of them, with the reason, are in {listing}; {HINT}, or leave them out by {section}.leave_out "
        f"or {section}.skip_damaged",
    )


def to_rgb(image: Image) -> Image:
    """The image upright (EXIF), in RGB; what is transparent shows white, and 16-bit greys are scaled, not clipped."""
    from PIL import Image, ImageChops, ImageOps

    # Adobe writes ink as its opposite and says so by its marker; Pillow takes every CMYK JPEG for Adobe's.
    is_opposite = image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info
    image = ImageOps.exif_transpose(image)
    if is_opposite:
        image = ImageChops.invert(image)
    if image.mode == "F":
        raise ValueError("its pixels are fractions, for which no file says what is white")
    if image.mode.startswith("I"):
        image = image.convert("I")
        lowest, highest = cast(tuple[int, int], image.getextrema())
        if lowest < 0 or highest > 0xFFFF:
            raise ValueError(f"its pixels go from {lowest} to {highest}, beyond the 16 bits of an image")
        image = image.point(lambda value: value * (1 / 257)).convert("L")
        # Given in 16 bits too, and so rare that nobody misses it.
        image.info.pop("transparency", None)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _load_small(image: Image) -> None:
    # A JPEG decoded at an eighth of its size is read to its end all the same, in a third of the time.
    image.draft("RGB", (image.width // 8, image.height // 8))
    to_rgb(image)


def _fail(error: OSError) -> None:
    raise error


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its name; hidden files (macOS leaves `._x.jpg`) are not."""
    return name.lower().endswith(IMAGE_SUFFIXES + HEIC_SUFFIXES) and not PurePosixPath(name).name.startswith(".")


def format_name(name: str) -> str:
    """A file's name as text; bytes that are no UTF-8 as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_inside(name: str) -> bool:
    """Whether a relative name stays in its folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _find_reason(data: bytes, error: Exception) -> str:
    """Why a file does not decode, without the memory address that Pillow shows, which would differ on every run."""
    from PIL import UnidentifiedImageError

    if not isinstance(error, UnidentifiedImageError):
        return " ".join(str(error).split()) or type(error).__name__
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
        return "it is HEIC; convert it to JPEG, as by: magick mogrify -format jpg"
    return f"not an image in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
