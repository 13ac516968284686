"""Measure how fast the metrics score: on worker processes as in a run, and compared with their libraries alone.

    python -m tools.metric_throughput --utterances 1000 --workers 4    # from the repository's root

Scores two-second utterances with the default metrics of a synthesis run, at their defaults. An espeak voice says a sentence (the
reference); the same voice at another pitch is the aligned synthesis, another voice the free-running one. Every pair is new, so results
are reused only within a pair (``f0`` finds the WORLD analysis of ``mcd``). A run is faster, because it compares one recording with many
syntheses of it.
Rendering, starting workers and preparing the metrics are not timed. The recogniser has its full size but is hardly trained.

"ours" is the CPU time of ``score`` and ``trials``; "library" is that of the library calls that they need, on the same signals and in the
same single-threaded process: for ``mcd`` SwiftF0 and CheapTrick of both signals and librosa's dynamic time warping; for ``pesq``, ``stoi``
(plain and extended), ``speaker_similarity`` and ``naturalness`` their packages; for ``per`` its network in PyTorch, log-mel included; for
``duration_error`` torchaudio's MFCCs and deltas of both signals (its Viterbi search is our own).
"""

from __future__ import annotations

import argparse
import importlib
import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import replace
from functools import cache, partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.data.corpus import Corpus
from benchmark.data.espeak import VoiceSettings, speak
from benchmark.mel import MelSpec, log_mel
from benchmark.metric import Metric, MetricContext, Sample
from benchmark.plugins import registry
from benchmark.plumbing import workers
from benchmark.running.preparation import open_corpus

METRICS = ("mcd", "mel_error", "f0", "duration_error", "pesq", "stoi", "speaker_similarity", "naturalness", "per")
"""The default metrics of a synthesis run."""
SECONDS = 2.0
LEVEL = 10 ** (-26 / 20)
"""Root mean square of all audio."""
SENTENCES = 6
"""Sentences that each voice of the prepared corpus reads: enough to cover every phone."""
ENROLMENT = 5
MOST = 2500
"""Most utterances: the number of pairs of a sentence and a voice."""

Pair = Mapping[str, Sample]
"""By mode ("aligned", "free"): a synthesis and the recording that it is compared with."""
Calls = dict[tuple[str, str], float]
"""CPU seconds by metric and call."""


def render(number: int, speakers: Mapping[str, tuple[str, ...]]) -> Pair:
    """The pair with this number, all different below ``MOST``; ``speakers`` are the scored ones, with their enrolment."""
    espeak = importlib.import_module("benchmark.datasets.espeak")
    sentences = [*espeak.TRAIN_SENTENCES, *espeak.HELD_OUT_SENTENCES]
    voices = [voice for split in espeak.VOICES.values() for voice in split.values()]
    turn, place = divmod(number, len(sentences))
    voice, other = (voices[(place + turn + shift) % len(voices)] for shift in (0, len(voices) // 2))

    def say(voice: VoiceSettings) -> tuple[Audio, tuple[tuple[str, ...], ...]]:
        # Sentences are said twice, because the shortest ones last less than SECONDS.
        samples, rate, segments = speak(f"{sentences[place]} {sentences[place]}", voice)
        audio = soxr.resample(samples, rate, SAMPLE_RATE)[: round(SECONDS * SAMPLE_RATE)]
        audio = np.clip(audio * (LEVEL / np.sqrt(np.mean(np.square(audio)))), -1, 1).astype(np.float32)
        words = (tuple(segment.phone for segment in word if segment.end <= SECONDS) for word in segments)
        return audio, tuple(word for word in words if word)

    reference, words = say(voice)
    speaker, enrolment = list(speakers.items())[number % len(speakers)]
    said = {"aligned": say(replace(voice, pitch=voice.pitch + 10)), "free": say(replace(other, rate=other.rate + 10))}
    mels = {mode: log_mel(torch.from_numpy(audio), MelSpec()).numpy() for mode, (audio, _) in said.items()}
    wanted = log_mel(torch.from_numpy(reference), MelSpec()).numpy()
    return {
        mode: Sample(audio, reference, words, speaker, enrolment, mel=mels[mode], reference_mel=wanted) for mode, (audio, _) in said.items()
    }


def prepared(corpus: Corpus, cache: Path) -> dict[str, Metric]:
    """The metrics, ready to score the corpus's test speakers."""
    context = MetricContext(corpus, cache, tuple(corpus.speakers("test")), enrolment=ENROLMENT)
    metrics: dict[str, Metric] = {}
    for name in METRICS:
        plugin: Any = registry.load("metric", name)
        metrics[name] = plugin(plugin.Config(epochs=1, max_steps=1) if name == "per" else None)
        metrics[name].prepare(context)
    return metrics


_metrics: dict[str, Metric]


def _load(path: Path, barrier: Barrier) -> None:
    global _metrics
    # The parent process has just written this into its temporary folder, so unpickling it is safe.
    _metrics, pair = torch.load(path, weights_only=False)
    compare(pair)
    # All workers begin at the same time.
    barrier.wait()


def timed(call: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def score(pair: Pair) -> dict[str, float]:
    """Score a pair as a run does; returns CPU seconds by metric."""

    def both(metric: Metric) -> None:
        sample = pair["aligned" if "aligned" in metric.needs else "free"]
        metric.score(sample)
        metric.trials(sample)

    return {name: timed(partial(both, metric)) for name, metric in _metrics.items()}


def compare(pair: Pair) -> tuple[dict[str, float], Calls]:
    """Score, then make the bare library calls; returns CPU seconds by metric and by (metric, call)."""
    return score(pair), {name: timed(call) for name, call in bare_calls(pair).items()}


def bare_calls(pair: Pair) -> dict[tuple[str, str], Callable[[], object]]:
    """The library calls, by (metric, call name), to be made in this order; their inputs are computed beforehand."""
    import pyworld
    from librosa.sequence import dtw
    from pesq import pesq
    from pystoi import stoi
    from resemblyzer import preprocess_wav
    from swift_f0 import SwiftF0
    from torchaudio.compliance.kaldi import mfcc
    from torchaudio.functional import compute_deltas

    from benchmark.scoring.pitch import CEILING, FLOOR
    from benchmark.scoring.recogniser import MEL
    from benchmark.scoring.world import FRAME_PERIOD, analyse

    free, aligned, reference = pair["free"].audio, pair["aligned"].audio, pair["free"].reference
    doubles = [audio.astype(np.float64) for audio in (reference, free)]
    analyses = [analyse(audio) for audio in (reference, free)]
    cepstra = [analysis.cepstra[:, 1:].T.copy() for analysis in analyses]
    times = [np.arange(len(analysis.pitch)) * FRAME_PERIOD / 1000.0 for analysis in analyses]
    detector = SwiftF0(threads=1, spin=False)
    scaled = [torch.from_numpy(audio)[None] * 32768 for audio in (reference, free)]
    encoder, judge, recogniser = _networks()

    def pitches() -> None:
        for audio in (reference, free):
            detector.detect(audio, SAMPLE_RATE, FLOOR, CEILING)

    def envelopes() -> None:
        for audio, analysis, places in zip(doubles, analyses, times, strict=True):
            pyworld.cheaptrick(audio, analysis.pitch, places, SAMPLE_RATE, f0_floor=FLOOR)

    def features() -> None:
        for audio in scaled:
            coefficients = mfcc(
                audio, sample_frequency=SAMPLE_RATE, frame_length=20.0, frame_shift=5.0, num_ceps=13, num_mel_bins=26,
                snip_edges=False, dither=0.0, high_freq=0.0,
            )  # fmt: skip
            compute_deltas(compute_deltas(coefficients.T, win_length=9), win_length=9)

    @torch.inference_mode()
    def distill_mos() -> None:
        judge(torch.from_numpy(free)[None])

    @torch.no_grad()
    def network() -> None:
        mel = log_mel(torch.from_numpy(free), MEL)
        recogniser(mel[None], torch.tensor([len(mel)]))

    return {
        ("mcd", "SwiftF0"): pitches,
        ("mcd", "CheapTrick"): envelopes,
        ("mcd", "warping"): lambda: dtw(*cepstra, metric="euclidean"),
        ("duration_error", "MFCC"): features,
        ("pesq", "PESQ"): lambda: pesq(SAMPLE_RATE, reference, aligned, "wb"),
        ("stoi", "STOI"): lambda: stoi(reference, aligned, SAMPLE_RATE),
        ("stoi", "ESTOI"): lambda: stoi(reference, aligned, SAMPLE_RATE, extended=True),
        ("speaker_similarity", "GE2E"): lambda: encoder.embed_utterance(preprocess_wav(free)),
        ("naturalness", "Distill-MOS"): distill_mos,
        ("per", "network"): network,
    }


@cache
def _networks() -> tuple[Any, torch.nn.Module, torch.nn.Module]:
    """Resemblyzer's encoder, Distill-MOS, and a recogniser of the default size."""
    from distillmos import ConvTransformerSQAModel
    from resemblyzer import VoiceEncoder

    from benchmark.scoring.recogniser import MEL, Recogniser

    with redirect_stdout(io.StringIO()):  # it prints where its weights lie
        judge = ConvTransformerSQAModel().eval()
    return VoiceEncoder("cpu", verbose=False).eval(), judge, Recogniser(MEL.n_mels, phones=60).eval()


def report(times: Sequence[tuple[dict[str, float], Calls]], wall: float, busy: float, utterances: int, count: int) -> str:
    """The table and the bottleneck, from ``times`` of a sample in one process, and wall and CPU seconds of all on the workers."""
    ours = {name: 1000 * float(np.mean([each[name] for each, _ in times])) for name in METRICS}
    calls = {call: 1000 * float(np.mean([each[call] for _, each in times])) for call in times[0][1]}
    library = {name: sum(ms for (metric, _), ms in calls.items() if metric == name) for name in METRICS}
    alone, bare = sum(ours.values()), sum(library.values())
    rows = [(name, ours[name], library[name]) for name in METRICS] + [("sum", alone, bare)]
    table = [(name, mine, theirs, mine / theirs if theirs else None, 100 * mine / alone) for name, mine, theirs in rows]
    (_, dearest), most = max(calls.items(), key=lambda item: item[1])
    spent, used = 1000 * count * wall / utterances, 1000 * busy / utterances
    return "\n".join([
        tabulate(table, ("metric", "ours, ms", "library, ms", "ratio", "% of ours"), "github", floatfmt=("", ".1f", ".1f", ".2f", ".0f")),
        "",
        "Library calls, ms: " + ", ".join(f"{call} {ms:.1f}" for (_, call), ms in calls.items()) + ".",
        f"{utterances} utterances of {SECONDS:g} s on {count} workers: {wall:.1f} s, {utterances * SECONDS / wall:.1f} times real time, "
        f"{bare * count / spent:.2f} times as fast as the libraries on one thread.",
        f"Bound by {dearest}, {100 * most / alone:.0f} % of the CPU time. Parallel efficiency {alone / spent:.2f}: workers computed "
        f"{100 * used / spent:.0f} % of the time, and an utterance took {used / alone:.2f} times the CPU time that it takes alone.",
    ])  # fmt: skip


def main() -> None:
    """Render, prepare, time and print."""
    parser = argparse.ArgumentParser(description="Measure how fast the metrics score, compared with their libraries.")
    parser.add_argument("--utterances", type=int, default=1000, help=f"number to score on the workers, at most {MOST}")
    parser.add_argument("--sample", type=int, default=100, help="number of them to time metric by metric, in one process")
    parser.add_argument("--workers", type=int, default=4, help="processes")
    given = parser.parse_args()
    if not 1 <= given.utterances <= MOST or given.sample < 1 or given.workers < 1:
        parser.error(f"there must be 1 to {MOST} utterances, and at least one sample and worker")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        config = registry.load("dataset", "espeak").Config(sentences=SENTENCES)
        corpus = open_corpus("espeak", config, None, folder, given.workers, ())
        speakers = {speaker: tuple(corpus.utterance_ids(speaker)[:ENROLMENT]) for speaker in corpus.speakers("test")}
        # With one more pair, so that libraries are loaded and compiled before anything is timed.
        torch.save((prepared(corpus, folder), render(given.utterances, speakers)), folder / "ready.pt")

        def pool(count: int) -> AbstractContextManager[Executor]:
            barrier = multiprocessing.get_context("spawn").Barrier(count)
            return workers.pool(count, ready=partial(_load, folder / "ready.pt", barrier))

        with pool(given.workers) as many:
            pairs = list(many.map(partial(render, speakers=speakers), range(given.utterances)))
            started = time.perf_counter()
            busy = sum(sum(seconds.values()) for seconds in many.map(score, pairs))
            wall = time.perf_counter() - started
        with pool(1) as one:
            times = list(one.map(compare, pairs[:: -(-len(pairs) // given.sample)]))
    print(report(times, wall, busy, given.utterances, given.workers))


if __name__ == "__main__":
    main()
