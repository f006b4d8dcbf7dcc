"""The measures of conversion accuracy: how tables name them, and what they are. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

PAIR_MEASURES = {
    "cosine": ("cosine", 3),
    "control": ("control", 3),
    "recall_1": ("R@1", 1),
    "recall_5": ("R@5", 1),
    "recall_10": ("R@10", 1),
    "centred_recall_1": ("R@1 centred", 1),
    "centroid_distance": ("centroid distance", 3),
    "covariance_distance": ("covariance distance", 3),
    "variance_ratio": ("variance ratio", 2),
}
"""Measures on pairs: their heads and decimals."""
DATASET_MEASURES = {
    "nearest_class_mean": "nearest class mean",
    "zs_translated": "zs-translated",
    "accuracy_50": "adapter at 50:50",
    "accuracy_0": "adapter at 0:100",
}
"""Measures on the target, of every text source, all in percent."""
MEASURES: Mapping[str, str] = {
    "cosine": "cosine of a translated caption to its own image",
    "control": "cosine of a translated caption to other images, beside which the cosine has to be read",
    "recall_1": "captions whose own image is the nearest, %",
    "recall_5": "captions whose own image is among the 5 nearest, %",
    "recall_10": "captions whose own image is among the 10 nearest, %",
    "centred_recall_1": "captions whose own image is the nearest, texts and images each less their mean, %",
    "centroid_distance": "distance of the mean of translated captions from that of images (features of length 1)",
    "covariance_distance": "covariance distance: 0 if texts spread as images do, 1 if they were all one point",
    "variance_ratio": "spread of translated captions by that of images (1: the same)",
    "nearest_class_mean": "texts whose nearest mean of real test images is their own class's, %",
    "zs_translated": "zero-shot accuracy with translated texts on the test images, %",
    "accuracy_50": "accuracy of the thesis recipe at 50:50 on the test images, %",
    "accuracy_0": "accuracy of the thesis recipe at 0:100 (text alone) on the test images, %",
}
"""What the measures of conversion accuracy are, with their units; those of a text source have its name before them."""


def describe_measure(column: str) -> str:
    """What a measure of conversion accuracy is, with its unit; its own name, where nothing more is known."""
    for name, meaning in MEASURES.items():
        if column == name:
            return meaning
        if column.endswith(f"_{name}") and not column.startswith("centred"):
            return f"{column.removesuffix(name).rstrip('_')}: {meaning}"
    return column.replace("_", " ")
