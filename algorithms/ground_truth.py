"""Topline: the real recording itself."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.learning.topline import Topline
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


class GroundTruth(Topline):
    """The reference, unprocessed: what every metric gives for real speech."""

    @staticmethod
    def heard(recording: PreparedUtterance, vocoder: Vocoder) -> Tensor:
        """See :meth:`Topline.heard`."""
        return torch.tensor(recording.waveform)


PLUGIN = GroundTruth
