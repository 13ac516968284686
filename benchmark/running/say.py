"""A finished run speaks: its algorithm adapts to somebody's recordings and says a text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark import problems
from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.batch import Batch
from benchmark.data.corpus import Corpus
from benchmark.data.corpus_aligner import corpus_aligner
from benchmark.data.phonemes import phonemise, voice
from benchmark.data.recordings import LeftOut, Recording, sound_of, told, transcribed, unknown
from benchmark.data.scripts import is_foreign
from benchmark.data.sentences import sentences_of
from benchmark.errors import BenchmarkError, CannotScore, PredictionFailed, UsageError
from benchmark.plugins import registry
from benchmark.plumbing.names import control_in
from benchmark.running.finished import FinishedRun, open_run, restore
from benchmark.running.preparation import metrics_folder
from benchmark.running.run import VOCODER_FILE, Places, fresh_vocoder, prepared_vocoder
from benchmark.running.vocoding import restored
from benchmark.utterance import token_symbols
from benchmark.vocoder import Vocoder

MOST_CHARACTERS = 20_000
"""Of a text to say. It is spoken sentence by sentence; all of its speech, about half an hour, takes little memory."""
PAUSE_SECONDS = 0.25
"""Between sentences."""


@dataclass(frozen=True)
class Speaker:
    """A finished synthesis run, and the vocoder that it speaks with."""

    run: FinishedRun
    vocoder: Vocoder


@dataclass(frozen=True)
class Spoken:
    """The synthesised speech, and how it was made.

    Attributes:
        audio: shape (samples,), float32 in [-1, 1], at 16 kHz.
        recordings: number of recordings adapted to.
        left_out: recordings that could not be used, and why.
        steps: of adaptation.
        seconds_to_adapt: wall time.
        seconds_to_speak: wall time.
    """

    audio: Audio
    recordings: int
    left_out: LeftOut
    steps: int
    seconds_to_adapt: float
    seconds_to_speak: float


def open_speaker(folder: Path, cache: Path, plugins: registry.Plugins) -> Speaker:
    """Open a synthesis run; arguments and errors as for :func:`benchmark.running.finished.open_run`."""
    run = open_run(folder, cache, plugins, problems.get("synthesis"))
    return Speaker(run, _vocoder(run, cache, plugins))


def _vocoder(run: FinishedRun, cache: Path, plugins: registry.Plugins) -> Vocoder:
    """The vocoder that the run spoke with; one that trains has the run's weights."""
    settings, folder, name = run.settings, run.folder, run.settings.vocoder.name
    if not registry.load("vocoder", name, plugins).trains:
        return prepared_vocoder(settings, run.corpus, Places(folder.parent, cache, None, 1, tuple(map(Path, plugins))))[0]
    return restore(folder / VOCODER_FILE, partial(restored, fresh_vocoder(settings, plugins)))


def reader(language: str | None, corpus: Corpus, option: str) -> str:
    """The espeak-ng voice that reads texts in a language as people write it ("de", "en_US"); None for the corpus's own.

    Args:
        language: given.
        corpus: the one that the model learned from.
        option: of the command line, that gives it.

    Raises:
        UsageError: there is none.
    """
    try:
        return voice(language) if language else str(corpus.meta["card"]["language"])
    except ValueError as error:
        raise UsageError(f"Argument {option}: {error}") from error


def tokens(text: str, corpus: Corpus, language: str = "") -> list[torch.Tensor]:
    """The symbols of each sentence, shape (T,), int64.

    Args:
        text: one sentence or many.
        corpus: the one that the model learned from.
        language: espeak-ng voice that reads the text; "" for the corpus's own.

    Raises:
        UsageError: the text is empty or too long, is in a script that the voice does not read, has no phonemes, or has phonemes
            without a symbol in the corpus.
    """
    plain, language = " ".join(text.split()), language or corpus.meta["card"]["language"]
    if not plain:
        raise UsageError("The text to say is empty.")
    if len(plain) > MOST_CHARACTERS:
        raise UsageError(f"The text to say has {len(plain)} characters; say at most {MOST_CHARACTERS} at a time.")
    if control_in(plain):
        raise UsageError(f"The text to say holds {control_in(plain)!r}, which is no letter; leave it out.")
    if is_foreign(plain, language):
        raise UsageError(f"{plain[:60]!r} is in a script that espeak-ng's voice {language} can't read; give its --language.")
    every = [words for words in phonemise(sentences_of(plain), language) if words]
    if not every:
        raise UsageError(f"There is nothing to pronounce in {plain[:60]!r}; write words.")
    if strange := unknown(tuple(word for words in every for word in words), corpus):
        raise UsageError(f"The model never heard {' '.join(strange)}, which {plain[:60]!r} needs; use other words.")
    return [torch.tensor([corpus.symbol_ids[symbol] for symbol in token_symbols(words)]) for words in every]


def say(
    sentences: Sequence[torch.Tensor], speaker: Speaker, recordings: list[Recording], steps: int | None, cache: Path, language: str = ""
) -> Spoken:
    """Adapt to recordings and speak, with a pause between sentences.

    Args:
        sentences: from :func:`tokens`.
        speaker: from :func:`open_speaker`.
        recordings: of one voice, at least one.
        steps: of adaptation; None for the largest number that the run was scored at.
        cache: where the aligner is kept.
        language: espeak-ng voice that reads the transcripts; "" for the corpus's own.

    Raises:
        UsageError: the algorithm needs transcripts, and none can be used.
        BenchmarkError: adaptation failed.
    """
    run = speaker.run
    steps, name = run.steps(steps), run.settings.algo.name
    if "transcripts" not in run.algorithm.needs:
        # All recordings can be used, and none has to be aligned.
        return _spoken(sentences, speaker, sound_of(recordings, run.corpus.mel), steps, [])
    if not any(each.text or each.unreadable for each in recordings):
        raise UsageError(f"{name} needs transcripts: put them beside the recordings, as {Path(recordings[0].name).stem}.txt.")
    support, left_out = transcribed(recordings, run.corpus, corpus_aligner(run.corpus, metrics_folder(cache, run.corpus)), language)
    if support is None:
        raise UsageError(f"{name} needs transcripts, and none can be used: {told(left_out)}.")
    return _spoken(sentences, speaker, support, steps, left_out)


def _spoken(sentences: Sequence[torch.Tensor], speaker: Speaker, support: Batch, steps: int, left_out: LeftOut) -> Spoken:
    name = speaker.run.settings.algo.name
    started = time.perf_counter()
    model = speaker.run.adapt(support, steps)
    adapted = time.perf_counter()
    try:
        pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
        parts: list[Audio] = []
        for sentence in sentences:
            parts += [pause, model.wave(speaker.vocoder, sentence).cpu().float().numpy()]
        audio = np.clip(np.concatenate(parts[1:]), -1, 1)
    except PredictionFailed as error:
        raise BenchmarkError(f"{name} could not speak: {error}; try fewer --steps or other recordings.") from error
    if not len(audio) or not np.isfinite(audio).all():
        raise BenchmarkError(f"{name} could not speak: its audio is empty or not finite; try fewer --steps or other recordings.")
    return Spoken(audio, len(support), left_out, steps, adapted - started, time.perf_counter() - adapted)


def similarity(audio: Audio, recordings: list[Recording]) -> tuple[float, float | None]:
    """GE2E cosine of speech to the recordings' centroid, and mean cosine of each recording to the others' (None for only one).

    Raises:
        CannotScore: there is too little voice in the speech, or in every recording.
    """
    from benchmark.scoring.ge2e import embed
    from benchmark.scoring.verification import normalised

    known: list[Any] = []
    reason = ""
    for each in recordings:
        try:
            known.append(embed(each.waveform))
        except CannotScore as error:
            reason = str(error)
    if not known:
        raise CannotScore(f"no recording has enough voice: {reason}")
    real = np.stack(known)
    own = None
    if len(real) > 1:
        own = float(np.mean([one @ normalised(real.sum(0) - one) for one in real]))
    return float(embed(audio) @ normalised(real.mean(0))), own
