"""Floors that know a target's sex and age alone: whose voice they take, and where they are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark.algorithm import AdaptedModel, Labels
from benchmark.data.corpus import Corpus
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.plugins import fit, registry
from benchmark.plugins.conformance.tiny import tiny_backbone
from benchmark.problems import PROBLEMS
from benchmark.running.building import build, spec_of
from benchmark.running.checks import _check_labels
from benchmark.running.episodes import Episode
from benchmark.running.evaluation import Evaluator
from tests.metric_helpers import write_corpus

one_speaker, adults = (registry.load("algorithm", name) for name in ("same_sex_speaker", "same_sex_adults"))
PEOPLE = {"ann": ("f", 30), "bob": ("m", 9), "cat": ("f", 8), "dan": ("m", 40), "eva": ("f", 18), "t": ("f", 25), "v": ("m", 20)}


def facts(speaker: str, index: int) -> Any:
    sex, age = PEOPLE[speaker]
    return {"labels": {"sex": sex, "age": str(age), "sentence": str(index)}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    splits = {"train": ["ann", "bob", "cat", "dan", "eva"], "validation": ["v"], "test": ["t"]}
    return write_corpus(tmp_path_factory.mktemp("people") / "corpus", splits, 6, facts=facts)


def spoken_by(plugin: Any, corpus: Corpus, target: str, seeds: Sequence[int] = (0,)) -> list[torch.Tensor]:
    """The speaker vectors that the harness makes a floor speak with."""
    backbone: Any = build(registry.load("backbone", "fastspeech2"), registry.load("backbone", "fastspeech2").tiny(), spec_of(corpus), 0)
    algorithm, found = plugin(backbone).eval(), []
    for seed in seeds:
        vocoder = registry.load("vocoder", "griffin_lim")()
        evaluator = Evaluator(algorithm, PROBLEMS["synthesis"], vocoder, (), corpus, (0, 5), 1, seed, Path())
        names = corpus.utterance_ids(target)
        (job,) = evaluator.jobs([Episode(target, 0, tuple(names[:2]), (names[2],))], (1, 2))
        torch.manual_seed(seed)
        ((step, model),) = algorithm.adapt(evaluator._support(job), evaluator.scored_steps())
        assert step == job.shots == 0 and isinstance(model, AdaptedModel) and model.speaker is not None and not model.stored
        found.append(model.speaker)
    table = backbone.speaker_vectors().detach()
    return [table, *found]


def test_a_training_speaker_of_the_targets_sex_is_drawn(corpus: Corpus) -> None:
    for target, rows in (("t", {0, 2, 4}), ("v", {1, 3})):
        table, *vectors = spoken_by(one_speaker, corpus, target, range(40))
        assert {int((table == vector).all(1).nonzero()) for vector in vectors} == rows


def test_the_mean_is_of_the_grown_ups_of_the_targets_sex(corpus: Corpus) -> None:
    for target, rows in (("t", [0, 4]), ("v", [3])):
        table, vector = spoken_by(adults, corpus, target)
        assert torch.allclose(vector, table[rows].sum(0) / len(rows), atol=1e-7)


@pytest.mark.parametrize("plugin", [one_speaker, adults])
def test_where_nobody_is_alike_the_adaptation_fails_openly(plugin: Any) -> None:
    others = [{"sex": "m", "age": "30"}, {"sex": "f" if plugin is adults else "m", "age": "17"}]
    with pytest.raises(AdaptationFailed, match=r"no training speaker .*has the sex f"):
        next(plugin(tiny_backbone()).adapt(Labels({"sex": "f", "age": "30"}, others), [0]))


def test_they_are_floors_and_a_corpus_that_does_not_tell_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    assert corpus.labels("ann") == {"sex": "f", "age": "30"}  # what differs between sentences is no speaker's
    assert [fit.role(name) for name in ("same_sex_speaker", "same_sex_adults")] == ["floor", "floor"]
    settings: Any = SimpleNamespace(algo=SimpleNamespace(name="same_sex_adults"), task="speaker")
    _check_labels(settings, adults, corpus, ["t"])
    silent = write_corpus(tmp_path / "silent", {"train": ["a"], "test": ["t"]}, 1)
    _check_labels(settings, registry.load("algorithm", "mean_speaker"), silent, ["t"])
    with pytest.raises(UsageError, match="needs the label sex of all speakers, and tones tells none of a; leave same_sex_adults out"):
        _check_labels(settings, adults, silent, ["t"])
    settings.task = "style"
    with pytest.raises(UsageError, match="leave it out of tasks by style"):
        _check_labels(settings, adults, corpus, ["t"])
