"""Photographs named with a trained cell: found, encoded, told with probabilities, sentences and domain, damage told."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from fieldguide.adapters import plan_images, train_adapter
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json, write_csv, write_json
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS
from fieldguide.features import encode_images, encode_texts
from fieldguide.features.backbone import LOCAL, backbone_key
from fieldguide.features.store import read_file
from fieldguide.inference import calibrate_adapters
from fieldguide.inference.calibration import Calibration
from fieldguide.inference.checkpoint import read_checkpoint
from fieldguide.inference.classify import UNREAD, Guide, Photographs, find_photographs, find_shards, main
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import as_settings, refusal

ROOT = Path(__file__).resolve().parents[3]
MODEL = f"{LOCAL}{ROOT / 'workflow/resources/aviary-clip'}"
ENCODER = as_settings(model=MODEL, pretrained="", precision="fp32")
COLOURS = {
    "Red cap": (200, 30, 30),
    "Green cap": (30, 160, 40),
    "Blue cap": (40, 60, 200),
    "White cap": (235, 235, 235),
}
EACH = 12


def draw(path: Path, name: str, seed: int) -> Path:
    """A cap of the class's colour on a grey ground, at a place of its own."""
    from PIL import ImageDraw

    rng = np.random.default_rng([seed, len(name)])
    image = Image.new("RGB", (64, 64), tuple([int(rng.integers(90, 130))] * 3))
    x, y = (int(value) for value in rng.integers(5, 20, 2))
    ImageDraw.Draw(image).ellipse((x, y, x + 36, y + 28), fill=COLOURS[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def run(main_of: Any, *argv: object) -> None:
    main_of([str(word) for word in argv])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of four classes from images to cells, as the stages write them."""
    folder = tmp_path_factory.mktemp("caps") / "results" / "caps"
    key = backbone_key(MODEL)
    classes = [(str(n), name, "") for n, name in enumerate(COLOURS, 1)]
    write_csv(
        folder / "records/classes.csv", CLASS_COLUMNS, (dict(zip(CLASS_COLUMNS, r, strict=True)) for r in classes)
    )
    images = []
    for number in range(4 * EACH):
        name = list(COLOURS)[number % 4]
        draw(folder / "images" / f"{number}.png", name, number)
        images.append((str(number), f"{number}.png", str(number % 4 + 1), "train" if number < 40 else "test"))
    write_csv(folder / "records/images.csv", IMAGE_COLUMNS, (dict(zip(IMAGE_COLUMNS, r, strict=True)) for r in images))
    texts = [(c, n, "", "cap", f"A {n.split()[0].lower()} {w}.") for c, n, _ in classes for w in ("bird", "crown")]
    write_csv(folder / "texts/llm.csv", TEXT_COLUMNS, (dict(zip(TEXT_COLUMNS, r, strict=True)) for r in texts))
    features = folder / "features" / key
    shard = features / "images/dataset/shard-1-of-1.safetensors"
    records = ("--records", folder / "records/images.csv")
    run(encode_images.main, *ENCODER, "--images", folder / "images", *records, "--out", shard)
    text_shard = features / "texts/llm/shard-1-of-1.safetensors"
    run(encode_texts.main, *ENCODER, "--texts", folder / "texts/llm.csv", "--out", text_shard)
    plan = folder / "plans/class-wise.json"
    settings: dict[str, Any] = {"sampling": "class-wise", "seeds": [0, 1]}
    run(plan_images.main, *records, "--settings", json.dumps(settings), "--out", plan)
    write_json(folder / "tuning.json", {"learning_rate": 0.001, "weight_decay": 0.0})
    cells = []
    for recipe, ratio in (("nearest-class-mean", 100), ("nearest-class-mean", 10), ("thesis", 100)):
        cells.append(folder / "adapters" / key / recipe / f"ratio-{ratio}.json")
        given = ["--tuning", folder / "tuning.json"] if recipe == "thesis" else []
        given += ["--classes", folder / "records/classes.csv", "--images", shard, "--plan", plan]
        # Two steps at a low rate: the thesis's cell is no better than chance, and must not be taken.
        settings = {"recipe": recipe, "ratio": ratio, "seeds": [0, 1], "dataset": "caps"}
        settings |= {"budget": "steps", "amount": 2, "batch": 256}
        outputs = ("--weights", cells[-1].with_suffix(".safetensors"), "--out", cells[-1])
        run(train_adapter.main, *records, *given, "--settings", json.dumps(settings), *outputs)
    run(calibrate_adapters.main, *records, "--images", shard, "--plans", plan, "--cells", *cells)
    return folder


def cell_of(results: Path, recipe: str = "nearest-class-mean", ratio: int = 100) -> Path:
    (found,) = results.glob(f"adapters/*/{recipe}/ratio-{ratio}.safetensors")
    return found


def answers(capsys: pytest.CaptureFixture[str], results: Path, *argv: object, code: int = 0) -> list[dict[str, Any]]:
    """What is said of photographs by --json."""
    capsys.readouterr()
    words = [str(word) for word in argv]
    words += [] if "--checkpoint" in words else ["--checkpoint", str(results)]
    if code:
        with pytest.raises(SystemExit) as stop:
            main([*words, "--json"])
        assert stop.value.code == code
    else:
        main([*words, "--json"])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# ---------------------------------------------------------------- what is said


def test_a_photograph_is_named(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photographs = [draw(tmp_path / f"{name}.png", name, 1000) for name in COLOURS]
    told = answers(capsys, results, *photographs)
    assert [answer["photograph"] for answer in told] == [str(path) for path in photographs]
    assert [answer["classes"][0]["class_name"] for answer in told] == list(COLOURS)
    for answer in told:
        chances = [row["probability"] for row in answer["classes"]]
        assert (
            len(chances) == 4
            and sum(chances) == pytest.approx(1, abs=1e-4)
            and chances == sorted(chances, reverse=True)
        )
        assert answer["out_of_domain"] is False


def test_probabilities_are_calibrated_not_a_softmax_of_cosines(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cosines lie within 2 of each other: their plain softmax over four classes could not exceed 0.71."""
    (told,) = answers(capsys, results, draw(tmp_path / "a.png", "Red cap", 1001))
    assert told["classes"][0]["probability"] > 0.8


def test_another_kind_of_picture_is_out_of_domain(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (told,) = answers(capsys, results, tmp_path / "noise.png")
    assert told["out_of_domain"] is True and told["distance"] > told["threshold"]
    assert told["farther_than_percent"] == 100
    main([str(tmp_path / "noise.png"), "--checkpoint", str(results)])
    assert "Out of its domain: at " in capsys.readouterr().out


def test_sentences_of_the_guide_are_quoted(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph = draw(tmp_path / "a.png", "Blue cap", 1002)
    (told,) = answers(capsys, results, photograph, "--sentences", 8)
    assert len(told["sentences"]) == 8, "all there are"
    cosines = [sentence["cosine"] for sentence in told["sentences"]]
    assert cosines == sorted(cosines, reverse=True)
    assert set(told["sentences"][0]) == {"source", "class_name", "field", "text", "cosine"}
    assert answers(capsys, results, photograph, "--sentences", 0)[0]["sentences"] == []


def test_as_a_person_reads_it(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph = draw(tmp_path / "a.png", "Red cap", 1003)
    main([str(photograph), "--checkpoint", str(results), "--top", "2", "--sentences", "1"])
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == str(photograph) and "Red cap" in lines[1] and "%" in lines[2] and "; llm)" in lines[3]
    assert max(map(len, lines[1:])) <= 100
    assert "nearest-class-mean with 100% of the images" in err, "which cell was taken, and why"


def test_the_cell_that_is_named_is_used(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph = draw(tmp_path / "a.png", "Red cap", 1004)
    first, second = (
        answers(capsys, results, photograph, "--checkpoint", path)[0]["classes"]
        for path in (cell_of(results), cell_of(results, ratio=10).with_suffix(".json"))
    )
    assert first != second


def test_batches_and_their_order_change_nothing(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results / "images"
    one, many = (answers(capsys, results, folder, "--batch", batch) for batch in (1, 7))
    assert [a["photograph"] for a in one] == [a["photograph"] for a in many] == find_photographs([str(folder)])
    for a, b in zip(one, many, strict=True):
        assert a["classes"][0]["class_id"] == b["classes"][0]["class_id"]
        assert a["distance"] == pytest.approx(b["distance"], abs=2e-4)
    right = [int(Path(a["photograph"]).stem) % 4 + 1 == int(a["classes"][0]["class_id"]) for a in one]
    assert np.mean(right) > 0.95


# ---------------------------------------------------------------- damage


def test_damaged_photographs_are_told_and_the_others_named(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photographs"
    for number, name in enumerate(COLOURS):
        draw(folder / f"{number}.png", name, number)
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "2.png").write_bytes(b"")
    told = answers(capsys, results, folder, tmp_path / "gone.jpg", tmp_path / "*.webp", "--batch", 2, code=UNREAD)
    good, bad = [a for a in told if "classes" in a], {a["photograph"]: a["error"] for a in told if "error" in a}
    assert [Path(a["photograph"]).name for a in good] == ["0.png", "3.png"]
    assert [a["classes"][0]["class_name"] for a in good] == ["Red cap", "White cap"]
    assert bad[str(tmp_path / "gone.jpg")] == "there is no such file"
    assert bad[str(tmp_path / "*.webp")] == "no image matches this pattern"
    assert bad[str(folder / "2.png")] == "is empty" and "does not decode" in bad[str(folder / "1.png")]


def test_a_fault_is_told_on_stderr_in_one_line(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    assert answers(capsys, results, tmp_path / "bad.jpg", code=UNREAD)[0]["error"].startswith("does not decode (")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "bad.jpg"), "--checkpoint", str(results)])
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    assert f"classify: {tmp_path / 'bad.jpg'}: does not decode (" in err


# ---------------------------------------------------------------- what is given


def test_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.jpg", "a/b/2.PNG", "a/notes.txt", "a/._1.jpg", "c/3.webp", "c/x[1].jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")
    assert find_photographs(["a"]) == ["a/1.jpg", "a/b/2.PNG"]
    assert find_photographs(["a/1.jpg", "a", "a/*.jpg"]) == ["a/1.jpg", "a/b/2.PNG"], "each once"
    assert find_photographs(["**/*.webp"]) == ["c/3.webp"]
    assert find_photographs(["c/x[1].jpg"]) == ["c/x[1].jpg"], "a file's name is no pattern"
    assert find_photographs(["a/notes.txt", "gone.jpg", "gone*.jpg"]) == ["a/notes.txt", "gone.jpg", "gone*.jpg"]


def test_a_folder_without_photographs_is_refused(results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no photograph in there" in refusal(main, tmp_path / "empty", "--checkpoint", results)


def test_what_is_no_checkpoint_is_refused(results: Path, tmp_path: Path) -> None:
    photograph = draw(tmp_path / "a.png", "Red cap", 1)
    for checkpoint, words in (
        (tmp_path / "gone.safetensors", "no such file"),
        (results / "adapters", f"is a part of {results}"),
        (next(results.rglob("shard-1-of-1.safetensors")), "is not a trained cell"),
    ):
        assert words in refusal(main, photograph, "--checkpoint", checkpoint)
    (tmp_path / "half.safetensors").write_bytes(cell_of(results).read_bytes()[:200])
    assert "not a whole feature file" in refusal(main, photograph, "--checkpoint", tmp_path / "half.safetensors")
    assert "holds no results" in refusal(main, photograph, "--checkpoint", tmp_path)


def test_another_encoder_is_refused(results: Path, tmp_path: Path, backbone_folder: Path) -> None:
    photograph = draw(tmp_path / "a.png", "Red cap", 1)
    said = refusal(main, photograph, "--checkpoint", results, "--model", f"{LOCAL}{backbone_folder}")
    assert "the checkpoint was trained on features of aviary-clip_" in said


def test_a_checkpoint_alone_names_but_tells_no_domain(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.safetensors"
    shutil.copy(cell_of(results), alone)
    photograph = draw(tmp_path / "a.png", "Green cap", 1)
    (told,) = answers(capsys, results, photograph, "--checkpoint", alone)
    assert told["classes"][0]["class_name"] == "Green cap"
    assert told["out_of_domain"] is None and told["sentences"] == []
    (with_results,) = answers(capsys, results, photograph, "--checkpoint", alone, "--results", results)
    assert with_results["out_of_domain"] is False and with_results["sentences"]


def test_without_calibration_it_is_said_how_to_make_it(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "results"
    shutil.copytree(results, plain, ignore=shutil.ignore_patterns("*.calibration.json", "*.md"))
    main([str(draw(tmp_path / "a.png", "Red cap", 1)), "--checkpoint", str(plain)])
    out, err = capsys.readouterr()
    assert "thesis with 100% of the images" in err, "a recipe whose logits are log odds"
    assert "is not calibrated" in err and "snakemake calibrate_adapters" in err and "%" in out
    capsys.readouterr()
    main([str(tmp_path / "a.png"), "--checkpoint", str(cell_of(plain))])
    assert "is not calibrated" in capsys.readouterr().err


def test_a_temperature_in_the_weights_of_an_older_version_is_used(results: Path, tmp_path: Path) -> None:
    about = {**read_file(cell_of(results))[1], "temperature": "2.5"}
    save_file(load_file(cell_of(results)), tmp_path / "old.safetensors", about)
    assert read_checkpoint(tmp_path / "old.safetensors").temperature == 2.5
    Calibration(temperature=3, held_out_images=1).write(tmp_path / "old.calibration.json")
    assert read_checkpoint(tmp_path / "old.safetensors").temperature == 3
    (tmp_path / "old.calibration.json").write_text("{}")
    with pytest.raises(FieldguideError, match=r"old\.calibration\.json: is not the calibration of a cell"):
        read_checkpoint(tmp_path / "old.safetensors")


def test_a_cell_of_an_older_version_is_refused_with_the_way_out(results: Path, tmp_path: Path) -> None:
    tensors = load_file(cell_of(results))
    save_file(tensors, tmp_path / "old.safetensors", {"backbone": "x", "classes": "1\n2"})
    with pytest.raises(FieldguideError, match="run it again to have the cell trained anew"):
        read_checkpoint(tmp_path / "old.safetensors")


def test_a_source_without_features_is_refused(results: Path, tmp_path: Path) -> None:
    photograph = draw(tmp_path / "a.png", "Red cap", 1)
    assert "has no text source 'gpt'" in refusal(main, photograph, "--checkpoint", results, "--texts", "gpt")


# ---------------------------------------------------------------- parts


def test_nearest_sentences_by_cosine() -> None:
    guide = Guide(np.eye(4, dtype=np.float32), [{"text": str(n)} for n in range(4)])
    found = guide.nearest(np.array([[0.1, 0.9, 0.3, 0.2], [0.9, 0, 0, 0.4]], np.float32), 2)
    assert [[one["text"] for one in row] for row in found] == [["1", "2"], ["0", "3"]]
    assert found[0][0]["cosine"] == 0.9
    assert [len(row) for row in guide.nearest(np.eye(4, dtype=np.float32), 9)] == [4] * 4


def test_a_fault_keeps_its_place(tmp_path: Path) -> None:
    store = Photographs()
    assert store.open(str(tmp_path / "none.jpg")).size == (8, 8)
    assert list(store.faults) == [str(tmp_path / "none.jpg")]


def test_shards_in_order_and_only_whole_sets(tmp_path: Path) -> None:
    for name, when in (("2-of-2", 5), ("1-of-2", 5), ("1-of-1", 3), ("1-of-12", 9)):
        path = tmp_path / f"shard-{name}.safetensors"
        path.write_bytes(b"")
        os.utime(path, (when, when))
    assert [path.stem for path in find_shards(tmp_path)] == ["shard-1-of-2", "shard-2-of-2"]
    assert find_shards(tmp_path / "none") == []


def test_the_card_says_what_it_was_trained_on(results: Path) -> None:
    card = cell_of(results, ratio=10).with_suffix(".md").read_text(encoding="utf-8")
    cell = read_json(cell_of(results, ratio=10).with_suffix(".json"))
    for words in (
        "`caps`: 4 classes, 40 training and 8 test images",
        "4 different ones (10% of the images)",
        "No text.",
    ):
        assert words in card
    assert cell["plan_sha256"] in card and cell["backbone"] in card and '"interpolation": "bicubic"' in card
    calibration = read_json(cell_of(results, ratio=10).with_suffix(".calibration.json"))
    assert f"{calibration['held_out_images']} training images" in card
    assert "## Limits" in card and "| | |" in card
