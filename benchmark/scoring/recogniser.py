"""The built-in phoneme recogniser: trained once per corpus on its training speakers, used to score intelligibility.

A small convolutional network with one bidirectional GRU over log-mel frames, trained jointly on the aligner's frame labels
(cross entropy) and with connectionist temporal classification (Graves et al., ICML 2006), and decoded greedily.
It has no language model: it should write down what was said, not what is likely to be said.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from benchmark.mel import MelSpec
from benchmark.plumbing.checkpoint import load, require_fit, save
from benchmark.plumbing.room import within_memory

BLANK = 0
"""CTC's blank; phone p of the phone table is class p + 1."""
STRIDE = 3
"""Mel frames per output frame: 30 ms, as in lattice-free MMI (Povey et al., 2016)."""
MEL = MelSpec(n_fft=512, win_length=400, hop_length=160, n_mels=64)
"""Windows of 25 ms every 10 ms: a vocoder's longer windows smear the bursts that tell stops apart."""
MEL_SCALE = 2.0
"""About the standard deviation of a log-mel bin; dividing by it keeps inputs near 1."""
CHECKPOINT_SECONDS = 15.0
ROUND_FRAMES = 32


@dataclass(frozen=True)
class Example:
    """One utterance to learn from.

    Attributes:
        mel: shape (F, n_mels), natural-log magnitude.
        phones: the spoken phones, as indices into the phone table.
        labels: shape (F,), each frame's phone as 1 + index, 0 where silent; None if no alignment is known.
    """

    mel: npt.NDArray[np.float32]
    phones: tuple[int, ...]
    labels: npt.NDArray[np.int64] | None = None


class Recogniser(nn.Module):
    """Log-mel frames to phone probabilities, one output frame for every ``STRIDE`` frames.

    Args:
        n_mels: mel bins.
        phones: size of the phone table.
        channels: width of the convolutions.
        blocks: residual convolutions.
        hidden: width of each direction of the GRU.
        dropout: dropout rate after every layer.
    """

    def __init__(self, n_mels: int, phones: int, channels: int = 192, blocks: int = 4, hidden: int = 160, dropout: float = 0.1) -> None:
        super().__init__()

        def layer(inputs: int, width: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
            convolution = nn.Conv1d(inputs, channels, width, stride, dilation * (width // 2), dilation)
            return nn.Sequential(convolution, nn.BatchNorm1d(channels), nn.ReLU(), nn.Dropout(dropout))

        self.stem = layer(n_mels, 5)
        self.down = layer(channels, 3, stride=STRIDE)
        self.blocks = nn.ModuleList(layer(channels, 3, dilation=2 ** (i % 3)) for i in range(blocks))
        self.rnn = nn.GRU(channels, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.ctc = nn.Linear(2 * hidden, phones + 1)
        self.frame = nn.Linear(2 * hidden, phones + 1)

    def forward(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of a padded batch.

        Args:
            mels: (B, F, n_mels), normalised by :func:`normalise`, 0 where padded.
            lengths: (B,) frames.

        Returns:
            CTC log-probabilities (B, F', phones + 1), frame log-probabilities of the same shape, lengths F' (B,).
        """

        # Padding is set to 0 again after every layer, so that utterances give the same in a batch as alone.
        def mask(frames: int) -> Tensor:
            return (torch.arange(frames, device=mels.device) < lengths[:, None]).unsqueeze(1).to(mels.dtype)

        x = self.stem(mels.transpose(1, 2)) * mask(mels.shape[1])
        lengths = (lengths + STRIDE - 1) // STRIDE
        x = self.down(x)
        keep = mask(x.shape[2])
        x = x * keep
        for block in self.blocks:
            x = (x + block(x)) * keep
        x = x.transpose(1, 2)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        y = self.dropout(y)
        return self.ctc(y).log_softmax(-1), self.frame(y).log_softmax(-1), lengths


def normalise(mel: Tensor) -> Tensor:
    """Remove each bin's mean over the utterance: loudness, microphone and the voice's average colour."""
    return (mel - mel.mean(dim=0)) / MEL_SCALE


@dataclass(frozen=True)
class TrainingPlan:
    """How a recogniser is trained.

    Attributes:
        epochs: passes over the examples.
        max_steps: most batches in all, however large the corpus.
        batch: utterances per batch.
        learning_rate: AdamW's peak rate, reached after a tenth of the steps; it then falls along a cosine to 0.
        frame_weight: weight of the frame labels' cross entropy, relative to the CTC loss.
        seed: seed of weights, order, dropout and augmentation.
    """

    epochs: int = 40
    max_steps: int = 6000
    batch: int = 16
    learning_rate: float = 3e-3
    frame_weight: float = 1.0
    seed: int = 0

    def steps(self, examples: int) -> int:
        """Batches in all."""
        return min(self.max_steps, self.epochs * math.ceil(examples / self.batch))


def augment(mel: Tensor, labels: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """The utterance as if by somebody else: another tempo and vocal tract, a noise floor, smeared detail, and holes.

    Tempo ±15 %; the frequency axis stretched by ±8 % (Jaitly & Hinton, 2013); one utterance in five gets a noise floor at up to
    the 40th percentile of each bin; one in five is blurred over time and frequency, like the output of a vocoder or an
    over-smooth model; two time and two frequency bands are set to 0 (SpecAugment: Park et al., 2019).

    Args:
        mel: (F, n_mels), normalised.
        labels: (F,) or None.
        generator: source of randomness.

    Returns:
        mel (F', n_mels) and labels (F',).
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    frames, bins = mel.shape
    length = max(8, round(frames * uniform(0.85, 1.15)))
    times = torch.linspace(0, frames - 1, length)
    below = times.long().clamp_max(frames - 2)
    mel = torch.lerp(mel[below], mel[below + 1], (times - below)[:, None])
    if labels is not None:
        labels = labels[times.round().long()]
    places = (torch.arange(bins) * uniform(0.92, 1.08)).clamp_max(bins - 1.001)
    below = places.long()
    mel = torch.lerp(mel[:, below], mel[:, below + 1], places - below)
    if uniform(0, 1) < 0.2:
        floor = torch.quantile(mel, uniform(0.0, 0.4), dim=0)
        mel = torch.logaddexp(mel * MEL_SCALE, floor * MEL_SCALE) / MEL_SCALE
    if uniform(0, 1) < 0.2:
        mel = F.avg_pool2d(mel[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
    mel = mel - mel.mean(dim=0)
    for _ in range(2):
        width = int(uniform(0, 12))
        start = int(uniform(0, bins - width))
        mel[:, start : start + width] = 0.0
        width = int(uniform(0, min(24, length // 8)))
        start = int(uniform(0, length - width))
        mel[start : start + width] = 0.0
    return mel, labels


def _batches(lengths: npt.NDArray[np.int64], size: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Indices of utterances of about equal length, in random order."""
    order = np.argsort(lengths * rng.uniform(0.85, 1.15, len(lengths)), kind="stable")
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _loss(model: Recogniser, batch: Sequence[Example], frame_weight: float, generator: torch.Generator) -> Tensor:
    """CTC loss per phone plus the weighted cross entropy of the frame labels."""
    mels, labels = [], []
    for example in batch:
        known = None if example.labels is None else torch.tensor(example.labels)
        mel, known = augment(normalise(torch.tensor(example.mel)), known, generator)
        mels.append(mel)
        labels.append(torch.full((len(mel),), -1) if known is None else known)
    targets = [torch.tensor(example.phones) + 1 for example in batch]
    padded = pad_sequence(mels, batch_first=True)
    # Rounded, because the convolution library plans each new shape and keeps the plan: few lengths need few plans.
    padded = F.pad(padded, (0, 0, 0, -padded.shape[1] % ROUND_FRAMES))
    scores, frames, lengths = model(padded, torch.tensor([len(mel) for mel in mels]))
    loss = F.ctc_loss(
        scores.transpose(0, 1), torch.cat(targets), lengths, torch.tensor([len(t) for t in targets]),
        blank=BLANK, zero_infinity=True,
    )  # fmt: skip
    wanted = pad_sequence(labels, batch_first=True, padding_value=-1)[:, ::STRIDE]
    frames = frames[:, : wanted.shape[1]]
    if frame_weight and (wanted >= 0).any():
        loss = loss + frame_weight * F.nll_loss(frames.transpose(1, 2), wanted, ignore_index=-1)
    return loss


def train(
    model_args: dict[str, int],
    examples: Sequence[Example],
    training: TrainingPlan,
    checkpoint: Path,
    progress: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Recogniser:
    """Train a recogniser, or continue an interrupted training.

    All randomness of an epoch follows from the seed and the epoch's number, so a resumed training ends with the same
    weights as an uninterrupted one (on the same machine, with the same number of threads).

    Args:
        model_args: arguments of :class:`Recogniser`.
        examples: to learn from.
        training: how to train.
        checkpoint: file that holds the state between epochs; the caller deletes it once the result is safe.
        progress: called after each step with steps done, steps in all and the loss.

    Returns:
        the model in evaluation mode.
    """
    steps = training.steps(len(examples))
    lengths = np.array([len(example.mel) for example in examples])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        with within_memory("the phoneme recogniser"):
            model = Recogniser(**model_args)
        optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=1e-2)
        step, epoch = _resume(checkpoint, model, optimizer)
        saved = time.monotonic()
        while step < steps:
            model.train()
            torch.manual_seed(training.seed * 100_003 + epoch)
            generator = torch.Generator().manual_seed(training.seed * 100_003 + epoch)
            for indices in _batches(lengths, training.batch, np.random.default_rng((training.seed, epoch))):
                if step == steps:
                    break
                for group in optimizer.param_groups:
                    group["lr"] = training.learning_rate * _schedule(step, steps)
                loss = _loss(model, [examples[i] for i in indices], training.frame_weight, generator)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                step += 1
                progress(step, steps, loss.item())
            epoch += 1
            if time.monotonic() - saved > CHECKPOINT_SECONDS and step < steps:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "epoch": epoch}
                save(checkpoint, state)
                saved = time.monotonic()
    return model.eval()


def _schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise over a tenth of the steps, then a cosine fall to 0."""
    warmup = max(1, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _resume(checkpoint: Path, model: Recogniser, optimizer: torch.optim.Optimizer) -> tuple[int, int]:
    """Load the state between epochs, if a whole one exists; returns steps and epochs done."""

    def resume(state: dict[str, Any]) -> tuple[int, int]:
        require_fit(state["model"], model)
        optimizer.load_state_dict(state["optimizer"])
        model.load_state_dict(state["model"])
        return int(state["step"]), int(state["epoch"])

    return load(checkpoint, resume) or (0, 0)


@torch.no_grad()
def transcribe(model: Recogniser, mel: Tensor) -> list[int]:
    """The phones heard, as indices into the phone table: each frame's best class, with repeats and blanks removed.

    Args:
        model: in evaluation mode.
        mel: (F, n_mels), natural-log magnitude.
    """
    scores, _, _ = model(normalise(mel)[None], torch.tensor([len(mel)]))
    best = torch.unique_consecutive(scores[0].argmax(-1))
    return [int(c) - 1 for c in best if c != BLANK]
