"""A trained model speaks: its algorithm adapts to somebody's recordings and says texts, sentence by sentence."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.data import synthesised
from benchmark.data.frontend import Frontend
from benchmark.data.languages import is_other_language
from benchmark.data.phonemes import phonemise, voice
from benchmark.data.recordings import LeftOut, Recording, sound_of, told, transcribed
from benchmark.data.scripts import is_foreign
from benchmark.data.sentences import sentences_of
from benchmark.errors import BenchmarkError, PredictionFailed, UsageError
from benchmark.plumbing.names import control_in
from benchmark.running.trained_model import Adaptation, TrainedModel
from benchmark.utterance import Words, token_symbols

MOST_CHARACTERS = 20_000
"""Of a text to say: about half an hour of speech."""
PAUSE_SECONDS = 0.25
"""Between sentences."""
LITTLE_SECONDS = 3.0
"""Speech below which scores of it mean little."""
JUDGED_SECONDS = 60.0
"""Speech that is kept to judge it by; a text is spoken and written sentence by sentence, so that memory does not grow with its length."""


@dataclass(frozen=True)
class Sentence:
    """A sentence to say.

    Attributes:
        text: as written.
        words: its phones, word by word.
        tokens: its symbols, shape (T,), int64.
    """

    text: str
    words: Words
    tokens: torch.Tensor


@dataclass(frozen=True)
class Voice:
    """A model that speaks in a voice.

    Attributes:
        trained: the model.
        adapted: to the voice.
        recordings: number of recordings adapted to.
        left_out: recordings that could not be used, and why.
        asked: the most adaptation steps that were to be taken.
    """

    trained: TrainedModel
    adapted: Adaptation
    recordings: int
    left_out: LeftOut
    asked: int
    rate: ClassVar[int] = SAMPLE_RATE
    """Of the speech, in Hz."""

    def __call__(self, text: str, language: str = "") -> Audio:
        """Speak a text, with a pause between sentences.

        Args:
            text: at most ``MOST_CHARACTERS``.
            language: espeak-ng voice that reads it, as people write it ("de"); "" for the model's own.

        Returns:
            the waveform, shape (samples,), float32 in [-1, 1], at ``rate``.

        Raises:
            UsageError: see :func:`sentences`.
            BenchmarkError: a sentence can't be spoken.
        """
        return np.concatenate(list(_pieces(self, self._sentences(text, language), Spoken())))

    def write(self, text: str, path: Path | str, language: str = "") -> None:
        """Speak a text into a wav file, marked as synthesised; see :meth:`__call__`."""
        synthesised.refuse_to_overwrite(Path(path))
        speak(self, self._sentences(text, language), Path(path))

    def _sentences(self, text: str, language: str) -> list[Sentence]:
        return sentences(text, self.trained.frontend, reader(language, "language"))


@dataclass
class Spoken:
    """Speech that was written to a file.

    Attributes:
        samples: its length at 16 kHz, pauses included.
        seconds: of wall time that speaking took.
        judged: the first sentences and their speech, about ``JUDGED_SECONDS`` of it.
    """

    samples: int = 0
    seconds: float = 0.0
    judged: list[tuple[Sentence, Audio]] = field(default_factory=list)


def reader(language: str | None, option: str) -> str:
    """The espeak-ng voice that reads texts in a language as people write it ("de", "en_US"); "" if none is given.

    Args:
        language: given.
        option: of the command line, that gives it.

    Raises:
        UsageError: there is none.
    """
    try:
        return voice(language) if language else ""
    except ValueError as error:
        raise UsageError(f"Argument {option}: {error}") from error


def sentences(text: str, frontend: Frontend, language: str = "") -> list[Sentence]:
    """The sentences of a text.

    Args:
        text: one sentence or many.
        frontend: of the model.
        language: espeak-ng voice that reads the text; "" for the model's own, if the text is not in another language.

    Raises:
        UsageError: the text is empty or too long, is in a script that the voice does not read or in another language, has no phonemes, or
            has phonemes without a symbol.
    """
    if not isinstance(text, str):
        raise UsageError(f"The text to say must be a text, not {type(text).__name__}.")
    plain, given, language = " ".join(text.split()), bool(language), language or frontend.language
    if not plain:
        raise UsageError("The text to say is empty.")
    if len(plain) > MOST_CHARACTERS:
        raise UsageError(f"The text to say has {len(plain)} characters; say at most {MOST_CHARACTERS} at a time.")
    if control_in(plain):
        raise UsageError(f"The text to say holds {control_in(plain)!r}, which is no letter; leave it out.")
    if is_foreign(plain, language):
        advice = "give its --language, or choose a model that speaks it"
        raise UsageError(f"{plain[:60]!r} is in a script that espeak-ng's voice {language} can't read; {advice}.")
    if not given and is_other_language(plain, language):
        raise UsageError(f"{plain[:60]!r} is not in the model's language, {language}; if it is, give --language {language}.")
    parts = sentences_of(plain)
    every = [(part, words) for part, words in zip(parts, phonemise(parts, language), strict=True) if words]
    if not every:
        raise UsageError(f"There is nothing to pronounce in {plain[:60]!r}; write words.")
    if strange := frontend.unknown(tuple(word for _, words in every for word in words)):
        advice = "choose a model of that language" if given else "use other words"
        raise UsageError(f"The model speaks {frontend.language} and never heard {' '.join(strange)}, which {plain[:60]!r} needs; {advice}.")
    ids = frontend.symbol_ids
    return [Sentence(part, words, torch.tensor([ids[symbol] for symbol in token_symbols(words)])) for part, words in every]


def adapt(
    trained: TrainedModel, recordings: Sequence[Recording], steps: int | None = None, budget: float | None = None, language: str = ""
) -> Voice:
    """Adapt to recordings.

    Args:
        trained: a model that speaks.
        recordings: of one voice, at least one.
        steps: of adaptation; None for the largest number that the run was scored at.
        budget: seconds of wall time for them, in which fewer may fit; None for no limit.
        language: espeak-ng voice that reads the transcripts; "" for what a table says, else the model's own.

    Raises:
        UsageError: the algorithm needs transcripts, and none can be used.
        BenchmarkError: adaptation failed.
    """
    asked, name = trained.steps(steps), trained.settings.algo.name
    left_out: LeftOut = []
    if "transcripts" not in trained.algorithm.needs:
        # All recordings can be used, and none has to be aligned.
        support = sound_of(recordings, trained.frontend.mel)
    else:
        if not any(each.text or each.unreadable for each in recordings):
            first = Path(recordings[0].name).stem
            raise UsageError(f"{name} needs transcripts: put them beside the recordings, as {first}.txt, or in a table, metadata.csv.")
        assert trained.aligner is not None  # bundle_of() adds one for algorithms that need transcripts
        found, left_out = transcribed(recordings, trained.frontend, trained.aligner, language)
        if found is None:
            raise UsageError(f"{name} needs transcripts, and none can be used: {told(left_out)}.")
        support = found
    return Voice(trained, trained.adapt(support, asked, budget), len(support), left_out, asked)


def speak(voice: Voice, text: Sequence[Sentence], path: Path) -> Spoken:
    """Write the speech of a text to a wav file, with a pause between sentences.

    Args:
        voice: from :func:`adapt`.
        text: from :func:`sentences`.
        path: of the file.

    Raises:
        BenchmarkError: a sentence can't be spoken, or the file can't be written.
    """
    spoken = Spoken()
    started = time.perf_counter()
    synthesised.write(path, _pieces(voice, text, spoken))
    spoken.seconds = time.perf_counter() - started
    return spoken


def _pieces(voice: Voice, text: Sequence[Sentence], spoken: Spoken) -> Iterator[Audio]:
    """The speech of the sentences and the pauses between them, in turn; ``spoken`` is filled in."""
    name, vocoder = voice.trained.settings.algo.name, voice.trained.vocoder
    assert vocoder is not None  # models that speak have one
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    for number, sentence in enumerate(text):
        try:
            audio: Audio = np.clip(voice.adapted.model.wave(vocoder, sentence.tokens).cpu().float().numpy(), -1, 1)
        except PredictionFailed as error:
            raise BenchmarkError(f"{name} could not speak: {error}; try fewer --steps or other recordings.") from error
        if not len(audio):
            raise BenchmarkError(f"{name} could not speak: its audio is empty; try fewer --steps or other recordings.")
        if sum(len(each) for _, each in spoken.judged) < JUDGED_SECONDS * SAMPLE_RATE:
            spoken.judged.append((sentence, audio))
        for piece in (pause, audio) if number else (audio,):
            spoken.samples += len(piece)
            yield piece
