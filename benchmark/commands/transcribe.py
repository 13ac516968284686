"""Transcribe recordings: a trained recogniser adapts to a few recordings of the voice, if there are any, and reads them.

A transcript beside a recording (hello.txt beside hello.wav, or in a table, metadata.csv) is not read but compared: its character error
rate is printed. The voice's recordings need transcripts. The model is a file that 'export' wrote (--model), or a finished run with the
cache that it was made with (--run).
"""

from __future__ import annotations

import argparse

from benchmark.commands._options import add_adaptation_steps, add_trained, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=place, metavar="FILE", help="a recording, or a folder of recordings, to transcribe")
    add_trained(parser, "this or --run is needed")
    parser.add_argument("--voice", type=place, metavar="DIR", help="recordings (or one) of the voice, .txt transcripts (default: none)")
    add_adaptation_steps(parser)


def run(args: argparse.Namespace) -> int:
    """Adapt, transcribe, and print transcripts, error rates and times."""
    import sys

    from benchmark.errors import UsageError

    if args.steps and args.voice is None:
        raise UsageError("--steps needs --voice DIR, the recordings to adapt to.")
    print("Loading …", file=sys.stderr, flush=True)

    from benchmark.data import recordings
    from benchmark.plumbing.words import counted
    from benchmark.running.finished import trained_model
    from benchmark.running.transcribe import transcribe
    from benchmark.utterance import spelled

    heard, left_out = recordings.read(args.file, voice=False)
    voice, unused = recordings.read(args.voice) if args.voice is not None else ([], [])
    opened = trained_model("recognition", args.model, args.folder, args.cache, args.plugin)
    done = transcribe(heard, opened, voice, args.steps)
    if left_out := [*left_out, *unused, *done.left_out]:
        print(f"Left out: {recordings.told(left_out)}.", file=sys.stderr)
    learned = {each.audio.tobytes() for each in done.support}
    for each, text in zip(heard, done.texts, strict=True):
        real, known = spelled(each.text), ", though adapted to" * (each.audio.tobytes() in learned)
        print(f"{each.name}: {text}{f' ({_error(real, text):.0%} of the characters wrong{known})' if real else ''}")
    if done.support:
        used = counted(len(done.support), "recording")
        print(f"Adapted {opened.settings.algo.name} to {used} in {done.adapted.seconds:.2f} s ({counted(done.adapted.steps, 'step')}).")
    print(f"Transcribed {counted(len(heard), 'recording')} in {done.seconds:.2f} s.")
    return 0


def _error(real: str, text: str) -> float:
    """Character error rate, as the metric ``cer`` has it."""
    import jiwer

    return float(jiwer.cer(real, text))
