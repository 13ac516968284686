"""Runs start from the shipped model where it had their own pretraining, and nowhere else; so does the recogniser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.batch import Batch
from benchmark.cli import main
from benchmark.data import shipped
from benchmark.data.corpus import Corpus
from benchmark.data.corpus_aligner import corpus_aligner
from benchmark.errors import BenchmarkError
from benchmark.learning.inner_loop import joint_step
from benchmark.metric import MetricContext
from benchmark.metrics import per
from benchmark.plugins import registry
from benchmark.plumbing import model_file
from benchmark.results.comparison import contenders
from benchmark.running import shipped_pretraining as shipped_start
from benchmark.running.hardware import Hardware
from benchmark.running.preparation import open_corpus
from benchmark.running.pretraining import BatchSampler, _named
from benchmark.running.run import say_once
from benchmark.running.shipped_pretraining import measured_moments, shipped_pretraining
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.settings.trial import fast_dev_run
from benchmark.settings.tuned_values import parse
from tests.cli_helpers import scoring_here

EARS = ["--metrics", "per,mcd", "--metrics.per.channels", "8", "--metrics.per.blocks", "1", "--metrics.per.hidden", "8",
        "--metrics.per.max_steps", "3"]  # fmt: skip
TINY = ["--dataset", "espeak", "--preset", "smoke", *EARS]


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of fine-tuning, scored by the recogniser."""
    output = tmp_path_factory.mktemp("runs")
    with scoring_here():
        words = ["run", "--algo", "finetune", *TINY, "--fast-dev-run", "--workers", "1", "--cache", str(cache), "--output", str(output)]
        assert main(words) == 0
    return next(path.parent for path in output.glob("*/result.json"))


@pytest.fixture(autouse=True)
def ships(run: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run's model is the one that comes with the package."""
    path = tmp_path_factory.getbasetemp() / "shipped.safetensors"
    if not path.is_file():
        assert main(["export", str(run), "-o", str(path), "--cache", str(cache)]) == 0
    monkeypatch.setattr(model_file, "SHIPPED", path)
    return path


@pytest.fixture
def corpus(cache: Path) -> Corpus:
    return open_corpus("espeak", None, None, cache, 1, ())


def settings(*more: str) -> RunSettings:
    return fast_dev_run(parse(["--algo", "meta_sgd", *TINY, *more]), 1)


def test_a_run_starts_from_the_weights_of_the_same_pretraining(run: Path, ships: Path, corpus: Corpus) -> None:
    found = shipped_pretraining(settings(), corpus)
    assert found is not None and found.run == run.name and found.digest == model_file.digest_of_tensors(found.weights)
    backbone = found.backbone(settings(), corpus, ())
    trained = torch.load(run / "checkpoints" / "algorithm.pt", weights_only=True)
    for name, value in backbone.state_dict().items():
        assert value.dtype == trained[f"backbone.{name}"].dtype
        assert torch.equal(value, trained[f"backbone.{name}"].half().float())


@pytest.mark.parametrize(
    "other", [["--seed", "1"], ["--pretrain.shipped", "False"], ["--pretrain.learning_rate", "0.1"], ["--backbone.hidden", "48"],
              ["--backbone", "tacotron2"]], ids=" ".join,
)  # fmt: skip
def test_another_pretraining_is_done_as_ever(other: list[str], corpus: Corpus) -> None:
    assert shipped_pretraining(settings(), corpus) and shipped_pretraining(settings(*other), corpus) is None


def test_other_training_speech_is_learned_from_as_ever(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped.learned_from(corpus)
    louder = replace(corpus.statistics, energy_mean=corpus.statistics.energy_mean * 1.001)
    monkeypatch.setattr(corpus, "statistics", louder)
    assert shipped.learned_from(corpus) is None
    monkeypatch.undo()
    for what, value in (("name", "another"), ("text", lambda name: "Other words."), ("meta", {**corpus.meta, "preparation": 99})):
        with monkeypatch.context() as patch:
            patch.setattr(corpus, what, value)
            assert shipped.learned_from(corpus) is None, what
    monkeypatch.setattr(model_file, "SHIPPED", Path("none.safetensors"))
    assert shipped.learned_from(corpus) is None and shipped.instruments(corpus) == {}


def test_the_command_says_so_and_so_does_the_result(
    own_cache: Path, ships: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_once.cache_clear()
    words = ["run", "--algo", "mean_speaker", *TINY, "--fast-dev-run", "--workers", "1", "--cache", str(own_cache)]
    with scoring_here():
        assert main([*words, "--output", str(tmp_path / "runs")]) == 0
        printed = capsys.readouterr()
        assert "which comes with this package; --pretrain.shipped False pretrains a model instead." in printed.out
        assert "Pretraining:" not in printed.err and "Training the phoneme recogniser" not in printed.err
        assert main([*words, "--output", str(tmp_path / "own"), "--pretrain.shipped", "False"]) == 0
        assert "Pretraining:" in capsys.readouterr().err
    started, trained = (json.loads(next(tmp_path.glob(f"{name}/*/result.json")).read_text()) for name in ("runs", "own"))
    assert started["pretrained"] and trained["pretrained"] == "" and started["run_id"] != trained["run_id"]
    # Both are scored by the same instruments.
    assert len(started["sources"]["shipped instruments"]) == 64 and started["sources"] == trained["sources"]
    runs = [str(next(tmp_path.glob(f"{name}/*/result.json")).parent) for name in ("runs", "own")]
    with pytest.raises(BenchmarkError, match="start from other pretrained weights"):
        contenders([Path(run) for run in runs])


@pytest.mark.parametrize("more", [["--algo.adam_lr", "0.001"], ["--adapt_vocoder", "True", "--vocoder", "vocos"]], ids=" ".join)
def test_learners_of_every_kind_start_from_it(more: list[str], cache: Path, tmp_path: Path) -> None:
    """One that wants the moments of its gradients, and one whose vocoder adapts too."""
    words = ["run", "--algo", "meta_sgd", *TINY, "--fast-dev-run", "--workers", "1", "--cache", str(cache), "--output", str(tmp_path)]
    with scoring_here():
        assert main([*words, *more]) == 0
    assert json.loads(next(tmp_path.glob("*/result.json")).read_text())["pretrained"]


def test_whether_models_are_shipped_is_no_part_of_a_pretraining(corpus: Corpus, tmp_path: Path) -> None:
    """Else what was pretrained before there was the choice would be lost."""
    names = []
    for chosen in (settings(), settings("--pretrain.shipped", "False")):
        backbone = registry.load("backbone", "fastspeech2")
        names.append(_named(backbone, chosen.backbone.config, "source", corpus, chosen.pretrain, 0, tmp_path, Hardware())[1])
    assert names[0] == names[1]


def test_the_aligner_is_the_shipped_one(corpus: Corpus, ships: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aligner, part = corpus_aligner(corpus, tmp_path), model_file.read(ships).part("aligner")
    assert all(torch.equal(torch.from_numpy(getattr(aligner, name)), value) for name, value in part.items())
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("benchmark.data.corpus_aligner.ALIGNER_FORMAT", 99)
    corpus_aligner(corpus, tmp_path)
    assert list(tmp_path.iterdir())


def test_weights_of_other_layers_are_refused(corpus: Corpus) -> None:
    found = shipped_pretraining(settings(), corpus)
    assert found
    broken = replace(found, weights={**found.weights, "another.weight": torch.zeros(1)})
    with pytest.raises(BenchmarkError, match=r"add --pretrain\.shipped False"):
        broken.backbone(settings(), corpus, ())


def test_the_moments_are_the_mean_squares_of_clipped_gradients(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By autograd on the same batches, and again from the cache."""
    chosen = settings()
    start = shipped_pretraining(chosen, corpus)
    assert start
    monkeypatch.setattr(shipped_start, "MOMENT_STEPS", 5)
    found = measured_moments(start, "source", corpus, chosen, (), tmp_path, Hardware())
    backbone, make = start.backbone(chosen, corpus, ()), BatchSampler(corpus, chosen.pretrain.batch_size, chosen.seed)
    squares = {name: torch.zeros_like(each) for name, each in backbone.named_parameters()}
    for step in range(5):
        gradients = _gradients(backbone, make(step), chosen.seed + step)
        norm = torch.cat([each.flatten() for each in gradients.values()]).norm()
        for name, each in gradients.items():
            squares[name] += (each / max(1.0, float(norm) + 1e-6)).square() / 5
    for name, value in squares.items():
        torch.testing.assert_close(found[name], value)
    (kept,) = tmp_path.glob("pretrained/*.moments")
    made = kept.stat().st_mtime_ns
    again = measured_moments(start, "source", corpus, chosen, (), tmp_path, Hardware())
    assert kept.stat().st_mtime_ns == made and all(torch.equal(again[name], value) for name, value in found.items())


def _gradients(backbone: torch.nn.Module, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
    backbone.zero_grad()
    joint_step(backbone, [batch], [seed])  # type: ignore[arg-type]
    return {name: each.grad.clone() for name, each in backbone.named_parameters() if each.grad is not None}


def test_the_recogniser_is_taken_only_where_it_is_the_one_that_would_be_trained(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.scoring.recogniser.train", _no_training)
    metric = per.PER(settings().metrics[0].config)
    context = MetricContext(corpus, tmp_path, tuple(corpus.targets("test")[:1]))
    metric.prepare(context)
    bundle = shipped.learned_from(corpus)
    assert bundle is not None and metric.facts()["per_real"] > 0
    for name, value in bundle.part("metric per").items():
        assert torch.equal(metric.state()[name], value.float() if value.is_floating_point() else value)
    with pytest.raises(AssertionError, match="it trains"):
        per.PER(replace(metric.config, hidden=4)).prepare(context)


def _no_training(*_: object) -> None:
    raise AssertionError("it trains")


def test_the_shipped_model_is_that_of_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody's run on speechocean762 would start from it."""
    monkeypatch.undo()
    facts = model_file.read(model_file.SHIPPED).facts
    ours, theirs = config.to_dict(parse(["--algo", "finetune", "--dataset", "speechocean762", "--preset", "small"])), facts["config"]
    assert facts["frontend"]["corpus"] == "speechocean762"
    assert all(ours[name] == theirs[name] for name in ("backbone", "pretrain", "seed"))
    assert ours["metrics"]["per"] == theirs["metrics"]["per"]
