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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from fieldguide.errors import FieldguideError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
ENCRYPTED = -1
AGAIN = "get it again from its source"


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
            with Image.open(io.BytesIO(data)) as image:
                return use(image)
        # A damaged file makes Pillow's plugins raise nearly anything: OSError, SyntaxError, struct.error, ValueError…
        except Exception as error:
            reason = "is empty" if not data else f"does not decode ({_without_address(error)})"
            raise FieldguideError(f"{self.path}: the image {name} {reason}; {AGAIN}") from error


class FolderStore(ImageStore):
    """Images in a folder."""

    def names(self) -> list[str]:
        files = (Path(top, file) for top, _, files in os.walk(self.path, followlinks=True) for file in files)
        return sorted(name for file in files if is_image_name(name := file.relative_to(self.path).as_posix()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and is_inside(name) and (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        if name not in self:
            raise FieldguideError(f"{self.path}: has no file {name}; {AGAIN}")
        return (self.path / name).read_bytes()


class _Member(NamedTuple):
    """Where a zip keeps a file."""

    offset: int
    method: int
    packed: int
    size: int
    crc: int


class ZipStore(ImageStore):
    """Images in a zip. Reads with `pread`, which has no position to share, so threads and forks need no lock."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {
                    info.filename: _Member(
                        info.header_offset,
                        ENCRYPTED if info.flag_bits & 0x1 else info.compress_type,
                        info.compress_size,
                        info.file_size,
                        info.CRC,
                    )
                    for info in archive.infolist()
                    if not info.is_dir()
                }
        except (zipfile.BadZipFile, EOFError, struct.error, UnicodeDecodeError) as error:
            raise FieldguideError(f"{path}: is damaged or not a zip ({error}); {AGAIN}") from error
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
            raise FieldguideError(f"{self.path}: has no file {name}; {AGAIN}")
        try:
            data = self._unpack(member)
        except (OSError, struct.error, zlib.error) as error:
            raise FieldguideError(f"{self.path}: the file {name} does not unpack ({error}); {AGAIN}") from error
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise FieldguideError(f"{self.path}: the file {name} is damaged (its checksum differs); {AGAIN}")
        return data

    def _unpack(self, member: _Member) -> bytes:
        # The local header repeats the name and may hold more extra fields than the directory at the zip's end.
        name_length, extra_length = struct.unpack("<26x2H", os.pread(self._file, 30, member.offset))
        packed = os.pread(self._file, member.packed, member.offset + 30 + name_length + extra_length)
        if member.method == zipfile.ZIP_STORED:
            return packed
        if member.method == zipfile.ZIP_DEFLATED:
            return zlib.decompress(packed, -zlib.MAX_WBITS)
        raise zlib.error("encrypted, or not compressed as plain zip does; pack it again")


def open_image_store(path: Path | str) -> ImageStore:
    """The images in a folder or in a .zip."""
    path = Path(path)
    if path.is_dir():
        return FolderStore(path)
    if not path.exists():
        raise FieldguideError(f"{path}: does not exist; give a folder of images or a .zip")
    return ZipStore(path)


def unreadable(store: ImageStore, names: Iterable[str], workers: int, doing: str = "decoding") -> list[str]:
    """Those of `names` that do not open, each with its reason, in the given order; decodes in threads."""
    names = list(names)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = pool.map(partial(_fault, store), names)
        # `disable=None`: no bar where stderr is not a terminal.
        return [fault for fault in tqdm(found, doing, len(names), unit=" images", disable=None) if fault is not None]


def _fault(store: ImageStore, name: str) -> str | None:
    try:
        store.check(name)
    except FieldguideError as error:
        reason = str(error).removeprefix(f"{store.path}: ").removesuffix(f"; {AGAIN}")
        return reason.removeprefix("the image ").removeprefix("the file ")
    return None


def to_rgb(image: Image) -> Image:
    """The image upright (EXIF), in RGB; what is transparent shows white, and 16-bit greys are scaled, not clipped."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        # Given in 16 bits too, and so rare that nobody misses it.
        image.info.pop("transparency", None)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _load_small(image: Image) -> None:
    # A JPEG decoded at an eighth of its size is read to its end all the same, in a third of the time.
    image.draft("RGB", (image.width // 8, image.height // 8))
    image.load()


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its name; hidden files (macOS leaves `._x.jpg`) are not."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not PurePosixPath(name).name.startswith(".")


def is_inside(name: str) -> bool:
    """Whether a relative name stays in its folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _without_address(error: Exception) -> str:
    """An error's text; Pillow's "cannot identify" shows a memory address, which would differ on every run."""
    from PIL import UnidentifiedImageError

    return "not an image" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
