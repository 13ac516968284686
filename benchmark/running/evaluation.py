"""Evaluation: adapt to held-out targets, predict and score, in parallel over episodes (one thread each), in a fixed order."""

from __future__ import annotations

import io
import itertools
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from benchmark.algorithm import Adapted, Algorithm, Labels
from benchmark.audio import SAMPLE_RATE
from benchmark.batch import Batch, collate
from benchmark.data.corpus import Corpus
from benchmark.errors import AdaptationFailed, CannotScore, PredictionFailed
from benchmark.metric import Metric, Sample
from benchmark.plumbing.files import digest_of, write_atomic, write_text
from benchmark.problem import Prediction, Problem
from benchmark.results import kept_speech
from benchmark.results.blocks import Block
from benchmark.results.episode_log import CostRow, EpisodeRow
from benchmark.running import engines
from benchmark.running.episodes import Episode
from benchmark.running.flops import counted
from benchmark.running.meter import Meter
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class Job:
    """One episode at one support size.

    Attributes:
        episode: the target, its support and its queries.
        shots: support utterances; 0 for algorithms that adapt to nothing, or to all speech.
        first: the least number of shots of the run. That job keeps what the target itself said (:mod:`benchmark.results.kept_speech`),
            and where all start from the same model, that start is spoken under its seed.
    """

    episode: Episode
    shots: int
    first: int

    @property
    def block(self) -> Block:
        """The columns that all its rows share."""
        return self.episode.target, self.episode.index, self.shots


@dataclass(frozen=True)
class Scores:
    """The results of a job."""

    rows: list[EpisodeRow]
    costs: list[CostRow]


@dataclass(frozen=True)
class Evaluator:
    """Everything a job needs; sent to each worker once.

    Attributes:
        algorithm: trained.
        problem: what is predicted.
        vocoder: prepared.
        metrics: prepared.
        corpus: prepared.
        steps: adaptation steps to score at.
        queries: sentences per episode.
        seed: of the run.
        audio: folder for some of the speech, to listen to.
        device: the device for adaptation and prediction.
    """

    algorithm: Algorithm
    problem: Problem
    vocoder: Vocoder
    metrics: tuple[Metric, ...]
    corpus: Corpus
    steps: tuple[int, ...]
    queries: int
    seed: int
    audio: Path
    device: str = "cpu"

    @property
    def columns(self) -> list[str]:
        """The metrics' columns."""
        return [column for metric in self.metrics for column in metric.columns]

    def jobs(self, episodes: Sequence[Episode], shots: Sequence[int]) -> list[Job]:
        """All jobs, in the order they are written."""
        by_shots = self.algorithm.uses_support and not self.algorithm.uses_all_speech
        sizes = sorted(set(shots)) if by_shots else [0]
        return [Job(episode, size, sizes[0]) for episode in episodes for size in sizes]

    def together(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """The jobs in the same order, those in one list that share a start (:attr:`Algorithm.same_start`)."""
        if not self.algorithm.same_start or 0 not in self.steps:
            return [[job] for job in jobs]
        return [list(some) for _, some in itertools.groupby(jobs, lambda job: job.block[:2])]

    def run_together(self, jobs: Sequence[Job]) -> list[Scores]:
        """Adapt, predict and score; a start that jobs share is spoken and scored once."""
        found: list[Scores] = []
        for job in jobs:
            found.append(self.run(job, found[0] if found else None))
        return found

    def scored_steps(self) -> list[int]:
        """The requested steps, none above the algorithm's ``max_steps``."""
        most = self.algorithm.max_steps
        return sorted({step if most is None else min(step, most) for step in self.steps})

    def run(self, job: Job, start: Scores | None = None) -> Scores:
        """Adapt, predict and score.

        Args:
            job: what.
            start: of a job with the same episode and start, whose rows at step 0 are taken over.
        """
        episode = job.episode
        if (episode.index, job.shots) == (0, job.first):
            self._keep_beside(episode)
        support = self._support(job)
        seed = self._seed(job, job.shots)
        torch.manual_seed(seed)
        flops = self._flops(support)
        torch.manual_seed(seed)
        rows, costs = self._taken_over(start, job, flops(0)) if start else ([], [])
        remaining = [step for step in self.scored_steps() if step not in {cost.steps for cost in costs}]
        meter = Meter(self.device)
        try:
            for step, model in meter.over(iter(self._adapt(support, remaining) if remaining else ())):
                stored = sum(tensor.numel() for tensor in model.stored.values())
                factors = []
                for number, name in enumerate(episode.query[: self.queries]):
                    # Random draws in scoring (an encoder built at first use) must not change the adaptation that goes on after it.
                    with torch.random.fork_rng(devices=self._generators()):
                        if step == 0 and self.algorithm.same_start:
                            torch.manual_seed(self._seed(job, job.first))
                        metrics, failures, trials, factor = self._score(model, self.corpus[name], episode, job.shots, step, number)
                    factors += [factor] if math.isfinite(factor) else []
                    rows.append(EpisodeRow(
                        episode.target, episode.index, job.shots, step, name, metrics, failures, trials,
                        flops=flops(step), stored_parameters=stored,
                    ))  # fmt: skip
                factor = float(np.mean(factors)) if factors else math.nan
                costs.append(CostRow(episode.target, episode.index, job.shots, step, meter.seconds, meter.peak_bytes, factor))
        except AdaptationFailed as error:
            done = {row.steps for row in rows}
            nothing = dict.fromkeys(self.columns, math.nan)
            rows += [
                EpisodeRow(episode.target, episode.index, job.shots, step, name, nothing, {"all": f"adaptation failed: {error}"})
                for step in remaining
                if step not in done
                for name in episode.query[: self.queries]
            ]
        return Scores(rows, costs)

    def _seed(self, job: Job, shots: int) -> int:
        return int(digest_of([self.seed, job.episode.target, job.episode.index, shots], 8), 16)

    def _taken_over(self, start: Scores, job: Job, flops: int) -> tuple[list[EpisodeRow], list[CostRow]]:
        """A start's rows and costs as this job's; none if there was no model to speak with."""
        costs = [replace(cost, shots=job.shots) for cost in start.costs if cost.steps == 0]
        rows = [replace(row, shots=job.shots, flops=flops) for row in start.rows if row.steps == 0] if costs else []
        if rows and job.episode.index == 0:
            for end in ("wav", "txt"):
                kept = self.audio / kept_speech.speech_file(job.episode.target, start.rows[0].shots, 0, end)
                if kept.is_file():
                    copy = self.audio / kept_speech.speech_file(job.episode.target, job.shots, 0, end)
                    write_atomic(copy, partial(shutil.copyfile, kept))
        return rows, costs

    def _support(self, job: Job) -> Batch | Labels | None:
        """What the algorithm adapts to; None if it ignores it."""
        episode = job.episode
        if self.algorithm.labels:
            return Labels(self.corpus.labels(episode.target), [self.corpus.labels(each) for each in self.corpus.speakers("train")])
        if not self.algorithm.uses_support:
            return None
        names = episode.all_speech(self.corpus) if self.algorithm.uses_all_speech else episode.support[: job.shots]
        return collate(self.corpus.many(names), self.corpus.statistics, {}).to(self.device)

    def on_device(self) -> Evaluator:
        """This evaluator, with its models moved to the device."""
        self.algorithm.to(self.device)
        self.vocoder.to(self.device)
        return self

    def _generators(self) -> list[int]:
        """The CUDA devices whose random generators adaptation uses."""
        return [torch.cuda.current_device()] if self.device == "cuda" else []

    def _adapt(self, support: Batch | Labels | None, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        # An algorithm without uses_support gets none.
        return self.algorithm.adapt(support, steps)  # type: ignore[arg-type]

    def _flops(self, support: Batch | Labels | None) -> Callable[[int], int]:
        """Operations of an adaptation of so many steps.

        Two steps are counted. Later ones cost as the second does; the first may cost more (:mod:`benchmark.learning.reuse`).
        """
        most = self.algorithm.max_steps
        counts: list[int] = []
        with counted() as count:
            with suppress(AdaptationFailed):
                for _ in self._adapt(support, list(range(3 if most is None else min(most, 2) + 1))):
                    counts.append(count.total)
            last = count.total
        counts += [last] * (3 - len(counts))
        return lambda steps: counts[min(steps, 2)] + max(0, steps - 2) * (counts[2] - counts[1])

    def _score(
        self, model: Adapted, query: PreparedUtterance, episode: Episode, shots: int, step: int, number: int
    ) -> tuple[dict[str, float], dict[str, str], dict[str, list[float]], float]:
        """Metric values, reasons for those that are NaN, verification trials, and the real-time factor of free-running prediction."""
        values: dict[str, float] = dict.fromkeys(self.columns, math.nan)
        failures: dict[str, str] = {}
        trials: dict[str, list[float]] = {}
        found: dict[bool, Prediction] = {}
        factor = math.nan
        for aligned in sorted({False, *("aligned" in metric.needs for metric in self.metrics)}, reverse=True):
            started = time.perf_counter()
            try:
                found[aligned] = self.problem.predict(model, query, aligned, self.vocoder)
            except PredictionFailed as error:
                those = (metric for metric in self.metrics if ("aligned" in metric.needs) == aligned)
                failures.update({column: str(error) for metric in those for column in metric.columns})
                continue
            if not aligned and found[aligned].seconds:
                factor = (time.perf_counter() - started) / found[aligned].seconds
        enrolment = episode.enrolment(self.corpus)
        for metric in self.metrics:
            if (prediction := found.get("aligned" in metric.needs)) is None:
                continue
            sample = Sample(
                prediction.audio, query.waveform, query.words, episode.target, enrolment, query.text, prediction.text,
                prediction.mel, query.mel,
            )  # fmt: skip
            try:
                values.update(metric.score(sample))
            except CannotScore as error:
                values.update(error.values)
                failures.update({column: str(error) for column in metric.columns if column not in error.values})
                if not error.values:
                    continue
            trials.update(metric.trials(sample))
        if episode.index == 0 and number == 0 and False in found:
            if len(found[False].audio):
                self._keep(found[False].audio, kept_speech.speech_file(episode.target, shots, step))
            elif not self.problem.speaks:
                write_text(self.audio / kept_speech.speech_file(episode.target, shots, step, "txt"), f"{found[False].text}\n")
        return values, failures, trials, factor

    def _keep_beside(self, episode: Episode) -> None:
        """Keep the recording of the sentence that is kept of each prediction; in synthesis its copy and the first support sentence too."""
        query = self.corpus[episode.query[0]]
        said = {"recording": query, **({"support": self.corpus[episode.support[0]]} if self.problem.speaks else {})}
        for kind, each in said.items():
            self._keep(each.waveform, kept_speech.beside_file(episode.target, kind))
            write_text(self.audio / kept_speech.beside_file(episode.target, kind, "txt"), f"{each.text}\n")
        if not self.problem.speaks:
            return
        with suppress(PredictionFailed), torch.no_grad():
            copy = self.vocoder.decode(torch.tensor(query.mel, device=self.device))
            self._keep(copy.cpu().float().numpy(), kept_speech.beside_file(episode.target, "copy"))

    def _keep(self, wave: npt.NDArray[np.float32], name: str) -> None:
        write_atomic(self.audio / name, lambda path: soundfile.write(path, np.clip(wave, -1, 1), SAMPLE_RATE, subtype="PCM_16"))


_evaluator: Evaluator


def _load(saved: bytes) -> None:
    global _evaluator
    # The parent process has sent this, so unpickling it is safe.
    _evaluator = torch.load(io.BytesIO(saved), weights_only=False).on_device()


def _run(jobs: Sequence[Job]) -> list[Scores]:
    return _evaluator.run_together(jobs)


def evaluate(
    evaluator: Evaluator, jobs: Sequence[Job], workers: int, plugins: Sequence[str], engine: str = "local"
) -> Iterator[Scores]:
    """Scores of ``jobs``, in order, as they are ready. One thread per worker makes them independent of the number of workers."""
    buffer = io.BytesIO()
    torch.save(evaluator, buffer)
    ready = partial(_load, buffer.getvalue())
    # All workers of this machine share one GPU.
    gpus = round(1 / workers, 4) if evaluator.device == "cuda" else 0
    groups = evaluator.together(jobs)
    with engines.engine(engine, min(workers, max(1, len(groups))), plugins, ready, gpus=gpus) as pool:
        yield from itertools.chain.from_iterable(pool.map(_run, groups))
