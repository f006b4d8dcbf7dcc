"""A CLIP's large layers made faster on a CPU, the numbers kept: their weights are packed for oneDNN once.

torch hands a linear layer in single precision to MKL, weights as they lie; oneDNN takes them in its own layout and
applies the activation while the result is still in cache. Sums are taken in another order, so the last bits differ.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

LARGE = 512
"""Layers at least so wide, in and out, are packed; with smaller ones the call itself is what takes time."""
ROWS = 1024
"""Rows of input that the packed layout is chosen for; it serves any number."""
QUICK = 1.702
"""QuickGELU, by which OpenAI trained, is x * sigmoid(1.702 x)."""


def can_pack() -> bool:
    """Whether this torch has oneDNN's packed linear layers, which it keeps for its own compiler."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Module):
    """`nn.Linear` in inference, (…, in) to (…, out) float32, then an activation: "none", "gelu" or "swish"."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)
        self.bias = bias
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        variant = "none" if self.activation == "gelu" else ""  # GELU by the error function, not by tanh
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.activation, [], variant)
        return out


class PackedAttention(nn.Module):
    """`nn.MultiheadAttention` of a sequence with itself, in inference: (batch, length, width) to the same."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = attention.num_heads
        self.inward = PackedLinear(attention.in_proj_weight, attention.in_proj_bias)
        self.outward = PackedLinear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, None]:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.inward(x).chunk(3, -1))
        return self.outward(scaled_dot_product_attention(q, k, v, attn_mask).transpose(1, 2).flatten(2)), None


class PackedPatches(nn.Module):
    """A convolution whose windows do not overlap, as a linear layer on patches: (b, c, h, w) to (b, out, h/k, w/k)."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.size = convolution.kernel_size[0]
        self.linear = PackedLinear(convolution.weight.flatten(1), convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        b, c, k = x.shape[0], x.shape[1], self.size
        h, w = x.shape[2] // k, x.shape[3] // k
        windows = x[:, :, : h * k, : w * k].reshape(b, c, h, k, w, k).permute(0, 2, 4, 1, 3, 5)
        return self.linear(windows.reshape(b, h * w, c * k * k)).transpose(1, 2).unflatten(2, (h, w))


def pack(tower: nn.Module) -> int:
    """Pack the large layers of CLIP's residual blocks and its patch embedding, in place; returns how many.

    tower: in evaluation mode, float32, on the CPU. Layers of other kinds stay as they are.
    """
    if not can_pack():
        return 0
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    packed = 0
    for module in list(tower.modules()):
        if type(module) is ResidualAttentionBlock:
            packed += pack_block(module)
        elif type(module) is VisionTransformer and is_patchwise(module.conv1):
            module.conv1 = PackedPatches(module.conv1)
            packed += 1
    return packed


def is_patchwise(layer: Any) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a large convolution that cuts the image into square patches."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == layer.stride == layer.kernel_size[::-1]
        and (layer.padding, layer.dilation, layer.groups) == ((0, 0), (1, 1), 1)
        and min(layer.weight.flatten(1).shape) >= LARGE
    )


def pack_block(block: Any) -> int:
    """Pack a residual block's attention and its two linear layers, the activation with the first."""
    from open_clip.transformer import QuickGELU

    attention, widen, narrow, between = block.attn, block.mlp.c_fc, block.mlp.c_proj, block.mlp.gelu
    if attention.embed_dim < LARGE or not attention.batch_first or hasattr(block, "ln_1_kv"):
        return 0
    block.attn = PackedAttention(attention)
    activation, scale = "none", 1.0
    if type(between) is nn.GELU and between.approximate == "none":
        activation = "gelu"
    elif type(between) is QuickGELU:
        # swish is x * sigmoid(x): of 1.702 x it is 1.702 times QuickGELU.
        activation, scale = "swish", QUICK
    if activation != "none":
        block.mlp.gelu = nn.Identity()
    block.mlp.c_fc = PackedLinear(widen.weight * scale, widen.bias * scale, activation)
    block.mlp.c_proj = PackedLinear(narrow.weight / scale, narrow.bias)
    return 4
