"""The conformance suite: what every plugin must do to fit. ``check`` runs it on yours, the tests on all."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmark.backbone import Backbone, call
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.dataset import SPLITS
from benchmark.errors import CannotScore
from benchmark.mel import MelSpec
from benchmark.metric import Sample
from benchmark.plugins import registry
from benchmark.plugins.conformance import algorithm as conformance_algorithm
from benchmark.plugins.conformance.algorithm import require
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch


@dataclass(frozen=True)
class Outcome:
    """One requirement, and what is wrong if it is not met."""

    requirement: str
    problem: str | None


def check(info: registry.PluginInfo, plugin: type[Any], config: Any = None) -> Iterator[Outcome]:
    """Try a plugin on small made-up data, requirement by requirement.

    Args:
        info: the plugin.
        plugin: its class, imported.
        config: of the plugin; the default one if None.
    """
    suites: dict[str, Callable[[type[Any], Any], Iterator[tuple[str, Callable[[], object]]]]] = {
        "algorithm": conformance_algorithm.requirements, "backbone": _backbone, "dataset": _dataset, "metric": _metric, "vocoder": _vocoder,
    }  # fmt: skip
    requirements: list[tuple[str, Callable[[], object]]] = [
        ("has a docstring", lambda: require(inspect.getdoc(plugin), "the class has none")),
        ("its Config survives a round trip", lambda: _round_trip(plugin, config)),
        *suites[info.kind](plugin, config),
    ]
    # Without a Config, or an algorithm that trains at all, none of the rest can be met.
    needed = {1, 2} if info.kind == "algorithm" else {1}
    for number, (requirement, attempt) in enumerate(requirements):
        try:
            attempt()
            yield Outcome(requirement, None)
        except Exception as error:  # a plugin may fail in any way; each becomes one line
            yield Outcome(requirement, str(error) or type(error).__name__)
            if number in needed:
                yield Outcome("all the rest", "not tried before this is mended")
                return


def _round_trip(plugin: type[Any], config: Any) -> None:
    value = config if config is not None else plugin.Config()
    require(type(value)(**asdict(value)) == value, "Config(**asdict(config)) differs from config")


def _backbone(plugin: type[Backbone], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def groups() -> None:
        model = tiny_backbone(plugin, config)
        found, names = model.adaptable_groups(), {name for name, _ in model.named_parameters()}
        for group in ("embedding", "variance", "decoder", "output", "all"):
            require(found.get(group), f"there is no group {group!r}")
        require(all(set(group) <= names for group in found.values()), "a group names a parameter that does not exist")
        parameters = dict(model.named_parameters())
        table = model.speaker_vectors()
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
        pad = {name: torch.nn.functional.pad(getattr(short, name), (0, 3)) for name in ("tokens", "durations", "pitch", "energy")}
        padded = Batch(**{**short.__dict__, **pad, "mels": torch.nn.functional.pad(short.mels, (0, 0, 0, 5))})
        with torch.no_grad():
            one, other = model.loss(short)["loss"], model.loss(padded)["loss"]
        require(torch.allclose(one, other, rtol=1e-4), f"padding changes the loss from {float(one):.6f} to {float(other):.6f}")

    def synthesis() -> None:
        model = tiny_backbone(plugin, config).eval()
        tokens, durations = torch.tensor([1, 3, 4, 2, 5, 1]), torch.tensor([2, 3, 4, 0, 5, 2])
        with torch.no_grad():
            require(model.synthesize(tokens, durations).shape == (16, MelSpec().n_mels), "given durations are not followed")
            require(len(model.synthesize(tokens)) >= 3, "a phone got no frame")

    def functional() -> None:
        model = tiny_backbone(plugin, config).eval()
        batch = tiny_batch(NEW_SPEAKER)
        zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        before = float(model.loss(batch)["loss"].detach())
        require(float(call(model, zeros, "loss", batch)["loss"].detach()) != before, "parameters put in by functional_call are not used")
        require(float(model.loss(batch)["loss"].detach()) == before, "functional_call changed the model")

    yield "named groups of adaptable parameters", groups
    yield "finite losses and gradients", loss
    yield "padding does not change the loss", padding
    yield "synthesis follows durations", synthesis
    yield "runs through functional_call", functional


def _vocoder(plugin: type[Any], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def decode() -> None:
        vocoder, mel = plugin(MelSpec(), config), torch.randn(40, MelSpec().n_mels) - 4
        wave = vocoder.decode(mel)
        require(wave.shape == (39 * 256,), f"40 frames gave {tuple(wave.shape)} samples, expected {(39 * 256,)}")
        require(bool(torch.isfinite(wave).all()), "the waveform is not finite")
        require(torch.equal(wave, vocoder.decode(mel)), "the same mel gives another waveform")

    yield "decodes mels to waveforms, repeatably", decode
    yield "pickles", lambda: pickle.loads(pickle.dumps(plugin(MelSpec(), config)))


def _metric(plugin: type[Any], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def declared() -> None:
        require(plugin.columns and set(plugin.higher_is_better) == set(plugin.columns), "higher_is_better must name each of columns")
        require(plugin.mode in ("aligned", "free") and plugin.version, "mode must be aligned or free, and version not empty")

    def silent() -> None:
        empty = np.zeros(0, np.float32)
        try:
            values = plugin(config).score(Sample(empty, empty, (("a",),), "s", ()))
        except CannotScore:
            return
        raise AssertionError(f"empty audio was scored {values} instead of raising CannotScore")

    yield "declares columns, direction, mode and version", declared
    yield "empty audio is refused, not scored", silent


def _dataset(plugin: type[Any], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    yield (
        "has a card",
        lambda: require(plugin.card.title and plugin.card.licence and plugin.card.layout, "title, licence or layout is empty"),
    )
    if plugin.needs_root:
        return

    def splits() -> None:
        dataset = plugin(None, config)
        speakers = [set(dataset.speakers(split)) for split in SPLITS]
        require(all(speakers), "a split has no speakers")
        require(sum(map(len, speakers)) == len(set.union(*speakers)), "a speaker is in two splits")
        utterances = dataset.utterances(min(speakers[0]))
        require(len({u.id for u in utterances}) == len(utterances) > 0, "utterance ids are missing or not unique")
        first, _ = dataset.load(utterances[0])
        again, _ = dataset.load(utterances[0])
        require(np.array_equal(first, again) and np.isfinite(first).all(), "audio is not finite, or differs between two loads")

    yield "disjoint splits, unique ids, repeatable audio", splits
