"""What a checkpoint was trained on, in words (Mitchell et al., Model cards for model reporting, 2019). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from fieldguide.adapters.results import CellResult
from fieldguide.core.significance import half_width
from fieldguide.inference.calibration import Calibration


class Counts(NamedTuple):
    """Training images, test images and classes of the data set."""

    train: int
    test: int
    classes: int


class Source(NamedTuple):
    """A file that the checkpoint was made from, or the checkpoint itself."""

    what: str
    path: str
    sha256: str


CHECKPOINT = "this checkpoint"
"""What the file itself is called among its sources."""
UNITS = {"caption": "captions of single images", "field": "texts about a class", "reply": "whole replies about a class"}


def mean_with_interval(values: Sequence[float], digits: int = 2) -> str:
    """The mean with its 95% t interval, as far as there are several values."""
    width = half_width(values)
    return f"{fmean(values):.{digits}f}" + ("" if width is None else f" ± {width:.{digits}f}")


def format_span(values: Sequence[float]) -> str:
    """A count over seeds, as one number where they agree."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,} to {max(values):,}"


def describe_texts(cell: CellResult) -> str:
    """The sentence about the texts."""
    if cell.text_source == "none":
        return "No text."
    named = {"named": "they name their class", "unnamed": "they do not name their class"}.get(cell.text_names, "")
    unit = UNITS.get(cell.text_unit, f"of the unit {cell.text_unit}")
    sentence = f"{format_span(cell.distinct_texts)} different texts of the source `{cell.text_source}`, {unit}"
    sentence += f"; {named}" if named else ""
    through = f"translated by `{cell.translator}`" if cell.translator != "none" else "as the encoder has them"
    return f"{sentence}; {through}. They take the places of {cell.text_percent}% of the images."


def describe_calibration(calibration: Calibration) -> str:
    """The sentence about probabilities."""
    if not calibration.held_out_images:
        return (
            "Not calibrated: too few images of a class to leave any out. Probabilities are the softmax of the logits "
            "as they are, whatever their scale."
        )
    return (
        f"Probabilities are softmax(logits / {calibration.temperature:.4g}), averaged over the seeds' layers; the "
        f"temperature was fitted to {calibration.held_out_images:,} training images that such a layer was not "
        f"trained on, of which it named {calibration.held_out_accuracy:.1f}% (expected calibration error there "
        f"{calibration.calibration_error:.1f} points). No test image had a part in it."
    )


def describe_use(path: str, has_encoder: bool) -> str:
    """The sentence about how to use it."""
    if not has_encoder:
        return "Its features were computed elsewhere, so `fieldguide classify` cannot encode a photograph for it."
    return (
        f"`fieldguide classify PHOTO --checkpoint {path}` names photographs with it, and says of each whether it lies "
        "farther from every training photograph than nearly all of these lie from one another."
    )


def format_setting(value: Any) -> str:
    """A hyper-parameter, or those of all seeds."""
    return f"[{', '.join(format(one, '.6g') for one in value)}]" if isinstance(value, list) else f"{value:.6g}"


def describe_choice(cell: CellResult) -> str:
    """With which labels its hyper-parameters were chosen."""
    if cell.tune == "within-cell":
        return (
            "Learning rate, penalty and the like were chosen for each seed by cross-validation over its own images; "
            "labels beyond its own share of the images had a part in its probabilities alone."
        )
    return (
        "Learning rate, penalty and the like were chosen on a held-out part of all training images, so labels beyond "
        "its own share of the images had a part in that choice, as they have in the probabilities."
    )


def write_card(
    cell: CellResult,
    calibration: Calibration,
    dataset: str,
    counts: Counts,
    encoder: Mapping[str, str],
    sources: Sequence[Source],
) -> str:
    """The card in Markdown. `encoder`: what the image features say of their encoder."""
    seeds, accuracy = cell.seeds, cell.accuracy
    share = f"{cell.image_percent}% of the images"
    texts = f"and texts of `{cell.text_source}`" if cell.text_source != "none" else "and no text"
    name = f"`{dataset}`" if dataset else "a data set without a name"
    settings = ", ".join(f"{key} {format_setting(value)}" for key, value in sorted((cell.config or {}).items()))
    steps = f"{cell.optimiser_steps:,} optimiser steps" if cell.optimiser_steps else "no optimiser steps"
    rows = {
        "data set": f"{name}: {counts.classes} classes, {counts.train:,} training and {counts.test:,} test images",
        "images": f"{format_span(cell.distinct_images)} different ones ({share}), {cell.sampling}, {cell.redraw}",
        "texts": describe_texts(cell),
        "recipe": f"`{cell.recipe}`, {steps}; {settings}",
        "seeds": f"{', '.join(map(str, seeds))}: one layer each, side by side in the file",
        "backbone": f"`{cell.backbone}`"
        + (f" (open_clip `{encoder['model']}`" if "model" in encoder else "")
        + (f", weights `{encoder['pretrained']}`" if encoder.get("pretrained") else "")
        + (f", {encoder['precision']})" if "model" in encoder else ""),
        "preprocessing": f"`{encoder['preprocessing']}`" if "preprocessing" in encoder else "not known",
        "versions": ", ".join(f"{package} {version}" for package, version in sorted((cell.versions or {}).items())),
    }
    if encoder.get("weights"):
        rows["backbone"] += f", file sha256 `{encoder['weights']}`"
    own = next((source.path for source in sources if source.what == CHECKPOINT), "FILE.safetensors")
    several = f", mean and 95% t interval over {len(seeds)} seeds" if len(seeds) > 1 else ", one seed"
    lines = [
        f"# {cell.recipe}: {share} {texts}",
        "",
        f"A classifier of {counts.classes} classes on the image features of a frozen CLIP, trained by fieldguide on "
        f"the data set {name}.",
        "",
        f"Accuracy on the test images: **{mean_with_interval(accuracy)}%**{several}. Chance is "
        f"{100 / counts.classes:.3g}%.",
        "",
        "## What it was trained on",
        "| | |",
        "| --- | --- |",
        *(f"| {key} | {value} |" for key, value in rows.items()),
        "",
        "## Probabilities",
        describe_calibration(calibration),
        "",
        "## Use",
        describe_use(own, "model" in encoder),
        "",
        "## Limits",
        f"- It knows {counts.classes} classes and gives every photograph to one of them, whatever it shows.",
        "- Its accuracy is that on the data set's own test images, which were taken as the training images were. "
        "Photographs of another kind, place or camera were not tried.",
        "- What the backbone does not see it cannot tell, and it favours what the backbone's own data favours.",
        f"- {describe_choice(cell)}",
    ]
    if cell.text_source != "none":
        lines.append("- What the texts say that is wrong, it may have learned; they were not checked one by one.")
    lines += [
        "",
        "## Files",
        "| what | file | sha256 |",
        "| --- | --- | --- |",
        *(f"| {source.what} | `{source.path}` | `{source.sha256}` |" for source in sources),
        f"| plan of its images and texts | | `{cell.plan_sha256}` |",
    ]
    return "\n".join(lines) + "\n"
