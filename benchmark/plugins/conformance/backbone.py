"""Requirements for backbones: losses that padding does not change, second derivatives, and its problem's kind of answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.backbone import Backbone, SynthesisBackbone, call
from benchmark.batch import NEW_SPEAKER
from benchmark.errors import PredictionFailed
from benchmark.learning.inner_loop import second_order
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.plugins.conformance.requirement import Requirement, require, require_fields
from benchmark.plugins.conformance.tiny import longer, tiny_backbone, tiny_batch, tiny_spec
from benchmark.plugins.fit import CAPABILITIES
from benchmark.problems import PROBLEMS
from benchmark.running.flops import refuse_uncounted

SEEDS = 8
"""New models, one of which may speak."""


def requirements(plugin: type[Backbone], config: Any, plugins: registry.Plugins) -> Iterator[Requirement]:
    def groups() -> None:
        model = tiny_backbone(plugin, config)
        found, names = model.adaptable_groups(), {name for name, _ in model.named_parameters()}
        require(found.get("all"), "there is no group 'all'")
        require(all(set(group) <= names for group in found.values()), "a group names a parameter that does not exist")
        if "speaker_vector" in plugin.supports:
            parameters, table = dict(model.named_parameters()), _speaks(model).speaker_vectors()
            require(all(parameters[name] is not table for name in found["all"]), "a group holds the training speakers' vectors")

    def loss() -> None:
        model = tiny_backbone(plugin, config).eval()
        losses = model.loss(tiny_batch(NEW_SPEAKER))
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        require(all(bool(torch.isfinite(value)) for value in losses.values()), "a loss is not finite")
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        require(all(bool(torch.isfinite(g).all()) for g in grads), "a gradient is not finite")

    def padding() -> None:
        model = tiny_backbone(plugin, config).eval()
        short = tiny_batch(NEW_SPEAKER, 1, 1)
        padded = longer(short, 3, 5)
        with torch.no_grad():
            one, other = model.loss(short)["loss"], model.loss(padded)["loss"]
        require(torch.allclose(one, other, rtol=1e-4), f"padding changes the loss from {float(one):.6f} to {float(other):.6f}")

    def declared() -> None:
        require(plugin.problem in PROBLEMS, f"problem must be one of {', '.join(PROBLEMS)}, not {plugin.problem!r}")
        unknown = set(plugin.supports) - set(CAPABILITIES)
        require(not unknown, f"supports names {', '.join(sorted(unknown))}; known names are {', '.join(CAPABILITIES)}")
        require_fields(plugin, plugin.decoding_only, "decoding_only")

    def synthesis() -> None:
        tokens, durations = torch.tensor([1, 3, 4, 2, 5, 1]), torch.tensor([2, 3, 4, 0, 5, 2])
        alike = "a speaker vector changes nothing"

        def vectors(model: SynthesisBackbone) -> list[torch.Tensor]:
            return [torch.full((model.speaker_dim,), value) for value in (-1.0, 1.0)] if "speaker_vector" in plugin.supports else []

        with torch.no_grad():
            for seed in range(SEEDS):
                model = _speaks(tiny_backbone(plugin, config, seed).eval())
                try:
                    mel, *theirs = [model.synthesize(tokens), *(model.synthesize(tokens, speaker=v) for v in vectors(model))]
                    break
                except PredictionFailed:  # untrained, it may not know when to stop, and must then raise this
                    continue
            else:
                losses = [model.loss(tiny_batch(NEW_SPEAKER), speaker=v)["loss"] for v in vectors(model)]
                require(not losses or not torch.equal(*losses), alike)
                return
            require(mel.ndim == 2 and mel.shape[1] == MelSpec().n_mels and len(mel), f"the mel has shape {tuple(mel.shape)}")
            require(not theirs or theirs[0].shape != theirs[1].shape or not torch.equal(*theirs), alike)
            if "durations" in plugin.supports:
                require(model.synthesize(tokens, durations).shape == (16, MelSpec().n_mels), "given durations are not followed")
                require(len(mel) >= 3, "a phone got no frame")

    def recognition() -> None:
        model = tiny_backbone(plugin, config).eval()
        with torch.no_grad():
            text = model("transcribe", torch.randn(60, MelSpec().n_mels) - 5)
        require(isinstance(text, str), f"transcribe gave {type(text).__name__}, not text")
        require(set(text) <= set(tiny_spec().characters), "transcribe writes characters that the corpus does not have")

    def twice() -> None:
        model = tiny_backbone(plugin, config).eval()
        names = [name for name in model.adaptable_groups()["all"] if model.get_parameter(name).requires_grad]
        parameters = [model.get_parameter(name) for name in names]
        with second_order(model):
            loss = model.loss(tiny_batch(NEW_SPEAKER))["loss"]
            grads = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
            total = torch.stack([grad.square().sum() for grad in grads]).sum()
            again = torch.autograd.grad(total, parameters, materialize_grads=True)
        require(all(bool(torch.isfinite(grad).all()) for grad in again), "a second derivative is not finite")

    def counted() -> None:
        model = tiny_backbone(plugin, config)
        refuse_uncounted(model, lambda: model.loss(tiny_batch(NEW_SPEAKER)))

    def functional() -> None:
        model = tiny_backbone(plugin, config).eval()
        batch = tiny_batch(NEW_SPEAKER)
        zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        before = float(model.loss(batch)["loss"].detach())
        require(float(call(model, zeros, "loss", batch)["loss"].detach()) != before, "parameters passed by functional_call are not used")
        require(float(model.loss(batch)["loss"].detach()) == before, "functional_call changed the model")

    def frozen() -> None:
        model = tiny_backbone(plugin, config).eval()
        for name, module in model.named_modules():
            statistics = not isinstance(module, _BatchNorm) or module.track_running_stats
            require(statistics, f"{name} has no running statistics, so it would take those of whatever batch adapts or is scored")
        before = {name: value.clone() for name, value in model.named_buffers()}
        model.loss(tiny_batch(NEW_SPEAKER))
        changed = [name for name, value in model.named_buffers() if not torch.equal(value, before[name])]
        require(not changed, f"loss changes {', '.join(changed)} in evaluation mode")

    yield Requirement("declares its problem and what it supports", declared, vital=True)
    yield Requirement("names groups of adaptable parameters", groups)
    yield Requirement("finite losses and gradients", loss)
    yield Requirement("padding does not change the loss", padding)
    if PROBLEMS[plugin.problem].speaks:
        yield Requirement("speaks, or says why it can't", synthesis)
    else:
        yield Requirement("transcribes", recognition)
    yield Requirement("can be differentiated twice", twice)
    yield Requirement("every layer's operations are counted", counted)
    yield Requirement("runs through functional_call", functional)
    yield Requirement("statistics are frozen in evaluation mode", frozen)


def _speaks(model: Backbone) -> SynthesisBackbone:
    require(isinstance(model, SynthesisBackbone), "a backbone for synthesis must derive from SynthesisBackbone")
    assert isinstance(model, SynthesisBackbone)
    return model
