"""Do ``per`` and ``gop`` hear damage and wrong words? ``python -m tools.intelligibility --dataset speechocean762``.

Damages recordings of the test speakers, or scores them with other words, and tells how often each metric calls that worse than the
recording itself with its own words.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt
from tabulate import tabulate

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.cli import INTERRUPTED, INTERRUPTION, Parser
from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import Metric, MetricContext, Sample
from benchmark.metrics.gop import GOP
from benchmark.metrics.per import PER
from benchmark.plumbing.progress import progress
from benchmark.plumbing.workers import default_workers
from benchmark.running.preparation import cache_folder, metrics_folder, open_corpus
from benchmark.scoring.checks import spread
from benchmark.utterance import PreparedUtterance

PIECE = 0.15
"""Seconds of speech that are played backwards at a time."""
RECORDING = "the recording"


@dataclass(frozen=True)
class Case:
    """A recording and another speaker's sentence to damage it with; all randomness is ``generator``'s."""

    own: PreparedUtterance
    other: PreparedUtterance
    generator: np.random.Generator


def noisy(decibels: float) -> Callable[[Case], Sample]:
    """White noise that many decibels below the speech."""

    def damage(case: Case) -> Sample:
        audio = case.own.waveform
        noise = case.generator.standard_normal(len(audio)) * audio.std() * 10 ** (-decibels / 20)
        return _sample(case.own, audio + noise)

    return damage


def muffled(case: Case) -> Sample:
    """Nothing above 1 kHz."""
    return _sample(case.own, sosfilt(butter(6, 1000, fs=SAMPLE_RATE, output="sos"), case.own.waveform))


def backwards(case: Case) -> Sample:
    """Piece by piece played backwards."""
    length = round(PIECE * SAMPLE_RATE)
    audio = case.own.waveform
    return _sample(case.own, np.concatenate([audio[start : start + length][::-1] for start in range(0, len(audio), length)]))


def interrupted(case: Case) -> Sample:
    """Another speaker's speech in the middle third."""
    audio = np.array(case.own.waveform)
    start, end = len(audio) // 3, 2 * len(audio) // 3
    other = case.other.waveform[: end - start]
    audio[start : start + len(other)] = other
    return _sample(case.own, audio)


def other_word(case: Case) -> Sample:
    """The word in the middle is taken for one of the other sentence, of nearly as many phonemes."""
    words = list(case.own.words)
    middle = len(words) // 2
    found = [word for word in case.other.words if word != words[middle]]
    words[middle] = min(found, key=lambda word: abs(len(word) - len(words[middle])))
    return replace(_sample(case.own, case.own.waveform), words=tuple(words))


def other_text(case: Case) -> Sample:
    """It is taken for the other sentence."""
    return replace(_sample(case.own, case.own.waveform), words=case.other.words)


DAMAGES: dict[str, Callable[[Case], Sample]] = {
    RECORDING: lambda case: _sample(case.own, case.own.waveform),
    "noise at 10 dB": noisy(10), "noise at 0 dB": noisy(0), "nothing above 1 kHz": muffled, "0.15 s at a time backwards": backwards,
    "another's speech in the middle third": interrupted, "one other word": other_word, "another text": other_text,
}  # fmt: skip


def cases(corpus: Corpus, each: int) -> Iterator[Case]:
    """Some recordings of every test speaker; the other sentence is the next speaker's of nearest length."""
    speakers = corpus.speakers("test")
    for number, speaker in enumerate(speakers):
        others = list(corpus.many(corpus.utterance_ids(speakers[(number + 1) % len(speakers)])))
        for own in corpus.many(spread(corpus.utterance_ids(speaker), each)):
            nearest = min(others, key=partial(_apart, own))
            yield Case(own, nearest, np.random.default_rng([number, len(own.waveform)]))


def measured(corpus: Corpus, cache: Path, each: int) -> list[list[str | float]]:
    """A row for each damage: what it is, and for each metric the mean and how often the recording is better (ties count half)."""
    context = MetricContext(corpus, metrics_folder(cache, corpus), tuple(corpus.targets("test")))
    metrics: list[Metric] = [PER(), GOP()]
    for metric in metrics:
        metric.prepare(context)
    chosen = list(cases(corpus, each))
    values = np.full((len(DAMAGES), len(metrics), len(chosen)), np.nan)
    with progress("Scoring damaged speech", len(chosen)) as show:
        for place, case in enumerate(chosen):
            for row, damage in enumerate(DAMAGES.values()):
                sample = damage(case)
                for column, metric in enumerate(metrics):
                    try:
                        (values[row, column, place],) = metric.score(sample).values()
                    except CannotScore:
                        continue
            show(place + 1)
    values[:, 0] *= -1  # now more is better
    rows: list[list[str | float]] = []
    for name, found in zip(DAMAGES, values, strict=True):
        gain = values[0] - found
        better = np.where(np.isnan(gain), np.nan, (gain > 0) + 0.5 * (gain == 0))
        shares = [""] * len(metrics) if name == RECORDING else list(np.nanmean(better, axis=1))
        means = np.abs(np.nanmean(found[0])), np.nanmean(found[1])
        rows.append([name, *(value for pair in zip(means, shares, strict=True) for value in pair)])
    return rows


def main(words: Sequence[str] | None = None) -> int:
    """Entry point; see the module's docstring."""
    parser = Parser(prog="python -m tools.intelligibility", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="speechocean762", metavar="NAME", help="dataset plugin (default: speechocean762)")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="its folder (default: $BENCHMARK_DATA/NAME)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where prepared corpora are kept (default: as for run)")
    parser.add_argument("--utterances", type=int, default=3, metavar="N", help="recordings of each test speaker (default: 3)")
    args = parser.parse_args(words)
    cache = cache_folder(args.cache)
    try:
        rows = measured(open_corpus(args.dataset, None, args.data_root, cache, default_workers(), ()), cache, args.utterances)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(INTERRUPTION, file=sys.stderr)
        return INTERRUPTED
    print(tabulate(rows, ["", "per", "recording better", "gop", "recording better"], floatfmt=".2f"))
    return 0


def _apart(one: PreparedUtterance, other: PreparedUtterance) -> int:
    return abs(len(one.phones) - len(other.phones))


def _sample(utterance: PreparedUtterance, audio: Audio) -> Sample:
    heard = np.asarray(audio, np.float32)
    return Sample(heard, utterance.waveform, utterance.words, utterance.speaker, ())


if __name__ == "__main__":
    sys.exit(main())
