"""Topline: the real recording through mel spectrogram and vocoder, the best any model could do with this vocoder."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.learning.topline import Topline
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


class CopySynthesis(Topline):
    """Analysis and resynthesis of the reference."""

    @staticmethod
    def heard(recording: PreparedUtterance, vocoder: Vocoder) -> Tensor:
        """See :meth:`Topline.heard`."""
        return vocoder.decode(torch.tensor(recording.mel))


PLUGIN = CopySynthesis
