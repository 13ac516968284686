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
from benchmark.data.drafts import Draft, decode
from benchmark.data.frontend import Frontend
from benchmark.data.layouts import TABLES
from benchmark.data.layouts.found import METADATA, WAV_SCP
from benchmark.data.phonemes import phonemise, voice
from benchmark.data.places import Transcripts
from benchmark.data.places import recordings as recordings_in
from benchmark.data.scripts import is_foreign
from benchmark.dataset import Utterance
from benchmark.errors import UsageError
from benchmark.mel import MelSpec, log_mel
from benchmark.plumbing.files import is_file
from benchmark.plumbing.sound_files import read as read_sound
from benchmark.plumbing.words import listed
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
        text: transcript; empty if neither a table nor a text beside the file has it, or none that can be read.
        unreadable: why the transcript can't be read; empty if it can.
        language: of the transcript, as people write it ("de"); empty if no table says it.
    """

    name: str
    audio: npt.NDArray[np.int16]
    text: str
    unreadable: str = ""
    language: str = ""

    @property
    def waveform(self) -> npt.NDArray[np.float32]:
        """The audio as float32 in [-1, 1)."""
        return from_int16(self.audio)


def read(folder: Path, voice: bool = True) -> tuple[list[Recording], LeftOut]:
    """Recordings in a folder (not in folders below it, unless a table names them), and those that can't be used.

    Speech that ``say`` wrote is left out. Transcripts come from a table beside the recordings, in any layout that the dataset of one's own
    recordings reads, else from texts beside them.

    Args:
        folder: of recordings, or one recording.
        voice: whether they must be of one voice, of which ``MOST`` are read; otherwise all of anybody's are.

    Raises:
        UsageError: there is no such folder or file, it holds no usable recording, or its table names several speakers.
        BenchmarkError: the table can't be read.
    """
    table: dict[Path, Utterance] = {}
    if folder.is_file():
        paths = [folder]
        table = _table(folder.parent)
    elif folder.is_dir():
        table = _table(folder)
        paths = list(dict.fromkeys([*recordings_in(folder, below=False), *(path for path in table if is_file(path))]))
    else:
        raise UsageError(f"There is no folder of recordings and no recording at {folder}.")
    if not paths:
        texts_too = ", transcripts beside them as .txt" if voice else ""
        raise UsageError(f"{folder} holds no recordings: put a few wav files there{texts_too}.")
    if voice and len(speakers := sorted({table[path].speaker for path in paths if path in table})) > 1:
        named = listed([*speakers[:3], *(["others"] if len(speakers) > 3 else [])])
        raise UsageError(f"The table in {folder} names {len(speakers)} speakers, {named}; give a folder with recordings of one.")
    recordings: list[Recording] = []
    left_out: LeftOut = []
    texts = Transcripts()
    for path in paths:
        try:
            if voice and len(recordings) == MOST:
                raise Unusable(f"{MOST} recordings are enough")
            recordings.append(_recording(path, table.get(path), texts))
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


def _table(folder: Path) -> dict[Path, Utterance]:
    """What a table in a folder says of recordings, by file; nothing if there is none."""
    if not any(is_file(folder / name) for name in METADATA + WAV_SCP):
        return {}
    found = next((found for read in TABLES.values() if (found := read(folder)) is not None), None)
    return {each.audio: each for each in found.utterances if each.audio is not None} if found else {}


def _recording(path: Path, said: Utterance | None, texts: Transcripts) -> Recording:
    kind = {".opus": "OGG", ".aif": "AIFF"}.get(path.suffix.lower(), path.suffix[1:].upper())
    if kind not in soundfile.available_formats():
        raise Unusable(f"{path.suffix.lower()} can't be decoded here, convert it to wav")
    audio = decode(path, partial(read_sound, path)).audio
    if said is not None and (said.text or said.unusable):
        return Recording(path.name, audio, "" if said.unusable else said.text, said.unusable, said.language)
    return Recording(path.name, audio, *texts.of(path))


def sound_of(recordings: Sequence[Recording], mel: MelSpec) -> Batch:
    """The support set of all recordings without phonemes, for recognisers and for algorithms that need only their sound."""
    mels = [log_mel(torch.from_numpy(each.waveform), mel) for each in recordings]
    lengths = torch.tensor([len(each) for each in mels])
    return sound_only(pad_sequence(mels, batch_first=True), lengths, [each.text for each in recordings])


def transcribed(
    recordings: Sequence[Recording], frontend: Frontend, aligner: Aligner, language: str = ""
) -> tuple[Batch | None, LeftOut]:
    """The support set of the recordings with transcripts (None if there are none), and those that can't be used.

    Args:
        recordings: as read.
        frontend: of the model.
        aligner: of the model's training corpus.
        language: espeak-ng voice that reads the transcripts; "" for what a table says, else the model's own.
    """
    ready: list[PreparedUtterance] = []
    left_out: LeftOut = []
    for each in recordings:
        try:
            ready.append(_prepared(each, _words(each, language or each.language, frontend), frontend, aligner))
        except Unusable as reason:
            left_out.append((each.name, str(reason)))
    return collate(ready, frontend.spec.statistics, {}) if ready else None, left_out


def _words(recording: Recording, language: str, frontend: Frontend) -> Words:
    """The phones of a transcript, read by an espeak-ng voice; "" for the model's own."""
    if recording.unreadable:
        raise Unusable(f"transcript is {recording.unreadable}")
    try:
        reads = voice(language) if language else frontend.language
    except ValueError as reason:
        raise Unusable(f"transcript in another language: {str(reason).rstrip('.')}") from reason
    if is_foreign(recording.text, reads):
        raise Unusable(f"transcript in a script that espeak-ng's voice {reads} can't read")
    if not recording.text:
        raise Unusable("no transcript")
    (words,) = phonemise([recording.text], reads)
    if not words:
        raise Unusable("text without phonemes")
    if strange := frontend.unknown(words):
        raise Unusable(f"sounds that {frontend.corpus} has no example of: {' '.join(strange)}")
    return words


def _prepared(recording: Recording, words: Words, frontend: Frontend, aligner: Aligner) -> PreparedUtterance:
    draft = Draft(recording.name, recording.text, recording.audio, words)
    try:
        draft.segments = aligner.align(AlignmentItem(draft.id, mfcc(recording.waveform, frontend.mel.sample_rate), words))
    except CannotAlign as reason:
        raise Unusable(f"alignment failed: {reason}") from reason
    done, skipped = shards.finish([draft], frontend.mel, frontend.symbol_ids)
    if skipped:
        raise Unusable(skipped[0][1])
    return PreparedUtterance(draft.id, "", draft.text, words, **cast(Any, done[0][1]))
