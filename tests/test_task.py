"""A corpus is grouped by the run's task: speakers, languages, or one style of one speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm
from benchmark.backbone import Backbone
from benchmark.batch import Batch, sound_only
from benchmark.cli import main
from benchmark.data.corpus import Corpus
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.problems import PROBLEMS
from benchmark.running.episodes import FULL, Manifest, TaskSampler, episode_targets, make_manifest, task_targets
from benchmark.running.evaluation import Evaluator
from benchmark.running.leaks import check_manifest
from benchmark.settings import config
from benchmark.settings.schema import MetaSettings, RunSettings
from benchmark.task import TASK_KINDS
from tests.cli_helpers import refused
from tests.metric_helpers import write_corpus

SPEAKERS = {"train": ["t1", "t2", "t3"], "validation": ["v1", "v2"], "test": ["u1", "u2", "u3"]}
LANGUAGES = {"t1": "en-us", "t2": "de", "t3": "de", "v1": "fr-fr", "v2": "fr-fr", "u1": "sv", "u2": "sv", "u3": "nl"}
UTTERANCES = 32


def facts(speaker: str, index: int) -> dict[str, str]:
    """Each speaker has a language; the first half of the utterances is whispered, the rest of most is sung."""
    style = "whisper" if index < UTTERANCES // 2 else "sung" if speaker not in ("u2", "u3") else ""
    return {"language": LANGUAGES[speaker], "style": style}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tasks") / "corpus"
    write_corpus(place, SPEAKERS, UTTERANCES, facts=facts)
    return place


def names(speaker: str, indices: Sequence[int] = range(UTTERANCES)) -> list[str]:
    return [f"{speaker}-{index:03d}" for index in indices]


def test_speakers_are_targets_by_default(folder: Path) -> None:
    corpus = Corpus(folder)
    assert {split: corpus.targets(split) for split in SPLITS} == {split: corpus.speakers(split) for split in SPLITS} == SPEAKERS
    assert corpus.utterances_of("u1") == names("u1")


def test_a_language_is_spoken_by_several_speakers(folder: Path) -> None:
    corpus = Corpus(folder, "language")
    assert [corpus.targets(split) for split in SPLITS] == [["de"], ["fr-fr"], ["sv"]]
    assert corpus.utterances_of("de") == [*names("t2"), *names("t3")]
    assert corpus[names("t2")[0]].language == "de" and corpus[names("t2")[0]].speaker == "t2"


def test_a_language_of_one_speaker_is_left_out_and_named(folder: Path) -> None:
    assert Corpus(folder, "language").left_out() == (
        "2 languages of tones have one speaker each and are left out, because no model could tell the language from the speaker: "
        "en-us (t1), nl (u3)."
    )
    assert Corpus(folder).left_out() == Corpus(folder, "style").left_out() == ""


def test_a_split_in_which_every_language_has_one_speaker_is_refused(tmp_path: Path) -> None:
    speakers = {"train": ["t1", "t2", "t3"], "validation": ["v1", "v2"], "test": ["u1", "u3"]}
    corpus = write_corpus(tmp_path / "corpus", speakers, UTTERANCES, task="language", facts=facts)
    sentence = r"^tones has no test languages with usable audio to adapt to; a language needs at least 2 speakers\. .*, sv \(u1\)\.$"
    with pytest.raises(BenchmarkError, match=sentence):
        episode_targets(corpus, make_manifest(corpus), FULL, "test")


def test_a_corpus_that_names_no_styles_is_refused(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", SPEAKERS, 2, task="style")
    sentence = r"no utterance names its style: name it \(in a folder: the column style of metadata\.csv\), or choose another --task\.$"
    with pytest.raises(BenchmarkError, match=sentence):
        episode_targets(corpus, make_manifest(corpus), FULL, "test")
    with pytest.raises(UsageError, match=sentence):
        task_targets(corpus, MetaSettings())


def test_a_style_with_too_few_utterances_is_named_with_their_number(tmp_path: Path) -> None:
    def sparse(speaker: str, index: int) -> dict[str, str]:
        return {"style": "sung" if speaker == "u1" and index < 12 else "whisper"}

    corpus = write_corpus(tmp_path / "corpus", SPEAKERS, UTTERANCES, task="style", facts=sparse)
    kept, left_out = episode_targets(corpus, make_manifest(corpus), FULL, "test")
    assert kept == ["u1+whisper", "u2+whisper", "u3+whisper"]
    assert left_out == (
        "1 of 4 test styles has fewer than the 16 utterances that 10 shots, 4 queries and a centroid of 2 need and is left out: "
        "u1+sung (12)."
    )


def test_a_style_is_one_speakers_and_what_has_none_is_no_target(folder: Path) -> None:
    corpus = Corpus(folder, "style")
    assert corpus.targets("test") == ["u1+sung", "u1+whisper", "u2+whisper", "u3+whisper"]
    half = UTTERANCES // 2
    assert corpus.utterances_of("u2+whisper") == names("u2", range(half))
    assert corpus.utterances_of("u1+sung") == names("u1", range(half, 32))
    assert names("u2")[-1] in corpus, "it is there, and belongs to no task"


@pytest.mark.parametrize("task", ["speaker", "language", "style"])
def test_tasks_and_episodes_keep_to_one_target(folder: Path, task: str) -> None:
    corpus = Corpus(folder, task)
    owner = {name: target for split in SPLITS for target in corpus.targets(split) for name in corpus.utterances_of(target)}
    manifest = make_manifest(corpus)
    check_manifest(manifest, corpus)
    assert manifest.task == task and manifest.targets == {split: tuple(corpus.targets(split)) for split in SPLITS}
    for split in SPLITS[1:]:
        assert {episode.target for episode in manifest.episodes[split]} == set(corpus.targets(split))
        for episode in manifest.episodes[split]:
            every = (*episode.support, *episode.query, *episode.enrolment(corpus))
            assert {owner[name] for name in every} == {episode.target} and len(set(every)) == len(corpus.utterances_of(episode.target))
    settings = MetaSettings(tasks=2, support=3, query=2)
    index = {speaker: number for number, speaker in enumerate(SPEAKERS["train"])}
    frames = {corpus.frames(name) for target in corpus.targets("train") for name in corpus.utterances_of(target)}
    sampler = TaskSampler(corpus, index, settings, 0)
    for step in range(4):
        tasks = sampler(step)
        assert [(len(each.support), len(each.query)) for each in tasks] == [(3, 2)] * 2
        for each in tasks:
            lengths = [*each.support.mel_lengths.tolist(), *each.query.mel_lengths.tolist()]
            assert set(lengths) <= frames
            speakers = {*each.support.speakers.tolist(), *each.query.speakers.tolist()}
            assert speakers == {1, 2} or (task != "language" and len(speakers) == 1), "German has two speakers"
        again = sampler(step)
        assert all(torch.equal(one.support.mels, other.support.mels) for one, other in zip(tasks, again, strict=True))


@pytest.mark.parametrize(("task", "stranger"), [("language", "u3-000"), ("style", "u1-000")])
def test_an_episode_with_an_utterance_of_another_target_leaks(folder: Path, task: str, stranger: str) -> None:
    corpus = Corpus(folder, task)
    manifest = make_manifest(corpus)
    target = {"language": "sv", "style": "u1+sung"}[task]
    spoilt = [replace(e, support=(stranger, *e.support[1:])) if e.target == target else e for e in manifest.episodes["test"]]
    with pytest.raises(BenchmarkError, match=f"^{task.capitalize()} leak: episode 0 of {task} .* holds an utterance of another"):
        check_manifest(replace(manifest, episodes={**manifest.episodes, "test": tuple(spoilt)}), corpus)
    moved = replace(manifest, targets={**manifest.targets, "train": (*manifest.targets["train"], target)})
    with pytest.raises(BenchmarkError, match=rf"^{task.capitalize()} leak: .* is in both the train and the test split"):
        check_manifest(moved, corpus)


def test_prepare_writes_a_manifest_of_any_task(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "many.py"
    plugin.write_text(
        'from benchmark.datasets.folder import Folder\n\n\nclass Many(Folder):\n    tasks = ("speaker", "language")\n\n\nPLUGIN = Many\n'
    )

    def opened(*given: Any) -> Corpus:
        corpus = Corpus(folder, given[-1])
        corpus.meta["card"]["title"] = "Many voices"
        return corpus

    monkeypatch.setattr("benchmark.running.preparation.open_corpus", opened)
    monkeypatch.setattr("benchmark.data.prepare.describe", lambda _: ())
    written = tmp_path / "many-language.json"
    command = ["prepare", "--plugin", str(plugin), "--dataset", "many", "--write-manifest", str(written)]
    assert main([*command, "--task", "language"]) == 0, capsys.readouterr().err
    manifest = Manifest.load(written)
    assert manifest.task == "language" and manifest.targets["test"] == ("sv",)
    assert "many has no --task style; it has speaker and language" in refused([*command, "--task", "style"], 2, capsys)


def test_settings_know_every_kind_of_task(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["--algo", "maml", "--dataset", "espeak", "--task", "accent"]
    with pytest.raises(UsageError, match=r"task must be one of speaker, language, style, cross_lingual, not accent"):
        config.parse(RunSettings, given)
    monkeypatch.setitem(TASK_KINDS, "accent", TASK_KINDS["language"])  # type: ignore[arg-type]
    assert config.parse(RunSettings, given).task == "accent"


def test_a_manifest_keeps_its_task_and_belongs_to_it_alone(folder: Path, tmp_path: Path) -> None:
    manifest = make_manifest(Corpus(folder, "language"))
    manifest.save(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json") == manifest
    assert replace(manifest, task="speaker").digest != manifest.digest
    with pytest.raises(BenchmarkError, match="they are of different releases of"):
        check_manifest(manifest, Corpus(folder))


class Recorder(Algorithm):
    """Keeps what it was handed."""

    trains = False
    max_steps = 0

    def __init__(self, backbone: Backbone, uses_support: bool) -> None:
        super().__init__(backbone)
        self.uses_support = uses_support  # type: ignore[misc]
        self.handed: list[Batch | None] = []

    def adapt(self, support: Batch, steps: Sequence[int]):  # type: ignore[no-untyped-def]
        self.handed.append(support)
        for step in steps:
            yield step, AdaptedModel(self.backbone)

    def adapted_parameters(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize("uses_support", [True, False])
def test_zero_shots_are_none(folder: Path, tmp_path: Path, uses_support: bool) -> None:
    corpus = Corpus(folder)
    algorithm = Recorder(tiny_backbone(), uses_support).eval()
    vocoder = registry.load("vocoder", "griffin_lim")()
    evaluator = Evaluator(algorithm, PROBLEMS["synthesis"], vocoder, (), corpus, (0, 5), 1, 0, tmp_path)
    jobs = evaluator.jobs(make_manifest(corpus).episodes["test"][:1], (2, 5))
    assert [job.shots for job in jobs] == ([2, 5] if uses_support else [0])
    for job in jobs:
        rows = evaluator.run(job).rows
        assert {row.steps for row in rows} == {0}
    sizes = [None if batch is None else len(batch) for batch in algorithm.handed]
    assert set(sizes) == ({2, 5} if uses_support else {None})
    assert all(batch is None or batch.speakers.eq(-1).all() for batch in algorithm.handed)


def test_algorithms_that_need_no_transcripts_take_sound_alone_and_give_the_same_model() -> None:
    whole = tiny_batch(-1, 3)
    sound = sound_only(whole.mels, whole.mel_lengths)
    tried = set()
    for name in registry.find("algorithm"):
        plugin = registry.load("algorithm", name)
        algorithm = plugin(tiny_backbone()).eval()
        if not plugin.uses_support or "transcripts" in algorithm.needs:
            continue
        models: list[Adapted] = [model for batch in (whole, sound) for _, model in algorithm.adapt(batch, [0])]
        assert models[0].stored.keys() == models[1].stored.keys()
        assert all(torch.equal(value, models[1].stored[key]) for key, value in models[0].stored.items())
        assert all(torch.isfinite(value).all() for value in models[1].stored.values())
        tried.add(name)
    assert tried == {"metric", "style"}
