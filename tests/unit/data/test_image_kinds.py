"""Images of every kind, whole and damaged: read with the right colours and upright, or named with the reason."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from fieldguide.core.errors import FieldguideError
from fieldguide.data.image_store import MAX_FILE_BYTES, find_unreadable, open_image_store

RED, GREEN, BLUE, WHITE, BLACK = (230, 20, 30), (20, 200, 40), (30, 40, 220), (255, 255, 255), (0, 0, 0)


def photo(size: int = 48) -> Image.Image:
    """Four squares: red, green / blue, white."""
    image = Image.new("RGB", (size, size))
    half = size // 2
    for colour, place in ((RED, (0, 0)), (GREEN, (half, 0)), (BLUE, (0, half)), (WHITE, (half, half))):
        image.paste(colour, (*place, place[0] + half, place[1] + half))
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(folder: Path, content: bytes, name: str = "x.jpg") -> Image.Image:
    """The image as a store gives it; what it gives must pass the check too."""
    (folder / name).write_bytes(content)
    store = open_image_store(folder)
    assert find_unreadable(store, [name], 1) == {}
    image = store.open(name)
    assert image.mode == "RGB"
    return image


def fault(folder: Path, content: bytes, name: str = "x.jpg") -> str:
    """The reason for which it is refused, by the check and by opening alike, without a warning of Pillow's alone."""
    (folder / name).write_bytes(content)
    store = open_image_store(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FieldguideError) as caught:
            store.open(name)
        (reason,) = find_unreadable(store, [name], 1).values()
    assert name in str(caught.value) and str(folder) in str(caught.value) and "\n" not in str(caught.value)
    assert reason in str(caught.value) and "0x" not in reason
    return reason


def assert_quarters(image: Image.Image, *colours: tuple[int, int, int], within: int = 12) -> None:
    """Upper left, upper right, lower left, lower right, at the middle of each."""
    width, height = image.size
    for number, colour in enumerate(colours):
        pixel = image.getpixel((width * (1 + 2 * (number % 2)) // 4, height * (1 + 2 * (number // 2)) // 4))
        assert isinstance(pixel, tuple)
        assert max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) <= within, (number, pixel, colour)


# ---------------------------------------------------------------- kinds of file

LOSSY = {"quality": 95, "subsampling": 0}
KINDS = {
    "JPEG": ("JPEG", LOSSY),
    "progressive JPEG": ("JPEG", {**LOSSY, "progressive": True}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "WebP": ("WEBP", {"lossless": True}),
    "TIFF": ("TIFF", {}),
    "TIFF with LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF with JPEG": ("TIFF", {"compression": "jpeg"}),
    "BMP": ("BMP", {}),
    "PPM": ("PPM", {}),
    "JPEG 2000": ("JPEG2000", {}),
    "AVIF": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
def test_a_file_is_read_by_what_it_is_not_by_its_ending(tmp_path: Path, kind: str, name: str) -> None:
    plugin, options = KINDS[kind]
    assert_quarters(opened(tmp_path, saved(photo(), plugin, **options), name), RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_picture_is_taken(tmp_path: Path, kind: str) -> None:
    lossless = {"lossless": True} if kind == "WEBP" else {}
    content = saved(photo(), kind, save_all=True, append_images=[Image.new("RGB", (48, 48), "black")] * 3, **lossless)
    with Image.open(io.BytesIO(content)) as image:
        assert getattr(image, "n_frames", 1) > 1
    assert_quarters(opened(tmp_path, content), RED, GREEN, BLUE, WHITE)


def test_a_phones_jpeg_of_several_pictures_is_read(tmp_path: Path) -> None:
    content = saved(photo(), "MPO", save_all=True, append_images=[Image.new("RGB", (48, 48))], **LOSSY)
    assert_quarters(opened(tmp_path, content), RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "PCX", "TGA"])
def test_other_kinds_are_named(tmp_path: Path, kind: str) -> None:
    # For some of them Pillow would start a program outside.
    assert "not an image in JPEG, PNG" in fault(tmp_path, saved(photo(), kind))


# ---------------------------------------------------------------- kinds of pixel


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("grey", [0, 77, 255])
def test_greys(tmp_path: Path, kind: str, grey: int) -> None:
    assert_quarters(opened(tmp_path, saved(Image.new("L", (16, 16), grey), kind)), *[(grey,) * 3] * 4, within=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("grey", [0, 77, 255])
def test_greys_of_sixteen_bits(tmp_path: Path, kind: str, grey: int) -> None:
    content = saved(Image.new("I;16", (16, 16), grey * 257), kind)
    assert_quarters(opened(tmp_path, content), *[(grey,) * 3] * 4, within=1)


def test_colours_of_sixteen_bits(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    for colour, values in ((2, RED), (6, (*RED, 255))):
        row = b"\0" + struct.pack(f">{len(values)}H", *(value * 257 for value in values)) * 8
        head = struct.pack(">2L5B", 8, 8, 16, colour, 0, 0, 0)
        png = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(row * 8)), chunk(b"IEND", b"")]
        assert_quarters(opened(tmp_path, b"\x89PNG\r\n\x1a\n" + b"".join(png)), *[RED] * 4, within=1)


def test_one_bit(tmp_path: Path) -> None:
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert_quarters(opened(tmp_path, saved(Image.new("1", (16, 16), 1), kind)), *[WHITE] * 4)


def without_adobe(content: bytes) -> bytes:
    """A JPEG without its Adobe marker."""
    at = content.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", content, at + 2)
    assert content[at + 4 : at + 9] == b"Adobe"
    return content[:at] + content[at + 2 + length :]


def test_cmyk_with_and_without_adobes_marker(tmp_path: Path) -> None:
    # Adobe writes 255 for no ink and marks it; without the mark 255 is all ink, as the standard has it.
    inks = photo().convert("CMYK")
    marked = saved(inks, "JPEG", quality=95)
    assert_quarters(opened(tmp_path, marked), RED, GREEN, BLUE, WHITE)
    plain = without_adobe(saved(ImageChops.invert(inks), "JPEG", quality=95))
    assert_quarters(opened(tmp_path, plain), RED, GREEN, BLUE, WHITE)
    assert_quarters(opened(tmp_path, saved(inks, "TIFF")), RED, GREEN, BLUE, WHITE)


def test_what_is_transparent_shows_white(tmp_path: Path) -> None:
    image = photo().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 24, 24))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("GIF", {})):
        assert_quarters(opened(tmp_path, saved(image, kind, **options)), WHITE, GREEN, BLUE, WHITE)
    half = Image.new("LA", (16, 16), (0, 128))
    assert_quarters(opened(tmp_path, saved(half, "PNG")), *[(127,) * 3] * 4, within=2)


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    palette = photo().quantize(8)
    first = palette.getpixel((0, 0))
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        assert_quarters(opened(tmp_path, saved(palette, kind)), RED, GREEN, BLUE, WHITE)
    for kind in ("PNG", "GIF"):
        assert_quarters(opened(tmp_path, saved(palette, kind, transparency=first)), WHITE, GREEN, BLUE, WHITE)
    alphas = bytes(0 if number == first else 255 for number in range(8))
    assert_quarters(opened(tmp_path, saved(palette, "PNG", transparency=alphas)), WHITE, GREEN, BLUE, WHITE)


def test_pixels_without_an_agreed_white_are_named(tmp_path: Path) -> None:
    assert "fractions" in fault(tmp_path, saved(Image.new("F", (16, 16), 0.5), "TIFF"))
    assert "beyond the 16 bits" in fault(tmp_path, saved(Image.new("I", (16, 16), 1 << 20), "TIFF"))
    assert "beyond the 16 bits" in fault(tmp_path, saved(Image.new("I", (16, 16), -5), "TIFF"))


# ---------------------------------------------------------------- upright

TRANSPOSE = Image.Transpose
# What a camera that writes this orientation has stored of an upright picture.
STORED = {
    1: None,
    2: TRANSPOSE.FLIP_LEFT_RIGHT,
    3: TRANSPOSE.ROTATE_180,
    4: TRANSPOSE.FLIP_TOP_BOTTOM,
    5: TRANSPOSE.TRANSPOSE,
    6: TRANSPOSE.ROTATE_90,
    7: TRANSPOSE.TRANSVERSE,
    8: TRANSPOSE.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = photo().resize((64, 48), Image.Resampling.NEAREST)
    how = STORED[orientation]
    exif = Image.Exif()
    exif[0x112] = orientation
    content = saved(upright if how is None else upright.transpose(how), kind, exif=exif)
    image = opened(tmp_path, content)
    assert image.size == (64, 48)
    assert_quarters(image, RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_orientation_is_none(tmp_path: Path, exif: bytes) -> None:
    assert_quarters(opened(tmp_path, saved(photo(), "JPEG", exif=exif, **LOSSY)), RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_unknown_orientation_is_none(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    assert_quarters(opened(tmp_path, saved(photo(), "JPEG", exif=exif, **LOSSY)), RED, GREEN, BLUE, WHITE)


# ---------------------------------------------------------------- sizes


def bmp(width: int, height: int) -> bytes:
    """A BMP's head that claims a size."""
    return b"BM" + struct.pack("<L4xL", 54, 54) + struct.pack("<LllHH24x", 40, width, height, 1, 24)


def png_head(width: int, height: int) -> bytes:
    head = struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    parts = [struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("size", [(10_000, 10_000), (13_000, 13_000), (60_000, 60_000)])
def test_images_made_to_fill_memory_are_named(tmp_path: Path, size: tuple[int, int]) -> None:
    # Pillow warns of the first and raises on the others: 2 x MAX_IMAGE_PIXELS lies between.
    for content in (png_head(*size), bmp(*size), b"P6 %d %d 255\n" % size):
        reason = fault(tmp_path, content)
        assert "too many for a photograph" in reason or "decompression bomb" in reason


@pytest.mark.parametrize("size", [(1, 65500), (65500, 1), (2, 1000)])
def test_images_too_thin_for_a_photograph_are_named(tmp_path: Path, size: tuple[int, int]) -> None:
    told = f"{size[0]} x {size[1]} pixels, too thin"
    assert told in fault(tmp_path, saved(Image.new("RGB", size), "JPEG"))


def test_small_and_narrow_images_are_read(tmp_path: Path) -> None:
    for size in ((1, 1), (1, 100), (3, 2)):
        assert opened(tmp_path, saved(Image.new("RGB", size), "PNG")).size == size


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_images_without_pixels_are_named(tmp_path: Path, size: tuple[int, int]) -> None:
    gif = b"GIF89a" + struct.pack("<2H", *size) + b"\0\0\0" + b"," + struct.pack("<4H", 0, 0, *size) + b"\0\2\0;"
    for content in (png_head(*size), bmp(*size), b"P6 %d %d 255\n" % size, gif):
        fault(tmp_path, content)


def test_a_file_too_large_for_an_image_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.jpg").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(FieldguideError, match=r"x\.jpg is of 536,870,913 bytes, too large"):
        open_image_store(tmp_path).read("x.jpg")


def test_a_png_with_a_bomb_in_its_text_is_named(tmp_path: Path) -> None:
    whole = saved(photo(), "PNG")
    text = b"x\0\0" + zlib.compress(bytes(100_000_000))
    chunk = struct.pack(">L", len(text)) + b"zTXt" + text + struct.pack(">L", zlib.crc32(b"zTXt" + text))
    assert "text" in fault(tmp_path, whole[:33] + chunk + whole[33:]).lower()


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"A bird in the hand.", "not an image"),
        (b"<html><body>404</body></html>", "not an image"),
        (bytes(10_000), "not an image"),
        (b"\xff\xd8\xff\xe0", "does not decode"),
        (b"\x89PNG\r\n\x1a\n", "does not decode"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "does not decode"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    assert told in fault(tmp_path, content)


WHOLES = {kind: saved(photo(), plugin, **options) for kind, (plugin, options) in KINDS.items()}


@pytest.mark.parametrize("kind", WHOLES)
@settings(max_examples=40)
@given(data=st.data())
def test_damage_anywhere_is_named_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    whole = WHOLES[kind]
    at = data.draw(st.integers(0, len(whole) - 1))
    garbage = data.draw(st.binary(max_size=8))
    cut = data.draw(st.booleans())
    (folder / "x.jpg").write_bytes(whole[:at] + garbage + (b"" if cut else whole[at + len(garbage) :]))
    store = open_image_store(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        faults = find_unreadable(store, ["x.jpg"], 1)
        try:
            store.open("x.jpg")
        except FieldguideError as error:
            # What encoding would stumble over, the check finds first.
            assert list(faults) == ["x.jpg"] and "\n" not in str(error)
