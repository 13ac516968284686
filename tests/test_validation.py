"""The validation loss is that of a model adapted to validation speakers; measuring it changes nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from benchmark.algorithm import AdaptedModel
from benchmark.batch import collate
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.running.building import build, spec_of
from benchmark.running.preparation import open_corpus
from benchmark.running.pretraining import Pretraining
from benchmark.running.training import Budget, fit
from benchmark.running.validation import AdaptedLoss, PretrainedLoss, Validation


def test_it_is_reported_ten_times_and_a_training_does_not_feel_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, watched = Pretraining(tiny_backbone()), Pretraining(tiny_backbone())
    reports: list[tuple[int, dict[str, float]]] = []
    monkeypatch.setattr("benchmark.running.training.log_step", lambda _, stage, step, values: reports.append((step, dict(values))))

    def measure(learner: Pretraining) -> float:
        return float(torch.rand(())) if len(reports) else math.nan

    fit(plain, lambda step: tiny_batch(0, 2, step), 1e-2, Budget(steps=25), 0, tmp_path / "plain.ckpt")
    fit(watched, lambda step: tiny_batch(0, 2, step), 1e-2, Budget(steps=25), 0, tmp_path / "watched.ckpt", loggers=[None],  # type: ignore[list-item]
        callbacks=[Validation(measure)])  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True))
    told = [step for step, values in reports if "validation_loss" in values]
    assert told == [1, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25] and len(reports) == 25 + len(told)


def test_it_is_the_loss_of_the_adapted_model(cache: Path) -> None:
    corpus = open_corpus("espeak", None, None, cache, 1, ())
    kind, plugin = registry.load("backbone", "fastspeech2"), registry.load("algorithm", "finetune")
    algorithm = plugin(build(kind, kind.Config(), spec_of(corpus), 0), plugin.Config())
    before = {name: value.clone() for name, value in algorithm.state_dict().items()}
    losses = []
    for target in corpus.targets("validation")[:4]:
        support, *queries = (
            collate(corpus.many(names), corpus.statistics, {})
            for names in (corpus.utterances_of(target)[:2], *([name] for name in corpus.utterances_of(target)[2:4]))
        )
        ((_, model),) = algorithm.eval().adapt(support, [1])
        assert isinstance(model, AdaptedModel)
        with torch.no_grad():
            changed = {**dict(model.backbone.named_parameters()), **model.replaced()}
            losses += [torch.func.functional_call(model.backbone, changed, ("loss", query))["loss"] for query in queries]
    measure = AdaptedLoss(corpus, shots=2, steps=1)
    assert len(losses) == 2 * len(measure.tasks) > 2
    algorithm.train()
    assert measure(algorithm) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    assert algorithm.backbone.training and all(torch.equal(before[name], value) for name, value in algorithm.state_dict().items())
    assert AdaptedLoss(corpus, shots=2, steps=0)(algorithm) != pytest.approx(measure(algorithm), rel=1e-3)
    untouched = registry.load("algorithm", "no_adaptation")(algorithm.backbone)
    assert measure(untouched) == AdaptedLoss(corpus, shots=2, steps=0)(untouched), "what adapts to nobody is measured, too"
    assert math.isfinite(PretrainedLoss(corpus)(algorithm))
    assert math.isnan(AdaptedLoss(corpus, shots=1000, steps=0)(algorithm)), "nobody has so many sentences"
