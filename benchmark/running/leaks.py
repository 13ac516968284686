"""Checks that refuse episodes which leak or don't match the corpus."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.data.corpus import Corpus
from benchmark.data.enough import CENTROID, normalised
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError
from benchmark.running.episodes import Episode, Manifest


def check_manifest(manifest: Manifest, corpus: Corpus, centroid: int = CENTROID) -> None:
    """Refuse a manifest that leaks or does not match the corpus.

    Args:
        manifest: of the dataset.
        corpus: prepared.
        centroid: utterances beside an episode's that its target's centroid needs; 0 where there is none.

    Raises:
        BenchmarkError: a speaker is in two splits, or in another split of the corpus than the manifest says; support
            and query share an utterance or a text; an utterance is missing or is someone else's; support and query are not in two
            languages where the task crosses languages; none is left for a centroid that is needed.
    """
    owner: dict[str, str] = {}
    for split, names in manifest.targets.items():
        for name in names:
            if owner.setdefault(name, split) != split:
                kind = corpus.task.noun.capitalize()
                raise BenchmarkError(f"{kind} leak: {name} is in both the {owner[name]} and the {split} split of {manifest.dataset}.")
    for split in SPLITS:
        strangers = set(corpus.targets(split)) - set(manifest.targets.get(split, ()))
        if strangers:
            raise BenchmarkError(
                f"The corpus puts {corpus.task.noun} {min(strangers)} into {split}, but the manifest does not: they are of different "
                f"releases of {manifest.dataset}; use the release that `describe` names, or restore the file."
            )
    for split, episodes in manifest.episodes.items():
        for episode in episodes:
            _check_episode(episode, split, owner, corpus)
            if centroid and not episode.enrolment(corpus):
                where = f"Episode {episode.index} of {corpus.task.noun} {episode.target}"
                raise BenchmarkError(f"{where} leaves no utterance for the centroid.")


def _check_episode(episode: Episode, split: str, owner: Mapping[str, str], corpus: Corpus) -> None:
    kind = corpus.task.noun
    where = f"episode {episode.index} of {kind} {episode.target}"
    if owner.get(episode.target) != split:
        belongs = owner.get(episode.target)
        raise BenchmarkError(f"{kind.capitalize()} leak: {where} is listed under {split}, the {kind} belongs to {belongs}.")
    for name in (*episode.support, *episode.query):
        if name not in corpus:
            raise BenchmarkError(
                f"Utterance {name}, which {where} needs, is not in the prepared corpus (missing, or skipped: see the "
                "preparation report); complete the data, because scores without it can't be compared."
            )
    if not {*episode.support, *episode.query} <= set(corpus.utterances_of(episode.target)):
        raise BenchmarkError(f"{kind.capitalize()} leak: {where} holds an utterance of another.")
    if set(episode.support) & set(episode.query):
        raise BenchmarkError(f"Utterance leak: in {where} support and query share {min(set(episode.support) & set(episode.query))}.")
    texts = {normalised(corpus.text(name)) for name in episode.support}
    for name in episode.query:
        if normalised(corpus.text(name)) in texts:
            raise BenchmarkError(f"Text leak: in {where} the query {name} has the text of a support utterance.")
    if corpus.task.crosses:
        heard, asked = ({corpus.language(name) for name in some} for some in (episode.support, episode.query))
        if len(heard) != 1 or len(asked) != 1 or heard == asked:
            raise BenchmarkError(
                f"Language leak: in {where} the support set is in {', '.join(sorted(heard))} and the queries are in "
                f"{', '.join(sorted(asked))}; each must be in one language, and not in the same."
            )
