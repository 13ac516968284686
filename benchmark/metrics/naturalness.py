"""Naturalness: the mean opinion that listeners would give, predicted by a network."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from functools import cache
from typing import Any, ClassVar, cast

import torch

from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample
from benchmark.scoring.checks import require_speech

HOP = 320
"""Samples for which the network has one column of features."""


class Naturalness(Metric):
    """Mean opinion score of free-running speech without its reference, 1 (bad) … 5 (excellent), as Distill-MOS predicts it.

    Stahl and Gamper, "Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech Quality Assessment"
    (ICASSP 2025): a convolutional network and a transformer over the complex spectrogram, distilled from an assessment model
    that stands on wav2vec 2.0 XLS-R. It hears 7.68 s at a time, silence added to shorter speech; of longer speech, windows at
    most 1 s apart are averaged. Loudness does not count. Package ``distillmos``, whose wheel holds the weights.

    A prediction, not a listening test: it learned from telephony, codecs and noise more than from synthesis, so it hears a
    vocoder's artefacts better than wrong prosody. Compare methods under the same recording conditions only.
    """

    version = "1"
    columns: ClassVar = {
        "naturalness": Column(
            unit="MOS",
            meaning="quality that listeners would hear, predicted without the recording",
            higher_is_better=True, low=1.0, high=5.0, headline=True,
        ),
    }
    needs = ("speech",)

    def prepare(self, context: MetricContext) -> None:
        """Load the network."""
        _network()

    def score(self, sample: Sample) -> dict[str, float]:
        """The predicted opinion.

        Raises:
            CannotScore: the audio is silent, not finite, or shorter than half a second.
        """
        audio = require_speech(sample.audio, "synthesised audio", seconds=0.5)
        with torch.inference_mode():
            value = float(_network()(torch.from_numpy(audio)[None]))
        if not 1.0 <= value <= 5.0:
            raise CannotScore(f"Distill-MOS gave {value}")
        return {"naturalness": value}


@cache
def _network() -> Any:
    from distillmos import ConvTransformerSQAModel

    with redirect_stdout(io.StringIO()):  # it prints where its weights lie
        network = ConvTransformerSQAModel().eval()
    network.cnn = _WithoutAddedSilence(network.cnn)
    return network


class _WithoutAddedSilence(torch.nn.Module):
    """The convolutions, without those over the silence that fills a window: they give one same column there, to the last bit.

    They take 80 % of the time, and most utterances fill a third of a window.
    """

    def __init__(self, convolutions: torch.nn.Module) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.silent: torch.Tensor | None = None

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Columns of features (windows, features, columns), one for 20 ms of audio (windows, samples) at 16 kHz."""
        samples, margin = audio.shape[1], 8  # columns: a convolved edge reaches 3 of them
        if self.silent is None:  # windows are all of one length
            self.silent = self.convolutions(audio.new_zeros(1, samples))
        heard = int(audio.any(0).nonzero()[-1]) // HOP + margin if audio.any() else margin
        if (heard + margin) * HOP >= samples:
            return cast(torch.Tensor, self.convolutions(audio))
        features = self.convolutions(audio[:, : (heard + margin) * HOP])
        return torch.cat([features[..., :heard], self.silent[..., heard:].expand(len(audio), -1, -1)], dim=-1)


PLUGIN = Naturalness
