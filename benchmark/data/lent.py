"""A corpus too small to be split, lent to others as training speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmark.dataset import Dataset, Segment, Utterance


class Lent(Dataset):
    """A dataset whose speakers, held out because they are too few to split, all train.

    Args:
        own: the dataset, opened; it is ``undivided``.
    """

    def __init__(self, own: Dataset) -> None:
        super().__init__(own.root, own.config)
        self.own, self.card, self.tasks = own, own.card, own.tasks  # type: ignore[misc]

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return self.own.speakers("test") if split == "train" else []

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        return self.own.utterances(speaker)

    def load(self, utterance: Utterance) -> tuple[npt.NDArray[np.float32], int]:
        """See :meth:`Dataset.load`."""
        return self.own.load(utterance)

    def alignment(self, utterance: Utterance) -> list[list[Segment]] | None:
        """See :meth:`Dataset.alignment`."""
        return self.own.alignment(utterance)
