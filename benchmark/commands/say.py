"""Speak a text in a voice: a trained model adapts to a few recordings of it.

The voice is a recording or a folder of them (wav, flac, mp3), 1 to 20 sentences. Their transcripts are texts beside them (hello.wav,
hello.txt) or a table (metadata.csv); algorithms that use only the sound need none. The model is a file that 'export' wrote (--model), a
finished run with the cache that it was made with (--run), or else the one that is shipped with this package. The output is marked, so that
it is never taken for a recording.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands._options import add_adaptation_steps, add_trained, duration, place

if TYPE_CHECKING:
    from benchmark.audio import Audio
    from benchmark.data.recordings import Recording
    from benchmark.running.say import Sentence, Voice
    from benchmark.running.trained_model import TrainedModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("text", metavar="TEXT", nargs="?", help="what to say: at most 20,000 characters")
    parser.add_argument("--texts", type=place, metavar="FILE", help="say each line of this file instead, into a folder of numbered files")
    parser.add_argument("-o", "--output", type=place, required=True, metavar="FILE", help="wav file to write; with --texts, a folder")
    add_adaptation(parser)
    parser.add_argument("--voice-language", metavar="VOICE", help="the one that reads transcripts, if they are in another language")
    parser.add_argument("--play", action="store_true", help="play what was said")


def add_adaptation(parser: argparse.ArgumentParser) -> None:
    """Declare what adapts to which voice."""
    parser.add_argument("--voice", type=place, required=True, metavar="DIR", help="recordings (or one), transcripts beside them")
    add_trained(parser, "default: the shipped one")
    parser.add_argument("--language", metavar="VOICE", help="espeak-ng voice that reads text and transcripts (default: the model's)")
    add_adaptation_steps(parser)
    parser.add_argument("--budget", type=duration, metavar="TIME", help="adapt for at most 500ms, 5s, 2min, by as many of the steps as fit")


def run(args: argparse.Namespace) -> int:
    """Adapt, synthesise, write the files, and print times and what can be measured."""
    import sys

    from benchmark.errors import UsageError
    from benchmark.plumbing import player

    if (args.text is None) == (args.texts is None):
        raise UsageError('Give either a text to say, "Good morning.", or a file of them, --texts FILE.')
    texts = _texts(args)
    playing = player.player() if args.play else []
    print("Loading …", file=sys.stderr, flush=True)

    from benchmark.audio import SAMPLE_RATE
    from benchmark.data import recordings, synthesised
    from benchmark.plumbing.words import counted
    from benchmark.running import say
    from benchmark.running.finished import trained_model

    for path in texts:
        synthesised.refuse_to_overwrite(path)
    language = say.reader(args.language, "--language")
    reads = say.reader(args.voice_language, "--voice-language") or language
    heard, left_out = recordings.read(args.voice)
    model = trained_model("synthesis", args.model, args.folder, args.cache, args.plugin)
    to_say = {path: _sentences(text, where, model, language) for path, (text, where) in texts.items()}
    voice = say.adapt(model, heard, args.steps, args.budget, reads)
    if left_out := [*left_out, *voice.left_out]:
        print(f"Left out: {recordings.told(left_out)}.", file=sys.stderr)
    name, used = model.settings.algo.name, counted(voice.recordings, "recording")
    print(f"Adapted {name} to {used} in {voice.adapted.seconds:.2f} s ({_steps(voice, args.budget)}).")
    judged: list[tuple[Sentence, Audio]] = []
    for path, some in to_say.items():
        spoken = say.speak(voice, some, path)
        if sum(len(each) for _, each in judged) < say.JUDGED_SECONDS * SAMPLE_RATE:
            judged += spoken.judged
        print(f"Spoke {spoken.samples / SAMPLE_RATE:.2f} s in {spoken.seconds:.2f} s: {path}")
    _judge(judged, voice, heard)
    for path in to_say if playing else ():
        player.play(playing, path)
    return 0


def _texts(args: argparse.Namespace) -> dict[Path, tuple[str, str]]:
    """What to say and where it stands ("line 3 of texts.txt", ""), by the file to write.

    Raises:
        UsageError: the file of texts can't be read, or is empty.
    """
    from benchmark.errors import UsageError

    if args.texts is None:
        if args.output.suffix.lower() != ".wav" or args.output.is_dir():
            raise UsageError(f"-o must name a wav file to write, not {args.output}.")
        return {args.output: (args.text, "")}
    if args.output.suffix.lower() == ".wav" or args.output.is_file():
        raise UsageError(f"With --texts, -o must name a folder, not {args.output}.")
    try:
        content = args.texts.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{args.texts} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise UsageError(f"{args.texts} can't be read ({error.strerror}); give a file with a text in each line.") from error
    if "\0" in content:
        raise UsageError(f"{args.texts} is no text: it holds a NUL; save it as UTF-8.")
    lines = content.splitlines()
    width = max(3, len(str(len(lines))))
    numbered = {number: line for number, line in enumerate(lines, 1) if line.strip()}
    if not numbered:
        raise UsageError(f"{args.texts} is empty; write a text in each line.")
    return {args.output / f"{number:0{width}}.wav": (line, f"line {number} of {args.texts}") for number, line in numbered.items()}


def _sentences(text: str, where: str, model: TrainedModel, language: str) -> list[Sentence]:
    """The sentences of a text; errors say where it stands."""
    from benchmark.errors import UsageError
    from benchmark.running.say import sentences

    try:
        return sentences(text, model.frontend, language)
    except UsageError as error:
        raise UsageError(f"{where[:1].upper()}{where[1:]}: {error}" if where else str(error)) from error


def _steps(voice: Voice, budget: float | None) -> str:
    """The steps that were taken, in words."""
    from benchmark.plumbing.words import counted

    taken = counted(voice.adapted.steps, "step")
    if budget is None:
        return taken
    return f"{taken}, all within {budget:g} s" if voice.adapted.steps == voice.asked else f"{taken} of {voice.asked} fit into {budget:g} s"


def _judge(judged: list[tuple[Sentence, Audio]], voice: Voice, heard: list[Recording]) -> None:
    """Print what can be measured of the speech."""
    import numpy as np

    from benchmark.audio import SAMPLE_RATE
    from benchmark.errors import CannotScore
    from benchmark.running import judging, say

    try:
        like = judging.likeness(np.concatenate([audio for _, audio in judged]), heard, voice.trained.strangers)
        others = {"between its recordings": like.own, "strangers'": like.strangers}
        beside = ", ".join(f"{who}: {value:.3f}" for who, value in others.items() if value is not None)
        print(f"Similarity to the given voice, GE2E cosine: {like.spoken:.3f}{f' ({beside})' if beside else ''}.")
    except CannotScore as error:
        print(f"Similarity to the given voice: not measured, {error}.")
    for score in judging.scores(judged, voice.trained):
        if score.value is None:
            print(f"{score.name}: not measured, {score.reason}.")
            continue
        better = "higher is better" if score.column.higher_is_better else "lower is better"
        about = [", ".join(filter(None, [score.column.unit, better]))]
        about += [f"{meaning}: {value:.3g}" for meaning, value in score.constants.items()]
        about += [f"not of every sentence: {score.reason}"] if score.reason else []
        print(f"{score.name} {score.value:.3g} ({'; '.join(about)}): {score.column.meaning}.")
    for name, reason in voice.trained.unscored.items():
        print(f"{name}: not measured, {reason}.")
    if (seconds := sum(len(audio) for _, audio in judged) / SAMPLE_RATE) < say.LITTLE_SECONDS:
        print(f"There is only {seconds:.1f} s of speech, so these numbers mean little; say a few sentences to judge the voice.")
