"""Speech-like signals whose content is known, and small prepared corpora of them, for the tests of the metrics."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.signal import lfilter

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.data.corpus import ARRAYS, CORPUS_FORMAT, Corpus
from benchmark.mel import MelSpec, log_mel
from benchmark.metric import Metric, MetricContext, Sample
from benchmark.plumbing.files import digest_of_file, write_sealed
from benchmark.utterance import SPECIAL_SYMBOLS, token_symbols

M = TypeVar("M", bound=Metric)
FORMANTS = {"a": (750, 1200, 2600), "i": (290, 2250, 3000), "u": (320, 800, 2300), "e": (520, 1850, 2550)}
PHONES = (*FORMANTS, "s")
SPEC = MelSpec()


def resonate(signal: np.ndarray, frequencies: tuple[float, ...], width: float = 90.0) -> np.ndarray:
    """Pass a signal through one two-pole resonator after the other."""
    radius = np.exp(-np.pi * width / SAMPLE_RATE)
    for frequency in frequencies:
        angle = 2.0 * np.pi * frequency / SAMPLE_RATE
        signal = lfilter([1.0 - radius], [1.0, -2.0 * radius * np.cos(angle), radius**2], signal)
    return signal


def say(phones: str, pitch: float = 120.0, tract: float = 1.0, seed: int = 0) -> tuple[Audio, list[int]]:
    """Source-filter speech: vowels are filtered pulses, "s" is filtered noise.

    Args:
        phones: a string of ``PHONES``.
        pitch: Hz, at the start; it falls by a fifth.
        tract: factor on all formants.
        seed: of durations and noise.

    Returns:
        int16-exact audio at 16 kHz, and each phone's length in frames of ``SPEC``, with a silence before and after.
    """
    rng = np.random.default_rng(seed)
    hop = SPEC.hop_length
    durations = [6, *(int(n) for n in rng.integers(7, 12, len(phones))), 7]
    total = (sum(durations) - 1) * hop
    phase = np.cumsum(pitch * np.linspace(1.0, 0.8, total) / SAMPLE_RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) + rng.normal(0, 0.01, total)
    noise = rng.normal(size=total)
    audio = rng.normal(0, 3e-4, total)
    start = durations[0] * hop
    for phone, frames in zip(phones, durations[1:-1], strict=True):
        where = slice(start, start + frames * hop)
        if phone == "s":
            piece = 0.06 * np.diff(noise[where], prepend=0.0)
        else:
            piece = resonate(pulses[where], tuple(f * tract for f in FORMANTS[phone]))
            piece *= 0.1 / np.sqrt(np.mean(piece**2))
        audio[where] += piece * np.hanning(len(piece)) ** 0.25
        start += frames * hop
    return (np.round(np.clip(audio, -0.99, 0.99) * 32768) / 32768).astype(np.float32), durations


def sample(audio: Audio, reference: Audio | None = None, **values: object) -> Sample:
    """A sample; the reference is the audio itself unless given."""
    known = {"words": (), "target": "", "enrolment": ()} | values
    return Sample(audio=audio, reference=audio if reference is None else reference, **known)  # type: ignore[arg-type]


def unusable_audio() -> dict[str, Audio]:
    """Audio that no metric may give a number for."""
    speech, _ = say("aiuesaiues")
    with_nan = speech.copy()
    with_nan[1000] = np.nan
    with_infinity = speech.copy()
    with_infinity[1000] = np.inf
    return {
        "empty": speech[:0], "one sample": speech[:1], "10 ms": speech[8000:8160], "silent": np.zeros_like(speech),
        "all but silent": speech * 1e-5, "NaN": with_nan, "infinite": with_infinity,
    }  # fmt: skip


def write_corpus(
    folder: Path, speakers: dict[str, list[str]], utterances: int, seed: int = 0, task: str = "speaker",
    facts: Callable[[str, int], dict[str, str]] = lambda speaker, index: {},
) -> Corpus:  # fmt: skip
    """Write a prepared corpus of source-filter speech; a speaker has a pitch and a vocal tract of its own.

    Args:
        folder: where.
        speakers: names by split.
        utterances: of each speaker.
        seed: of the sentences.
        task: that the corpus is opened with.
        facts: of a speaker's utterance, by number: its language, style.
    """
    rng = np.random.default_rng(seed)
    symbols = [*SPECIAL_SYMBOLS, *PHONES]
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    rows = []
    at = {"frame": 0, "token": 0, "sample": 0}
    names = [(split, name) for split, members in speakers.items() for name in members]
    for number, (split, speaker) in enumerate(names):
        for index in range(utterances):
            phones = "".join(rng.choice(PHONES, 10))
            audio, durations = say(phones, 90.0 + 30.0 * number, 0.88 + 0.06 * (number % 5), int(rng.integers(1 << 30)))
            mel = log_mel(torch.from_numpy(audio), SPEC).numpy()
            tokens = [symbols.index(symbol) for symbol in token_symbols([phones])]
            values = {
                "audio": np.round(audio * 32768).astype(np.int16), "mel": mel, "tokens": np.array(tokens),
                "durations": np.array(durations), "pitch": np.zeros(len(mel), np.float32),
                "energy": np.zeros(len(mel), np.float32),
            }  # fmt: skip
            sizes = {"frame": len(mel), "token": len(tokens), "sample": len(audio)}
            row = {"id": f"{speaker}-{index:03d}", "speaker": speaker, "split": split, "text": phones, "shard": 0}
            row |= {"words": [list(phones)], **at, **{f"{key}s": size for key, size in sizes.items()}}
            rows.append(row | facts(speaker, index))
            at = {key: at[key] + sizes[key] for key in at}
            for name, value in values.items():
                arrays[name].append(value)
    (folder / "shards").mkdir(parents=True)
    for name, parts in arrays.items():
        np.save(folder / "shards" / f"00000.{name}.npy", np.concatenate(parts))
    (folder / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = [folder / "utterances.jsonl", *sorted((folder / "shards").iterdir())]
    files = {path.relative_to(folder).as_posix(): digest_of_file(path) for path in kept}
    statistics: dict[str, object] = {"mel_mean": [0.0] * SPEC.n_mels, "mel_std": [1.0] * SPEC.n_mels}
    statistics |= {"pitch_mean": 5.0, "pitch_std": 0.2, "energy_mean": -4.0, "energy_std": 1.0}
    meta = {"format": CORPUS_FORMAT, "dataset": "tones", "version": f"v{seed}", "symbols": symbols, "mel": asdict(SPEC)}
    meta |= {"card": {"language": "en-us"}}
    meta |= {"statistics": statistics, "report": {}, "files": files}
    write_sealed(folder / "corpus.json", meta)
    return Corpus(folder, task)


def prepared_twice(kind: type[M], folder: Path) -> tuple[M, M]:
    """A metric prepared on six invented speakers, and another one that finds in the cache what the first computed, after pickling."""
    corpus = write_corpus(folder / "corpus", {"train": ["a", "b", "c", "d"], "validation": ["e"], "test": ["f"]}, 12)
    made, again = kind(), kind()
    for metric in (made, again):
        metric.prepare(MetricContext(corpus, folder, ("f",)))
    return made, pickle.loads(pickle.dumps(again))
