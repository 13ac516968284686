"""What Tacotron 2 and Deep Voice 3 have in common: they write the mel from left to right and look up in the text what to say next.

Attention is guided. Zhu et al., "Pre-Alignment Guided Attention for Improving Training Efficiency and Model Stability in End-to-End
Speech Synthesis" (IEEE Access 7, 2019), pull it in training towards a forced alignment, as Tachibana et al. (ICASSP 2018) pull it
towards the diagonal. Here the alignment is the batch's durations and the pull a Kullback-Leibler divergence. Without it, attention
takes tens of hours of speech to learn. Synthesis gets no durations: the model finds its way and says itself when it is done.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import BackboneSpec, SynthesisBackbone
from benchmark.backbones._parts import inside, masked_mean, vectors
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import PredictionFailed
from benchmark.settings.ranges import Checked, NonNegativeFloat, PositiveInt

MOST_FRAMES = 40
"""A sentence is babble if its symbols last longer on average. Speech has about eight frames a symbol."""
STOP_BOOST = 5.0
"""The weight of an utterance's last step in the loss of stopping, as it is one of dozens. So a model stops once it gives the end a
probability above 1 in 6."""
NOWHERE = -1e4
"""The score of a token that can't be attended to. It is finite, so that a target of 0 times its logarithm is 0."""


@dataclass(frozen=True)
class Memory:
    """What is read of the text.

    Attributes:
        keys: what attention compares with, (B, T, K).
        values: what it fetches, (B, T, V).
        mask: (B, 1, T), 1 inside the text.
        speaker: (B, speaker_dim).
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    speaker: Tensor

    def masked(self, scores: Tensor) -> Tensor:
        """Scores (B, S, T), or (B, T) of one step, with ``NOWHERE`` in the padding."""
        return scores.masked_fill((self.mask if scores.ndim == 3 else self.mask.squeeze(1)) == 0, NOWHERE)


@dataclass(frozen=True)
class Written:
    """What some steps of the decoder give; a step is ``frames_per_step`` frames.

    Attributes:
        mel: normalised, (B, S * frames_per_step, n_mels).
        stop: logits of the utterance's ending with the step, (B, S).
        scores: of attention, one tensor (B, S, T) for each place in the network that attends; their softmax is the attention.
        hidden: what the mel was computed from, (B, S, H).
        state: to go on from.
    """

    mel: Tensor
    stop: Tensor
    scores: list[Tensor]
    hidden: Tensor
    state: Any

    @property
    def attention(self) -> Tensor:
        """(B, S, T), rows sum to 1; the mean over the places that attend."""
        return torch.stack([score.softmax(-1) for score in self.scores]).mean(0)


class AttentiveBackbone(SynthesisBackbone):
    """Losses, free running and diagnosis of encoder-attention-decoder models; plugins define the networks.

    The loss is the error of the mel as the decoder writes it, given the real frames before each step, plus its error once finished
    (a post-net), plus the surprise at where the utterance ends, plus ``guidance`` times the divergence of attention from the alignment.

    Adaptable groups: "embedding" (the speaker vector), "encoder", "attention", "decoder", "postnet", "output" (the layers that give
    mel and stop), "all".
    """

    mel_mean: Tensor
    mel_std: Tensor
    parts: Mapping[str, tuple[str, ...]]
    """The groups' prefixes of parameter names, but for "embedding" and "all"."""

    @dataclass(frozen=True)
    class Config(Checked):
        """What all such models are configured by.

        Attributes:
            frames_per_step: that the decoder writes at once (the reduction factor).
            speaker_dim: length of a speaker vector.
            guidance: weight of the loss that pulls attention towards the alignment; 0: none.
        """

        frames_per_step: PositiveInt = 4
        speaker_dim: PositiveInt = 96
        guidance: NonNegativeFloat = 1.0

    def __init__(self, spec: BackboneSpec, config: Any = None) -> None:
        super().__init__(spec, config)
        self.speaker_dim = self.config.speaker_dim
        self.speaker_table = nn.Embedding(spec.train_speakers, self.speaker_dim)
        self.new_speaker = nn.Parameter(torch.zeros(self.speaker_dim))
        self.register_buffer("mel_mean", torch.tensor(spec.statistics.mel_mean))
        self.register_buffer("mel_std", torch.tensor(spec.statistics.mel_std))

    @abstractmethod
    def read(self, tokens: Tensor, lengths: Tensor, speaker: Tensor) -> Memory:
        """Encode texts: tokens (B, T), lengths (B,), speaker (B, speaker_dim)."""

    @abstractmethod
    def write(self, memory: Memory, before: Tensor, state: Any = None, free: bool = False) -> Written:
        """Some steps of the decoder, none of which sees what comes after it.

        Args:
            memory: from :meth:`read`.
            before: the frames of the step before each, (B, S, frames_per_step, n_mels), normalised; zeros before the first.
            state: of the step before these; None at the beginning.
            free: whether the model hears itself; it may then hold its attention on a short leash.
        """

    @abstractmethod
    def finish(self, memory: Memory, written: Written, mask: Tensor) -> Tensor:
        """The whole utterance's mel as it should be, of the shape of ``written.mel``; mask (B, F, 1). May see all of it."""

    @abstractmethod
    def error(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Of each value of a mel."""

    def speaker_vectors(self) -> Tensor:
        """See :meth:`SynthesisBackbone.speaker_vectors`."""
        return self.speaker_table.weight

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`."""
        names = tuple(name for name, _ in self.named_parameters() if not name.startswith("speaker_table."))
        groups = {group: tuple(name for name in names if name.startswith(prefixes)) for group, prefixes in self.parts.items()}
        return {"embedding": ("new_speaker",), **groups, "all": names}

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """See :meth:`Backbone.loss`: "mel" as finished, "written", "stop" and "attention" beside "loss"."""
        target, memory, written = self._taught(batch, speaker)
        per = self.config.frames_per_step
        frame_mask = inside(batch.mel_lengths, target.shape[1])
        lengths = (batch.mel_lengths + per - 1) // per
        step_mask = inside(lengths, written.stop.shape[1]).squeeze(-1)
        finished = self.finish(memory, written, frame_mask)
        last = F.one_hot(lengths - 1, step_mask.shape[1]).to(target.dtype)
        surprise = F.binary_cross_entropy_with_logits(
            written.stop, last, reduction="none", pos_weight=last.new_tensor(STOP_BOOST)
        )  # fmt: skip
        aligned = alignment(batch.durations, batch.mel_lengths, per, step_mask.shape[1]).to(target.dtype)
        astray = torch.stack([divergence(aligned, scores) for scores in written.scores]).mean(0)
        losses = {
            "mel": masked_mean(self.error(finished, target).mean(-1, keepdim=True), frame_mask),
            "written": masked_mean(self.error(written.mel, target).mean(-1, keepdim=True), frame_mask),
            "stop": masked_mean(surprise, step_mask),
            "attention": masked_mean(astray, step_mask),
        }
        total = losses["mel"] + losses["written"] + losses["stop"] + self.config.guidance * losses["attention"]
        return {"loss": total, **losses}

    def attention(self, batch: Batch, speaker: Tensor | None = None) -> Tensor:
        """Where each step looks when it is given the real frames before it, (B, S, T); rows sum to 1."""
        return self._taught(batch, speaker)[2].attention

    def synthesize(self, tokens: Tensor, durations: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """See :meth:`SynthesisBackbone.synthesize`."""
        return self.speak(tokens, speaker)[0]

    def speak(self, tokens: Tensor, speaker: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The log-mel of a sentence, (F, n_mels), and where each step looked, (S, T); arguments as of :meth:`synthesize`.

        Raises:
            PredictionFailed: the model does not stop, or what it says is not finite.
        """
        lengths = torch.tensor([len(tokens)], device=tokens.device)
        memory = self.read(tokens[None], lengths, self._speaker(lengths.new_full((1,), NEW_SPEAKER), speaker))
        per = self.config.frames_per_step
        frames, state = memory.values.new_zeros(1, 1, per, len(self.mel_mean)), None
        steps: list[Written] = []
        for _ in range(ceil(MOST_FRAMES * len(tokens) / per)):
            written = self.write(memory, frames, state, free=True)
            steps.append(written)
            frames, state = written.mel.unflatten(1, (1, per)), written.state
            stop = written.stop.item()
            if stop != stop:
                raise PredictionFailed("what the model says is not finite")
            if stop > 0:
                whole = joined(steps)
                mel = self.finish(memory, whole, torch.ones_like(whole.mel[..., :1]))
                return (mel * self.mel_std + self.mel_mean)[0], whole.attention[0]
        raise PredictionFailed(f"the model babbles: it does not stop within {MOST_FRAMES} frames a symbol")

    def _speaker(self, indices: Tensor, override: Tensor | None) -> Tensor:
        """(B, speaker_dim)."""
        return vectors(self.speaker_table, self.new_speaker, indices, override)

    def _taught(self, batch: Batch, speaker: Tensor | None) -> tuple[Tensor, Memory, Written]:
        """The normalised mel in whole steps, (B, S * frames_per_step, n_mels), the text, and what is written given the real frames."""
        per = self.config.frames_per_step
        mels = (batch.mels - self.mel_mean) / self.mel_std * inside(batch.mel_lengths, batch.mels.shape[1])
        mels = F.pad(mels, (0, 0, 0, -mels.shape[1] % per))
        steps = mels.unflatten(1, (-1, per))
        before = torch.cat([torch.zeros_like(steps[:, :1]), steps[:, :-1]], dim=1)
        memory = self.read(batch.tokens, batch.token_lengths, self._speaker(batch.speakers, speaker))
        return mels, memory, self.write(memory, before)


def joined(steps: list[Written]) -> Written:
    """Steps one after another as one."""
    scores = [torch.cat(each, dim=1) for each in zip(*(step.scores for step in steps), strict=True)]
    mel, stop, hidden = (torch.cat([getattr(step, name) for step in steps], dim=1) for name in ("mel", "stop", "hidden"))
    return Written(mel, stop, scores, hidden, steps[-1].state)


def alignment(durations: Tensor, lengths: Tensor, per: int, steps: int) -> Tensor:
    """Which share of a step's frames belongs to each token, (B, steps, T) float32; rows sum to 1, those after the end to 0.

    Args:
        durations: frames per token, (B, T).
        lengths: frames, (B,).
        per: frames of a step; the last one may have fewer.
        steps: of the longest utterance.
    """
    ends = durations.cumsum(1).unsqueeze(1)
    starts = ends - durations.unsqueeze(1)
    first = per * torch.arange(steps, device=durations.device).view(1, -1, 1)
    after = torch.minimum(first + per, lengths.view(-1, 1, 1))
    shared = (torch.minimum(ends, after) - torch.maximum(starts, first)).clamp_min(0).float()
    return shared / shared.sum(-1, keepdim=True).clamp_min(1.0)


def divergence(aligned: Tensor, scores: Tensor) -> Tensor:
    """Kullback-Leibler divergence of attention from the alignment in each step, (B, S), 0 and above.

    Args:
        aligned: (B, S, T), from :func:`alignment`.
        scores: of attention, (B, S, T).
    """
    return (torch.special.xlogy(aligned, aligned) - aligned * scores.log_softmax(-1)).sum(-1)
