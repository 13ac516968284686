"""The embedded default: enough voices, told apart by a speaker encoder, exact boundaries, the same bits every time."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from benchmark.audio import from_int16
from benchmark.data.audio import standardise
from benchmark.data.espeak import VOICELESS_STOPS, VoiceSettings, speak
from benchmark.data.phonemes import phonemise
from benchmark.dataset import SPLITS, Dataset, Segment, Utterance
from benchmark.errors import BenchmarkError
from benchmark.running.episodes import normalised

plugin = importlib.import_module("benchmark.datasets.espeak")
Espeak = plugin.Espeak


def every(dataset: Dataset, split: str) -> list[Utterance]:
    return [utterance for speaker in dataset.speakers(split) for utterance in dataset.utterances(speaker)]


def test_splits_share_neither_speakers_nor_sentences() -> None:
    dataset = Espeak()
    speakers = [set(dataset.speakers(split)) for split in SPLITS]
    assert [len(some) for some in speakers] == [16, 4, 6]
    assert not any(a & b for a, b in itertools.combinations(speakers, 2))
    heard = {normalised(utterance.text) for utterance in every(dataset, "train")}
    for split in ("validation", "test"):
        assert not heard & {normalised(utterance.text) for utterance in every(dataset, split)}


def test_each_voice_reads_its_own_sentences_once() -> None:
    dataset = Espeak()
    lists = [tuple(u.text for u in dataset.utterances(speaker)) for split in SPLITS for speaker in dataset.speakers(split)]
    assert all(len(texts) == len(set(texts)) == 24 for texts in lists)
    assert len(set(lists)) == len(lists)
    assert all(4 <= len(text.split()) <= 10 for text in plugin.TRAIN_SENTENCES + plugin.HELD_OUT_SENTENCES)


def test_ids_are_unique_and_sorted() -> None:
    dataset = Espeak()
    ids = [utterance.id for split in SPLITS for utterance in every(dataset, split)]
    assert len(ids) == len(set(ids)) == 26 * 24
    assert all((some := [u.id for u in dataset.utterances(s)]) == sorted(some) for s in dataset.speakers("train"))


def test_rendering_does_not_depend_on_what_was_said_before() -> None:
    text, voice = "The moon looked like a thin slice of lemon.", VoiceSettings("en-us+f5")
    alone, rate, segments = speak(text, voice)
    speak("Something else entirely, and rather long.", VoiceSettings("en-us+m3", 300, 80, 90))
    again, again_rate, again_segments = speak(text, voice)
    assert (alone == again).all() and rate == again_rate and segments == again_segments


def test_rendering_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from benchmark.datasets.espeak import Espeak\n"
        "d = Espeak(); print(hashlib.sha256(b''.join(d.load(d.utterances(s)[3])[0].tobytes() for s in ('ed', 'linda'))).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    dataset = Espeak()
    here = b"".join(dataset.load(dataset.utterances(speaker)[3])[0].tobytes() for speaker in ("ed", "linda"))
    assert there == hashlib.sha256(here).hexdigest()


def test_phones_are_those_of_the_text_and_lie_in_order_within_the_audio() -> None:
    dataset = Espeak()
    some = [dataset.utterances(speaker)[number] for number, split in enumerate(SPLITS) for speaker in dataset.speakers(split)]
    for utterance, words in zip(some, phonemise([u.text for u in some], "en-us"), strict=True):
        samples, rate = dataset.load(utterance)
        found = dataset.alignment(utterance)
        assert tuple(tuple(segment.phone for segment in word) for word in found) == words
        flat = [segment for word in found for segment in word]
        assert all(segment.end - segment.start > 0.005 for segment in flat), utterance
        assert all(b.start >= a.end - 1e-9 for a, b in itertools.pairwise(flat))
        assert flat[0].start >= 0 and flat[-1].end <= len(samples) / rate


def loudness(samples: npt.NDArray[np.float32], rate: int, segment: Segment) -> float:
    return float(np.sqrt(np.mean(samples[int(segment.start * rate) : int(segment.end * rate)] ** 2)))


def test_boundaries_are_where_the_sound_changes() -> None:
    """A closure is in the stop, not in the vowel before it; a hiss is where an s is, and nowhere else."""
    samples, rate, words = speak("a pet sits at a cottage", VoiceSettings("en-us+m3"))
    flat = [segment for word in words for segment in word]
    for before, stop in itertools.pairwise(flat):
        if stop.phone in VOICELESS_STOPS and before.end == stop.start and before.phone not in VOICELESS_STOPS | {"s"}:
            head = Segment("", stop.start, stop.start + 0.03)
            tail = Segment("", before.end - 0.015, before.end)
            assert loudness(samples, rate, head) < 0.3 * loudness(samples, rate, tail), (before, stop)
    brightness: dict[str, list[float]] = {}
    for segment in flat:
        part = samples[int(segment.start * rate) : int(segment.end * rate)]
        spectrum = np.abs(np.fft.rfft(part)) ** 2
        cut = int(4000 * len(part) / rate)
        brightness.setdefault(segment.phone, []).append(float(spectrum[cut:].sum() / spectrum.sum()))
    assert min(brightness["s"]) > 0.6
    assert all(max(brightness[phone]) < 0.3 for phone in brightness if phone in {"ɛ", "ɪ", "æ", "ɐ", "ɑː"})


def test_a_speaker_encoder_tells_the_voices_apart() -> None:
    from resemblyzer import VoiceEncoder

    encoder = VoiceEncoder("cpu", verbose=False)
    dataset = Espeak()
    vectors = []
    for split in SPLITS:
        for speaker in dataset.speakers(split):
            some = [standardise(*dataset.load(utterance))[0] for utterance in dataset.utterances(speaker)[:3]]
            vectors.append([encoder.embed_utterance(from_int16(audio)) for audio in some])
    similarity = np.einsum("iad,jbd->iajb", vectors, vectors)
    people, takes = similarity.shape[:2]
    same = np.array([similarity[i, a, i, b] for i in range(people) for a in range(takes) for b in range(a)])
    different = np.array([similarity[i, :, j, :].ravel() for i in range(people) for j in range(i)]).ravel()
    thresholds = np.unique(np.concatenate([same, different]))
    rates = [(np.mean(different >= t), np.mean(same < t)) for t in thresholds]
    accepted, refused = min(rates, key=lambda pair: abs(pair[0] - pair[1]))
    assert (accepted + refused) / 2 < 0.04
    assert same.mean() - different.mean() > 0.25


def test_the_number_of_sentences_can_be_chosen_and_is_checked() -> None:
    short, full = Espeak(None, Espeak.Config(sentences=5)), Espeak()
    assert list(short.utterances("ed")) == list(full.utterances("ed"))[:5]
    with pytest.raises(ValueError, match="sentences must be at least 1, not 0"):
        Espeak.Config(sentences=0)


def test_it_is_labelled_synthetic_and_needs_no_data() -> None:
    assert Espeak.card.synthetic and not Espeak.needs_root


def test_an_unknown_voice_is_one_clear_error() -> None:
    with pytest.raises(BenchmarkError, match=r"espeak-ng has no voice en-us\+nobody-of-this-name"):
        speak("hello", VoiceSettings("en-us+nobody-of-this-name"))
