"""The recogniser: meta-gradients, bad input, and that it learns to spell."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.algorithm import AdaptedModel, Algorithm
from benchmark.backbones.crnn_ctc import CrnnCtc, beam_search
from benchmark.batch import Batch
from benchmark.errors import AdaptationFailed, PredictionFailed
from benchmark.plugins import fit, registry
from benchmark.plugins.conformance.tiny import tiny_batch, tiny_spec
from benchmark.problems import PROBLEMS
from benchmark.running.episodes import Episode
from benchmark.running.evaluation import Evaluator
from benchmark.task import Task
from tests.cli_helpers import refused
from tests.metric_helpers import write_corpus

SPEC = replace(tiny_spec(), characters=tuple("abc"))


def batch(*texts: str, frames: int = 30, seed: int = 0) -> Batch:
    made = tiny_batch(0, len(texts), seed)
    codes = [torch.tensor([ord(each) for each in text], dtype=torch.int64) for text in texts]
    generator = torch.Generator().manual_seed(seed)
    mels = torch.randn(len(texts), frames, SPEC.mel.n_mels, generator=generator)
    lengths = torch.full((len(texts),), frames)
    return replace(made, mels=mels, mel_lengths=lengths, characters=torch.nn.utils.rnn.pad_sequence(codes, batch_first=True))


def model(**options: Any) -> CrnnCtc:
    torch.manual_seed(0)
    return CrnnCtc(SPEC, replace(CrnnCtc.tiny(), **options))


def test_meta_gradients_equal_finite_differences() -> None:
    plugin = registry.load("algorithm", "maml")
    maml: Algorithm = plugin(model(dropout=0.0), plugin.Config(inner_steps=2, inner_lr=0.1)).to(torch.float64)
    support, query = (replace(each, mels=each.mels.double()) for each in (batch("ab", "ca"), batch("bc", "a", seed=1)))

    def loss(direction: list[Tensor], size: float) -> float:
        with torch.no_grad():
            for parameter, part in zip(maml.parameters(), direction, strict=True):
                parameter.add_(part, alpha=size)
        maml.zero_grad()
        return maml.meta_step([Task(support, query)])["loss"]

    loss([torch.zeros_like(each) for each in maml.parameters()], 0)
    gradient = [each.grad.clone() for each in maml.parameters() if each.grad is not None]
    for _ in range(2):
        direction = [torch.randn_like(each) for each in maml.parameters()]
        step = 1e-6
        over, under = loss(direction, step), loss(direction, -2 * step)
        loss(direction, step)
        slope = sum(float((each * part).sum()) for each, part in zip(gradient, direction, strict=True))
        assert (over - under) / (2 * step) == pytest.approx(slope, rel=1e-4)


def test_padding_and_company_change_no_transcript_loss() -> None:
    recogniser = model().eval()
    short, long = batch("ab", frames=21), batch("cab", frames=40, seed=1)
    mels = torch.nn.utils.rnn.pad_sequence([short.mels[0], long.mels[0]], batch_first=True)
    both = replace(batch("ab", "cab"), mels=mels, mel_lengths=torch.tensor([21, 40]))
    alone = [float(recogniser.loss(each)["loss"].detach()) for each in (short, long)]
    assert float(recogniser.loss(both)["loss"].detach()) == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_it_learns_to_spell() -> None:
    recogniser = model(dropout=0.0, hidden=32, channels=4)
    texts = ("abc", "cab", "b", "aac")
    made = batch(*texts)
    optimizer = torch.optim.Adam(recogniser.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        recogniser.loss(made)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert [recogniser.transcribe(mel) for mel in made.mels] == list(texts)


def test_characters_never_seen_are_left_out_and_hopeless_utterances_too() -> None:
    recogniser = model().eval()
    plain = float(recogniser.loss(batch("ab"))["loss"].detach())
    assert float(recogniser.loss(batch("aßb"))["loss"].detach()) == pytest.approx(plain)
    crowded = replace(batch("ab", "abcabcabcabcabcabc"), mels=batch("ab", "ab").mels)
    assert float(recogniser.loss(crowded)["loss"].detach()) == pytest.approx(float(recogniser.loss(batch("ab", ""))["loss"].detach()))
    for hopeless in (batch("xyz"), batch("abcabc", frames=4), batch("")):
        with pytest.raises(AdaptationFailed, match="long enough for its transcript"):
            recogniser.loss(hopeless)
    shares = [float(recogniser.loss(each)["left_out"]) for each in (batch("ab"), crowded, batch("ab", "", "xyz", "c"))]
    assert shares == pytest.approx([0, 0.5, 0.5]), "they are counted"


def test_learnable_is_what_has_a_loss() -> None:
    assert not model().learnable(8, " ")
    for frames, text in itertools.product((1, 4, 5, 8), ("", "a", "ab", "aab", "aaaa", "abca")):
        if model().learnable(frames, text):
            assert math.isfinite(model().loss(batch(text, frames=frames))["loss"].detach())
        else:
            with pytest.raises(AdaptationFailed):
                model().loss(batch(text, frames=frames))


@pytest.mark.parametrize("name", ["maml", "reptile", "meta_sgd", "anil", "maml_plus_plus", "imaml", "finetune"])
def test_the_learners_of_speech_learn_to_recognise_as_they_are(name: str) -> None:
    assert not fit.misfit(name, "crnn_ctc")
    plugin = registry.load("algorithm", name)
    learner: Algorithm = plugin(model(dropout=0.0))
    support, query = batch("ab", "ca").as_new_speaker(), batch("bc", "a", seed=1).as_new_speaker()
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    optimizer = torch.optim.SGD(learner.parameters(), 0.1)
    learner.meta_step([Task(support, query)])
    optimizer.step()
    assert any(not torch.equal(value, before[key]) for key, value in learner.state_dict().items())
    adapted = (model for _, model in learner.eval().adapt(support, [0, 10]) if isinstance(model, AdaptedModel))
    losses = [float(each.run("loss", support)["loss"]) for each in adapted]
    assert losses[1] < losses[0], "it gets better at what it adapts to"


def test_support_sets_that_are_too_short_for_their_transcripts_are_counted_failures(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"train": ["t"], "test": ["u"]}, 6)
    names = corpus.utterances_of("u")
    for name in names[:2]:
        corpus._index[name]["text"] = corpus.text(name) * 40
    plugin = registry.load("algorithm", "finetune")
    evaluator = Evaluator(
        plugin(model()).eval(), PROBLEMS["recognition"], registry.load("vocoder", "griffin_lim")(), (registry.load("metric", "cer")(),),
        corpus, (0, 2), 1, 0, tmp_path,
    )  # fmt: skip
    scores = evaluator.run(evaluator.jobs([Episode("u", 0, tuple(names[:2]), (names[2],))], [2])[0])
    before, after = scores.rows
    assert before.metrics["cer"] > 0 and not before.failures
    assert math.isnan(after.metrics["cer"]) and re.match("adaptation failed: no recording is long enough", after.failures["all"])


def test_an_empty_recording_is_a_failed_prediction() -> None:
    with pytest.raises(PredictionFailed, match="empty"):
        model().transcribe(torch.zeros(0, SPEC.mel.n_mels))
    assert isinstance(model().transcribe(torch.zeros(1, SPEC.mel.n_mels)), str)


def test_a_beam_finds_the_transcript_whose_paths_are_likeliest_together() -> None:
    """Against all paths of five steps."""
    pytest.importorskip("flashlight", reason="needs flashlight-text (pip install flashlight-text)")
    characters, generator, beaten = ("a", "b", " "), torch.Generator().manual_seed(0), 0
    for _ in range(60):
        scores = torch.randn(1, 5, 4, generator=generator).log_softmax(-1)
        chances: dict[str, float] = {}
        for path in itertools.product(range(4), repeat=5):
            text = "".join(characters[each - 1] for each, _ in itertools.groupby(path) if each)
            chance = math.exp(sum(float(scores[0, step, each]) for step, each in enumerate(path)))
            chances[text] = chances.get(text, 0.0) + chance
        assert sum(chances.values()) == pytest.approx(1)
        best = max(chances, key=chances.__getitem__)
        assert chances[beam_search(scores, characters, 200)] == pytest.approx(chances[best])
        greedy = "".join(characters[each - 1] for each in torch.unique_consecutive(scores[0].argmax(-1)).tolist() if each)
        beaten += chances[greedy] < 0.999 * chances[best]
    assert beaten > 5, "greedy decoding would do here"
    recogniser = model(beam=5)
    assert set(recogniser.transcribe(batch("ab").mels[0])) <= set("abc")


def test_a_beam_without_its_package_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmark.backbones.crnn_ctc.find_spec", lambda name: None)
    words = ["run", "--algo", "reptile", "--dataset", "espeak", "--backbone", "crnn_ctc", "--cache", tmp_path, "--output", tmp_path]
    said = refused([*words, "--backbone.beam", "4"], 1, capsys)
    assert "--backbone.beam needs flashlight-text, which is not installed: pip install -e '.[beam]'." in said
    assert not list(tmp_path.iterdir())
