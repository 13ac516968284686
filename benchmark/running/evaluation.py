"""Adapt on held-out speakers, let them speak, score: in parallel over episodes, one thread each, in a fixed order."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.algorithm import Algorithm, Sentence, Voice
from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.batch import collate
from benchmark.data.corpus import Corpus
from benchmark.errors import AdaptationFailed, CannotScore, SpeechFailed
from benchmark.metric import Metric, Sample
from benchmark.plumbing import workers as processes
from benchmark.plumbing.files import digest_of, write_atomic
from benchmark.results.episode_log import CostRow, EpisodeRow
from benchmark.results.episode_tables import Block
from benchmark.running.episodes import Episode
from benchmark.running.meter import Meter
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class Job:
    """One episode at one support size; 0 shots for algorithms that don't use the support set."""

    episode: Episode
    shots: int

    @property
    def block(self) -> Block:
        """What its rows have in common."""
        return self.episode.speaker, self.episode.index, self.shots


@dataclass(frozen=True)
class Scores:
    """What a job gives."""

    rows: list[EpisodeRow]
    costs: list[CostRow]


@dataclass(frozen=True)
class Evaluator:
    """Everything a job needs; sent to each worker once.

    Attributes:
        algorithm: trained.
        vocoder: of the backbone's mel definition.
        metrics: prepared.
        corpus: prepared.
        steps: adaptation steps to score at.
        queries: sentences an episode.
        seed: of the run.
        audio: folder for some of the speech, to listen to.
    """

    algorithm: Algorithm
    vocoder: Vocoder
    metrics: tuple[Metric, ...]
    corpus: Corpus
    steps: tuple[int, ...]
    queries: int
    seed: int
    audio: Path

    @property
    def columns(self) -> list[str]:
        """The metrics' columns."""
        return [column for metric in self.metrics for column in metric.columns]

    def jobs(self, episodes: Sequence[Episode], shots: Sequence[int]) -> list[Job]:
        """All jobs, in the order they are written."""
        sizes = sorted(set(shots)) if self.algorithm.uses_support else [0]
        return [Job(episode, size) for episode in episodes for size in sizes]

    def scored_steps(self) -> list[int]:
        """The asked steps, or as many as make sense for the algorithm."""
        most = self.algorithm.max_steps
        return sorted({step if most is None else min(step, most) for step in self.steps})

    def run(self, job: Job) -> Scores:
        """Adapt, speak and score."""
        episode = job.episode
        support = collate(self.corpus.many(episode.support[: job.shots or None]), self.corpus, {})
        seed = int(digest_of([self.seed, episode.speaker, episode.index, job.shots], 8), 16)
        torch.manual_seed(seed)
        flops = self._flops(support)
        torch.manual_seed(seed)
        rows: list[EpisodeRow] = []
        costs: list[CostRow] = []
        remaining = self.scored_steps()
        meter = Meter()
        try:
            for step, voice in meter.over(iter(self.algorithm.adapt(support, remaining))):
                stored = sum(tensor.numel() for tensor in voice.stored.values())
                factors = []
                for number, name in enumerate(episode.query[: self.queries]):
                    # What scoring draws (an encoder that is built when first asked for) must not move the adaptation.
                    with torch.random.fork_rng(devices=[]):
                        metrics, failures, trials, factor = self._score(voice, self.corpus[name], episode, job.shots, step, number)
                    factors += [factor] if math.isfinite(factor) else []
                    rows.append(EpisodeRow(
                        episode.speaker, episode.index, job.shots, step, name, metrics, failures, trials,
                        flops=flops[0] + step * (flops[1] - flops[0]), stored_parameters=stored,
                    ))  # fmt: skip
                factor = float(np.mean(factors)) if factors else math.nan
                costs.append(CostRow(episode.speaker, episode.index, job.shots, step, meter.seconds, meter.peak_bytes, factor))
        except AdaptationFailed as error:
            done = {row.steps for row in rows}
            nothing = dict.fromkeys(self.columns, math.nan)
            rows += [
                EpisodeRow(episode.speaker, episode.index, job.shots, step, name, nothing, {"all": f"adaptation failed: {error}"})
                for step in remaining
                if step not in done
                for name in episode.query[: self.queries]
            ]
        return Scores(rows, costs)

    def _flops(self, support: object) -> tuple[int, int]:
        """Operations to adapt by 0 steps and by 1."""
        counts: list[int] = []
        for step in (0, 1):
            if step and self.algorithm.max_steps == 0:
                return counts[0], counts[0]
            with FlopCounterMode(display=False) as counter:
                try:
                    for _ in self.algorithm.adapt(support, [step]):  # type: ignore[arg-type]
                        pass
                except AdaptationFailed:
                    pass
            counts.append(counter.get_total_flops())
        return counts[0], counts[1]

    def _score(
        self, voice: Voice, query: PreparedUtterance, episode: Episode, shots: int, step: int, number: int
    ) -> tuple[dict[str, float], dict[str, str], dict[str, list[float]], float]:
        """Metric values, reasons for those that are NaN, verification trials, and the real-time factor of free-running synthesis."""
        values: dict[str, float] = dict.fromkeys(self.columns, math.nan)
        failures: dict[str, str] = {}
        trials: dict[str, list[float]] = {}
        spoken: dict[str, Audio] = {}
        factor = math.nan
        for mode in sorted({"free", *(metric.mode for metric in self.metrics)}):
            durations = torch.tensor(query.durations) if mode == "aligned" else None
            recording = query if self.algorithm.oracle else None
            started = time.perf_counter()
            try:
                wave = voice.speak(Sentence(torch.tensor(query.tokens), durations, recording), self.vocoder)
            except SpeechFailed as error:
                failures.update({column: str(error) for metric in self.metrics if metric.mode == mode for column in metric.columns})
                continue
            spoken[mode] = wave.detach().cpu().float().numpy()
            if mode == "free" and len(wave):
                factor = (time.perf_counter() - started) * SAMPLE_RATE / len(wave)
        enrolment = episode.enrolment(self.corpus)
        for metric in (metric for metric in self.metrics if metric.mode in spoken):
            sample = Sample(spoken[metric.mode], query.waveform, query.words, episode.speaker, enrolment)
            try:
                values.update(metric.score(sample))
                trials.update(metric.trials(sample))
            except CannotScore as error:
                failures.update(dict.fromkeys(metric.columns, str(error)))
        if episode.index == 0 and number == 0 and "free" in spoken:
            self._keep(spoken["free"], f"{episode.speaker}_{shots}shot_{step:04d}steps.wav")
        return values, failures, trials, factor

    def _keep(self, wave: npt.NDArray[np.float32], name: str) -> None:
        write_atomic(self.audio / name, lambda path: soundfile.write(path, np.clip(wave, -1, 1), SAMPLE_RATE, subtype="PCM_16"))


_evaluator: Evaluator


def _load(path: Path) -> None:
    global _evaluator
    # Written a moment ago by the parent process into its own run folder.
    _evaluator = torch.load(path, weights_only=False)


def _run(job: Job) -> Scores:
    return _evaluator.run(job)


def evaluate(evaluator: Evaluator, jobs: Sequence[Job], workers: int, plugins: Sequence[str], folder: Path) -> Iterator[Scores]:
    """Blocks of ``jobs``, in order, as they are ready. One thread a worker makes the numbers independent of their count."""
    shared = folder / ".evaluator.pt"
    write_atomic(shared, partial(torch.save, evaluator))
    try:
        with processes.pool(min(workers, max(1, len(jobs))), plugins, partial(_load, shared)) as pool:
            yield from pool.map(_run, jobs)
    finally:
        shared.unlink(missing_ok=True)
