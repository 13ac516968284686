"""Speak a text in a voice: a finished run's algorithm adapts to a few recordings of it.

The voice is a recording or a folder of them (wav, flac, mp3), 1 to 20 sentences, with a transcript beside each: hello.wav, hello.txt.
Algorithms that use only the sound need no transcripts. The cache that the run was made with must be there. The output is marked, so that
it is never taken for a recording.
"""

from __future__ import annotations

import argparse

from benchmark.commands._options import add_adaptation_steps, add_cache, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("text", metavar="TEXT", help="what to say: at most 20,000 characters")
    parser.add_argument("--run", type=place, required=True, metavar="RUN", dest="folder", help="folder of a finished run")
    parser.add_argument("--voice", type=place, required=True, metavar="DIR", help="recordings (or one), with .txt transcripts beside them")
    parser.add_argument("-o", "--output", type=place, required=True, metavar="FILE", help="wav file to write")
    parser.add_argument("--language", metavar="VOICE", help="espeak-ng voice that reads text and transcripts (default: the corpus's)")
    parser.add_argument("--voice-language", metavar="VOICE", help="the one that reads transcripts, if they are in another language")
    add_adaptation_steps(parser)
    add_cache(parser)


def run(args: argparse.Namespace) -> int:
    """Adapt, synthesise, write the file, and print times and similarity."""
    import sys

    from benchmark.audio import SAMPLE_RATE
    from benchmark.data import recordings, synthesised
    from benchmark.errors import CannotScore, UsageError
    from benchmark.plumbing.words import counted
    from benchmark.running import say
    from benchmark.running.preparation import cache_folder

    if args.output.suffix.lower() != ".wav" or args.output.is_dir():
        raise UsageError(f"-o must name a wav file to write, not {args.output}.")
    if args.output.exists() and not synthesised.is_marked(args.output):
        raise UsageError(f"-o names {args.output}, which is there and was not written by 'say'; choose another name.")
    cache = cache_folder(args.cache)
    voice, left_out = recordings.read(args.voice)
    speaker = say.open_speaker(args.folder, cache, args.plugin)
    language = say.reader(args.language, speaker.run.corpus, "--language")
    heard = say.reader(args.voice_language, speaker.run.corpus, "--voice-language") if args.voice_language is not None else language
    spoken = say.say(say.tokens(args.text, speaker.run.corpus, language), speaker, voice, args.steps, cache, heard)
    synthesised.write(args.output, spoken.audio)
    if left_out := [*left_out, *spoken.left_out]:
        print(f"Left out: {recordings.told(left_out)}.", file=sys.stderr)
    name, used = speaker.run.settings.algo.name, counted(spoken.recordings, "recording")
    print(f"Adapted {name} to {used} in {spoken.seconds_to_adapt:.2f} s ({spoken.steps} steps).")
    print(f"Spoke {len(spoken.audio) / SAMPLE_RATE:.2f} s in {spoken.seconds_to_speak:.2f} s.")
    try:
        like, own = say.similarity(spoken.audio, voice)
        beside = "" if own is None else f" (between its recordings: {own:.3f})"
        print(f"Similarity to the given voice, GE2E cosine: {like:.3f}{beside}.")
    except CannotScore as reason:
        print(f"Similarity to the given voice: not measured, {reason}.")
    print(args.output)
    return 0
