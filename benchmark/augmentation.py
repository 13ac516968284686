"""Augmentation of what a TTS model learns from.

Elsewhere augmentation changes the input and leaves the label; here the speech *is* the label, and what is done to it
will be heard in the voice. So only what keeps the speaker's timbre, and what the model is told of through its inputs:

* "speed" stretches time: durations and mel together, by up to 10 %.
* "gain" makes speech louder or softer: energy and mel together, by up to 3 dB.
* "noise" disturbs the pitch and energy that the decoder is given, for at synthesis it gets imperfect predictions; the
  error added to the predictors' targets has mean zero.
* "mask" is SpecAugment's time mask (Park et al., Interspeech 2019), as it can be had here: what it covers, whole tokens
  with their frames, is left out of input and loss alike.

Left out, though usual for recognisers: noise added to the audio and masks of frequencies, which the model would
learn to reproduce; pitch shifting, which moves a voice away from its owner (resampling moves the formants too, and
moving the harmonics alone would need them resolved, which 80 mel bands do for few voices). ``torchaudio``'s speed, pitch and
gain work on waveforms, for which durations and pitch would have to be extracted anew; its mask is the one used here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
import torchaudio
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmark.batch import Batch
from benchmark.mel import LOG_FLOOR

AUGMENTATIONS = ("speed", "gain", "noise", "mask")
SPEED = 0.1
"""Largest relative change of duration."""
GAIN = 0.345
"""Largest change of level in nepers: 3 dB."""
NOISE = 0.2
"""Standard deviation added to pitch and energy, in their own standard deviations over the corpus."""
MASKED = 0.25
"""Largest share of an utterance's tokens to leave out."""


def augment(batch: Batch, kinds: Collection[str], energy_std: float) -> Batch:
    """A freshly drawn variant of each utterance, from torch's global (CPU) generator.

    Args:
        batch: B utterances.
        kinds: of ``AUGMENTATIONS``; none leaves the batch as it is.
        energy_std: standard deviation that ``batch.energy`` is in units of, in nepers.
    """
    device, (size, tokens) = batch.tokens.device, batch.tokens.shape
    spoken = batch.durations > 0
    if "noise" in kinds:
        pitch, energy = (torch.randn(2, size, tokens) * NOISE).to(device) * spoken
        batch = replace(batch, pitch=batch.pitch + pitch, energy=batch.energy + energy)
    if "gain" in kinds:
        gain = torch.empty(size, 1).uniform_(-GAIN, GAIN).to(device)
        louder = (batch.mels + gain.unsqueeze(-1)).clamp_min(torch.tensor(LOG_FLOOR).log().item())
        inside = torch.arange(batch.mels.shape[1], device=device) < batch.mel_lengths.unsqueeze(1)
        batch = replace(batch, mels=louder * inside.unsqueeze(-1), energy=batch.energy + gain / energy_std * spoken)
    durations = batch.durations
    kept = torch.arange(tokens, device=device) < batch.token_lengths.unsqueeze(1)
    if "speed" in kinds:
        factor = torch.empty(size, 1).uniform_(1 - SPEED, 1 + SPEED)
        # Rounded up or down at random, for most phones last a few frames only.
        durations = (durations * factor.to(device) + torch.rand(size, tokens).to(device)).long().clamp_min(1) * spoken
    if "mask" in kinds:
        mask = torchaudio.functional.mask_along_axis_iid(torch.ones(size, 1, 1, tokens), tokens, 0.0, axis=3, p=MASKED)
        heard = kept & mask.view(size, tokens).bool().to(device)
        # A mask may cover all of an utterance that is much shorter than the others; then it is not applied.
        kept = torch.where((durations * heard).sum(1, keepdim=True) > 0, heard, kept)
    return batch if not {"speed", "mask"} & set(kinds) else retimed(batch, durations, kept)


def retimed(batch: Batch, durations: Tensor, kept: Tensor) -> Batch:
    """The batch with other durations, each token's frames interpolated to its new number, and without some tokens.

    Args:
        batch: B utterances of up to T tokens.
        durations: (B, T) int64, new frames per token; 0 only where there were none.
        kept: (B, T) bool, tokens to keep; False in the padding.
    """
    starts = batch.durations.cumsum(1) - batch.durations
    mels = []
    for row, keep in enumerate(kept):
        old, new, start = (values[row, keep] for values in (batch.durations, durations, starts))
        token = torch.repeat_interleave(new)
        within = torch.arange(len(token), device=token.device) - (new.cumsum(0) - new)[token]
        place = (start[token] + (within + 0.5) * old[token] / new[token] - 0.5).clamp(0, int(batch.mel_lengths[row]) - 1)
        low, high = place.floor().long(), place.ceil().long()
        mels.append(torch.lerp(batch.mels[row, low], batch.mels[row, high], (place - low).unsqueeze(1).to(batch.mels.dtype)))

    def compact(values: Tensor) -> Tensor:
        return pad_sequence([values[row, keep] for row, keep in enumerate(kept)], batch_first=True)

    return Batch(
        tokens=compact(batch.tokens), token_lengths=kept.sum(1), durations=compact(durations),
        mels=pad_sequence(mels, batch_first=True), mel_lengths=torch.tensor([len(mel) for mel in mels], device=durations.device),
        pitch=compact(batch.pitch), energy=compact(batch.energy), speakers=batch.speakers,
    )  # fmt: skip
