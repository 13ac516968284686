"""Does a backbone that attends find its way? ``python -m tools.attention --run runs/RUN``, or ``--pretrained FILE`` from the cache.

Prints the share of the training speakers' sentences along which attention moves forward from the first symbol to the last, and of those
where it also leaves out nothing of length: given the real frames before each step, and when the model hears itself. Draws some of them,
with the aligner's path, into a PNG.

    python -m tools.attention --run runs/espeak-finetune-smoke-s0-0123456789
    python -m tools.attention --pretrained CACHE/pretrained/espeak-tacotron2-s0-0123456789abcdef.pt --dataset espeak \\
        --backbone tacotron2 --preset smoke

The settings after ``--pretrained FILE`` are those of the run that made it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.algorithm import pinned
from benchmark.batch import collate
from benchmark.cli import INTERRUPTED, INTERRUPTION, Parser
from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError, PredictionFailed, UsageError
from benchmark.plugins import registry
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import write_atomic
from benchmark.running.building import build, spec_of
from benchmark.running.finished import open_run
from benchmark.running.preparation import cache_folder
from benchmark.running.pretraining import speaker_index
from benchmark.settings.tuned_values import parse_untuned

BACK = 1
"""Tokens that a step may look back and still be on its way."""
LEFT = 1
"""Tokens that may be left out at either end: the first and the last symbol are silence, which recordings hardly have."""
PASSED = 2
"""Attention may pass over tokens at once that last at most this many steps in the recording: short symbols share a step."""


@dataclass(frozen=True)
class Followed:
    """How attention went through one sentence.

    Attributes:
        sentence: its name.
        taught: given the real frames, (S, T).
        free: hearing itself, (S, T); None where it babbled.
        frames: of each token, by the aligner, (T,).
    """

    sentence: str
    taught: Tensor
    free: Tensor | None
    frames: Tensor


def monotonic(attention: Tensor) -> bool:
    """Whether attention, that is the token most attended to, goes from the first token to the last.

    It never moves back by more than ``BACK`` tokens, and leaves no more than ``LEFT`` tokens at the end.

    Args:
        attention: (S, T).
    """
    path = attention.argmax(-1).tolist()
    return all(after - before >= -BACK for before, after in pairwise(path)) and path[-1] >= attention.shape[1] - 1 - LEFT


def gapless(attention: Tensor, steps: Tensor) -> bool:
    """Whether attention passes over no more than ``PASSED`` steps' worth of tokens at once, also before the first.

    Args:
        attention: (S, T).
        steps: that each token takes in the recording, (T,).
    """
    path = attention.argmax(-1).tolist()
    missed = steps.clone()
    missed[path] = 0
    return all(float(missed[before + 1 : after].sum()) <= PASSED for before, after in pairwise([LEFT - 1, *path]))


def follow(backbone: Any, corpus: Corpus, sentences: Sequence[str]) -> list[Followed]:
    """Attention along sentences of training speakers, each spoken with its own speaker's vector."""
    index, found = speaker_index(corpus), []
    with pinned(backbone, training=False), torch.no_grad():
        for name in sentences:
            utterance = corpus[name]
            batch = collate([utterance], corpus.statistics, index)
            own = backbone.speaker_vectors()[index[utterance.speaker]] if "speaker_vector" in backbone.supports else None
            try:
                free = backbone.speak(batch.tokens[0], own)[1]
            except PredictionFailed:
                free = None
            found.append(Followed(name, backbone.attention(batch)[0], free, batch.durations[0]))
    return found


def report(paths: Sequence[Followed], frames_per_step: int) -> list[str]:
    """What was found, for people."""

    def share(way: str) -> str:
        those = [(attention, each.frames / frames_per_step) for each in paths if (attention := getattr(each, way)) is not None]
        forward = [(attention, steps) for attention, steps in those if monotonic(attention)]
        whole = sum(gapless(attention, steps) for attention, steps in forward)
        count = len(paths)
        return f"{100 * len(forward) / count:.1f} % of {count} sentences monotonic, {100 * whole / count:.1f} % and without a gap"

    babble = sum(each.free is None for each in paths)
    return [f"given the real frames: {share('taught')}", f"hearing itself:        {share('free')}; {babble} never stopped"]


def plot(file: Path, paths: Sequence[Followed], frames_per_step: int) -> None:
    """One row a sentence: attention given the real frames, with the aligner's path, and hearing itself.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchmarkError("The plot needs matplotlib; install it with: pip install matplotlib") from error
    figure = Figure(figsize=(12, 3.2 * len(paths)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, each in zip(figure.subplots(len(paths), 2, squeeze=False), paths, strict=True):
        for axes, attention, title in zip(row, (each.taught, each.free), ("given the real frames", "hearing itself"), strict=True):
            axes.set(title=f"{each.sentence}, {title}", xlabel="step", ylabel="symbol")
            if attention is None:
                axes.text(0.5, 0.5, "never stopped", ha="center", transform=axes.transAxes)
                continue
            axes.imshow(attention.T.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        ends = each.frames.cumsum(0) / frames_per_step - 0.5
        row[0].step(ends.numpy(), range(len(ends)), where="pre", color="deepskyblue", lw=1)
    write_atomic(file, lambda temporary: figure.savefig(temporary, dpi=80, format="png"))


def load(args: argparse.Namespace, words: Sequence[str]) -> tuple[Any, Corpus]:
    """The backbone and the corpus that it learned from.

    Raises:
        UsageError: not one of a run and a checkpoint is named, or the backbone does not attend.
        BenchmarkError: the checkpoint or the corpus is missing, or they do not fit.
    """
    if (args.run is None) == (args.pretrained is None):
        raise UsageError("Name one of --run DIR and --pretrained FILE.")
    if args.run is not None:
        if words:
            raise UsageError(f"A run has its own settings; leave out {words[0]}.")
        run = open_run(args.run, cache_folder(args.cache), args.plugin)
        name, backbone, corpus = run.settings.backbone.name, run.algorithm.backbone, run.corpus
    else:
        settings = parse_untuned(["--algo", "no_adaptation", *words], args.plugin)
        name, corpus = settings.backbone.name, _newest(cache_folder(args.cache), settings.dataset.name)
        backbone = build(registry.load("backbone", name, args.plugin), settings.backbone.config, spec_of(corpus), settings.seed)
        if checkpoint.load(args.pretrained, checkpoint.into(backbone), quiet=True) is None:
            raise BenchmarkError(
                f"{args.pretrained} is missing or damaged, or is not of {name} with these settings and corpus; a run makes it, in the "
                "cache's folder pretrained."
            )
    if not (hasattr(backbone, "attention") and hasattr(backbone, "speak")):
        raise UsageError(f"{name} does not attend to its text: there is nothing to measure.")
    return backbone, corpus


def _newest(cache: Path, dataset: str) -> Corpus:
    """The dataset's corpus in the cache, the one prepared last."""
    folders = sorted((cache / "corpora").glob(f"{dataset}-*"), key=lambda folder: folder.stat().st_mtime)
    if not folders:
        raise BenchmarkError(f"The cache {cache} holds no prepared corpus of {dataset}: name the cache of the run (--cache).")
    return Corpus(folders[-1])


def run(args: argparse.Namespace, words: Sequence[str]) -> None:
    """Load, follow, report, draw."""
    torch.set_num_threads(1)
    backbone, corpus = load(args, words)
    every = [name for speaker in corpus.speakers("train") for name in corpus.utterance_ids(speaker)]
    count = min(args.sentences, len(every))
    sentences = [every[place * len(every) // count] for place in range(count)]
    paths = follow(backbone, corpus, sentences)
    print("\n".join(report(paths, backbone.config.frames_per_step)))
    if args.plot is not None:
        plot(args.plot, paths[:: max(1, len(paths) // args.plots)][: args.plots], backbone.config.frames_per_step)
        print(f"Plot written to {args.plot}.")


def main(arguments: Sequence[str]) -> int:
    """Parse, run, and turn errors into one sentence; returns the exit status."""
    parser = Parser(prog="python -m tools.attention", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of a finished run")
    parser.add_argument("--pretrained", type=Path, metavar="FILE", help="a pretrained backbone in the cache")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="that the run was made with (default: $BENCHMARK_CACHE or ~/.cache/…)")
    parser.add_argument("--sentences", type=int, default=100, metavar="N", help="to measure, spread over training speakers (default: 100)")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw into this file")
    parser.add_argument("--plots", type=int, default=4, metavar="N", help="sentences to draw (default: 4)")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="use the plugin in this file; may be repeated")
    try:
        args, words = parser.parse_known_args(arguments)
        if args.sentences < 1 or args.plots < 1:
            raise UsageError("--sentences and --plots must be at least 1.")
        run(args, words)
    except KeyboardInterrupt:
        print(INTERRUPTION, file=sys.stderr)
        return INTERRUPTED
    except BenchmarkError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
