"""Packed layers: the numbers of the plain ones, and only where that pays."""

from __future__ import annotations

import pytest
import torch
from open_clip.model import CLIP
from torch import nn

from fieldguide.features import packing
from fieldguide.features.packing import LARGE, PackedAttention, PackedLinear, PackedPatches, can_pack, pack

pytestmark = pytest.mark.skipif(not can_pack(), reason="this torch has no packed linear layers")


def small_clip(width: int, quick_gelu: bool = False) -> CLIP:
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": width, "patch_size": 16, "head_width": 64}
    text = {"context_length": 9, "vocab_size": 60, "width": width, "heads": 8, "layers": 2}
    model = CLIP(16, vision, text, quick_gelu=quick_gelu)
    for parameter in model.parameters():  # biases that begin at zero would hide a mistake
        nn.init.normal_(parameter, std=0.05)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("batch", [1, 5])
def test_packed_towers_give_the_plain_numbers(quick_gelu: bool, batch: int) -> None:
    model = small_clip(LARGE, quick_gelu)
    images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(1, 59, (batch, 9), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        wanted = model.encode_image(images, normalize=True), model.encode_text(ids, normalize=True)
        # Two blocks of four layers in each tower, and the patches, whose 768 numbers make a row.
        assert pack(model) == 17
        found = model.encode_image(images, normalize=True), model.encode_text(ids, normalize=True)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(PackedLinear) == 17 and kinds.count(PackedAttention) == 4 and kinds.count(PackedPatches) == 1
    assert nn.Linear not in kinds


def test_small_layers_stay_as_they_are() -> None:
    model = small_clip(LARGE // 2)
    before = [type(module) for module in model.modules()]
    assert pack(model) == 0
    assert [type(module) for module in model.modules()] == before


def test_without_onednn_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "can_pack", lambda: False)
    assert pack(small_clip(LARGE)) == 0
