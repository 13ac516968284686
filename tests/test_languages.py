"""Text in another language than a voice reads is told by its words, if it is long enough; one's own language is never refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.data.languages import is_other_language
from benchmark.data.phonemes import voice

ENGLISH = (
    "The quick brown fox jumps over the lazy dog.", "My name is Giovanni and I live in Guadalajara.", "GOOD MORNING EVERYBODY IN LONDON!",
    "'Twas brillig, and the slithy toves did gyre and gimble in the wabe.", "Dr. Müller met Señora García in Zürich.",
)  # fmt: skip


def sentences(repository: Path) -> dict[str, list[str]]:
    folder = repository / "datasets" / "sentences"
    return {path.stem: [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()] for path in folder.glob("*.txt")}


def test_other_languages_are_told_from_english_and_none_from_itself(repository: Path) -> None:
    every = sentences(repository)
    assert len(every) >= 17
    assert [text for name, some in every.items() for text in some if is_other_language(text, voice(name))] == []
    caught = [is_other_language(text, "en-us") for some in every.values() for text in some]
    assert sum(caught) > 0.95 * len(caught)


@pytest.mark.parametrize("text", ENGLISH)
def test_english_with_names_and_strange_words_is_english(text: str) -> None:
    assert not is_other_language(text, "en-us") and not is_other_language(text, "en-gb-x-rp")


def test_what_can_not_be_told_passes() -> None:
    assert not is_other_language("Guten Tag.", "en-us"), "too short"
    assert is_other_language("Guten Tag, wie geht es Ihnen denn heute?", "en-us")
    assert not is_other_language("Saluton, kiel vi fartas hodiaŭ matene?", "jbo"), "the identifier does not know Lojban"
    chinese = "早上好，你今天感觉怎么样？我很好，谢谢你。"
    assert is_other_language(chinese, "en-us") and not is_other_language(chinese, "cmn")


def test_real_english_sentences_are_english(speechocean762_root: Path) -> None:
    lines = (speechocean762_root / "test" / "text").read_text(encoding="utf-8").splitlines()
    assert not [text for text in sorted({line.split(None, 1)[1] for line in lines}) if is_other_language(text, "en-us")]
