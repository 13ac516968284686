"""Metric learning: separable voices come apart, windows hold no padding, every choice keeps the contract."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional as F

from benchmark.algorithm import AdaptedModel, Algorithm, Task
from benchmark.backbone import SynthesisBackbone
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.learning.inner_loop import sizes
from benchmark.learning.speaker_encoders import SpeakerEncoder, windows
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.scoring.verification import equal_error_rate, verification_trials
from tests.contract_helpers import unmet

LOSSES, ENCODERS = ("siamese", "triplet", "prototypical", "ge2e"), ("xvector", "ecapa")


def voices(speakers: int, seed: int, first: int = 0) -> list[Batch]:
    """Eight utterances of each made-up speaker: noise around a spectrum that bends slowly and is the speaker's own."""
    batches = []
    for speaker in range(first, first + speakers):
        own = torch.randn(5, generator=torch.Generator().manual_seed(100 + speaker))
        spectrum = F.interpolate(own[None, None], size=80, mode="linear", align_corners=True)[0, 0]
        batch = tiny_batch(speaker % 4, 8, seed * 100 + speaker)
        batches.append(replace(batch, mels=batch.mels + 0.3 * spectrum))
    return batches


def eer(algorithm: Algorithm) -> float:
    embeddings = {}
    for number, batch in enumerate(voices(12, seed=9, first=4000)):
        embeddings[str(number)] = F.normalize(algorithm.embed(batch), dim=1).numpy()  # type: ignore[operator]
    return equal_error_rate(*verification_trials(embeddings))


def make(name: str = "metric", **options: object) -> Algorithm:
    plugin: type[Algorithm] = registry.load("algorithm", name)
    torch.manual_seed(0)
    return plugin(tiny_backbone(), plugin.Config(**options))  # type: ignore[call-arg]


def half(batch: Batch, where: slice) -> Batch:
    return Batch(**{name: value[where] for name, value in batch.__dict__.items()})


@pytest.mark.parametrize("loss", LOSSES)
def test_error_rate_falls_with_training_on_separable_voices(loss: str) -> None:
    algorithm = make(loss=loss, encoder="xvector", embedding_dim=16, metric_weight=1.0)
    before = eer(algorithm)
    optimizer = torch.optim.Adam(algorithm.parameters())
    for step in range(30):
        optimizer.param_groups[0]["lr"] = 3e-4 * (1 - step / 30)
        tasks = [Task(half(batch, slice(0, 4)), half(batch, slice(4, 8))) for batch in voices(4, seed=step, first=12 + 4 * step)]
        optimizer.zero_grad()
        algorithm.meta_step(tasks)
        optimizer.step()
    after = eer(algorithm)
    assert after < 0.6 * before, f"{before:.3f} to {after:.3f}"


# Loss and encoder know nothing of each other, so each loss is tried once.
@pytest.mark.parametrize(("loss", "encoder"), list(zip(LOSSES, itertools.cycle(ENCODERS), strict=False)))
def test_every_choice_keeps_the_contract(loss: str, encoder: str) -> None:
    assert not unmet("metric", registry.load("algorithm", "metric").Config(loss=loss, encoder=encoder))


def test_fine_tuning_on_top_keeps_the_contract_and_starts_from_the_computed_vector() -> None:
    assert not unmet("metric", registry.load("algorithm", "metric").Config(encoder="xvector", fine_tune_groups=("decoder", "output")))
    plain, tuned = make(encoder="xvector"), make(encoder="xvector", fine_tune_groups=("decoder", "output"))
    tuned.load_state_dict(plain.state_dict())
    support, sentence = tiny_batch(NEW_SPEAKER), (torch.tensor([1, 3, 4, 1]), torch.full((4,), 3))
    (_, zero), (_, three) = tuned.adapt(support, [0, 3])
    (_, computed) = next(plain.adapt(support, [0]))
    assert (plain.max_steps, tuned.max_steps) == (0, None)
    assert isinstance(zero, AdaptedModel) and isinstance(three, AdaptedModel) and isinstance(computed, AdaptedModel)
    assert torch.allclose(zero.mel(*sentence), computed.mel(*sentence), atol=1e-5)
    assert not torch.allclose(three.mel(*sentence), computed.mel(*sentence), atol=1e-3)
    assert torch.equal(three.stored["new_speaker"], zero.stored["new_speaker"])
    assert plain.adapted_parameters() == {"speaker": 4}
    assert tuned.adapted_parameters() == {"new_speaker": 4} | sizes(tuned.backbone, tuned.names)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["metric", "style"])
def test_another_support_gives_another_voice_and_no_gradient_step(name: str) -> None:
    algorithm = make(name)
    sentence = torch.tensor([1, 3, 4, 1]), torch.full((4,), 3)
    spoken = []
    for batch in voices(2, seed=0):
        steps = [step for step, _ in algorithm.adapt(batch.as_new_speaker(), [0])]
        _, voice = next(algorithm.adapt(batch.as_new_speaker(), [0]))
        assert steps == [0] and algorithm.max_steps == 0 and isinstance(voice, AdaptedModel)
        spoken.append(voice.mel(*sentence))
    assert (spoken[0] - spoken[1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["metric", "style"])
def test_codes_stand_for_vectors_in_units_of_the_pretrained_table(name: str) -> None:
    algorithm = make(name)
    assert isinstance(algorithm.backbone, SynthesisBackbone)
    table = algorithm.backbone.speaker_vectors().detach()
    codes = torch.from_numpy(scipy.stats.zscore(table.numpy(), axis=0))
    batches = [tiny_batch(speaker) for speaker in range(4)]
    assert torch.allclose(algorithm.vector(codes), table, atol=1e-5)  # type: ignore[operator]
    assert torch.allclose(algorithm.vector(torch.zeros(4)), table.mean(0))  # type: ignore[operator]
    assert float(algorithm.table_loss(batches, list(codes))) == pytest.approx(0, abs=1e-10)  # type: ignore[operator]
    assert float(algorithm.table_loss(batches[1:], [codes[1] + 2, codes[2], codes[3]])) == pytest.approx(4 / 3)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["metric", "style"])
def test_an_utterance_embeds_alike_alone_and_padded(name: str) -> None:
    algorithm = make(name)
    alone, two = tiny_batch(0, 1, 1), tiny_batch(0, 2)
    padded = F.pad(alone.mels, (0, 0, 0, 150 - 24), value=3.0)
    batch = replace(two, mels=torch.cat([padded, torch.randn(1, 150, 80) - 5]), mel_lengths=torch.tensor([24, 150]))
    assert torch.allclose(algorithm.embed(batch)[:1], algorithm.embed(alone), atol=1e-5)  # type: ignore[operator]


def test_windows_cover_an_utterance_and_hold_no_padding() -> None:
    lengths = torch.tensor([3, 8, 9, 17])
    mels = torch.full((4, 20, 1), -1.0)
    for row, length in enumerate(lengths.tolist()):
        mels[row, :length, 0] = torch.arange(length)
    cut, owner = windows(mels, lengths, 8)
    assert owner.tolist() == [0, 1, 2, 2, 3, 3, 3]
    assert cut[0, :, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    for row, length in enumerate(lengths.tolist()):
        assert set(cut[owner == row].flatten().tolist()) == set(range(length))


def test_batch_normalisation_learns_its_statistics_and_importing_speechbrain_leaves_torch_alone() -> None:
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    encoder = SpeakerEncoder("ecapa", 80, 8)
    names = {name for name in encoder.state_dict() if "running_mean" in name}
    before = {name: encoder.state_dict()[name].clone() for name in names}
    encoder.train()(torch.randn(4, 30, 80) + 1, torch.tensor([30, 20, 10, 5]))
    assert names and all(not torch.equal(before[name], encoder.state_dict()[name]) for name in names)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == tf32


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("metric", {"loss": "arcface"}, "loss must be one of siamese"),
        ("metric", {"encoder": "resnet"}, "encoder must be one of xvector"),
        ("metric", {"embedding_dim": 1}, "embedding_dim must be at least 2, not 1"),
        ("metric", {"metric_weight": -1.0}, "metric_weight must be at least 0"),
        ("metric", {"encoder_boost": 0.0}, "encoder_boost must be above 0"),
        ("metric", {"fine_tune_rate": 0.0}, "fine_tune_rate must be above 0"),
        ("style", {"width": 9}, "width must be a multiple of heads"),
        ("style", {"heads": 0}, "heads must be at least 1"),
        ("style", {"dropout": 1.0}, "dropout must be below 1, not 1"),
    ],
)
def test_bad_configuration_is_refused(name: str, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        registry.load("algorithm", name).Config(**options)


def test_unknown_group_is_refused() -> None:
    with pytest.raises(UsageError, match="no group 'tail'"):
        make(fine_tune_groups=("tail",))


def test_a_support_set_that_is_not_finite_fails_the_episode() -> None:
    batch = tiny_batch(NEW_SPEAKER)
    with pytest.raises(AdaptationFailed, match="not finite"):
        next(make(encoder="xvector").adapt(replace(batch, mels=torch.full_like(batch.mels, np.nan)), [0]))
