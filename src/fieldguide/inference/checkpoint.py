"""A trained cell's weights file, read back: the classifier, its classes, and the encoder that its features need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.adapters.linear import Adapter, Classifier
from fieldguide.core.arrays import Doubles, Floats
from fieldguide.core.errors import FieldguideError
from fieldguide.inference.calibration import Calibration, softmax

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

HINT = "give the .safetensors of a cell, as train_adapter writes it"
CHECKOUT = Path(__file__).parents[3]
"""The project's folder, where the package runs from its source."""


@dataclass(frozen=True)
class Checkpoint:
    """`classifier` of R runs over the classes (C,); `about`: what its file says of itself and of its encoder.

    temperature: None where the cell was not calibrated.
    """

    path: Path
    classifier: Classifier
    runs: int
    class_ids: list[str]
    class_names: list[str]
    temperature: float | None
    about: Mapping[str, str]

    @property
    def backbone(self) -> str:
        return self.about["backbone"]

    @property
    def results(self) -> Path | None:
        """The results folder that it lies in, below `adapters`."""
        folder = next((parent for parent in self.path.absolute().parents if parent.name == "adapters"), None)
        if folder is None:
            return None
        return folder.parent.relative_to(Path.cwd()) if folder.parent.is_relative_to(Path.cwd()) else folder.parent

    def probabilities(self, features: Floats) -> Doubles:
        """Probabilities (b, C) of features (b, D), calibrated where the cell is: the mean over the runs."""
        temperature = self.temperature or 1.0
        runs = [softmax(self.classifier.logits(run, features), temperature) for run in range(self.runs)]
        total: Doubles = sum(runs[1:], runs[0]) / self.runs
        return total


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a weights file; its JSON or its card beside it will do as its name.

    Raises FieldguideError when it is none, or one that says too little of itself.
    """
    from fieldguide.features.store import read_file

    weights = path.with_suffix(".safetensors") if path.suffix in (".json", ".md") else path
    if not weights.is_file():
        raise FieldguideError(f"{weights}: no such file; {HINT}")
    tensors, about = read_file(weights)
    if "classes" not in about or "backbone" not in about or "weight" not in tensors:
        raise FieldguideError(f"{weights}: is not a trained cell; {HINT}")
    if "model" not in about:
        raise FieldguideError(
            f"{weights}: does not say how its photographs were encoded, since its features were computed elsewhere or "
            "by an older version, and cannot name photographs; where the workflow encodes the images itself, run it "
            "again to have the cell trained anew"
        )
    return Checkpoint(
        weights,
        build_classifier(tensors),
        len(tensors["weight"]),
        about["classes"].split("\n"),
        about.get("class_names", about["classes"]).split("\n"),
        read_temperature(weights, about),
        about,
    )


def read_temperature(weights: Path, about: Mapping[str, str]) -> float | None:
    """A cell's temperature, from its calibration beside it or (older versions) from its weights; None without one."""
    if Calibration.path(weights).is_file():
        return Calibration.read(Calibration.path(weights)).temperature
    return float(about["temperature"]) if "temperature" in about else None


def build_classifier(tensors: Mapping[str, NDArray[Any]]) -> Classifier:
    """The classifier of a weights file's tensors: a linear layer, or a cache of images."""
    from fieldguide.adapters.recipes.cache import Cache

    return Adapter(tensors["weight"], tensors["bias"]) if "bias" in tensors else Cache(**tensors)


def find_model(about: Mapping[str, str], model: str = "", pretrained: str = "") -> tuple[str, str]:
    """The encoder's open_clip model and weights as they can be loaded here: as given, or as the checkpoint names them.

    A local folder is looked for where the checkpoint says, and in the project. Raises FieldguideError when it is
    nowhere, or when what is found is not what the checkpoint was trained with.
    """
    from fieldguide.features.backbone import LOCAL, backbone_key
    from fieldguide.features.preprocessing import set_by

    if not model:
        model, pretrained = about["model"], pretrained or about["pretrained"]
        folder = Path(model.removeprefix(LOCAL))
        if model.startswith(LOCAL) and not folder.is_dir() and (CHECKOUT / folder).is_dir():
            model = f"{LOCAL}{CHECKOUT / folder}"
        if model.startswith(LOCAL) and not Path(model.removeprefix(LOCAL)).is_dir():
            raise FieldguideError(
                f"the checkpoint's encoder lay in {folder}, which is not here; name its folder by --model {LOCAL}FOLDER"
            )
    key = backbone_key(model, pretrained, about["precision"], set_by(about))
    if key.rpartition("_")[2] != about["backbone"].rpartition("_")[2]:
        raise FieldguideError(
            f"the encoder {model} is {key}, but the checkpoint was trained on features of {about['backbone']}; name "
            "that one by --model and --pretrained"
        )
    return model, pretrained
