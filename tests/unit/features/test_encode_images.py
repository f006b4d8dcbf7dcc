"""Images through the backbone: in the order of their table, each once, as a plain loop would."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from fieldguide.core.files import write_csv
from fieldguide.features import encode_images
from fieldguide.features.backbone import LOCAL, backbone_key
from fieldguide.features.encode_images import ahead, by_turns, main, split_preprocess, to_input
from tests.tiny_data import as_settings, jpeg, refusal, said, write_zip
from tests.unit.planted_features import read_tensors
from tests.unit.tiny_backbone import load

IMAGES = 7


def argv(folder: Path, backbone: Path, order: list[int], *more: object, **values: object) -> list[str]:
    """Write the images and a table that lists them in this order; the command line that encodes them."""
    write_zip(folder / "images.zip", {f"a/{i}.jpg": jpeg(i, 20 + 5 * i) for i in range(IMAGES)})
    rows = [{"image_id": str(100 + i), "path": f"a/{i}.jpg"} for i in order]
    write_csv(folder / "images.csv", ("image_id", "path"), rows)
    chosen = as_settings(**{"model": f"{LOCAL}{backbone}", "pretrained": "", "precision": "fp32", "batch": 3, **values})
    given = ["--images", folder / "images.zip", "--records", folder / "images.csv"]
    return [str(word) for word in (*given, *chosen, "--out", folder / "images.safetensors", *more)]


def plain_loop(backbone_folder: Path, order: list[int]) -> torch.Tensor:
    backbone = load(backbone_folder)
    features = []
    for i in order:
        pixels = backbone.preprocess(Image.open(io.BytesIO(jpeg(i, 20 + 5 * i))))
        with torch.inference_mode():
            feature = backbone.model.encode_image(pixels[None])[0]
        features.append(feature / feature.norm())
    return torch.stack(features)


def encoded(folder: Path, ids: list[str]) -> torch.Tensor:
    return read_tensors(folder / "images.safetensors", ids)[0]["features"]


def test_features_follow_the_table(backbone_folder: Path, tmp_path: Path) -> None:
    order = [4, 0, 6, 1, 5, 2, 3]
    main(argv(tmp_path, backbone_folder, order))
    features = encoded(tmp_path, [str(100 + i) for i in order])
    wanted = plain_loop(backbone_folder, order)
    torch.testing.assert_close(features, wanted, atol=1e-5, rtol=0)
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3, "the images differ"
    _, about = read_tensors(tmp_path / "images.safetensors")
    assert about["kind"] == "image" and about["backbone"] == backbone_key(f"{LOCAL}{backbone_folder}")


def test_an_image_of_several_rows_is_encoded_once(
    backbone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = said(main, capsys, *argv(tmp_path, backbone_folder, [2, 2, 0, 2, 0, 5]))
    assert "3 images from" in log
    features = encoded(tmp_path, ["102", "100", "105"])
    torch.testing.assert_close(features, plain_loop(backbone_folder, [2, 0, 5]), atol=1e-5, rtol=0)


def test_batch_and_workers_change_nothing(backbone_folder: Path, tmp_path: Path) -> None:
    order = list(range(IMAGES))
    ids = [str(100 + i) for i in order]
    main(argv(tmp_path, backbone_folder, order))
    first = encoded(tmp_path, ids)
    for batch, workers in ((1, 1), (7, 3), (100, 2)):
        main(argv(tmp_path, backbone_folder, order, "--workers", workers, batch=batch))
        torch.testing.assert_close(encoded(tmp_path, ids), first, atol=1e-5, rtol=0)


def test_shards_hold_what_one_file_holds(backbone_folder: Path, tmp_path: Path) -> None:
    order = [4, 0, 6, 1, 4, 5, 2, 3]  # image 4 twice: seven images
    ids = list(dict.fromkeys(str(100 + i) for i in order))
    main(argv(tmp_path, backbone_folder, order))
    whole = encoded(tmp_path, ids)
    paths = [tmp_path / f"{number}.safetensors" for number in (1, 2, 3)]
    for number, path in enumerate(paths, 1):
        main(argv(tmp_path, backbone_folder, order, "--shard", f"{number}/3", "--out", path))
    parts, about = read_tensors(paths, ids)
    # Other batches, so the last bits may differ.
    torch.testing.assert_close(parts["features"], whole, atol=1e-5, rtol=0)
    assert (about["shard"], about["shards"], about["count"], about["dtype"]) == ("1", "3", "2", "float32")
    before = paths[1].read_bytes()
    main(argv(tmp_path, backbone_folder, order, "--shard", "2/3", "--out", paths[1]))
    assert paths[1].read_bytes() == before
    given = argv(tmp_path, backbone_folder, order, "--shard", "1/8")
    assert "lists 7 images, too few for 8 shards; see backbone.shards" in refusal(main, *given)


@pytest.mark.parametrize("mode", ["overlapping", "by turns"])
def test_whoever_has_the_cores(
    mode: str, backbone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [4, 0, 6, 1, 5, 2, 3]
    monkeypatch.setattr(encode_images, "has_spare_cores", lambda _: mode == "overlapping")
    main(argv(tmp_path, backbone_folder, order))
    features = encoded(tmp_path, [str(100 + i) for i in order])
    torch.testing.assert_close(features, plain_loop(backbone_folder, order), atol=1e-5, rtol=0)


def test_bytes_become_the_numbers_that_open_clip_makes(backbone_folder: Path) -> None:
    backbone = load(backbone_folder)
    shrink, normalise = split_preprocess(backbone.preprocess)
    images = [Image.open(io.BytesIO(jpeg(i, 30 + 9 * i, mode))) for i, mode in enumerate(("RGB", "L", "CMYK"))]
    batch = to_input([shrink(image) for image in images], normalise, backbone)
    assert torch.equal(batch, torch.stack([backbone.preprocess(image) for image in images]))
    # A chain of another kind is run as it is.
    shrink, normalise = split_preprocess(backbone.preprocess.transforms[0])  # type: ignore[attr-defined]
    assert normalise is None


def test_a_folder_serves_as_a_zip_does(backbone_folder: Path, tmp_path: Path) -> None:
    given = argv(tmp_path, backbone_folder, [0, 1])
    main(given)
    before = (tmp_path / "images.safetensors").read_bytes()
    for i in (0, 1):
        (tmp_path / "plain" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / "a" / f"{i}.jpg").write_bytes(jpeg(i, 20 + 5 * i))
    main([*given, "--images", str(tmp_path / "plain")])
    assert (tmp_path / "images.safetensors").read_bytes() == before


def test_half_precision_is_written_in_full(backbone_folder: Path, tmp_path: Path) -> None:
    main(argv(tmp_path, backbone_folder, [0, 1], precision="bf16"))
    features = encoded(tmp_path, ["100", "101"])
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, plain_loop(backbone_folder, [0, 1]), atol=0.05, rtol=0)


def test_bad_input_is_refused(backbone_folder: Path, tmp_path: Path) -> None:
    assert f"{tmp_path / 'images.csv'}: lists no image" in refusal(main, *argv(tmp_path, backbone_folder, []))
    assert "a/9.jpg" in refusal(main, *argv(tmp_path, backbone_folder, [0, 9]))
    given = argv(tmp_path, backbone_folder, [0, 1])
    write_zip(tmp_path / "images.zip", {"a/0.jpg": jpeg(0), "a/1.jpg": jpeg(1, 64)[:-900]})
    assert "the image a/1.jpg does not decode" in refusal(main, *given)
    assert "open_clip knows no 'ViT-Q'" in refusal(main, *argv(tmp_path, backbone_folder, [0, 1], model="ViT-Q"))
    assert not (tmp_path / "images.safetensors").exists()


def test_an_automatic_batch_is_told(backbone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(main, capsys, *argv(tmp_path, backbone_folder, [0, 1, 2], batch="auto"))
    assert f"{encode_images.CPU_BATCH} images per forward pass" in log
    torch.testing.assert_close(
        encoded(tmp_path, ["100", "101", "102"]), plain_loop(backbone_folder, [0, 1, 2]), atol=1e-5, rtol=0
    )
    told = refusal(main, *argv(tmp_path, backbone_folder, [0], batch=0))
    assert "batch: should be auto or a whole number from 1, not 0" in told


def test_by_turns_waits_for_the_reader() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return item * item

    for taken, result in enumerate(by_turns(work, iter(range(10)), 2, 4)):
        assert result == taken * taken
        assert len(started) <= 4 * (taken // 4 + 1)
    assert sorted(started) == list(range(10))


def test_ahead_keeps_order_and_distance() -> None:
    lock, started = threading.Lock(), 0

    def work(item: int) -> int:
        nonlocal started
        with lock:
            started += 1
        return item * item

    for taken, result in enumerate(ahead(work, iter(range(50)), 3, 8)):
        assert result == taken * taken
        assert started <= taken + 1 + 8
    assert started == 50


def test_ahead_passes_an_error_on() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda item: 1 // (3 - item), range(10), 2, 4))
    assert list(ahead(str, [], 2, 4)) == []
