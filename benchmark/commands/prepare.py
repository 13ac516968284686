"""Prepare a dataset: decode, trim, align, compute features, and keep the result for all runs.

If stopped, it resumes when started again. Ends with a list of what was skipped, and why.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from benchmark.commands._options import add_places, place, usual_needs


def settings() -> type:
    """The settings that the prepared corpus depends on."""
    from benchmark.settings.schema import PrepareSettings

    return PrepareSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_places(parser)
    parser.add_argument("--download", action="store_true", help="fetch the corpus into the data root first")
    parser.add_argument("--task", default="speaker", metavar="KIND",
                        help="what the manifest's episodes adapt to: speaker (default), language, style or cross_lingual")  # fmt: skip
    parser.add_argument("--write-manifest", type=place, metavar="FILE", help="draw episodes and write them to a manifest")


def run(args: argparse.Namespace) -> int:
    """Prepare, and print the report."""
    from benchmark.settings import config
    from benchmark.settings.schema import PrepareSettings

    parsed = config.parse(PrepareSettings, args.settings, plugins=args.plugin, also=args.options)
    from benchmark.data.enough import role, told
    from benchmark.data.prepare import describe
    from benchmark.dataset import SPLITS
    from benchmark.plugins import fit
    from benchmark.plumbing.workers import default_workers
    from benchmark.running.building import build_vocoder
    from benchmark.running.episodes import FULL, episode_targets, make_manifest, texts_of
    from benchmark.running.preparation import cache_folder, open_corpus

    fit.check_task(args.task, parsed.dataset.name, args.plugin)
    name, mel = parsed.dataset.name, build_vocoder(parsed.vocoder.name, parsed.vocoder.config, args.plugin).mel
    workers = args.workers or default_workers()
    corpus = open_corpus(
        name, parsed.dataset.config, args.data_root, cache_folder(args.cache), workers, args.plugin, args.download, mel, args.task
    )
    print(f"{corpus.meta['card']['title']}, data version {corpus.version}, in {corpus.folder}")
    for line in describe(corpus):
        print(line)
    counts = {split: len(corpus.speakers(split)) for split in SPLITS}
    for line in filter(None, [role(counts, name), *told(texts_of(corpus), *usual_needs(corpus.task.crosses))]):
        print(f"  {line}")
    for line in _compared(name if args.task == "speaker" else f"{name}-{args.task}", corpus.version):
        print(line)
    if args.write_manifest:
        manifest = make_manifest(corpus)
        for split in SPLITS[1:]:
            _, left_out = episode_targets(corpus, manifest, FULL, split)
            print(left_out, end="\n" * bool(left_out))
        manifest.save(args.write_manifest)
        print(f"Episodes written to {args.write_manifest} (sha256 {manifest.digest}).")
    return 0


def _compared(name: str, version: str) -> Iterator[str]:
    """A warning line if the leaderboard of that name was computed on other data."""
    from benchmark.errors import UsageError
    from benchmark.results.leaderboard_file import read
    from benchmark.results.leaderboard_places import table_files

    try:
        (table,) = table_files(name)
    except UsageError:
        return  # there is no leaderboard of it
    versions = sorted({row["data_version"] for row in read(table)})
    if versions and version not in versions:
        yield (
            f"  Your rows can't be compared with those of {table}: they were computed on data version {', '.join(versions)}, but yours is "
            f"{version} (another copy of the corpus, skipped utterances, TextGrids, or other library versions)."
        )
