"""The embedded languages and styles: who speaks what is disjoint, phones are the phonemiser's, and a style is what its name says."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmark.audio import from_int16
from benchmark.data.audio import standardise
from benchmark.data.chunks import make_chunks
from benchmark.data.espeak import VoiceSettings, named, speak
from benchmark.data.phonemes import phonemise
from benchmark.data.scripts import is_foreign
from benchmark.dataset import SPLITS, Dataset, Segment, Utterance
from benchmark.errors import BenchmarkError
from benchmark.metrics.style_gap import FEATURES, features
from benchmark.plumbing.files import digest_of
from benchmark.running.episodes import normalised
from benchmark.settings.schema import MAX_QUERIES, MAX_SHOTS

plugin = importlib.import_module("benchmark.datasets.espeak")
Espeak = plugin.Espeak
STYLES = [style for style in plugin.STYLES if style]


def opened(task: str, **options: int) -> Dataset:
    dataset: Dataset = Espeak(None, Espeak.Config(**options))
    dataset.pose(task)
    return dataset


def of_split(dataset: Dataset, split: str) -> list[Utterance]:
    return [utterance for speaker in dataset.speakers(split) for utterance in dataset.utterances(speaker)]


def test_the_corpus_of_speakers_is_what_it_always_was() -> None:
    every = [[(u.id, u.speaker, u.text, u.language, u.style) for u in of_split(opened("speaker"), split)] for split in SPLITS]
    voices = {
        split: {name: {key: vars(voice)[key] for key in ("name", "rate", "pitch", "range")} for name, voice in some.items()}
        for split, some in plugin.VOICES.items()
    }
    assert digest_of([every, voices], 16) == "0a28003faf09b30b", "its committed episodes and rows would be worth nothing"


@pytest.mark.parametrize("task", ["language", "style", "cross_lingual"])
def test_splits_share_no_speakers_voices_targets_or_sentences(task: str) -> None:
    dataset = opened(task)
    speakers, texts, voices = [], [], []
    for split in SPLITS:
        every = of_split(dataset, split)
        speakers.append(set(dataset.speakers(split)))
        texts.append({normalised(u.text) for u in every})
        voices.append({dataset._voice(u).name.partition("+")[2] for u in every})  # type: ignore[attr-defined]
        assert [u.id for u in every] == sorted({u.id for u in every}) and {u.speaker for u in every} == speakers[-1]
    for some in (speakers, voices):
        assert not any(a & b for a, b in itertools.combinations(some, 2))
    assert not texts[0] & (texts[1] | texts[2]), "no held-out sentence is heard in training"


def test_languages_are_many_each_of_several_voices_and_in_one_split() -> None:
    dataset = opened("language")
    spoken: dict[str, dict[str, set[str]]] = {split: {} for split in SPLITS}
    for split in SPLITS:
        for utterance in of_split(dataset, split):
            spoken[split].setdefault(utterance.language, set()).add(utterance.speaker)
    assert [len(spoken[split]) for split in SPLITS] == [10, 2, 6]
    assert not any(set(spoken[a]) & set(spoken[b]) for a, b in itertools.combinations(SPLITS, 2))
    assert all(len(voices) >= 3 for languages in spoken.values() for voices in languages.values())
    held_out = [name for split in SPLITS[1:] for names in plugin.SPOKEN[split].values() for name in names]
    assert len(held_out) == len(set(held_out)), "held-out languages share no voice"


@pytest.mark.parametrize("language", sorted(path.stem for path in (Path(str(plugin.__file__)).parent / "sentences").glob("*.txt")))
def test_sentences_of_a_language(language: str) -> None:
    sentences = plugin.sentences_in(language)
    assert len(sentences) == 24 == len({normalised(text) for text in sentences})
    assert any(language in languages for languages in plugin.SPOKEN.values())
    for text in sentences:
        assert text == text.strip() and 5 <= len(text.split()) <= 12 and text[-1] in ".?" and not is_foreign(text, language)


def test_a_few_sentences_of_each_voice_are_enough_for_episodes() -> None:
    for split in SPLITS[1:]:
        texts: dict[str, set[str]] = {}
        for utterance in of_split(opened("language", sentences=5), split):
            texts.setdefault(utterance.language, set()).add(normalised(utterance.text))
        assert all(len(some) == 15 > MAX_SHOTS + MAX_QUERIES for some in texts.values())


def test_phones_are_those_of_the_phonemiser_and_lie_in_order_within_the_audio() -> None:
    dataset = opened("language")
    firsts = {u.language: u for split in SPLITS for speaker in dataset.speakers(split) for u in dataset.utterances(speaker)[3:4]}
    assert len(firsts) == 18
    for language, utterance in firsts.items():
        samples, rate = dataset.load(utterance)
        words = dataset.alignment(utterance)
        assert words is not None
        assert tuple(tuple(segment.phone for segment in word) for word in words) == phonemise([utterance.text], language)[0]
        flat = [segment for word in words for segment in word]
        assert all(b.start >= a.end - 1e-9 and a.end > a.start for a, b in itertools.pairwise(flat)), utterance
        assert flat[0].start >= 0 and flat[-1].end <= len(samples) / rate


def test_events_take_the_phonemisers_names() -> None:
    said = [[Segment("k", 0, 1), Segment("ʲ", 1, 2), Segment("a", 2, 3)], [Segment("t", 4, 5)]]
    assert named(said, (("kʲ", "aː"), ("tː",))) == [[Segment("kʲ", 0, 2), Segment("aː", 2, 3)], [Segment("tː", 4, 5)]]
    assert named(said, (("kʲ",), ("t",))) == [[Segment("kʲ", 0, 2), Segment("a", 2, 3)], [Segment("t", 4, 5)]], "they disagree"


def measured(dataset: Dataset, speaker: str, style: str) -> dict[str, float]:
    utterance = Utterance(f"{speaker}-{style}", speaker, plugin.HELD_OUT_SENTENCES[0], style=style)
    samples, rate = dataset.load(utterance)
    words = dataset.alignment(utterance)
    assert words is not None
    return dict(zip(FEATURES, features(from_int16(standardise(samples, rate)[0]), sum(map(len, words))), strict=True))


@pytest.mark.parametrize("speaker", plugin.STYLED["test"])
def test_a_style_is_what_its_name_says(speaker: str) -> None:
    dataset = opened("style")
    plain, *styles = (measured(dataset, speaker, style) for style in plugin.STYLES)
    found = dict(zip(STYLES, styles, strict=True))
    assert found["fast"]["rate"] > 1.35 * plain["rate"] and found["slow"]["rate"] < 0.75 * plain["rate"]
    assert found["emphatic"]["rate"] < 0.9 * plain["rate"] and found["emphatic"]["pitch"] > plain["pitch"] + 0.5
    assert found["flat"]["pitch range"] < 0.5 * plain["pitch range"] and found["lively"]["pitch range"] > 1.3 * plain["pitch range"]
    assert found["whisper"]["voicing"] < 0.1 < plain["voicing"]


def test_each_voice_speaks_in_every_style_and_plainly() -> None:
    dataset = opened("style", sentences=2)
    for speaker in plugin.STYLED["test"]:
        some = dataset.utterances(speaker)
        assert [u.style for u in some] == ["", "", *(style for style in STYLES for _ in range(2))]
    assert [len(dataset.speakers(split)) for split in SPLITS] == [6, 2, 4]


def test_a_whisper_is_the_same_every_time_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    voice = VoiceSettings("en-us+f2", whispered=True)
    first, again = speak("Nobody noticed.", voice)[0], speak("Nobody noticed.", voice)[0]
    assert np.array_equal(first, again) and not list(tmp_path.iterdir())
    assert not np.array_equal(first[:1000], speak("Nobody noticed.", VoiceSettings("en-us+f2"))[0][:1000])
    with pytest.raises(BenchmarkError, match=r"has no voice en-us\+nobody"):
        speak("hello", VoiceSettings("en-us+nobody", whispered=True))


def test_emphasis_says_the_text_and_nothing_of_its_markup() -> None:
    text = "Salt & vinegar <go> well"
    said = speak(text, VoiceSettings("en-us+f2", emphatic=True))[2]
    assert [[segment.phone for segment in word] for word in said] == [
        [segment.phone for segment in word] for word in speak(text, VoiceSettings("en-us+f2"))[2]
    ]


def test_another_rendering_of_a_style_makes_another_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def digests() -> Sequence[str]:
        return [chunk.digest for chunk in make_chunks(opened("style", sentences=1), None, 1)]

    monkeypatch.setattr(plugin, "STYLED", {"train": ("boris", "ed"), "validation": ("ian",), "test": ("m8",)})
    before = digests()
    monkeypatch.setitem(plugin.STYLES, "fast", {"faster": 1.6})
    assert all(a != b for a, b in zip(before, digests(), strict=True))
