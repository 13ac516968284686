"""Use of a finished run: its algorithm adapts to a folder of recordings and speaks.

It needs the run's folder and the cache that the run was made with, whose prepared corpus holds the symbols, the mel
definition, the statistics and the language. The original corpus is not needed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.algorithm import Algorithm, Oracle
from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.batch import Batch
from benchmark.data.corpus import Corpus
from benchmark.data.corpus_aligner import corpus_aligner
from benchmark.data.joined import JoinedCorpus
from benchmark.data.phonemes import phonemise, voice
from benchmark.data.recordings import LeftOut, Recording, sound_of, told, transcribed, unknown
from benchmark.data.scripts import is_foreign
from benchmark.data.sentences import sentences_of
from benchmark.errors import AdaptationFailed, BenchmarkError, CannotScore, PredictionFailed, UsageError
from benchmark.plugins import fit, registry
from benchmark.plugins.digest import source_digest
from benchmark.plumbing import checkpoint
from benchmark.results.result import LATER, read_result
from benchmark.running.identity import weights_digest
from benchmark.running.preparation import metrics_folder
from benchmark.running.pretraining import build
from benchmark.running.run import ALGORITHM_FILE, VOCODER_FILE, Places, fresh_vocoder, prepared_vocoder
from benchmark.running.vocoding import restored
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.utterance import token_symbols
from benchmark.vocoder import Vocoder

PAUSE_SECONDS = 0.25
"""Between sentences."""


@dataclass(frozen=True)
class Speaker:
    """A run's trained algorithm, with what it needs to adapt and speak."""

    settings: RunSettings
    corpus: Corpus
    algorithm: Algorithm
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


def open_run(folder: Path, cache: Path, plugins: registry.Plugins) -> Speaker:
    """Rebuild a run's algorithm from its folder and the cache.

    Raises:
        UsageError: there is no such folder, or the algorithm does not adapt to recordings.
        BenchmarkError: the run is not complete, its checkpoint is missing or does not fit, or the cache lacks its corpus.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no run folder {folder}; give one that 'run' wrote, runs/RUN.")
    result = read_result(folder)
    settings = config.from_dict(RunSettings, result["config"], str(folder / "result.json"), plugins)
    algorithm_type: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    if algorithm_type.oracle or not algorithm_type.uses_support:
        raise UsageError(f"{settings.algo.name} does not adapt to recordings; choose a run of an algorithm that does.")
    chosen, versions = [settings.dataset, *settings.pretrain.dataset], result["data_version"].split("+")
    named = zip([each.name for each in chosen], versions, strict=True)
    own, *others = [_corpus(name, version, result["preparation_version"], cache, folder) for name, version in named]
    corpus = JoinedCorpus(own, others) if others else own
    state = _kept(folder / ALGORITHM_FILE)
    backbone = build(registry.load("backbone", settings.backbone.name, plugins), settings.backbone.config, corpus, settings.seed)
    algorithm = algorithm_type(backbone, settings.algo.config)
    try:
        algorithm.load_state_dict(state)
    except RuntimeError as error:
        raise BenchmarkError(f"The checkpoint of {folder} is from other code of {settings.algo.name}; repeat the run.") from error
    for kind, name in (("algorithm", settings.algo.name), ("backbone", settings.backbone.name), ("vocoder", settings.vocoder.name)):
        if source_digest(registry.get(kind, name, plugins)) != result["sources"][kind]:
            print(f"Note: the code of {kind} {name} has changed since the run.", file=sys.stderr)
    for kind, digest in weights_digest(settings).items():
        if digest != result["sources"].get(kind):
            print(f"Note: the file of the {kind} has changed since the run.", file=sys.stderr)
    problem = fit.problem_of(settings.backbone.name, plugins)
    if problem.name != "synthesis":
        raise UsageError(f"{folder.name} is a {problem.name} run, which can't speak; choose a synthesis run.")
    return Speaker(settings, corpus, algorithm.eval(), _vocoder(settings, corpus, folder, cache, plugins))


def _vocoder(settings: RunSettings, corpus: Corpus, folder: Path, cache: Path, plugins: registry.Plugins) -> Vocoder:
    """The vocoder that the run spoke with; one that trains has the run's weights."""
    name = settings.vocoder.name
    if not registry.load("vocoder", name, plugins).trains:
        return prepared_vocoder(settings, corpus, Places(folder.parent, cache, None, 1, tuple(map(Path, plugins))))
    state = _kept(folder / VOCODER_FILE)
    try:
        return restored(fresh_vocoder(settings, plugins), state)
    except RuntimeError as error:
        raise BenchmarkError(f"The vocoder of {folder} is from other code of {name}; repeat the run.") from error


def _kept(path: Path) -> Any:
    """The weights that a run left in its folder."""
    if (state := checkpoint.load(path, quiet=True)) is None:
        raise BenchmarkError(f"{path} is missing or damaged; repeat the run with --overwrite always.")
    return state


def _corpus(name: str, version: str, preparation: str, cache: Path, run: Path) -> Corpus:
    """The prepared corpus that a run was made with."""
    known = preparation != LATER["preparation_version"]  # older results don't say which it was
    for folder in sorted((cache / "corpora").glob(f"{name}-*")):
        try:
            corpus = Corpus(folder)
        except BenchmarkError:
            continue
        if corpus.version == version and (corpus.preparation == preparation or not known):
            return corpus
    raise BenchmarkError(
        f"The cache {cache} does not hold the prepared corpus of {run.name} ({name}, version {version}): give the cache that the run was "
        f"made with (--cache), or prepare {name} again."
    )


def reader(language: str | None, corpus: Corpus) -> str:
    """The espeak-ng voice that reads texts in a language as people write it ("de", "en_US"); None for the corpus's own.

    Raises:
        UsageError: there is none.
    """
    try:
        return voice(language) if language else str(corpus.meta["card"]["language"])
    except ValueError as error:
        raise UsageError(f"Argument --language: {error}") from error


def tokens(text: str, corpus: Corpus, language: str = "") -> list[torch.Tensor]:
    """The symbols of each sentence, shape (T,), int64.

    Args:
        text: one sentence or many.
        corpus: the one that the model learned from.
        language: espeak-ng voice that reads the text; "" for the corpus's own.

    Raises:
        UsageError: the text is empty, is in a script that the voice does not read, has no phonemes, or has phonemes
            without a symbol in the corpus.
    """
    plain, language = " ".join(text.split()), language or corpus.meta["card"]["language"]
    if not plain:
        raise UsageError("The text to say is empty.")
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
        speaker: from :func:`open_run`.
        recordings: of one voice, at least one.
        steps: of adaptation; None for the largest number that the run was scored at.
        cache: where the aligner is kept.
        language: espeak-ng voice that reads the transcripts; "" for the corpus's own.

    Raises:
        UsageError: the algorithm needs transcripts, and none can be used.
        BenchmarkError: adaptation failed.
    """
    corpus, name = speaker.corpus, speaker.settings.algo.name
    most = speaker.algorithm.max_steps
    steps = max(speaker.settings.steps) if steps is None else steps
    steps = steps if most is None else min(steps, most)
    if "transcripts" not in speaker.algorithm.needs:
        # All recordings can be used, and none has to be aligned.
        return _attempt(sentences, speaker, sound_of(recordings, corpus.mel), steps, [])
    if not any(each.text or each.unreadable for each in recordings):
        raise UsageError(f"{name} needs transcripts: put them beside the recordings, as {Path(recordings[0].name).stem}.txt.")
    support, left_out = transcribed(recordings, corpus, corpus_aligner(corpus, metrics_folder(cache, corpus)), language)
    if support is None:
        raise UsageError(f"{name} needs transcripts, and none can be used: {told(left_out)}.")
    return _attempt(sentences, speaker, support, steps, left_out)


def _attempt(sentences: Sequence[torch.Tensor], speaker: Speaker, support: Batch, steps: int, left_out: LeftOut) -> Spoken:
    name = speaker.settings.algo.name
    # One thread, as in evaluation: times are then comparable with a leaderboard's, and a busy machine would stall several threads.
    torch.set_num_threads(1)
    torch.manual_seed(speaker.settings.seed)
    started = time.perf_counter()
    try:
        ((_, model),) = speaker.algorithm.adapt(support, [steps])
    except AdaptationFailed as error:
        raise BenchmarkError(f"{name} could not adapt to this voice: {error}; try fewer --steps or other recordings.") from error
    adapted = time.perf_counter()
    try:
        assert not isinstance(model, Oracle)  # open_run() refuses toplines
        pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
        parts: list[Audio] = []
        for sentence in sentences:
            with torch.no_grad():
                parts += [pause, speaker.vocoder.decode(model.mel(sentence)).detach().cpu().float().numpy()]
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
