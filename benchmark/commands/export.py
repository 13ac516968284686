"""Write a finished run's trained model to one file that speaks (or transcribes) anywhere: no cache, no corpus, no training.

The file is in the safetensors format, which holds no code: the weights in 16 bits, and all that 'say' or 'transcribe' needs beside them.
"""

from __future__ import annotations

import argparse

from benchmark.commands._options import add_cache, place

ENDING = ".safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=place, metavar="RUN", help="folder of a finished run")
    parser.add_argument("-o", "--output", type=place, required=True, metavar="FILE", help=f"file to write, called NAME{ENDING}")
    parser.add_argument("--precision", choices=("float16", "float32"), default="float16", help="of the weights (default: float16)")
    parser.add_argument("--card", type=place, metavar="FILE", help="also write the model's card: quality, licence, attribution (Markdown)")
    add_cache(parser)


def run(args: argparse.Namespace) -> int:
    """Collect, write, and print what the file holds."""
    import sys

    from benchmark.errors import UsageError

    if args.output.suffix.lower() != ENDING:
        raise UsageError(f"-o must name a file to write that ends in {ENDING}, not {args.output}.")
    print("Loading …", file=sys.stderr, flush=True)

    from benchmark.plumbing import model_file
    from benchmark.running import model_card
    from benchmark.running.finished import bundle_of, open_run
    from benchmark.running.preparation import cache_folder

    if args.output.exists() and not model_file.is_model(args.output):
        raise UsageError(f"-o names {args.output}, which is there and was not written by 'export'; choose another name.")
    if args.card is not None:
        model_card.check_card(args.card)
    cache = cache_folder(args.cache)
    finished = open_run(args.folder, cache, args.plugin)
    bundle = bundle_of(finished, cache, args.plugin, scored=True)
    if args.precision == "float16":
        bundle = bundle.halved()
    model_file.write(args.output, bundle)
    if args.card is not None:
        model_card.write_card(args.card, args.output, finished, bundle, args.plugin)
    print(model_card.size_table(bundle))
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB{f'; its card is {args.card}' if args.card else ''}.")
    return 0
