"""Tacotron 2 and Deep Voice 3: what backbones must do that find their own way through the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.algorithm import AdaptedModel, pinned
from benchmark.backbones._attentive import MOST_FRAMES, AttentiveBackbone, Written, alignment, divergence
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import PredictionFailed
from benchmark.plugins import fit, registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch, tiny_spec
from benchmark.running.flops import counted
from tests.meta_gradients import assert_meta_gradients, in_double

BOTH = pytest.mark.parametrize("name", ["tacotron2", "deep_voice3"])
DURATIONS = (2, 5, 0, 3, 6, 1, 4, 2)
"""Of an utterance's tokens, in frames; one of them, like a word boundary, lasts nothing."""


def tiny(name: str, **options: Any) -> AttentiveBackbone:
    plugin = registry.load("backbone", name)
    deeper = {"decoder_layers": 2} if name == "deep_voice3" else {}
    made = tiny_backbone(plugin, replace(plugin.tiny(), **{**deeper, **options}))
    assert isinstance(made, AttentiveBackbone)
    return made.eval()


def sentence(durations: Sequence[int] = DURATIONS) -> Batch:
    """One utterance of different tokens."""
    batch = tiny_batch(0, 1, tokens=len(durations))
    frames = sum(durations)
    mels = torch.randn(1, frames, batch.mels.shape[2], generator=torch.Generator().manual_seed(1)) - 5
    return replace(
        batch, tokens=1 + torch.arange(len(durations))[None], durations=torch.tensor([durations]), mels=mels,
        mel_lengths=torch.tensor([frames]),
    )  # fmt: skip


def overfitted(name: str, steps: int, **options: Any) -> tuple[AttentiveBackbone, Batch, list[float]]:
    """A small model that learned one sentence by heart, and its losses of attention."""
    torch.manual_seed(0)
    plugin = registry.load("backbone", name)
    sizes = {"tacotron2": {"encoder": 32, "decoder": 32, "attention": 16}, "deep_voice3": {"width": 32, "attention": 16}}[name]
    model = plugin(tiny_spec(), replace(plugin.tiny(), **{"frames_per_step": 2, **sizes, **options})).train()
    batch, optimizer = sentence(), torch.optim.Adam(model.parameters(), 1e-2)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses = model.loss(batch)
        losses["loss"].backward()
        optimizer.step()
        history.append(float(losses["attention"].detach()))
    assert isinstance(model, AttentiveBackbone)
    return model.eval(), batch, history


def test_the_alignment_is_the_share_of_each_token_in_a_steps_frames() -> None:
    found = alignment(torch.tensor([[2, 0, 5, 2], [1, 3, 0, 0]]), torch.tensor([9, 4]), 4, 3)
    expected = [[[0.5, 0, 0.5, 0], [0, 0, 0.75, 0.25], [0, 0, 0, 1]], [[0.25, 0.75, 0, 0], [0] * 4, [0] * 4]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_the_divergence_is_zero_on_the_alignment_and_torchs_elsewhere() -> None:
    aligned = torch.tensor([[[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]])
    scores = torch.randn(1, 2, 3)
    expected = torch.distributions.kl_divergence(torch.distributions.Categorical(aligned), torch.distributions.Categorical(logits=scores))
    torch.testing.assert_close(divergence(aligned, scores), expected)
    assert divergence(aligned, aligned.clamp_min(1e-30).log()).abs().max() < 1e-6


@BOTH
def test_meta_gradients_equal_finite_differences(name: str) -> None:
    assert_meta_gradients(tiny(name))


@BOTH
def test_each_utterance_is_heard_as_if_it_were_alone(name: str) -> None:
    model, short, long = tiny(name), sentence(), sentence((3, 4, 5, 2, 2, 7, 1, 6))
    ragged = replace(short, token_lengths=torch.tensor([6]), tokens=short.tokens[:, :6], durations=torch.tensor([[2, 5, 0, 3, 6, 7]]))
    pads = {"tokens": 2, "durations": 2}
    wider = {each: torch.nn.functional.pad(getattr(ragged, each), (0, pads[each])) for each in pads}
    mels = torch.nn.functional.pad(ragged.mels, (0, 0, 0, 30 - ragged.mels.shape[1]), value=7.0)
    padded = replace(ragged, **wider, mels=mels)
    together = Batch(**{each: torch.cat([getattr(padded, each), getattr(long, each)]) for each in vars(padded)})
    one, other = model.loss(ragged), model.loss(long)
    both = model.loss(together)
    for each, lengths in (("mel", (23, 30)), ("written", (23, 30)), ("stop", (6, 8)), ("attention", (6, 8))):
        mean = (lengths[0] * one[each] + lengths[1] * other[each]) / sum(lengths)
        torch.testing.assert_close(both[each], mean, rtol=1e-4, atol=1e-5)
    attention = model.attention(together)
    torch.testing.assert_close(attention[:1, :6, :6], model.attention(ragged), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 8))
    assert not attention[0, :, 6:].any()


@BOTH
def test_the_decoder_does_not_see_what_comes_after_a_step(name: str) -> None:
    model, batch = tiny(name), sentence()
    memory = model.read(batch.tokens, batch.token_lengths, torch.zeros(1, 4))
    before = torch.randn(1, 6, 4, 80)
    changed = before.clone()
    changed[:, 4:] += 1
    one, other = model.write(memory, before), model.write(memory, changed)
    for each in ("stop", "hidden", "attention"):
        torch.testing.assert_close(getattr(one, each)[:, :4], getattr(other, each)[:, :4])
    torch.testing.assert_close(one.mel[:, :16], other.mel[:, :16])
    assert not torch.allclose(one.mel[:, 16:], other.mel[:, 16:]) and not torch.allclose(one.stop[:, 4:], other.stop[:, 4:])


@BOTH
def test_step_by_step_is_as_all_at_once(name: str) -> None:
    model, batch = tiny(name), sentence()
    memory = model.read(batch.tokens, batch.token_lengths, torch.zeros(1, 4))
    before = torch.randn(1, 6, 4, 80)
    whole, state = model.write(memory, before), None
    for step in range(6):
        written = model.write(memory, before[:, step : step + 1], state)
        state = written.state
        torch.testing.assert_close(written.mel, whole.mel[:, 4 * step : 4 * step + 4])
        torch.testing.assert_close(written.stop, whole.stop[:, step : step + 1])
        torch.testing.assert_close(written.attention, whole.attention[:, step : step + 1])


@BOTH
def test_attention_follows_the_durations_after_a_few_steps(name: str) -> None:
    model, batch, history = overfitted(name, 100)
    with torch.no_grad():
        attention = model.attention(batch)
    aligned = alignment(batch.durations, batch.mel_lengths, 2, attention.shape[1])
    assert history[-1] < 0.3 * history[0]
    looks = attention.argmax(-1)
    assert float((aligned.gather(2, looks.unsqueeze(-1)) > 0).float().mean()) >= 0.9
    _, _, unguided = overfitted(name, 40, guidance=0.0)
    assert unguided[-1] > 3 * history[-1]


@BOTH
def test_what_was_learned_by_heart_is_spoken_and_ended(name: str) -> None:
    model, batch, _ = overfitted(name, 200, **({"dropout": 0.0} if name == "tacotron2" else {"prenet_dropout": 0.0}))
    with torch.no_grad():
        mel, attention = model.speak(batch.tokens[0], model.speaker_vectors()[0])
    assert mel.shape == (2 * len(attention), 80) and abs(len(mel) - sum(DURATIONS)) <= 4
    path = attention.argmax(-1)
    assert (path.diff() >= -1).all() and path[-1] >= len(DURATIONS) - 2


@BOTH
def test_babble_is_a_failed_prediction(name: str) -> None:
    model = tiny(name)
    tokens = torch.tensor([1, 3, 4, 1])
    for bias, reason in ((-100.0, f"it does not stop within {MOST_FRAMES} frames a symbol"), (torch.nan, "is not finite")):
        with torch.no_grad():
            model.stop.bias.fill_(bias)  # type: ignore[operator, union-attr]
        with pytest.raises(PredictionFailed, match=reason):
            AdaptedModel(model).mel(tokens)


@BOTH
def test_it_stops_when_it_says_so(name: str) -> None:
    model = tiny(name)
    with torch.no_grad():
        model.stop.bias.fill_(100.0)  # type: ignore[operator, union-attr]
    assert AdaptedModel(model).mel(torch.tensor([1, 3, 4, 1])).shape == (4, 80)


@BOTH
def test_a_text_far_longer_than_any_in_training_is_spoken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the cap, which grows with it."""
    model, tokens, steps = tiny(name), torch.arange(600) % 8 + 1, 0
    write = model.write

    def stopping(*arguments: Any, **options: Any) -> Written:
        nonlocal steps
        steps += 1
        written = write(*arguments, **options)
        return replace(written, stop=torch.full_like(written.stop, steps - 299.5))

    monkeypatch.setattr(model, "write", stopping)
    mel = AdaptedModel(model).mel(tokens)
    assert mel.shape == (300 * 4, 80) and torch.isfinite(mel).all()
    steps = -1000
    with pytest.raises(PredictionFailed, match="it does not stop within"), torch.no_grad():
        model.speak(tokens[:60])
    assert steps == -1000 + 60 * MOST_FRAMES / 4


@BOTH
def test_dropout_is_off_in_evaluation_and_speech_is_repeatable(name: str) -> None:
    model = tiny(name)
    with torch.no_grad():
        one, other = (model.loss(sentence())["loss"] for _ in range(2))
        assert torch.equal(one, other)
    with pinned(model, training=True), torch.no_grad():
        one, other = (model.loss(sentence())["loss"] for _ in range(2))
        assert not torch.equal(one, other)


@BOTH
def test_the_speaker_vector_matters_and_is_learned(name: str) -> None:
    model, batch = tiny(name), sentence()
    one, other = (model.loss(batch, torch.full((4,), value))["mel"] for value in (-1.0, 1.0))
    assert not torch.isclose(one, other, rtol=1e-4)
    torch.testing.assert_close(model.loss(batch)["loss"], model.loss(batch, model.speaker_vectors()[0])["loss"])
    mean = model.speaker_vectors().mean(0)
    torch.testing.assert_close(model.loss(batch.as_new_speaker())["loss"], model.loss(batch, mean)["loss"])
    model.loss(batch.as_new_speaker())["loss"].backward()  # type: ignore[no-untyped-call]
    assert model.new_speaker.grad is not None and model.new_speaker.grad.abs().min() > 0
    assert model.speaker_table.weight.grad is None or not model.speaker_table.weight.grad.any()


@BOTH
def test_groups_share_out_all_parameters(name: str) -> None:
    model = tiny(name)
    groups = dict(model.adaptable_groups())
    every = groups.pop("all")
    assert sorted(each for group in groups.values() for each in group) == sorted(every)
    assert all(groups.values()) and set(groups) == {"embedding", "encoder", "attention", "decoder", "postnet", "output"}


@BOTH
def test_a_default_model_costs_a_step_about_what_fastspeech2_does(name: str) -> None:
    def cost(name: str) -> int:
        model = registry.load("backbone", name)(tiny_spec())
        with counted() as count:
            model.loss(tiny_batch(0, 2, tokens=20))["loss"].backward()
        return count.total

    assert 0.25 < cost(name) / cost("fastspeech2") < 2


@BOTH
def test_without_durations_aligned_metrics_are_left_out_with_the_reason(name: str) -> None:
    kept, sentence = fit.fitting_metrics(["mcd", "pesq", "stoi"], name)
    assert kept == ["mcd"] and sentence == f"{name} has no durations, so pesq and stoi, which need aligned speech, are left out."


@BOTH
def test_single_precision_takes_other_kernels_and_gives_the_same_loss(name: str) -> None:
    model, batch = tiny(name), sentence()
    single = model.loss(batch)
    double = model.double().loss(in_double(batch))
    for each, value in double.items():
        torch.testing.assert_close(single[each].double(), value, rtol=1e-4, atol=1e-5)


@BOTH
def test_what_stands_in_the_padding_changes_no_gradient(name: str) -> None:
    model, batch = tiny(name), replace(sentence(), speakers=torch.tensor([NEW_SPEAKER]))
    loud = replace(batch, mels=torch.nn.functional.pad(batch.mels, (0, 0, 0, 9), value=50.0))
    gradients: list[Tensor] = []
    for each in (batch, loud):
        model.zero_grad()
        model.loss(each)["loss"].backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)
