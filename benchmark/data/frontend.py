"""How a model's corpus turned text and sound into numbers, so that new text and new recordings are treated alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from benchmark.backbone import BackboneSpec
from benchmark.mel import MelSpec
from benchmark.utterance import Statistics, Words


@dataclass(frozen=True)
class Frontend:
    """What text and recordings need to reach a model.

    Attributes:
        corpus: name of the one that the model learned from, for messages.
        language: espeak-ng voice that reads its texts, unless another is asked for.
        symbols: the table that tokens index.
        spec: mel definition, statistics, characters, and the sizes that the model was built with.
    """

    corpus: str
    language: str
    symbols: tuple[str, ...]
    spec: BackboneSpec

    @property
    def mel(self) -> MelSpec:
        """The mel definition."""
        return self.spec.mel

    @cached_property
    def symbol_ids(self) -> dict[str, int]:
        """Index of each symbol."""
        return {symbol: index for index, symbol in enumerate(self.symbols)}

    def unknown(self, words: Words) -> list[str]:
        """The phones that have no symbol."""
        return sorted({phone for word in words for phone in word} - set(self.symbols))

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Frontend:
        """From :meth:`plain`, read back.

        Raises:
            KeyError, TypeError: something is missing or strange.
        """
        spec = plain["spec"]
        numbers: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in spec["statistics"].items()}
        sizes = {name: int(spec[name]) for name in ("symbols", "train_speakers")}
        known = BackboneSpec(**sizes, mel=MelSpec(**spec["mel"]), statistics=Statistics(**numbers), characters=tuple(spec["characters"]))
        return cls(str(plain["corpus"]), str(plain["language"]), tuple(plain["symbols"]), known)
