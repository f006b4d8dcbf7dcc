"""COCO's pairs: which are taken, that a larger limit keeps a smaller one's, and what is refused by name."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.files import read_csv
from fieldguide.data.index_pairs import chosen_images, main
from fieldguide.data.records import PAIR_COLUMNS
from tests.tiny_data import (
    as_settings,
    coco_annotations,
    jpeg,
    refusal,
    said,
    write_annotations,
    write_coco,
    write_lines,
    write_zip,
)

IDS = [10, 20, 30, 40, 50, 60]


def argv(folder: Path, *more: object, **values: object) -> list[str]:
    given_paths = ["--images", folder / "train2017.zip", "--annotations", folder / "annotations_trainval2017.zip"]
    chosen = as_settings(**{"split": "train2017", "images": 0, "seed": 0, **values})
    return [str(word) for word in (*given_paths, "--out", folder / "pairs.csv", "--workers", 2, *chosen, *more)]


def rows(folder: Path) -> list[dict[str, str]]:
    return read_csv(folder / "pairs.csv", PAIR_COLUMNS)


def refused(folder: Path, *more: object, **values: object) -> str:
    sentence = refusal(main, *argv(folder, *more, **values))
    assert not (folder / "pairs.csv").exists()
    return sentence


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    write_coco(tmp_path)
    return tmp_path


def test_table(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(main, capsys, *argv(coco))
    assert rows(coco)[:2] == [
        {"pair_id": "101", "image_id": "10", "path": "train2017/000000000010.jpg", "caption": "A dog seen 1 times."},
        {"pair_id": "102", "image_id": "10", "path": "train2017/000000000010.jpg", "caption": "A dog seen 2 times."},
    ]
    assert [int(row["pair_id"]) for row in rows(coco)] == [10 * i + n for i in IDS for n in (1, 2)]
    assert "12 pairs of 6 images" in log


def test_order_of_the_annotations_is_nothing(coco: Path) -> None:
    main(argv(coco, images=4))
    before = rows(coco)
    content = {key: items[::-1] for key, items in coco_annotations(IDS).items()}
    write_annotations(coco / "annotations_trainval2017.zip", content)
    main(argv(coco, images=4))
    assert rows(coco) == before


def test_limits_are_nested_and_seeded(coco: Path) -> None:
    taken: dict[tuple[int, int], set[str]] = {}
    for seed in range(3):
        for limit in range(1, 7):
            main(argv(coco, images=limit, seed=seed))
            taken[seed, limit] = {row["image_id"] for row in rows(coco)}
            assert len(taken[seed, limit]) == limit
            assert len(rows(coco)) == 2 * limit
            assert taken[seed, limit] >= taken.get((seed, limit - 1), set())
    assert len({frozenset(taken[seed, 3]) for seed in range(3)}) > 1


@given(st.sets(st.integers(1, 10**6), min_size=1), st.data())
def test_chosen_images(ids: set[int], data: st.DataObject) -> None:
    limit = data.draw(st.integers(1, len(ids)))
    chosen = chosen_images(sorted(ids), limit, 7)
    assert len(chosen) == limit and chosen <= ids
    assert chosen_images(sorted(ids), 0, 7) == ids
    # An image that is gone makes room for another, and nothing else moves.
    gone = data.draw(st.sampled_from(sorted(ids)))
    assert chosen - {gone} <= chosen_images(sorted(ids - {gone}), limit, 7)


def test_a_limit_beyond_what_is_there(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "only 6 images are there" in said(main, capsys, *argv(coco, images=99))
    assert len(rows(coco)) == 12
    assert "images: should be greater than or equal to 0, not -1" in refusal(main, *argv(coco, images=-1))


def test_exclude_drops_every_caption_of_an_image(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = coco_annotations(IDS)
    content["annotations"][0]["caption"] = "A dog and a BIRD."
    write_annotations(coco / "annotations_trainval2017.zip", content)
    log = said(main, capsys, *argv(coco, exclude=r"\bbirds?\b"))
    assert {row["image_id"] for row in rows(coco)} == {"20", "30", "50", "60"}
    assert "left out 2 of 6 images" in log
    main(argv(coco, exclude=""))
    assert len(rows(coco)) == 12


def test_a_bad_or_total_exclude_is_refused(coco: Path) -> None:
    assert "exclude '(': is not a regular expression" in refused(coco, exclude="(")
    assert "no image is left" in refused(coco, exclude=".")


def test_captions_are_put_right_and_counted(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = coco_annotations(IDS)
    for number, text in enumerate(["  A dog.\n", "two\nlines", "", " \n"]):
        content["annotations"][number]["caption"] = text
    write_annotations(coco / "annotations_trainval2017.zip", content)
    log = said(main, capsys, *argv(coco))
    assert [row["caption"] for row in rows(coco)[:2]] == ["A dog.", "two lines"]
    assert "dropped 2 empty ones, corrected spaces in 2" in log
    assert "left out 1 images without any caption" in log
    assert rows(coco)[2]["image_id"] == "30"


def test_a_folder_and_a_plain_json(coco: Path) -> None:
    main(argv(coco))
    before = rows(coco)
    with zipfile.ZipFile(coco / "train2017.zip") as archive:
        archive.extractall(coco / "images")
    (coco / "captions.json").write_text(json.dumps(coco_annotations(IDS)))
    flat = coco / "images" / "train2017"
    for images, strip in ((coco / "images", ""), (flat, "train2017/")):
        main(argv(coco, "--images", images, "--annotations", coco / "captions.json"))
        assert rows(coco) == [{**row, "path": row["path"].removeprefix(strip)} for row in before]


def test_pairs_of_ones_own_are_a_csv(coco: Path) -> None:
    (coco / "own").mkdir()
    for name in ("b.jpg", "a 1.jpg"):
        (coco / "own" / name).write_bytes(jpeg())
    write_lines(coco / "own.csv", ["path,caption", 'b.jpg,"red, small"', "a 1.jpg,blue", "b.jpg,  not   green "])
    main(argv(coco, "--images", coco / "own", "--annotations", coco / "own.csv"))
    assert [(row["path"], row["caption"]) for row in rows(coco)] == [
        ("a 1.jpg", "blue"),
        ("b.jpg", "red, small"),
        ("b.jpg", "not green"),
    ]
    write_lines(coco / "own.csv", ["file,caption", "b.jpg,red"])
    assert "lacks the column(s) path (it has file, caption)" in refusal(
        main, *argv(coco, "--images", coco / "own", "--annotations", coco / "own.csv")
    )


def test_paths_that_windows_wrote(coco: Path) -> None:
    main(argv(coco))
    before = rows(coco)
    content = coco_annotations(IDS)
    for image in content["images"]:
        image["file_name"] = ".\\train2017\\" + image["file_name"]
    (coco / "captions_train2017.json").write_text(json.dumps(content))
    main(argv(coco, "--annotations", coco / "captions_train2017.json"))
    assert rows(coco) == before
    written = [r"train2017\000000000010.jpg,red", "train2017/000000000010.jpg,blue"]
    write_lines(coco / "own.csv", ["path,caption", *written])
    main(argv(coco, "--annotations", coco / "own.csv"))
    assert [(row["image_id"], row["path"]) for row in rows(coco)] == [("1", "train2017/000000000010.jpg")] * 2


def without_file_name(content: dict[str, Any]) -> None:
    del content["images"][2]["file_name"]


def edit(key: str, number: int, **changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[key][number].update(changes)


@pytest.mark.parametrize(
    ("damage", "telling"),
    [
        (edit("images", 1, id=10), "two images of one id (1): 10"),
        (edit("images", 1, file_name="000000000010.jpg"), "listed under two ids (1): 000000000010.jpg"),
        (edit("annotations", 1, id=101), "two captions of one id (1): 101"),
        (edit("annotations", 1, image_id=99), "captions of images that it does not list (1): caption 102 of image 99"),
        (edit("annotations", 1, caption=None), "annotations[1] lacks a proper id or image_id or caption"),
        (edit("annotations", 1, id="7"), "annotations[1]"),
        (without_file_name, "images[2] lacks a proper id or file_name"),
        (lambda content: content.pop("annotations"), "has no list 'annotations'"),
        (lambda content: content.update(images=None), "has no list 'images'"),
    ],
)
def test_bad_annotations_are_refused(coco: Path, damage: Callable[[dict[str, Any]], None], telling: str) -> None:
    content = coco_annotations(IDS)
    damage(content)
    path = write_annotations(coco / "annotations_trainval2017.zip", content)
    sentence = refused(coco)
    assert telling in sentence and str(path) in sentence


def test_damaged_annotations_are_refused(coco: Path) -> None:
    path = coco / "annotations_trainval2017.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert f"{path}: is damaged" in refused(coco)
    path.write_bytes(whole.replace(b'"images": [', b'"images": {'))
    assert f"{path}: is damaged" in refused(coco)
    write_zip(path, {"annotations/captions_val2017.json": b"{}"})
    assert "captions_train2017.json (it has annotations/captions_val2017.json)" in refused(coco)
    path.unlink()
    assert f"{path}: does not exist" in refused(coco)
    (coco / "captions.json").write_text("{")
    assert "captions.json: is not JSON" in refused(coco, "--annotations", coco / "captions.json")


def test_missing_images_are_in_one_report(coco: Path) -> None:
    files = {f"train2017/{i:012d}.jpg": jpeg(i) for i in IDS[2:]}
    write_zip(coco / "train2017.zip", files)
    sentence = refused(coco)
    assert "lacks images that have captions (2): train2017/000000000010.jpg; train2017/000000000020.jpg" in sentence


def test_damaged_images_are_in_one_report(coco: Path) -> None:
    files = {f"train2017/{i:012d}.jpg": jpeg(i, 64)[: -900 if i > 40 else None] for i in IDS}
    write_zip(coco / "train2017.zip", files)
    sentence = refused(coco)
    assert "images that do not open (2): train2017/000000000050.jpg" in sentence
    main(argv(coco, check="names"))
    assert len(rows(coco)) == 12


def test_damaged_images_are_left_out_only_when_asked(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"train2017/{i:012d}.jpg": jpeg(i, 64)[: -900 if i > 40 else None] for i in IDS}
    write_zip(coco / "train2017.zip", files)
    sentence = refused(coco)
    listing = coco / "pairs.damaged.csv"
    assert str(listing) in sentence and "pairs.skip_damaged" in sentence
    assert [row["path"] for row in read_csv(listing, ("path", "reason"))] == list(files)[4:]
    log = said(main, capsys, *argv(coco, skip_damaged=True))
    assert "left out 2 images that do not open" in log
    assert [row["image_id"] for row in rows(coco)] == [str(i) for i in IDS[:4] for _ in (1, 2)]
    write_zip(coco / "train2017.zip", {name: b"" for name in files})
    assert "no image that opens is left" in refusal(main, *argv(coco, skip_damaged=True))


def test_named_images_are_left_out(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_zip(coco / "train2017.zip", {f"train2017/{i:012d}.jpg": jpeg(i) for i in IDS[2:]})
    names = ("000000000010.jpg", "train2017/000000000020.jpg")
    log = said(main, capsys, *argv(coco, leave_out=[*names]))
    assert "left out 2 images that pairs.leave_out names" in log
    assert {row["image_id"] for row in rows(coco)} == {str(i) for i in IDS[2:]}
    (coco / "pairs.csv").unlink()
    assert "pairs.leave_out names (1): x.jpg" in refused(coco, leave_out=[*names, "x.jpg"])


def test_archives_beyond_their_limits_are_refused(coco: Path) -> None:
    bomb = {f"train2017/{i:012d}.jpg": bytes(100_000) for i in IDS}
    write_zip(coco / "train2017.zip", bomb, zipfile.ZIP_DEFLATED)
    assert "train2017.zip: unpacks to more than 0.0005 GB" in refused(coco, image_limits={"max_gb": 0.0005})
    assert "train2017.zip: holds more than 5 files" in refused(coco, image_limits={"max_files": 5})
    path = write_zip(coco / "annotations_trainval2017.zip", {"captions_train2017.json": bytes(10**6)}, 8)
    assert f"{path}: unpacks to more than 0.0005 GB" in refused(coco, annotation_limits={"max_gb": 0.0005})
    assert "holds more than 1 files" in refused(
        coco, "--annotations", coco / "train2017.zip", annotation_limits={"max_files": 1}
    )
    (coco / "captions.json").write_bytes(bytes(10**6))
    told = refused(coco, "--annotations", coco / "captions.json", annotation_limits={"max_gb": 0.0005})
    assert "captions.json: unpacks to more" in told


def test_annotations_that_lie_about_their_size_are_refused(coco: Path) -> None:
    path = write_zip(coco / "annotations_trainval2017.zip", {"captions_train2017.json": bytes(10**6)}, 8)
    path.write_bytes(path.read_bytes().replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert "more than the 10 bytes that it declares" in refused(coco)


def test_two_lists_of_captions_are_refused(coco: Path) -> None:
    content = json.dumps(coco_annotations(IDS)).encode()
    write_zip(
        coco / "annotations_trainval2017.zip",
        {"a/captions_train2017.json": content, "b/captions_train2017.json": content},
    )
    assert "more than once (a/captions_train2017.json, b/captions_train2017.json)" in refused(coco)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"images": [{"id": ' + b"9" * 5000 + b"}]}", b"\xff\xfe", b"", b"\0" * 100]
)
def test_json_that_no_reader_takes_is_refused(coco: Path, content: bytes) -> None:
    write_zip(coco / "annotations_trainval2017.zip", {"captions_train2017.json": content})
    assert "is damaged, or no zip of JSON" in refused(coco)


def test_half_a_character_in_a_caption_is_refused(coco: Path) -> None:
    content = coco_annotations(IDS)
    content["annotations"][1]["caption"] = "A dog \ud83d."
    write_annotations(coco / "annotations_trainval2017.zip", content)
    assert "half a character (a lone surrogate) (1): caption 102" in refused(coco)
    content["annotations"][1]["caption"] = "A dog \U0001f436."
    write_annotations(coco / "annotations_trainval2017.zip", content)
    main(argv(coco))
    assert rows(coco)[1]["caption"] == "A dog \U0001f436."


def test_images_that_are_not_taken_are_not_asked_for(coco: Path) -> None:
    main(argv(coco, images=3))
    kept = {row["path"] for row in rows(coco)}
    write_zip(coco / "train2017.zip", {path: jpeg() for path in kept})
    main(argv(coco, images=3))
    assert {row["path"] for row in rows(coco)} == kept
