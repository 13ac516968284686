"""What does not go together is said in one sentence, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.plugins import fit, registry
from benchmark.running.checks import check_fit, with_metrics
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.task import TASK_KINDS
from tests.cli_helpers import refused

BACKBONE = '''
"""A backbone for tests of what fits it."""
from benchmark.backbone import {base}


class {name}({base}):
    """Declares, and does nothing."""

    supports = {supports}

    def loss(self, batch, speaker=None):
        raise NotImplementedError

    def adaptable_groups(self):
        raise NotImplementedError

    def {method}(self, *args, **options):
        raise NotImplementedError


PLUGIN = {name}
'''
CHEAT = '''
"""Conditions on the encoder that also ranks."""
from benchmark.algorithm import Algorithm


class Cheat(Algorithm):
    """Cheats."""

    conditions_on = "ge2e"

    def adapt(self, support, steps):
        yield from ()

    def adapted_parameters(self):
        return {}


PLUGIN = Cheat
'''


@pytest.fixture
def plugins(tmp_path: Path) -> list[str]:
    """Backbones: "attentive" has no durations, "plain" supports nothing, "listener" recognises; the algorithm "cheat"."""
    made = {
        "attentive": {"base": "SynthesisBackbone", "supports": ("speaker_vector",), "method": "synthesize"},
        "plain": {"base": "SynthesisBackbone", "supports": (), "method": "synthesize"},
        "listener": {"base": "RecognitionBackbone", "supports": (), "method": "transcribe"},
    }
    for name, words in made.items():
        (tmp_path / f"{name}.py").write_text(BACKBONE.format(name=name.capitalize(), **words))
    (tmp_path / "cheat.py").write_text(CHEAT)
    return sorted(map(str, tmp_path.glob("*.py")))


def settings(plugins: list[str], *arguments: str) -> RunSettings:
    return config.parse(RunSettings, ["--dataset", "espeak", *arguments], plugins)


@pytest.mark.parametrize(
    ("algorithm", "backbone", "sentence"),
    [
        ("metric", "fastspeech2", ""),
        ("metric", "plain", "metric needs a speaker vector, which plain does not have; choose another backbone or algorithm."),
        (
            "mean_speaker", "listener",
            "mean_speaker needs a speaker vector, which listener does not have; choose another backbone or algorithm.",
        ),
        ("ground_truth", "plain", ""),
        ("ground_truth", "listener", "ground_truth needs a backbone that makes speech, which listener does not have; "
                                     "choose another backbone or algorithm."),
        ("maml", "listener", ""),
        ("finetune", "plain", ""),
    ],
)  # fmt: skip
def test_an_algorithm_that_a_backbone_can_not_serve_is_refused(
    algorithm: str, backbone: str, sentence: str, plugins: list[str]
) -> None:
    assert fit.misfit(algorithm, backbone, plugins) == sentence
    if sentence and backbone == "plain":
        with pytest.raises(UsageError) as error:
            check_fit(with_metrics(settings(plugins, "--algo", algorithm, "--backbone", backbone), plugins)[0], tuple(plugins))
        assert str(error.value) == sentence


def test_needs_may_depend_on_the_configuration(plugins: list[str]) -> None:
    assert "metric needs a speaker vector" in fit.misfit("metric", "plain", plugins, ("mels", "transcripts", "speaker_vector"))
    assert fit.misfit("metric", "plain", plugins, ("mels",)) == ""


def test_without_durations_what_needs_aligned_speech_is_left_out(plugins: list[str]) -> None:
    whole = settings(plugins, "--algo", "finetune")
    assert with_metrics(whole, plugins) == (whole, "")
    kept, sentence = with_metrics(settings(plugins, "--algo", "finetune", "--backbone", "attentive"), plugins)
    assert sentence == "attentive has no durations, so mel_error, pesq and stoi, which need aligned speech, are left out."
    assert [each.name for each in kept.metrics] == [each.name for each in whole.metrics if each.name not in ("mel_error", "pesq", "stoi")]
    with pytest.raises(UsageError, match="nothing to score with: leave out stoi, which needs aligned speech"):
        with_metrics(settings(plugins, "--algo", "finetune", "--backbone", "attentive", "--metrics", "stoi"), plugins)


def test_a_recogniser_is_not_scored_as_speech(plugins: list[str]) -> None:
    sentence = r"^listener does recognition, so there is nothing to score with: leave out mcd, which needs synthesised"
    with pytest.raises(UsageError, match=sentence):
        with_metrics(settings(plugins, "--algo", "maml", "--backbone", "listener", "--metrics", "mcd"), plugins)


def test_metrics_are_those_of_the_problem_unless_some_are_named(plugins: list[str]) -> None:
    names = [each.name for each in settings(plugins, "--algo", "maml").metrics]
    assert names == list(fit.problem_of("fastspeech2").metrics)
    (per,) = (each for each in settings(plugins, "--algo", "maml", "--metrics.per.epochs", "3").metrics if each.name == "per")
    assert (per.name, per.config.epochs) == ("per", 3)
    assert [each.name for each in settings(plugins, "--algo", "maml", "--metrics", "stoi,mcd").metrics] == ["stoi", "mcd"]


def test_a_task_that_a_dataset_does_not_pose_is_refused(
    plugins: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in TASK_KINDS:
        fit.check_task(task, "espeak")
    with pytest.raises(UsageError, match=r"^vctk has no --task style; it has speaker\.$"):
        fit.check_task("style", "vctk")
    command = ["run", "--algo", "finetune", "--dataset", "vctk", "--task", "style", "--cache", str(tmp_path), "--output", str(tmp_path)]
    assert "vctk has no --task style" in refused(command, 2, capsys)


def test_a_style_is_scored_only_where_tasks_are_by_style(plugins: list[str]) -> None:
    def chosen(*arguments: str) -> RunSettings:
        return settings(plugins, "--algo", "maml", *arguments)

    usual = [each.name for each in chosen().metrics]
    assert "style_gap" not in usual and [each.name for each in chosen("--task", "language").metrics] == usual
    assert [each.name for each in chosen("--task", "style").metrics] == [*usual, "style_gap"]
    assert "style_gap" not in [each.name for each in chosen("--task", "style", "--backbone", "listener").metrics]
    kept, sentence = with_metrics(chosen("--metrics", "mcd,style_gap"), plugins)
    assert [each.name for each in kept.metrics] == ["mcd"]
    assert sentence == "the task is speaker, so style_gap, which needs tasks by style, is left out."
    sentence = "^the task is language, so there is nothing to score with: leave out style_gap, which needs tasks by style"
    with pytest.raises(UsageError, match=sentence):
        with_metrics(chosen("--metrics", "style_gap", "--task", "language"), plugins)


def test_an_encoder_that_conditions_never_ranks(plugins: list[str]) -> None:
    ranked = {"mcd": None, "speaker_similarity": "ge2e", "ecapa_similarity": "ecapa"}
    fit.check_encoders("metric", None, ranked)
    with pytest.raises(UsageError, match=r"cheat conditions on the encoder ge2e, and speaker_similarity ranks with the same one.*leave"):
        fit.check_encoders("cheat", fit.declared("algorithm", "cheat", plugins).facts["conditions_on"], ranked)
    fit.check_encoders("cheat", "ge2e", {"mcd": None, "ecapa_similarity": "ecapa"})


def test_list_says_what_does_not_go_together(plugins: list[str]) -> None:
    def note(kind: str, name: str) -> str:
        return fit.note(registry.get(kind, name, plugins), fit.readable_backbones(plugins), plugins)

    assert note("algorithm", "metric") == "needs a speaker vector: not on crnn_ctc, listener and plain"
    assert note("algorithm", "maml") == ""
    assert note("metric", "pesq").endswith("not on attentive, crnn_ctc, deep_voice3, listener, plain and tacotron2")
    assert note("backbone", "attentive") == "synthesis, has a speaker vector" and note("backbone", "listener") == "recognition"
