"""Augmentation of what a TTS model learns from.

Elsewhere augmentation changes the input and leaves the label. Here the speech *is* the label, and any change to it will be
heard in the voice. So each kind keeps the speaker's timbre, or tells the model of the change through its inputs:

* "speed" stretches time: durations and mel together, by up to 10 %.
* "pitch" moves harmonics and formants by up to a semitone, as playing the voice faster would, and with them the pitch that
  the model is given: vocal tract length perturbation (Jaitly & Hinton, ICML workshop 2013).
* "gain" makes speech louder or softer: energy and mel together, by up to 3 dB.
* "noise" disturbs the pitch and energy that the decoder is given, because at synthesis it gets imperfect predictions; the
  error added to the predictors' targets has mean zero.
* "mask" is SpecAugment's time mask (Park et al., Interspeech 2019), adapted: it covers whole tokens with their frames and
  leaves them out of input and loss alike.

Noise added to the audio and frequency masks, usual for recognisers, are left out: the model would learn to reproduce them.
``torchaudio``'s speed, pitch and gain work on waveforms, so durations and pitch would have to be extracted again at each
step; its mask is the one used here.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Literal, get_args

import librosa
import numpy as np
import torch
import torchaudio
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmark.backbone import BackboneSpec
from benchmark.batch import Batch
from benchmark.mel import LOG_FLOOR, MelSpec

Augmentation = Literal["speed", "pitch", "gain", "noise", "mask"]
AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)
SPEED = 0.1
"""Largest relative change of duration."""
PITCH = math.log(2) / 12
"""Largest change of ln F0: a semitone."""
GAIN = 0.345
"""Largest change of level in nepers: 3 dB."""
NOISE = 0.2
"""Standard deviation of the noise on pitch and energy, in units of their standard deviations over the corpus."""
MASKED = 0.25
"""Largest share of an utterance's tokens to leave out."""


def augment(batch: Batch, kinds: Collection[str], spec: BackboneSpec) -> Batch:
    """A newly drawn variant of each utterance, from torch's global (CPU) generator.

    Args:
        batch: B utterances.
        kinds: of ``AUGMENTATIONS``; none leaves the batch unchanged.
        spec: defines mel, pitch and energy.
    """
    device, (size, tokens) = batch.tokens.device, batch.tokens.shape
    inside = (torch.arange(batch.mels.shape[1], device=device) < batch.mel_lengths.unsqueeze(1)).unsqueeze(-1)
    spoken = batch.durations > 0
    if "noise" in kinds:
        pitch, energy = (torch.randn(2, size, tokens) * NOISE).to(device) * spoken
        batch = replace(batch, pitch=batch.pitch + pitch, energy=batch.energy + energy)
    if "pitch" in kinds:
        shift = torch.empty(size, 1).uniform_(-PITCH, PITCH)
        # Tokens without a voiced frame have no pitch: 0.
        higher = batch.pitch + (shift.to(device) / spec.statistics.pitch_std) * (batch.pitch != 0)
        batch = replace(batch, pitch=higher, mels=warped(batch.mels, shift.squeeze(1), spec.mel) * inside)
    if "gain" in kinds:
        gain = torch.empty(size, 1).uniform_(-GAIN, GAIN).to(device)
        louder = (batch.mels + gain.unsqueeze(-1)).clamp_min(torch.tensor(LOG_FLOOR).log().item())
        batch = replace(batch, mels=louder * inside, energy=batch.energy + gain / spec.statistics.energy_std * spoken)
    durations = batch.durations
    kept = torch.arange(tokens, device=device) < batch.token_lengths.unsqueeze(1)
    if "speed" in kinds:
        factor = torch.empty(size, 1).uniform_(1 - SPEED, 1 + SPEED)
        # Rounded up or down at random, because most phones last only a few frames.
        durations = (durations * factor.to(device) + torch.rand(size, tokens).to(device)).long().clamp_min(1) * spoken
    if "mask" in kinds:
        mask = torchaudio.functional.mask_along_axis_iid(torch.ones(size, 1, 1, tokens), tokens, 0.0, axis=3, p=MASKED)
        heard = kept & mask.view(size, tokens).bool().to(device)
        # A mask may cover all of an utterance much shorter than the others; then it is not applied.
        kept = torch.where((durations * heard).sum(1, keepdim=True) > 0, heard, kept)
    return batch if not {"speed", "mask"} & set(kinds) else retimed(batch, durations, kept)


def warped(mels: Tensor, shift: Tensor, spec: MelSpec) -> Tensor:
    """Spectra with all frequencies multiplied by exp(shift), interpolated between bands and constant beyond the outermost.

    Args:
        mels: (B, F, n_mels).
        shift: (B,), in nepers of frequency.
        spec: definition of the mels.
    """
    centres = librosa.mel_frequencies(n_mels=spec.n_mels + 2, fmin=spec.f_min, fmax=spec.f_max)[1:-1]
    bands = np.arange(spec.n_mels)
    places = torch.tensor(np.stack([np.interp(centres * math.exp(-each), centres, bands) for each in shift.tolist()]))
    places = places.to(mels.device, mels.dtype).unsqueeze(1)
    low, high = (side.long().expand_as(mels) for side in (places.floor(), places.ceil()))
    return torch.lerp(mels.gather(2, low), mels.gather(2, high), (places - places.floor()).expand_as(mels))


def retimed(batch: Batch, durations: Tensor, kept: Tensor) -> Batch:
    """The batch with new durations, each token's frames interpolated to its new number, and without some tokens.

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

    return replace(
        batch,
        tokens=compact(batch.tokens), token_lengths=kept.sum(1), durations=compact(durations),
        mels=pad_sequence(mels, batch_first=True), mel_lengths=torch.tensor([len(mel) for mel in mels], device=durations.device),
        pitch=compact(batch.pitch), energy=compact(batch.energy),
    )  # fmt: skip
