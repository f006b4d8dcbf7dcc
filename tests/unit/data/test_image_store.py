"""Images from a folder or a zip: names, colours, damage, threads and processes."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from fieldguide.core.errors import FieldguideError
from fieldguide.data.archives import Limits
from fieldguide.data.image_store import FolderStore, ImageStore, ZipStore, find_unreadable, open_image_store
from tests.tiny_data import jpeg, write_zip

FILES = {"a/x.jpg": jpeg(1), "a/y.JPG": jpeg(2), "z.png": b"", "a/._x.jpg": b"litter", "a/notes.txt": b"words"}


def write_store(parent: Path, kind: str, files: dict[str, bytes]) -> ImageStore:
    if kind != "folder":
        method = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED
        return open_image_store(write_zip(parent / "images.zip", files, method))
    for name, content in files.items():
        path = parent / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return open_image_store(parent / "images")


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def colour(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def opened(parent: Path, content: bytes) -> Image.Image:
    return write_store(parent, "folder", {"x.png": content}).open("x.png")


@pytest.mark.parametrize("kind", ["folder", "stored", "deflated"])
def test_names_and_bytes(tmp_path: Path, kind: str) -> None:
    store = write_store(tmp_path, kind, FILES)
    assert store.names() == ["a/x.jpg", "a/y.JPG", "z.png"]
    assert {name: store.read(name) for name in FILES} == FILES
    assert "a/x.jpg" in store and "a/none.jpg" not in store and "../images/z.png" not in store
    assert store.open("a/x.jpg").mode == "RGB"
    assert store.open("a/x.jpg").tobytes() == Image.open(io.BytesIO(FILES["a/x.jpg"])).tobytes()


@pytest.mark.parametrize("kind", ["folder", "stored"])
def test_refuses_by_name(tmp_path: Path, kind: str) -> None:
    store = write_store(tmp_path, kind, {**FILES, "cut.jpg": jpeg(3, 64)[:-400], "page.jpg": b"<html>"})
    for name, reason in (
        ("none.jpg", "has no file"),
        ("../x.jpg", "has no file"),
        ("z.png", "is empty"),
        ("cut.jpg", "truncated"),
        ("page.jpg", "not an image"),
    ):
        with pytest.raises(FieldguideError, match=reason) as caught:
            store.open(name)
        assert name in str(caught.value) and str(store.path) in str(caught.value)
    names = ["a/x.jpg", "cut.jpg", "a/y.JPG", "none.jpg", "z.png"]
    faults = [f"{name} {reason}" for name, reason in find_unreadable(store, names, workers=3).items()]
    assert len(faults) == 3
    assert all(name in fault for name, fault in zip(("cut.jpg", "none.jpg", "z.png"), faults, strict=True))


def test_every_truncation_is_found(tmp_path: Path) -> None:
    whole = jpeg(5, 64)
    # The last two bytes say that the image ends; nothing is lost without them.
    files = {f"{end:06d}.jpg": whole[:end] for end in range(0, len(whole) - 64, 97)}
    store = write_store(tmp_path, "stored", files)
    assert len(find_unreadable(store, files, workers=2)) == len(files)


def test_greys_and_cmyk_become_rgb(tmp_path: Path) -> None:
    assert opened(tmp_path, saved(Image.new("L", (2, 2), 100))).getpixel((0, 0)) == (100, 100, 100)
    assert opened(tmp_path, saved(Image.new("1", (2, 2), 1))).getpixel((0, 0)) == (255, 255, 255)
    red = colour(opened(tmp_path, saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")), 8, 8)
    assert red[0] > 240 and max(red[1:]) < 15


def test_sixteen_bit_greys_are_scaled(tmp_path: Path) -> None:
    for grey in (0, 100, 255):
        image = Image.new("I;16", (2, 2), grey * 257)
        assert opened(tmp_path, saved(image)).getpixel((0, 0)) == (grey, grey, grey)


def test_transparency_shows_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    image.putpixel((1, 0), (200, 0, 0, 255))
    shown = opened(tmp_path, saved(image))
    assert [colour(shown, x) for x in (0, 1)] == [(255, 255, 255), (200, 0, 0)]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    shown = opened(tmp_path, saved(palette, transparency=0))
    assert [colour(shown, x) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]
    assert opened(tmp_path, saved(palette)).getpixel((0, 0)) == (10, 20, 30)


def test_image_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), "black")
    image.paste("white", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x112] = 6
    shown = opened(tmp_path, saved(image, "JPEG", exif=exif))
    assert shown.size == (16, 32)
    assert colour(shown, 8, 4)[0] > 200 and colour(shown, 8, 28)[0] < 50


def test_a_zip_is_shared_by_threads(tmp_path: Path) -> None:
    files = {f"{number:03d}.jpg": jpeg(number) for number in range(60)}
    store = write_store(tmp_path, "deflated", files)
    with ThreadPoolExecutor(8) as pool:
        assert dict(zip(files, pool.map(store.read, files), strict=True)) == files


def read_all(store: ImageStore) -> dict[str, bytes]:
    return {name: store.read(name) for name in store.names()}


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("kind", ["folder", "stored"])
def test_a_store_goes_to_other_processes(tmp_path: Path, kind: str, start: str) -> None:
    files = {f"{number:03d}.jpg": jpeg(number) for number in range(4)}
    store = write_store(tmp_path, kind, files)
    assert read_all(pickle.loads(pickle.dumps(store))) == files
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.map(read_all, [store, store]) == [files, files]
    assert read_all(store) == files


def test_a_zips_damage_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", FILES)
    data = path.read_bytes()
    at = data.index(FILES["a/x.jpg"]) + 50
    path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
    store = open_image_store(path)
    assert store.read("a/y.JPG") == FILES["a/y.JPG"]
    with pytest.raises(FieldguideError, match=r"a/x\.jpg is damaged"):
        store.read("a/x.jpg")
    path.write_bytes(data[:-30])
    with pytest.raises(FieldguideError, match="damaged or not a zip"):
        open_image_store(path)


def test_kinds_of_store(tmp_path: Path) -> None:
    assert isinstance(open_image_store(tmp_path), FolderStore)
    assert isinstance(open_image_store(write_zip(tmp_path / "x.zip", FILES)), ZipStore)
    with pytest.raises(FieldguideError, match="does not exist"):
        open_image_store(tmp_path / "none.zip")


def test_a_zip_is_held_to_its_limits(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", FILES)
    with pytest.raises(FieldguideError, match="more than 4 files"):
        open_image_store(path, Limits(1 << 30, 4))
    with pytest.raises(FieldguideError, match=r"unpacks to more than 5e-08 GB"):
        open_image_store(path, Limits(50, 100))
    assert open_image_store(path, Limits(1 << 30, 5)).names()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_file_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("x.jpg", jpeg(1))
        archive.writestr("x.jpg", jpeg(2))
    with pytest.raises(FieldguideError, match=r"'x\.jpg' twice"):
        open_image_store(tmp_path / "images.zip")


def test_a_zips_file_may_not_be_longer_than_it_says(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", {"x.jpg": bytes(100_000), "y.jpg": jpeg()}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    store = open_image_store(path)
    with pytest.raises(FieldguideError, match=r"x\.jpg is damaged \(it unpacks to more than the 10 bytes"):
        store.read("x.jpg")
    assert store.read("y.jpg") == jpeg()


def test_a_file_that_cannot_be_read_is_one_fault_among_others(tmp_path: Path) -> None:
    store = write_store(tmp_path, "folder", {"a.jpg": jpeg(), "b.jpg": b""})
    (tmp_path / "images" / "c.jpg").symlink_to("c.jpg")
    faults = find_unreadable(store, ["a.jpg", "b.jpg", "c.jpg"], workers=2)
    assert list(faults) == ["b.jpg", "c.jpg"] and "has no file" in faults["c.jpg"]
