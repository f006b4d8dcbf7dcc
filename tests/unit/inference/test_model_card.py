"""The card: images, texts, recipe, accuracy and limits in words, and no claim that the cell does not bear out."""

from __future__ import annotations

from typing import Any

import pytest

from fieldguide.adapters.results import CellResult
from fieldguide.inference.calibration import UNCALIBRATED, Calibration
from fieldguide.inference.model_card import CHECKPOINT, Counts, Source, format_span, mean_with_interval, write_card

CELL: dict[str, Any] = {
    "image_percent": 10,
    "text_percent": 90,
    "text_source": "reed",
    "text_names": "unnamed",
    "text_unit": "caption",
    "sampling": "class-wise",
    "redraw": "fixed",
    "recipe": "thesis",
    "translator": "qformer",
    "backbone": "clip_0123",
    "seeds": [0, 1, 2],
    "accuracy": [60.0, 61.0, 62.0],
    "distinct_images": [4, 4, 4],
    "distinct_texts": [35, 36, 36],
    "optimiser_steps": 400,
    "budget": "steps",
    "plan_sha256": "f" * 64,
    "config": {"learning_rate": 0.03, "threads": 1},
    "versions": {"numpy": "2.4", "fieldguide": "0.1"},
}
CALIBRATION = Calibration(temperature=0.5, held_out_images=36, held_out_accuracy=59.25, calibration_error=2.125)
ENCODER = {"model": "ViT-B-32", "pretrained": "openai", "precision": "fp32", "preprocessing": "{}", "weights": "abc"}


def card(encoder: dict[str, str] = ENCODER, calibration: Calibration = CALIBRATION, **changes: Any) -> str:
    sources = [Source(CHECKPOINT, "adapters/ratio-10.safetensors", "0" * 64)]
    cell = CellResult.model_validate({**CELL, **changes})
    return write_card(cell, calibration, "birds", Counts(40, 20, 4), encoder, sources)


def test_a_mixed_cell() -> None:
    told = card()
    assert told.startswith("# thesis: 10% of the images and texts of `reed`\n")
    assert "**61.00 ± 2.48%**, mean and 95% t interval over 3 seeds. Chance is 25%." in told
    assert "| images | 4 different ones (10% of the images), class-wise, fixed |" in told
    assert "35 to 36 different texts of the source `reed`, captions of single images; they do not name" in told
    assert "translated by `qformer`. They take the places of 90% of the images." in told
    assert "`clip_0123` (open_clip `ViT-B-32`, weights `openai`, fp32), file sha256 `abc`" in told
    assert "softmax(logits / 0.5)" in told and "36 training images" in told and "59.2%" in told
    assert "--checkpoint adapters/ratio-10.safetensors" in told and "they were not checked one by one" in told
    assert told.count("| ") > 20 and "None" not in told


def test_an_image_only_cell_speaks_of_no_text() -> None:
    told = card(
        text_source="none",
        text_unit="none",
        text_names="none",
        translator="none",
        text_percent=0,
        distinct_texts=[0, 0, 0],
    )
    assert "and no text\n" in told and "| texts | No text. |" in told and "checked one by one" not in told


def test_one_seed_has_no_interval() -> None:
    told = card(seeds=[3], accuracy=[50.0], distinct_images=[4], distinct_texts=[36])
    assert "**50.00%**, one seed." in told and "±" not in told


def test_what_was_not_calibrated_is_said() -> None:
    told = card(calibration=UNCALIBRATED)
    assert "Not calibrated" in told and "softmax(logits" not in told


def test_features_from_elsewhere_have_no_encoder() -> None:
    told = card(encoder={})
    assert "cannot encode a photograph" in told and "--checkpoint" not in told and "| `clip_0123` |" in told


def test_labels_that_had_a_part_in_the_choice() -> None:
    assert "labels beyond its own share of the images had a part in that choice" in card()
    own = card(tune="within-cell", config={"alpha": [0.5, 2.0, 0.25], "threads": 1})
    assert "chosen for each seed by cross-validation over its own images" in own
    assert "had a part in its probabilities alone" in own and "alpha [0.5, 2, 0.25], threads 1" in own


@pytest.mark.parametrize(("values", "told"), [([5], "5"), ([1200, 1200], "1,200"), ([3, 9], "3 to 9")])
def test_counts_over_seeds(values: list[int], told: str) -> None:
    assert format_span(values) == told


def test_interval_by_hand() -> None:
    # s = 1, t(0.975, 2) = 4.3027: 4.3027 / sqrt(3)
    assert mean_with_interval([1.0, 2.0, 3.0]) == "2.00 ± 2.48"
