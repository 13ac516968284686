"""The floor that learns from the support set alone, and the topline that hears all of the target's speech."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmark.algorithm import AdaptedModel, Algorithm
from benchmark.batch import Batch
from benchmark.cli import main
from benchmark.data.enough import normalised
from benchmark.plugins import fit, registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.problems import PROBLEMS
from benchmark.running.episodes import Episode
from benchmark.running.evaluation import Evaluator
from benchmark.running.joint import with_vocoder
from tests.cli_helpers import scoring_here
from tests.metric_helpers import write_corpus

from_scratch, all_speech, finetune = (registry.load("algorithm", name) for name in ("from_scratch", "all_speech", "finetune"))
CRNN = registry.load("backbone", "crnn_ctc")
RUN = ["run", "--dataset", "espeak", "--preset", "smoke", "--workers", "1", "--backbone", "crnn_ctc", "--backbone.hidden", "8",
       "--backbone.channels", "2", "--pretrain.steps", "3", "--pretrain.batch_size", "4", "--meta.tflops", "0.00001", "--meta.tasks", "1",
       "--shots", "1,3", "--steps", "0,2", "--evaluation.queries", "1", "--evaluation.speakers", "2", "--threads", "1"]  # fmt: skip


def stored(algorithm: Algorithm, support: Batch, steps: int) -> dict[str, torch.Tensor]:
    """What is stored after so many steps."""
    torch.manual_seed(0)
    ((_, model),) = algorithm.adapt(support, [steps])
    assert isinstance(model, AdaptedModel)
    return dict(model.stored)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("backbone", ["crnn_ctc", "fastspeech2"])
def test_from_scratch_starts_where_pretraining_started_and_descends_as_fine_tuning_does(backbone: str) -> None:
    plugin = registry.load("backbone", backbone)
    fresh, trained = tiny_backbone(plugin, seed=3), tiny_backbone(plugin, seed=3)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    torch.manual_seed(3)  # as a run does before it makes the algorithm
    algorithm = from_scratch(trained, from_scratch.Config(learning_rate=0.01))
    support = tiny_batch(-1, 3)
    own = dict(fresh.named_parameters())
    assert all(torch.equal(value, own[name]) for name, value in stored(algorithm, support, 0).items())
    assert same(stored(algorithm, support, 4), stored(finetune(fresh, finetune.Config(learning_rate=0.01)), support, 4))
    assert not algorithm.trains


def test_a_vocoder_that_adapts_too_is_no_part_of_the_fresh_model() -> None:
    kind = registry.load("vocoder", "vocos")
    trained = with_vocoder(tiny_backbone(seed=3), kind(kind.tiny()), 8)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    torch.manual_seed(3)
    found, before = dict(from_scratch(trained).backbone.named_parameters()), dict(trained.named_parameters())
    kept = {name for name, value in found.items() if torch.equal(value, before[name])}
    assert kept == {name for name in before if name.startswith("vocoder.")} != set()
    fresh = dict(tiny_backbone(seed=3).named_parameters())
    assert all(torch.equal(value, found[name]) for name, value in fresh.items())


def test_a_step_on_all_speech_learns_from_some_of_it() -> None:
    support, backbone = tiny_batch(-1, 7), tiny_backbone(CRNN)
    options = {"optimizer": "sgd", "learning_rate": 0.1}
    found = stored(all_speech(backbone, all_speech.Config(batch_size=3, **options)), support, 1)
    torch.manual_seed(0)
    drawn = support.rows(torch.randperm(7)[:3])
    plain = finetune(backbone, finetune.Config(**options))
    assert same(found, stored(plain, drawn, 1)) and not same(found, stored(plain, support, 1))
    assert same(stored(all_speech(backbone, all_speech.Config(batch_size=7, **options)), support, 1), stored(plain, support, 1))


def test_all_speech_is_everything_but_the_queries_and_what_repeats_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"train": ["t"], "test": ["u"]}, 9)
    names = corpus.utterances_of("u")
    corpus._index[names[8]]["text"] = f"{corpus.text(names[0]).upper()}!"
    episode = Episode("u", 0, support=tuple(names[3:6]), query=tuple(names[:3]))
    heard: list[int] = []

    def adapt(self: Algorithm, support: Batch, steps: Sequence[int]):  # type: ignore[no-untyped-def]
        heard.extend(support.mel_lengths.tolist())
        for step in steps:
            yield step, AdaptedModel(self.backbone)

    monkeypatch.setattr(all_speech, "adapt", adapt)
    vocoder = registry.load("vocoder", "griffin_lim")()
    algorithm = all_speech(tiny_backbone(CRNN)).eval()
    evaluator = Evaluator(algorithm, PROBLEMS["recognition"], vocoder, (), corpus, (0, 5), 1, 0, tmp_path)
    (job,) = evaluator.jobs([episode], (1, 3))
    monkeypatch.setattr(evaluator.problem, "predict", lambda *_: pytest.fail("nothing is scored here"), raising=True)
    monkeypatch.setattr(Evaluator, "_score", lambda *_: ({}, {}, {}, 0.0))
    rows = evaluator.run(job).rows
    assert {(row.shots, row.steps) for row in rows} == {(0, 0), (0, 5)}
    assert episode.all_speech(corpus) == tuple(names[3:8]) == tuple(sorted({*episode.support, *episode.enrolment(corpus)} - {names[8]}))
    assert heard[:5] == [corpus.frames(name) for name in names[3:8]]
    texts = {normalised(corpus.text(name)) for name in episode.query}
    assert not texts & {normalised(corpus.text(name)) for name in episode.all_speech(corpus)}


def test_rows_that_give_the_scale_say_so() -> None:
    roles = {name: fit.role(name) for name in registry.find("algorithm")}
    assert {name for name, role in roles.items() if role == "topline"} == {"all_speech", "copy_synthesis", "ground_truth"}
    floors = {"from_scratch", "mean_speaker", "no_adaptation", "same_sex_adults", "same_sex_speaker", "wrong_speaker"}
    assert {name for name, role in roles.items() if role == "floor"} == floors
    for problem in PROBLEMS.values():
        assert all(roles[name] for name in problem.references)


@pytest.fixture(scope="module")
def runs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the two and of a method, in one folder with their table."""
    output = tmp_path_factory.mktemp("runs")
    with scoring_here():
        for name in ("all_speech", "from_scratch", "reptile"):
            assert main([*RUN, "--algo", name, "--cache", str(cache), "--output", str(output)]) == 0
    return output


def test_runs_end_in_a_table_that_names_topline_and_floor(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places: dict[str, set[tuple[int, int]]] = {}
    for path in runs.glob("*/episodes.csv"):
        with path.open() as stream:
            places[json.loads(path.with_name("result.json").read_text())["algorithm"]] = {
                (int(row["shots"]), int(row["steps"])) for row in csv.DictReader(stream)
            }
    grid = {(shots, steps) for shots in (1, 3) for steps in (0, 2)}
    assert places == {"all_speech": {(0, 0), (0, 2)}, "from_scratch": grid, "reptile": grid}
    table = runs / "espeak-recognition.csv"
    assert main(["leaderboard", "show", str(table)]) == 0
    assert "For scale, toplines: all_speech; floors: from_scratch." in capsys.readouterr().out
    assert main(["leaderboard", "verify", str(table)]) == 0
    assert main(["compare", "reptile", "all_speech", "--table", str(table), "--output", str(runs), "--shots", "3"]) == 0
    assert "reptile" in capsys.readouterr().out


def test_a_report_ranks_neither_of_them(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["report", "--output", str(runs), "--cache", str(tmp_path), "--workers", "1", "--html", str(page)]) == 0
    text = page.read_text()
    assert "all_speech (topline)" in text and "from_scratch (floor)" in text
    ranked = text.split("<ol>")[1].split("</ol>")[0]
    assert "reptile" in ranked and "from_scratch" not in ranked and "all_speech" not in ranked
