"""Somebody's recordings: a folder of audio files, prepared in the same way as a model's training corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence

from benchmark.audio import from_int16
from benchmark.batch import Batch, collate, sound_only
from benchmark.data import shards
from benchmark.data.aligner import Aligner, AlignmentItem, CannotAlign, mfcc
from benchmark.data.audio import Unusable
from benchmark.data.corpus import Corpus
from benchmark.data.drafts import Draft, decode
from benchmark.data.phonemes import phonemise
from benchmark.data.places import Transcripts
from benchmark.data.places import recordings as recordings_in
from benchmark.data.scripts import is_foreign
from benchmark.errors import UsageError
from benchmark.mel import MelSpec, log_mel
from benchmark.plumbing.sound_files import read as read_sound
from benchmark.utterance import PreparedUtterance, Words

MOST = 20
"""Most recordings of a voice to use; few-shot adaptation needs no more."""

LeftOut = list[tuple[str, str]]
"""File names, each with the reason that it can't be used."""


@dataclass(frozen=True)
class Recording:
    """A recording, standardised as by :func:`benchmark.data.audio.standardise`.

    Attributes:
        name: file name.
        audio: shape (samples,), int16 at 16 kHz.
        text: transcript; empty if none lies beside the file, or none that can be read.
        unreadable: why the transcript can't be read; empty if it can.
    """

    name: str
    audio: npt.NDArray[np.int16]
    text: str
    unreadable: str = ""

    @property
    def waveform(self) -> npt.NDArray[np.float32]:
        """The audio as float32 in [-1, 1)."""
        return from_int16(self.audio)


def read(folder: Path) -> tuple[list[Recording], LeftOut]:
    """At most ``MOST`` recordings in a folder (not in folders below it), by name, and those that can't be used.

    Speech that ``say`` wrote is left out.

    Args:
        folder: of recordings, or one recording.

    Raises:
        UsageError: there is no such folder or file, or it holds no usable recording.
    """
    if folder.is_file():
        paths = [folder]
    elif folder.is_dir():
        paths = recordings_in(folder, below=False)
    else:
        raise UsageError(f"There is no folder of recordings and no recording at {folder}.")
    if not paths:
        raise UsageError(f"{folder} holds no recordings: put a few wav files of the voice there, transcripts beside them as .txt.")
    recordings: list[Recording] = []
    left_out: LeftOut = []
    texts = Transcripts()
    for path in paths:
        try:
            if len(recordings) == MOST:
                raise Unusable(f"{MOST} recordings are enough")
            recordings.append(_recording(path, texts))
        except Unusable as reason:
            left_out.append((path.name, str(reason)))
    if not recordings:
        raise UsageError(f"No recording in {folder} can be used: {told(left_out)}; put a few wav files there, one spoken sentence each.")
    return recordings, left_out


def told(left_out: LeftOut) -> str:
    """The reasons, each with its files."""
    names: dict[str, list[str]] = {}
    for name, reason in left_out:
        names.setdefault(reason, []).append(name)
    return "; ".join(f"{reason} ({', '.join(some[:3])}{', …' if len(some) > 3 else ''})" for reason, some in names.items())


def _recording(path: Path, texts: Transcripts) -> Recording:
    kind = {".opus": "OGG", ".aif": "AIFF"}.get(path.suffix.lower(), path.suffix[1:].upper())
    if kind not in soundfile.available_formats():
        raise Unusable(f"{path.suffix.lower()} can't be decoded here, convert it to wav")
    audio = decode(path, partial(read_sound, path)).audio
    text, unreadable = texts.of(path)
    return Recording(path.name, audio, text, unreadable)


def sound_of(recordings: Sequence[Recording], mel: MelSpec) -> Batch:
    """The support set of all recordings without phonemes, for recognisers and for algorithms that need only their sound."""
    mels = [log_mel(torch.from_numpy(each.waveform), mel) for each in recordings]
    lengths = torch.tensor([len(each) for each in mels])
    return sound_only(pad_sequence(mels, batch_first=True), lengths, [each.text for each in recordings])


def transcribed(recordings: Sequence[Recording], corpus: Corpus, aligner: Aligner, language: str = "") -> tuple[Batch | None, LeftOut]:
    """The support set of the recordings with transcripts (None if there are none), and those that can't be used.

    Args:
        recordings: as read.
        corpus: the model's training corpus, for its language, symbols, mel definition and statistics.
        aligner: that corpus's aligner.
        language: espeak-ng voice that reads the transcripts; "" for the corpus's own.
    """
    ready: list[PreparedUtterance] = []
    left_out: LeftOut = []
    language = language or corpus.meta["card"]["language"]
    words = phonemise([each.text for each in recordings], language)
    for each, some in zip(recordings, words, strict=True):
        try:
            if each.unreadable:
                raise Unusable(f"transcript is {each.unreadable}")
            if is_foreign(each.text, language):
                raise Unusable(f"transcript in a script that espeak-ng's voice {language} can't read")
            ready.append(_prepared(each, some, corpus, aligner))
        except Unusable as reason:
            left_out.append((each.name, str(reason)))
    return collate(ready, corpus.statistics, {}) if ready else None, left_out


def _prepared(recording: Recording, words: Words, corpus: Corpus, aligner: Aligner) -> PreparedUtterance:
    if not recording.text:
        raise Unusable("no transcript")
    if not words:
        raise Unusable("text without phonemes")
    if strange := unknown(words, corpus):
        raise Unusable(f"sounds that {corpus.name} has no example of: {' '.join(strange)}")
    draft = Draft(recording.name, recording.text, recording.audio, words)
    try:
        draft.segments = aligner.align(AlignmentItem(draft.id, mfcc(recording.waveform, corpus.mel.sample_rate), words))
    except CannotAlign as reason:
        raise Unusable(f"alignment failed: {reason}") from reason
    done, skipped = shards.finish([draft], corpus.mel, corpus.symbol_ids)
    if skipped:
        raise Unusable(skipped[0][1])
    return PreparedUtterance(draft.id, "", draft.text, words, **cast(Any, done[0][1]))


def unknown(words: Words, corpus: Corpus) -> list[str]:
    """The phones that the corpus has no symbol for."""
    return sorted({phone for word in words for phone in word} - set(corpus.symbols))
