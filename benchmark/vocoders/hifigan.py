"""HiFi-GAN: transposed convolutions with multi-receptive-field fusion, speechbrain's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.plumbing.tf32 import tf32_kept
from benchmark.settings.ranges import Checked, NonNegativeFloat, PositiveInt
from benchmark.vocoders._training import Critics, SpectralVocoder

SIZES: dict[str, dict[str, Any]] = {
    "v1": {
        "resblock_type": "1", "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "upsample_factors": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4], "upsample_initial_channel": 512,
    },
    "v2": {
        "resblock_type": "1", "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "upsample_factors": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4], "upsample_initial_channel": 128,
    },
    "v3": {
        "resblock_type": "2", "resblock_kernel_sizes": [3, 5, 7], "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
        "upsample_factors": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8], "upsample_initial_channel": 256,
    },
}  # fmt: skip
"""The paper's generators (Kong et al., appendix A.1), all of hop 256."""
LEAST_FRAMES = 8


class PublishedCritics(nn.Module):
    """The paper's discriminators of five periods and three scales, 70.7 million parameters: for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        with tf32_kept():
            from speechbrain.lobes.models.HifiGAN import HifiganDiscriminator

        self.both = HifiganDiscriminator()

    def forward(self, audio: Tensor) -> list[list[Tensor]]:
        """See :meth:`benchmark.vocoders._training.Critics.forward`."""
        scores, features = self.both(audio[:, None])
        return [[*each[:-1], score] for score, each in zip(scores, features, strict=True)]


class HifiGan(SpectralVocoder):
    """Kong, Kim & Bae, "HiFi-GAN" (NeurIPS 2020), with speechbrain's generator.

    To fit two cores, training differs from the paper's: spectral losses alone at first, of the mel (equation 3) and of several resolutions
    (Yamamoto et al., "Parallel WaveGAN", ICASSP 2020, equations 3 to 6); narrow discriminators for the last part (equations 1, 2 and 4),
    with a feature loss relative to the features' size. The generator is that of appendix A.1, at 16 kHz and a hop of 256. It keeps its
    weight normalisation, so inner loops step along length and direction of each weight.
    """

    @dataclass(frozen=True)
    class Config(Checked):
        """Sizes and losses.

        Attributes:
            size: the paper's generator: v1, v2 or v3.
            channels: of the generator's first layer; 0 for the paper's, which is 512, 128 or 256.
            critics: discriminators, "narrow" ones of five periods and three resolutions, or the "published" ones.
            adversarial_part: last part of the training, which discriminators join; 0 to 1.
            adversarial_weight: weight of the adversarial and the feature loss beside the spectral ones.
            checkpoint: file of weights to load instead of training.
            critic_width: channels of the narrow discriminators' first layers.
        """

        size: Literal["v1", "v2", "v3"] = "v3"
        channels: Annotated[int, Ge(0)] = 0
        critics: Literal["narrow", "published"] = "narrow"
        adversarial_part: Annotated[float, Ge(0), Le(1)] = 0.25
        adversarial_weight: NonNegativeFloat = 0.2
        critic_width: PositiveInt = 8
        checkpoint: str = ""

    @classmethod
    def tiny(cls) -> HifiGan.Config:
        """See :meth:`Vocoder.tiny`."""
        return cls.Config(channels=8, critic_width=1, adversarial_part=1.0)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        with tf32_kept():
            from speechbrain.lobes.models.HifiGAN import HifiganGenerator

        sizes = SIZES[self.config.size] | ({"upsample_initial_channel": self.config.channels} if self.config.channels else {})
        self.generator = HifiganGenerator(self.mel.n_mels, 1, inference_padding=0, **sizes)
        if self.config.adversarial_part == 0:
            self.critics = nn.Identity()
        else:
            self.critics = Critics(self.config.critic_width) if self.config.critics == "narrow" else PublishedCritics()

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes get a pickle, and weight normalisation can't be pickled.
        return _rebuilt, (type(self), self.config, self.state_dict(), self.training)

    def waveform(self, mels: Tensor) -> Tensor:
        """See :meth:`SpectralVocoder.waveform`."""
        frames = mels.shape[1]
        # The layers' reflection padding needs some frames.
        padded = F.pad(mels.transpose(1, 2), (0, max(0, LEAST_FRAMES - frames)), "replicate")
        # The generator makes a hop for each frame; frames are centred, so it begins and ends half a hop outside.
        start = self.mel.hop_length // 2
        made: Tensor = self.generator(padded)[:, 0, start : start + (frames - 1) * self.mel.hop_length]
        return made


def _rebuilt(kind: type[HifiGan], config: Any, state: dict[str, Tensor], training: bool) -> HifiGan:
    vocoder = kind(config).train(training).to(next(iter(state.values())))
    vocoder.load_state_dict(state)
    return vocoder


PLUGIN = HifiGan
