"""FastSpeech 2: duration, pitch and energy predictors, speaker-conditioned layer norm; compact and convolutional, or as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.backbone import BackboneSpec, SynthesisBackbone
from benchmark.backbones._blocks import Predictor, Stack, Transformer
from benchmark.backbones._parts import inside, masked_mean, vectors
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import PredictionFailed
from benchmark.settings.ranges import BelowOne, Checked, Odd, PositiveInt
from benchmark.utterance import SPECIAL_SYMBOLS

MOST_FRAMES = 200
"""Most mel frames per symbol, averaged over a sentence; speech has about eight. A diverged model would ask for terabytes."""


class FastSpeech2(SynthesisBackbone):
    """Compact multi-speaker FastSpeech 2.

    Follows Ren et al., "FastSpeech 2" (ICLR 2021) for the variance adaptor and Chen et al., "AdaSpeech" (ICLR 2021), section 2.3, for
    conditional layer normalisation. By default convolutions replace self-attention: utterances are short, and the model trains on a laptop.
    ``blocks="transformer"`` takes the published blocks.

    Adaptable groups: "embedding" (the speaker vector), "variance" (the predictors), "decoder" (with the prosody and position inputs),
    "output" (the last layer), "all".
    """

    supports = ("durations", "speaker_vector")
    mel_mean: Tensor
    mel_std: Tensor

    @dataclass(frozen=True)
    class Config(Checked):
        """Sizes of the model.

        Attributes:
            hidden: width of encoder and decoder.
            encoder_blocks: blocks over tokens.
            decoder_blocks: blocks over frames.
            encoder_kernel: taps of the encoder's convolutions, odd.
            decoder_kernel: taps of the decoder's convolutions, odd.
            predictor_hidden: width of the duration, pitch and energy predictors.
            speaker_dim: length of a speaker vector.
            dropout: dropout rate in training mode, 0 to below 1.
            blocks: of encoder and decoder: convolutions, or the published feed-forward Transformer blocks.
            heads: attention heads of a Transformer block; ``hidden`` must be a multiple of them.
        """

        hidden: PositiveInt = 192
        encoder_blocks: PositiveInt = 3
        decoder_blocks: PositiveInt = 5
        encoder_kernel: Odd = 5
        decoder_kernel: Odd = 7
        predictor_hidden: PositiveInt = 96
        speaker_dim: PositiveInt = 96
        dropout: BelowOne = 0.1
        blocks: Literal["conv", "transformer"] = "conv"
        heads: PositiveInt = 2

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.blocks == "transformer" and self.hidden % self.heads:
                raise ValueError(f"hidden must be a multiple of heads, {self.heads}, not {self.hidden}")

    @classmethod
    def tiny(cls) -> FastSpeech2.Config:
        """See :meth:`Backbone.tiny`."""
        return cls.Config(
            hidden=8, encoder_blocks=1, decoder_blocks=1, encoder_kernel=3, decoder_kernel=3, predictor_hidden=4, speaker_dim=4
        )

    def __init__(self, spec: BackboneSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c: FastSpeech2.Config = self.config
        self.speaker_dim = c.speaker_dim
        self.speaker_table = nn.Embedding(spec.train_speakers, c.speaker_dim)
        self.new_speaker = nn.Parameter(torch.zeros(c.speaker_dim))
        self.embedding = nn.Embedding(spec.symbols, c.hidden, padding_idx=0)
        # Transformers add positions, of about unit size; symbols must not drown in them (Vaswani et al., 2017, sections 3.4 and 3.5).
        nn.init.normal_(self.embedding.weight, std=0.3 if c.blocks == "conv" else 1.0)
        self.encoder = self._stack(c.encoder_blocks, c.encoder_kernel)
        self.variance = nn.ModuleDict()
        for name in ("duration", "pitch", "energy"):
            self.variance[name] = nn.ModuleDict({
                "input": nn.Linear(c.hidden, c.predictor_hidden),
                "predictor": Predictor(c.predictor_hidden, c.speaker_dim, c.dropout),
            })  # fmt: skip
        self.prosody = nn.Linear(2, c.hidden)
        self.position = nn.Linear(3, c.hidden)
        self.decoder = self._stack(c.decoder_blocks, c.decoder_kernel)
        self.output = nn.Linear(c.hidden, spec.mel.n_mels)
        self.register_buffer("mel_mean", torch.tensor(spec.statistics.mel_mean))
        self.register_buffer("mel_std", torch.tensor(spec.statistics.mel_std))

    def _stack(self, blocks: int, kernel: int) -> Stack | Transformer:
        c: FastSpeech2.Config = self.config
        if c.blocks == "transformer":
            return Transformer(blocks, c.hidden, c.heads, kernel, c.speaker_dim, c.dropout)
        return Stack(blocks, c.hidden, kernel, c.speaker_dim, c.dropout)

    def speaker_vectors(self) -> Tensor:
        """See :meth:`SynthesisBackbone.speaker_vectors`."""
        return self.speaker_table.weight

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`; "decoder" includes the prosody and position inputs."""
        names = [name for name, _ in self.named_parameters() if not name.startswith("speaker_table.")]

        def group(*prefixes: str) -> tuple[str, ...]:
            return tuple(name for name in names if name.startswith(prefixes))

        return {
            "embedding": ("new_speaker",),
            "variance": group("variance."),
            "decoder": group("prosody.", "position.", "decoder."),
            "output": group("output."),
            "all": tuple(names),
        }

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """Mean absolute error of the normalised log-mel, plus squared errors of ln(1 + duration), pitch and energy."""
        vector = self._speaker(batch.speakers, speaker)
        token_mask = inside(batch.token_lengths, batch.tokens.shape[1])
        frame_mask = inside(batch.mel_lengths, batch.mels.shape[1])
        hidden = self.encoder(self.embedding(batch.tokens), vector, token_mask)
        predicted = {name: self._predict(name, hidden, vector, token_mask) for name in ("duration", "pitch", "energy")}
        mel = self._decode(hidden, batch.durations, batch.pitch, batch.energy, vector, frame_mask)
        target = (batch.mels - self.mel_mean) / self.mel_std
        tokens = token_mask.squeeze(-1)
        losses = {
            "mel": masked_mean((mel - target).abs().mean(-1, keepdim=True), frame_mask),
            "duration": masked_mean((predicted["duration"] - batch.durations.float().log1p()).square(), tokens),
            "pitch": masked_mean((predicted["pitch"] - batch.pitch).square(), tokens),
            "energy": masked_mean((predicted["energy"] - batch.energy).square(), tokens),
        }
        return {"loss": losses["mel"] + 0.3 * losses["duration"] + 0.1 * (losses["pitch"] + losses["energy"]), **losses}

    def synthesize(self, tokens: Tensor, durations: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """See :meth:`SynthesisBackbone.synthesize`; pitch and energy are always predicted."""
        tokens = tokens.unsqueeze(0)
        vector = self._speaker(tokens.new_full((1,), NEW_SPEAKER), speaker)
        mask = torch.ones(1, tokens.shape[1], 1, device=tokens.device)
        hidden = self.encoder(self.embedding(tokens), vector, mask)
        if durations is None:
            # Special symbols (silence, boundary) may have no frames; phones have at least one.
            least = (tokens >= len(SPECIAL_SYMBOLS)).long()
            frames = self._predict("duration", hidden, vector, mask).expm1()
            if not float(frames.sum()) <= MOST_FRAMES * tokens.shape[1]:
                raise PredictionFailed("the durations that the model predicts are out of all bounds")
            durations = torch.maximum(frames.round().long(), least)
        else:
            durations = durations.unsqueeze(0)
        pitch, energy = (self._predict(name, hidden, vector, mask) for name in ("pitch", "energy"))
        frame_mask = torch.ones(1, int(durations.sum()), 1, device=tokens.device)
        mel = self._decode(hidden, durations, pitch, energy, vector, frame_mask)
        return (mel * self.mel_std + self.mel_mean).squeeze(0)

    def _speaker(self, indices: Tensor, override: Tensor | None) -> Tensor:
        """Speaker vectors (B, speaker_dim)."""
        return vectors(self.speaker_table, self.new_speaker, indices, override)

    def _predict(self, name: str, hidden: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        parts = self.variance[name]
        return parts["predictor"](parts["input"](hidden), speaker, mask)  # type: ignore[index]

    def _decode(self, hidden: Tensor, durations: Tensor, pitch: Tensor, energy: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """Normalised log-mel (B, F, n_mels) from token states (B, T, hidden), with ``mask`` (B, F, 1)."""
        states = hidden + self.prosody(torch.stack([pitch, energy], dim=-1))
        frames = mask.shape[1]
        ends = durations.cumsum(1)
        clock = torch.arange(frames, device=hidden.device).expand(len(hidden), frames).contiguous()
        # The token of frame f is the first whose end lies beyond f; this skips zero-length tokens.
        token = torch.searchsorted(ends, clock, right=True).clamp_max(hidden.shape[1] - 1)
        length = durations.gather(1, token).clamp_min(1).float()
        elapsed = clock.float() - (ends.gather(1, token).float() - length) + 0.5
        position = torch.stack([elapsed / length, 1 / elapsed.clamp_min(0.5), 1 / (length - elapsed).clamp_min(0.5)], dim=-1)
        expanded = states.gather(1, token.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
        x = (expanded + self.position(position.to(hidden.dtype))) * mask
        return self.output(self.decoder(x, speaker, mask))


PLUGIN = FastSpeech2
