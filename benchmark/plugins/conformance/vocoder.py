"""Requirements for vocoders: the same waveform for the same mel, of about its length, trained or not."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmark.plugins import registry
from benchmark.plugins.conformance.requirement import Requirement, require, require_fields
from benchmark.scoring.checks import ALIGNED_TOLERANCE
from benchmark.vocoder import Segments, Vocoder


def requirements(plugin: type[Vocoder], config: Any, plugins: registry.Plugins) -> Iterator[Requirement]:
    """Each requirement in turn."""

    def build() -> Vocoder:
        torch.manual_seed(0)
        return plugin(config if config is not None else plugin.tiny()).eval()

    def decode() -> None:
        vocoder = build()
        spec = vocoder.mel
        mel = torch.randn(40, spec.n_mels) - 4
        with torch.no_grad():
            wave = vocoder.decode(mel)
            require(wave.ndim == 1, f"40 frames gave a waveform of shape {tuple(wave.shape)}")
            # A recording of F frames has at least (F - 1) hops and less than F: metrics of aligned speech must accept either.
            shortest, longest = 40 * spec.hop_length - ALIGNED_TOLERANCE, 39 * spec.hop_length + ALIGNED_TOLERANCE
            require(shortest <= len(wave) <= longest, f"40 frames gave {len(wave)} samples, not {shortest} to {longest}")
            require(bool(torch.isfinite(wave).all()), "the waveform is not finite")
            require(torch.equal(wave, vocoder.decode(mel)), "the same mel gives another waveform")

    def training() -> None:
        if not plugin.trains:
            return
        vocoder = build().train()
        grouped = [id(parameter) for group in vocoder.parameter_groups() for parameter in group.parameters]
        require(sorted(grouped) == sorted(id(p) for p in vocoder.parameters()), "parameter_groups must hold each parameter once")
        logs = vocoder.training_step(_segments(vocoder))
        require("loss" in logs, "training_step must return a 'loss'")
        grads = [p.grad for p in vocoder.parameters() if p.grad is not None]
        require(grads and all(bool(torch.isfinite(g).all()) for g in grads), "training_step left no gradients, or some that are not finite")

    def adaptable() -> None:
        if plugin.loss is Vocoder.loss:
            return
        vocoder = build()
        parameters = vocoder.adaptable_parameters()
        strange = parameters.keys() - dict(vocoder.named_parameters()).keys()
        require(not strange, f"adaptable_parameters names {', '.join(sorted(strange)[:3])}, which it does not have")
        values = list(parameters.values())
        grads = torch.autograd.grad(vocoder.loss(_segments(vocoder))["loss"], values, create_graph=True, allow_unused=True)
        unused = [name for name, grad in zip(parameters, grads, strict=True) if grad is None]
        require(not unused, f"loss does not depend on {', '.join(unused[:3])}, which adaptable_parameters names")
        length = torch.stack([grad.square().sum() for grad in grads if grad is not None]).sum()
        require(length.requires_grad, "loss can't be differentiated twice: something in it is detached")
        again = torch.autograd.grad(length, values, materialize_grads=True)
        require(all(bool(torch.isfinite(grad).all()) for grad in again), "a second derivative of loss is not finite")

    def weights() -> None:
        vocoder, other = build(), plugin(config if config is not None else plugin.tiny()).eval()
        mel = torch.randn(40, vocoder.mel.n_mels) - 4
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            vocoder.save_weights(Path(folder) / "weights.pt")
            other.load_weights(Path(folder) / "weights.pt")
            require(torch.equal(vocoder.decode(mel), other.decode(mel)), "what decode depends on is not all in the state_dict")

    def pickled() -> None:
        vocoder = build()
        again, mel = pickle.loads(pickle.dumps(vocoder)), torch.randn(40, vocoder.mel.n_mels) - 4
        require(type(again) is type(vocoder), f"the pickled copy is a {type(again).__name__}")
        with torch.no_grad():
            require(torch.equal(vocoder.decode(mel), again.decode(mel)), "the pickled copy speaks differently")

    yield Requirement("declares its options", lambda: require_fields(plugin, plugin.decoding_only, "decoding_only"))
    yield Requirement("decodes mels to waveforms, repeatably", decode)
    yield Requirement("a training step leaves finite gradients", training)
    yield Requirement("its loss trains its adaptable parameters, and can be differentiated twice", adaptable)
    yield Requirement("a file of its weights makes another one speak alike", weights)
    yield Requirement("pickle round trip", pickled)


def _segments(vocoder: Vocoder) -> Segments:
    """Two pieces of noise."""
    spec, frames = vocoder.mel, 32
    return Segments(torch.randn(2, frames, spec.n_mels) - 4, 0.1 * torch.randn(2, (frames - 1) * spec.hop_length))
