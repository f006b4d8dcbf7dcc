"""The Q-Former's parts by hand and against torch, and a planted translation that it has to find."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, normalize

from fieldguide.translators.qformer import (
    POOLINGS,
    LossWeights,
    QFormer,
    QFormerSize,
    conversion_loss,
    multi_positive_info_nce,
    pad_tokens,
    translate,
)
from fieldguide.translators.residual import LeastSquares
from fieldguide.translators.retrieval import recall_at

SMALL = QFormerSize(
    token_width=6, image_width=5, queries=3, layers=2, hidden=16, heads=2, cross_attention_frequency=2, dropout=0.1
)


def ragged(lengths: list[int], width: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A ragged token table (total, width) float16 and its offsets."""
    rng = torch.Generator().manual_seed(seed)
    tokens = torch.randn(sum(lengths), width, generator=rng).half()
    return tokens, torch.tensor([0, *lengths]).cumsum(0)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture(scope="module")
def model() -> QFormer:
    torch.manual_seed(0)
    return QFormer(SMALL).eval()


# ---------------------------------------------------------------- padding


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.data())
def test_pad_tokens_is_a_naive_loop(lengths: list[int], data: st.DataObject) -> None:
    tokens, offsets = ragged(lengths)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=8))
    longest = max(lengths[row] for row in rows)
    padded, mask = pad_tokens(tokens, offsets, torch.tensor(rows))
    assert padded.shape == (len(rows), longest, 6) and padded.dtype == torch.float32
    assert mask.shape == (len(rows), longest) and mask.dtype == torch.int64
    for i, row in enumerate(rows):
        start = sum(lengths[:row])
        for position in range(longest):
            inside = position < lengths[row]
            assert mask[i, position] == int(inside)
            wanted = tokens[start + position].float() if inside else torch.zeros(6)
            assert torch.equal(padded[i, position], wanted)


def test_padding_is_irrelevant(model: QFormer) -> None:
    tokens, offsets = ragged([2, 4, 3])
    padded, mask = pad_tokens(tokens, offsets, torch.arange(3))
    with torch.inference_mode():
        short = model(padded, mask)
        noise = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))
        long = model(torch.cat([padded, 9 * noise], 1), torch.cat([mask, torch.zeros(3, 5, dtype=torch.long)], 1))
        unmasked = model(torch.cat([padded, 9 * noise], 1), torch.cat([mask, torch.ones(3, 5, dtype=torch.long)], 1))
    torch.testing.assert_close(long, short, atol=1e-6, rtol=0)
    assert (unmasked - short).abs().max() > 1e-3, "without the mask the padding matters"


def test_translate_keeps_the_texts_order_whatever_the_batch(model: QFormer) -> None:
    tokens, offsets = ragged([5, 1, 3, 7, 1, 2, 4])
    one_by_one = [model(*pad_tokens(tokens, offsets, torch.tensor([row])))[0] for row in range(7)]
    for batch in (1, 2, 3, 7, 512):
        translated = translate(model, tokens, offsets, batch)
        torch.testing.assert_close(translated, torch.stack(one_by_one).detach(), atol=1e-6, rtol=0)
    torch.testing.assert_close(translated.norm(dim=1), torch.ones(7))


def test_translate_turns_dropout_off() -> None:
    torch.manual_seed(0)
    fresh = QFormer(SMALL)
    assert fresh.training
    tokens, offsets = ragged([2, 3])
    assert torch.equal(translate(fresh, tokens, offsets), translate(fresh, tokens, offsets))


# ---------------------------------------------------------------- losses


def test_info_nce_is_torchs_cross_entropy_when_all_images_differ() -> None:
    texts, images = unit(6, 4), unit(6, 4, seed=1)
    truth, logits = torch.arange(6), texts @ images.T / 0.07
    wanted = (cross_entropy(logits, truth) + cross_entropy(logits.T, truth)) / 2
    torch.testing.assert_close(multi_positive_info_nce(texts, images, 10 * truth, 0.07), wanted)


def test_info_nce_with_shared_images_by_hand() -> None:
    # Two captions of one image and one of another, at right angles, temperature 1: logits are 1 for own, else 0.
    texts = images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    e = torch.e
    shared, alone = torch.tensor((2 * e + 1) / e).log(), torch.tensor((e + 2) / e).log()
    # A caption of the shared image: both its rows are right, half each; both directions are alike.
    wanted = (2 * shared + alone) / 3
    torch.testing.assert_close(multi_positive_info_nce(texts, images, torch.tensor([7, 7, 3]), 1.0), wanted)


@given(st.permutations(range(6)), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_info_nce_does_not_depend_on_the_order(order: list[int], image_ids: list[int]) -> None:
    ids = torch.tensor(image_ids)
    texts, images = unit(6, 4), unit(4, 4, seed=1)[ids]
    shuffled = torch.tensor(order)
    loss = multi_positive_info_nce(texts, images, ids, 0.2)
    torch.testing.assert_close(multi_positive_info_nce(texts[shuffled], images[shuffled], ids[shuffled], 0.2), loss)
    # The best that can be had is the entropy of the targets.
    counts = (ids[:, None] == ids).sum(1).float()
    assert loss >= counts.log().mean() - 1e-6


def test_conversion_loss_by_hand() -> None:
    texts, images = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    ids = torch.tensor([0, 1])
    torch.testing.assert_close(
        conversion_loss(texts, images, ids, LossWeights(info_nce=0)), torch.tensor(1 - (1 + 0.8) / 2)
    )
    both = 0.1 + 3 * multi_positive_info_nce(texts, images, ids, 0.5)
    torch.testing.assert_close(conversion_loss(texts, images, ids, LossWeights(info_nce=3, temperature=0.5)), both)


# ---------------------------------------------------------------- the model


def test_metadata_makes_the_same_model_again(model: QFormer) -> None:
    again = QFormer.from_metadata({"translator": "qformer", **model.metadata()})
    assert again.size == SMALL
    again.load_state_dict(model.state_dict())
    tokens, offsets = ragged([2, 5])
    assert torch.equal(translate(again, tokens, offsets), translate(model, tokens, offsets))


def test_output_has_the_images_width_and_unit_norm(model: QFormer) -> None:
    out = model(*pad_tokens(*ragged([1, 4]), torch.arange(2)))
    assert out.shape == (2, 5)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))


def test_a_planted_translation_is_found() -> None:
    torch.manual_seed(0)
    kinds, width = 6, 8
    rng = torch.Generator().manual_seed(1)
    words = torch.randn(kinds + 10, width, generator=rng)  # the first few name what the picture shows, the rest fill
    pictures = unit(kinds, width) @ torch.linalg.qr(torch.randn(width, width, generator=rng))[0]
    kind = torch.randint(kinds, (300,), generator=rng)
    sentences = []
    for word in kind.tolist():
        filler = torch.randint(kinds, kinds + 10, (4,), generator=rng)
        place = int(torch.randint(5, (1,), generator=rng))
        sentences.append(torch.cat([words[filler[:place]], words[word : word + 1], words[filler[place:]]]))
    tokens, offsets = torch.cat(sentences), torch.arange(301) * 5
    size = QFormerSize(width, width, queries=2, layers=1, hidden=32, heads=2, cross_attention_frequency=1, dropout=0.0)
    model = QFormer(size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        rows = torch.randint(200, (64,), generator=rng)
        out = model(*pad_tokens(tokens, offsets, rows))
        loss = conversion_loss(out, pictures[kind[rows]], kind[rows], LossWeights(temperature=0.1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    translated = translate(model, tokens, offsets)[200:]
    assert recall_at(translated.numpy(), pictures.numpy(), kind[200:].numpy(), 1) > 90  # chance is 17
    assert float((translated * pictures[kind[200:]]).sum(1).mean()) > 0.9


def blip2_weights(model: QFormer) -> dict[str, torch.Tensor]:
    """Our weights under the names of transformers' Blip2QFormerModel."""
    names = {
        "norm": "layernorm",
        "attention.query": "attention.attention.query",
        "attention.key": "attention.attention.key",
        "attention.value": "attention.attention.value",
        "attention.out": "attention.output.dense",
        "attention.norm": "attention.output.LayerNorm",
        "widen": "intermediate_query.dense",
        "narrow": "output_query.dense",
        "layer.norm": "output_query.LayerNorm",
    }
    theirs: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        part, _, kind = name.rpartition(".")
        if part.startswith("layers."):
            _, index, inner = part.split(".", 2)
            cross = inner.startswith("cross_")
            inner = names["layer.norm"] if inner == "norm" else names[inner.removeprefix("cross_")]
            inner = inner.replace("attention.", "crossattention.", 1) if cross else inner
            theirs[f"encoder.layer.{index}.{inner}.{kind}"] = tensor
        elif part == "norm":
            theirs[f"{names['norm']}.{kind}"] = tensor
    return theirs


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_every_layer_gives_the_states_and_gradients_of_transformers_qformer(frequency: int) -> None:
    from transformers import Blip2QFormerConfig, Blip2QFormerModel

    torch.manual_seed(0)
    size = QFormerSize(token_width=12, image_width=6, queries=5, layers=3, hidden=16, heads=4, dropout=0.0)
    size = replace(size, cross_attention_frequency=frequency)
    ours = QFormer(size).train()
    for parameter in ours.parameters():  # biases and norms too, which start at 0 and 1
        torch.nn.init.normal_(parameter, std=0.3)
    config = Blip2QFormerConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        cross_attention_frequency=frequency,
        encoder_hidden_size=12,
        use_qformer_text_input=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    theirs = Blip2QFormerModel(config).train()
    theirs.load_state_dict(blip2_weights(ours))
    tokens, mask = torch.randn(4, 7, 12), torch.ones(4, 7, dtype=torch.long)
    mask[1, 3:] = mask[2, 1:] = 0

    seen: list[torch.Tensor] = []
    for layer in ours.layers:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    queries = ours.queries.detach().clone().requires_grad_()
    out = theirs(
        query_embeds=queries.expand(4, -1, -1),
        encoder_hidden_states=tokens,
        encoder_attention_mask=mask,
        output_hidden_states=True,
    )
    last = ours.states(tokens, mask)
    assert len(out.hidden_states) == len(seen) + 1
    for one, other in zip(seen, out.hidden_states[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last, out.last_hidden_state, rtol=1e-4, atol=1e-5)
    # Gradients too, of every weight: a layer that is computed once for all captions must learn from all of them.
    direction = torch.randn_like(last)
    (last * direction).sum().backward()
    (out.last_hidden_state * direction).sum().backward()
    assert ours.queries.grad is not None and queries.grad is not None
    torch.testing.assert_close(ours.queries.grad, queries.grad, rtol=1e-3, atol=1e-4)
    for parameter in ours.parameters():
        if parameter.grad is not None:
            parameter.data = parameter.grad
    wanted = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, gradient in blip2_weights(ours).items():
        torch.testing.assert_close(
            gradient, wanted[name], rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("residual", [False, True])
def test_pooling_and_residual_by_hand(pooling: str, residual: bool) -> None:
    torch.manual_seed(0)
    model = QFormer(replace(SMALL, pooling=pooling, residual=residual)).eval()
    torch.nn.init.normal_(model.project.weight)
    tokens, mask = pad_tokens(*ragged([2, 4, 3]), torch.arange(3))
    with torch.inference_mode():
        states = model.states(tokens, mask)
        one = {"mean": states.mean(1), "first": states[:, 0], "concat": states.reshape(3, -1)}[pooling]
        wanted = one @ model.project.weight.T + model.project.bias
        if residual:
            last = torch.stack([tokens[0, 1], tokens[1, 3], tokens[2, 2]])
            wanted = wanted + last @ model.base.weight.T + model.base.bias
        torch.testing.assert_close(model(tokens, mask), normalize(wanted, dim=-1))
    assert QFormer.from_metadata(model.metadata()).size == model.size


def test_what_an_older_file_does_not_say_is_as_it_was() -> None:
    older = {k: v for k, v in QFormer(SMALL).metadata().items() if k not in ("pooling", "residual")}
    assert QFormer.from_metadata(older).size == SMALL


# ---------------------------------------------------------------- the linear map that a residual Q-Former corrects


def test_least_squares_is_ridge_of_scikit_learn_in_parts() -> None:
    from sklearn.linear_model import Ridge

    x, y = torch.randn(200, 6, dtype=torch.float64) * 2 + 1, torch.randn(200, 4, dtype=torch.float64) - 3
    fitted = LeastSquares(6, 4)
    for part in torch.arange(200).split(64):
        fitted.add(x[part], y[part])
    weight, bias = fitted.solve(0.3)
    alpha = 0.3 * 200 * float(x.var(0, unbiased=False).mean())
    theirs = Ridge(alpha=alpha).fit(x.numpy(), y.numpy())
    torch.testing.assert_close(weight.double(), torch.from_numpy(theirs.coef_), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(bias.double(), torch.from_numpy(theirs.intercept_), rtol=1e-5, atol=1e-6)


def test_least_squares_towards_the_inputs_keeps_what_no_pair_determines() -> None:
    # Pairs that vary in the first two coordinates only, where the target is twice the input, the other way round.
    x = torch.zeros(500, 4)
    x[:, :2] = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    fitted = LeastSquares(4, 4)
    fitted.add(x, 2 * x)
    weight, bias = fitted.solve(1.0, towards_inputs=True)
    torch.testing.assert_close(weight, 2 * torch.eye(4), atol=1e-4, rtol=0)
    assert fitted.solve(1.0)[0][2:, 2:].abs().max() < 1e-6, "plain ridge forgets them"
    fitted = LeastSquares(4, 4)
    fitted.add(x, x @ torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) + 3)
    weight, bias = fitted.solve(1e-6, towards_inputs=True)
    torch.testing.assert_close(weight[:2, :2], torch.tensor([[0.0, 1], [1, 0]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(bias, torch.full((4,), 3.0), atol=1e-3, rtol=0)
