"""What the memory-augmented algorithms share: measuring phones, batching, and learning to tell voices apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from benchmark.algorithm import AdaptedModel, Task
from benchmark.backbone import Backbone
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import AdaptationFailed
from benchmark.learning.recall import PhoneAcoustics, RecallLearner
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch

LEARNERS = ("memory", "fast_weights")


def learner(name: str, backbone: Backbone | None = None) -> RecallLearner:
    torch.manual_seed(0)
    made: RecallLearner = registry.load("algorithm", name)(backbone or tiny_backbone())
    return made


def spoken(voice: int, seed: int) -> Batch:
    """Sentences in one of two voices, which differ in their spectrum's tilt and in pitch."""
    batch = tiny_batch(voice, 3, seed)
    tilt = torch.linspace(-1, 1, batch.mels.shape[-1]) * (1 if voice else -1)
    return replace(batch, mels=0.1 * (batch.mels + 5) - 5 + tilt, pitch=0.1 * batch.pitch + (1 if voice else -1))


def test_a_phone_is_measured_over_its_own_frames() -> None:
    acoustics, batch = PhoneAcoustics(tiny_backbone().spec), tiny_batch(0)
    durations = torch.tensor([[4, 0, 6, 5, 5, 4], [9, 3, 3, 3, 0, 0]])
    batch = replace(batch, durations=durations, token_lengths=torch.tensor([6, 4]), mel_lengths=durations.sum(1))
    features, mask = acoustics.measure(batch)
    assert mask.tolist() == [[True, False, True, True, True, True], [True, True, True, True, False, False]]
    torch.testing.assert_close(features[0, 2, :80], batch.mels[0, 4:10].mean(0) + 5, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features[1, 3, :80], batch.mels[1, 15:18].mean(0) + 5, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features[0, 2, 80:], torch.stack([batch.pitch[0, 2], batch.energy[0, 2], torch.tensor(7.0).log()]))


def test_features_are_relative_to_the_phone() -> None:
    acoustics, batch = PhoneAcoustics(tiny_backbone().spec), tiny_batch(0, 40)
    for _ in range(300):  # long enough for the prior to fade
        acoustics.learn([batch])
    features, mask = acoustics(batch)
    for phone in batch.tokens.unique():
        of_phone = features[mask & (batch.tokens == phone)]
        torch.testing.assert_close(of_phone.mean(0), torch.zeros(83), atol=2e-2, rtol=0)
        assert float(of_phone[:, :82].std(0, correction=0).sub(1).abs().max()) < 0.02


@pytest.mark.parametrize("name", LEARNERS)
def test_speakers_of_unequal_support_are_remembered_as_if_alone(name: str) -> None:
    algorithm, supports = learner(name), [tiny_batch(0, 1, 1), tiny_batch(1, 4, 2), tiny_batch(2, 2, 3)]
    together = algorithm.remember(supports)
    for number, support in enumerate(supports):
        torch.testing.assert_close(together[number], algorithm.remember([support])[0])


@pytest.mark.parametrize("name", LEARNERS)
def test_padding_of_support_and_query_changes_nothing(name: str) -> None:
    algorithm, support = learner(name), tiny_batch(0, 2, 1)
    torch.nn.init.normal_(algorithm.project.weight)
    pad = {field: F.pad(getattr(support, field), (0, 3)) for field in ("tokens", "durations", "pitch", "energy")}
    padded = replace(support, mels=F.pad(support.mels, (0, 0, 0, 5)), **pad)
    memory = algorithm.remember([support])
    torch.testing.assert_close(algorithm.remember([padded]), memory)
    torch.testing.assert_close(algorithm.recall(memory[0], padded.tokens), algorithm.recall(memory[0], support.tokens))


@pytest.mark.parametrize("name", LEARNERS)
def test_starts_as_the_shared_voice(name: str) -> None:
    algorithm, sentence = learner(name), (torch.tensor([1, 3, 4, 5]), torch.tensor([2, 3, 4, 5]))
    with torch.no_grad():
        algorithm.backbone.new_speaker.normal_()
    _, voice = next(iter(algorithm.adapt(tiny_batch(NEW_SPEAKER), [0])))
    expected = algorithm.backbone.eval().synthesize(*sentence)
    assert isinstance(voice, AdaptedModel)
    torch.testing.assert_close(voice.mel(*sentence), expected.detach())


@pytest.mark.parametrize("name", LEARNERS)
def test_learns_to_speak_as_the_support_does(name: str) -> None:
    algorithm = learner(name)
    optimizer = torch.optim.AdamW(algorithm.parameters(), lr=3e-3)
    for step in range(40):
        optimizer.zero_grad()
        algorithm.meta_step([Task(spoken(voice, 4 * step + voice), spoken(voice, 4 * step + 2 + voice)) for voice in (0, 1)])
        optimizer.step()
    algorithm.eval()
    query = spoken(1, 1001)
    losses = []
    with torch.no_grad():
        for voice in (0, 1):
            vectors = algorithm.recall(algorithm.remember([spoken(voice, 1002 + voice)])[0], query.tokens)
            losses.append(float(algorithm.backbone.loss(query, vectors)["mel"]))
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", LEARNERS)
def test_a_memory_that_is_not_finite_fails_the_adaptation(name: str) -> None:
    broken = replace(tiny_batch(NEW_SPEAKER), pitch=torch.full((2, 6), float("nan")))
    with pytest.raises(AdaptationFailed, match="not finite"):
        list(learner(name).adapt(broken, [0]))
