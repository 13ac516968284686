"""Measure the built-in aligner's error against true boundaries: ``python -m tools.alignment_error --dataset espeak``.

Trains the aligner on the training speakers, as preparation does, aligns all speakers, and compares with the boundaries
that the dataset knows. ``--plot DIR`` draws the boundaries, of any dataset, over mel spectrograms.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from benchmark.audio import SAMPLE_RATE, from_int16
from benchmark.cli import INTERRUPTED, INTERRUPTION, Parser
from benchmark.data.aligner import Aligner, AlignmentItem, CannotAlign, mfcc
from benchmark.data.audio import Unusable, standardise
from benchmark.data.phonemes import phonemise
from benchmark.dataset import SPLITS, Dataset, Segment
from benchmark.errors import BenchmarkError, UsageError
from benchmark.mel import MelSpec, log_mel
from benchmark.plugins import registry
from benchmark.plumbing import workers
from benchmark.plumbing.files import write_atomic
from benchmark.plumbing.progress import progress
from benchmark.plumbing.workers import default_workers
from benchmark.running.preparation import open_dataset

WITHIN_MS = (10, 25, 50)
PAUSE_SECONDS = 0.1
"""Shorter gaps between words don't count as pauses, because closures of stops look like them."""
COLOURS = {"aligner": "red", "truth": "deepskyblue"}

Timing = Sequence[Sequence[Segment]]


@dataclass(frozen=True)
class Aligned:
    """An utterance to align; ``truth`` is None if the dataset does not know it."""

    id: str
    split: str
    audio: npt.NDArray[np.int16]
    item: AlignmentItem
    truth: Timing | None


@dataclass(frozen=True)
class BoundaryReport:
    """The measured errors.

    Attributes:
        errors_ms: shape (boundaries,), found minus true, milliseconds.
        pauses, pauses_found: true pauses of at least ``PAUSE_SECONDS``, and how many were found at least half as long.
        joins, joins_kept: word boundaries without a pause, and how many were found with a gap below ``PAUSE_SECONDS``.
    """

    errors_ms: npt.NDArray[np.float64]
    pauses: int
    pauses_found: int
    joins: int
    joins_kept: int

    def lines(self) -> list[str]:
        """The report as text."""
        size = np.abs(self.errors_ms)
        within = "  ".join(f"{100 * np.mean(size <= limit):.1f} % within {limit} ms" for limit in WITHIN_MS)
        return [
            f"boundaries {len(size)}: median {np.median(size):.1f} ms  mean {size.mean():.1f} ms  90th percentile "
            f"{np.percentile(size, 90):.1f} ms  (signed median {np.median(self.errors_ms):+.1f} ms)",
            within,
            f"pauses found {self.pauses_found} of {self.pauses}; words left joined {self.joins_kept} of {self.joins}",
        ]


def measure(pairs: Sequence[tuple[Timing, Timing]]) -> BoundaryReport:
    """Compare alignments, word by word and phone by phone.

    A boundary is the start of a phone, or the end of a word before a true pause or at the end of the utterance.

    Args:
        pairs: (true, found) of each utterance, with the same phones.
    """
    errors: list[float] = []
    counts: Counter[str] = Counter()
    for true, found in pairs:
        for index, (word, other) in enumerate(zip(true, found, strict=True)):
            errors += [b.start - a.start for a, b in zip(word, other, strict=True)]
            if index + 1 == len(true):
                errors.append(other[-1].end - word[-1].end)
                continue
            gap = true[index + 1][0].start - word[-1].end
            found_gap = found[index + 1][0].start - other[-1].end
            if gap > 1e-3:
                errors.append(other[-1].end - word[-1].end)
            else:
                counts["joins"] += 1
                counts["joins_kept"] += found_gap < PAUSE_SECONDS
            if gap >= PAUSE_SECONDS:
                counts["pauses"] += 1
                counts["pauses_found"] += found_gap >= gap / 2
    return BoundaryReport(1000 * np.array(errors), *(counts[name] for name in ("pauses", "pauses_found", "joins", "joins_kept")))


def load(speaker: tuple[str, str], dataset: Dataset) -> tuple[list[Aligned], list[str]]:
    """A (split, speaker)'s utterances, standardised as in preparation, and why others were left out."""
    split, name = speaker
    utterances = dataset.utterances(name)
    samples, skipped = [], []
    for utterance, words in zip(utterances, phonemise([u.text for u in utterances], dataset.card.language), strict=True):
        try:
            audio, cut = standardise(*dataset.load(utterance))
        except (Unusable, soundfile.LibsndfileError, OSError, EOFError, ValueError) as error:
            skipped.append(str(error) if isinstance(error, Unusable) else "corrupt audio")
            continue
        known = dataset.alignment(utterance)
        truth = None if known is None else [[Segment(s.phone, s.start - cut, s.end - cut) for s in word] for word in known]
        words = words if truth is None else tuple(tuple(segment.phone for segment in word) for word in truth)
        if not words:
            skipped.append("text without phonemes")
            continue
        item = AlignmentItem(utterance.id, mfcc(from_int16(audio), SAMPLE_RATE), words)
        samples.append(Aligned(utterance.id, split, audio, item, truth))
    return samples, skipped


def plot(path: Path, sample: Aligned, found: Timing) -> None:
    """Draw a mel spectrogram with the found boundaries in its lower part and the true ones, if known, in its upper part.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchmarkError("--plot needs matplotlib; install it with: pip install matplotlib") from error
    spec = MelSpec()
    mel = log_mel(torch.from_numpy(from_int16(sample.audio)), spec).numpy()
    seconds = len(sample.audio) / spec.sample_rate
    figure = Figure(figsize=(max(8.0, 4.5 * seconds), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(mel.T, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, spec.n_mels))
    for name, timing, low, high, label in (("aligner", found, 0, 0.72, -6), ("truth", sample.truth, 0.72, 1, spec.n_mels + 2)):
        for word in timing or ():
            for number, segment in enumerate(word):
                axes.axvline(segment.start, low, high, color=COLOURS[name], lw=1.4 if number == 0 else 0.7)
                axes.text((segment.start + segment.end) / 2, label, segment.phone, ha="center", fontsize=9, color=COLOURS[name])
            axes.axvline(word[-1].end, low, high, color=COLOURS[name], lw=1.4, ls=":")
    axes.set(title=sample.id, xlabel="seconds", yticks=[], ylim=(-9, spec.n_mels + 8))
    write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=80))


def run(args: argparse.Namespace) -> None:
    """Load, train, align, report, draw.

    Raises:
        BenchmarkError: there are no true boundaries, and no plot was requested.
    """
    name = registry.get("dataset", args.dataset, args.plugin).name
    dataset = open_dataset(name, None, args.data_root, args.plugin)
    people = [(split, speaker) for split in SPLITS for speaker in dataset.speakers(split)]
    samples: list[Aligned] = []
    skipped: Counter[str] = Counter()
    with (
        workers.pool(args.workers, partial(registry.register, args.plugin)) as pool,
        progress("Reading speech", len(people)) as show,
    ):
        for number, (loaded, reasons) in enumerate(pool.map(partial(load, dataset=dataset), people), 1):
            samples += loaded
            skipped.update(reasons)
            show(number)
    with progress("Training the aligner", 1) as show:
        aligner = Aligner.fit(
            [sample.item for sample in samples if sample.split == "train"], args.workers, None, lambda done, total: show(done / total)
        )
    aligned: list[tuple[Aligned, list[list[Segment]]]] = []
    for sample in samples:
        try:
            aligned.append((sample, aligner.align(sample.item)))
        except CannotAlign as reason:
            skipped[str(reason)] += 1
    print(
        f"{dataset.card.title}: {len(aligned)} utterances aligned" + "".join(f"; {n} skipped: {why}" for why, n in sorted(skipped.items()))
    )
    if args.plot:
        step = max(1, len(aligned) // args.plots)
        for sample, found in aligned[step // 2 :: step][: args.plots]:
            plot(args.plot / f"{sample.id.replace('/', '_')}.png", sample, found)
        print(f"Plots written to {args.plot}.")
    pairs = [(sample.truth, found) for sample, found in aligned if sample.truth is not None]
    if pairs:
        print("\n".join(measure(pairs).lines()))
    elif not args.plot:
        raise BenchmarkError(
            f"Dataset {name} does not know its true boundaries, so there is no error to measure; use --plot DIR instead."
        )


def main(arguments: Sequence[str]) -> int:
    """Parse, run, and turn errors into one sentence; returns the exit status."""
    parser = Parser(
        prog="python -m tools.alignment_error", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="espeak, or any dataset with --plot")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the corpus (default: $BENCHMARK_DATA/NAME)")
    parser.add_argument("--workers", type=int, metavar="N", default=default_workers(), help="processes (default: one per core)")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw boundaries over mel spectrograms, into this folder")
    parser.add_argument("--plots", type=int, metavar="N", default=6, help="number of plots (default: 6)")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="use the plugin in this file; may be repeated")
    try:
        args = parser.parse_args(arguments)
        if args.workers < 1 or args.plots < 1:
            raise UsageError("--workers and --plots must be at least 1.")
        run(args)
    except KeyboardInterrupt:
        print(INTERRUPTION, file=sys.stderr)
        return INTERRUPTED
    except BenchmarkError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
