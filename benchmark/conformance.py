"""The conformance suite: what every plugin must do to fit. ``check`` runs it on yours, the tests on all."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from benchmark import registry
from benchmark.algorithm import Algorithm, Sentence, Task
from benchmark.backbone import Backbone, BackboneSpec, call
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.corpus import PreparedUtterance, Statistics
from benchmark.dataset import SPLITS
from benchmark.errors import CannotScore
from benchmark.mel import MelSpec
from benchmark.metric import Sample


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
        "algorithm": _algorithm, "backbone": _backbone, "dataset": _dataset, "metric": _metric, "vocoder": _vocoder,
    }  # fmt: skip
    requirements: list[tuple[str, Callable[[], object]]] = [
        ("has a docstring", lambda: _require(inspect.getdoc(plugin), "the class has none")),
        ("its Config survives a round trip", lambda: _round_trip(plugin, config)),
        *suites[info.kind](plugin, config),
    ]
    for requirement, attempt in requirements:
        try:
            attempt()
            yield Outcome(requirement, None)
        except Exception as error:  # a plugin may fail in any way; each becomes one line
            yield Outcome(requirement, str(error) or type(error).__name__)


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise AssertionError(problem)


def _round_trip(plugin: type[Any], config: Any) -> None:
    value = config if config is not None else plugin.Config()
    _require(type(value)(**asdict(value)) == value, "Config(**asdict(config)) differs from config")


def tiny_batch(speaker: int, utterances: int = 2, seed: int = 0) -> Batch:
    """Made-up utterances of unequal length."""
    generator = torch.Generator().manual_seed(seed)
    tokens, frames = 6, 24

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    durations = torch.full((utterances, tokens), frames // tokens)
    return Batch(
        torch.randint(1, 10, (utterances, tokens), generator=generator), torch.full((utterances,), tokens), durations,
        normal(utterances, frames, MelSpec().n_mels) - 5, torch.full((utterances,), frames), normal(utterances, tokens),
        normal(utterances, tokens), torch.full((utterances,), speaker),
    )  # fmt: skip


def tiny_backbone(plugin: type[Backbone] | None = None, config: Any = None, seed: int = 0) -> Backbone:
    """A small backbone for made-up speech of four training speakers; the default plugin, shrunk, if none is given."""
    if plugin is None:
        plugin = registry.load("backbone", "fastspeech2")
        config = plugin.Config(  # type: ignore[call-arg]
            hidden=8, encoder_blocks=1, decoder_blocks=1, encoder_kernel=3, decoder_kernel=3, predictor_hidden=4, speaker_dim=4
        )
    torch.manual_seed(seed)
    mels = MelSpec().n_mels
    return plugin(BackboneSpec(10, 4, MelSpec(), Statistics((-5.0,) * mels, (1.0,) * mels, 5.0, 0.3, -3.0, 1.0)), config)


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def _tasks() -> list[Task]:
    return [Task(tiny_batch(speaker, 2, speaker), tiny_batch(speaker, 2, speaker + 10)) for speaker in (0, 1)]


def _trained(plugin: type[Algorithm], config: Any, steps: int = 2) -> Algorithm:
    algorithm = plugin(tiny_backbone(), config)
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=1e-3)
    for step in range(steps if plugin.trains else 0):
        torch.manual_seed(step)
        optimizer.zero_grad()
        logs = algorithm.meta_step(_tasks())
        _require(np.isfinite(logs["loss"]), f"meta_step's loss is {logs['loss']}")
        grads = [p.grad for p in algorithm.parameters() if p.grad is not None]
        _require(grads and all(bool(torch.isfinite(g).all()) for g in grads), "meta_step left no gradients, or some that are not finite")
        _require(any(bool(g.any()) for g in grads), "all gradients are zero")
        optimizer.step()
    return algorithm


def _voices(algorithm: Algorithm, steps: tuple[int, ...] = (0, 2)) -> dict[int, tuple[torch.Tensor, int]]:
    """The waveform and the count of stored numbers at each step."""
    most = algorithm.max_steps
    asked = sorted({step if most is None else min(step, most) for step in steps})
    recording = PreparedUtterance(
        "u", "s", "text", (("a",) * 4,), np.array([1, 3, 4, 5, 6, 1]), np.full(6, 4), np.full((24, MelSpec().n_mels), -5, np.float32),
        np.zeros(24, np.float32), np.zeros(24, np.float32), np.zeros(23 * 256, np.int16),
    )  # fmt: skip
    sentence = Sentence(torch.tensor(recording.tokens), torch.tensor(recording.durations), recording if algorithm.oracle else None)
    vocoder = registry.load("vocoder", "griffin_lim")(MelSpec())
    torch.manual_seed(0)
    result = {}
    for step, voice in algorithm.adapt(tiny_batch(NEW_SPEAKER), asked):
        result[step] = (voice.speak(sentence, vocoder), sum(value.numel() for value in voice.stored.values()))
    _require(sorted(result) == asked, f"adapt was asked for steps {asked} and yielded {sorted(result)}")
    return result


def _algorithm(plugin: type[Algorithm], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def equal(one: Algorithm, other: Algorithm, problem: str) -> None:
        a, b = _voices(one), _voices(other)
        _require(all(torch.equal(a[step][0], b[step][0]) for step in a), problem)

    def pure() -> None:
        algorithm = _trained(plugin, config)
        before, modes = _state(algorithm), [m.training for m in algorithm.modules()]
        _voices(algorithm)
        _require(_same(before, _state(algorithm)), "adapt changed the algorithm's own parameters or buffers")
        _require(modes == [m.training for m in algorithm.modules()], "adapt left a module in another train/eval mode")
        equal(algorithm, algorithm, "a second adapt with the same seed gives other speech")

    def modes() -> None:
        algorithm = _trained(plugin, config)
        equal(copy.deepcopy(algorithm).train(), copy.deepcopy(algorithm).eval(), "speech depends on the train/eval mode it was left in")

    def checkpointed() -> None:
        algorithm, fresh = _trained(plugin, config), plugin(tiny_backbone(seed=1), config)
        fresh.load_state_dict(algorithm.state_dict())
        equal(algorithm, fresh, "state_dict does not hold all that speech depends on")

    def counted() -> None:
        algorithm = _trained(plugin, config)
        said, found = sum(algorithm.adapted_parameters().values()), max(count for _, count in _voices(algorithm).values())
        _require(said == found, f"adapted_parameters counts {said} numbers per speaker, the voice stores {found}")

    def tunable() -> None:
        names = {each.name for each in fields(plugin.Config)}
        unknown = {*plugin.search_space, *plugin.adaptation_only} - names
        _require(not unknown, f"search_space or adaptation_only names {', '.join(sorted(unknown))}, which Config does not have")
        default = config if config is not None else plugin.Config()
        for name, values in plugin.search_space.items():
            _require(config is not None or getattr(default, name) in values, f"search_space leaves out the default {name}")
            for value in values:
                replace(default, **{name: value})

    def inference() -> None:
        algorithm = _trained(plugin, config)
        with torch.no_grad():
            _voices(algorithm)

    yield "two training steps with finite gradients", lambda: _trained(plugin, config)
    yield "same seed, same numbers", lambda: equal(_trained(plugin, config), _trained(plugin, config), "two trainings with one seed differ")
    yield "adapt is pure and repeatable", pure
    yield "adapt pins train/eval mode", modes
    yield "adapt works under no_grad", inference
    yield "checkpoint round trip", checkpointed
    yield (
        "pickle round trip",
        lambda: equal(a := _trained(plugin, config), pickle.loads(pickle.dumps(a)), "the pickled copy speaks differently"),
    )
    yield "stored parameters are counted right", counted
    yield "search_space fits Config", tunable


def _backbone(plugin: type[Backbone], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def groups() -> None:
        model = tiny_backbone(plugin, config)
        found, names = model.adaptable_groups(), {name for name, _ in model.named_parameters()}
        for group in ("embedding", "variance", "decoder", "output", "all"):
            _require(found.get(group), f"there is no group {group!r}")
        _require(all(set(group) <= names for group in found.values()), "a group names a parameter that does not exist")
        parameters = dict(model.named_parameters())
        table = model.speaker_vectors()
        _require(all(parameters[name] is not table for name in found["all"]), "a group holds the training speakers' vectors")

    def loss() -> None:
        model = tiny_backbone(plugin, config).eval()
        losses = model.loss(tiny_batch(NEW_SPEAKER))
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        _require(all(bool(torch.isfinite(value)) for value in losses.values()), "a loss is not finite")
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        _require(all(bool(torch.isfinite(g).all()) for g in grads), "a gradient is not finite")

    def padding() -> None:
        model = tiny_backbone(plugin, config).eval()
        short = tiny_batch(NEW_SPEAKER, 1, 1)
        pad = {name: torch.nn.functional.pad(getattr(short, name), (0, 3)) for name in ("tokens", "durations", "pitch", "energy")}
        padded = Batch(**{**short.__dict__, **pad, "mels": torch.nn.functional.pad(short.mels, (0, 0, 0, 5))})
        with torch.no_grad():
            one, other = model.loss(short)["loss"], model.loss(padded)["loss"]
        _require(torch.allclose(one, other, rtol=1e-4), f"padding changes the loss from {float(one):.6f} to {float(other):.6f}")

    def synthesis() -> None:
        model = tiny_backbone(plugin, config).eval()
        tokens, durations = torch.tensor([1, 3, 4, 2, 5, 1]), torch.tensor([2, 3, 4, 0, 5, 2])
        with torch.no_grad():
            _require(model.synthesize(tokens, durations).shape == (16, MelSpec().n_mels), "given durations are not followed")
            _require(len(model.synthesize(tokens)) >= 3, "a phone got no frame")

    def functional() -> None:
        model = tiny_backbone(plugin, config).eval()
        batch = tiny_batch(NEW_SPEAKER)
        zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        before = float(model.loss(batch)["loss"])
        _require(float(call(model, zeros, "loss", batch)["loss"]) != before, "parameters put in by functional_call are not used")
        _require(float(model.loss(batch)["loss"]) == before, "functional_call changed the model")

    yield "named groups of adaptable parameters", groups
    yield "finite losses and gradients", loss
    yield "padding does not change the loss", padding
    yield "synthesis follows durations", synthesis
    yield "runs through functional_call", functional


def _vocoder(plugin: type[Any], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def decode() -> None:
        vocoder, mel = plugin(MelSpec(), config), torch.randn(40, MelSpec().n_mels) - 4
        wave = vocoder.decode(mel)
        _require(wave.shape == (39 * 256,), f"40 frames gave {tuple(wave.shape)} samples, expected {(39 * 256,)}")
        _require(bool(torch.isfinite(wave).all()), "the waveform is not finite")
        _require(torch.equal(wave, vocoder.decode(mel)), "the same mel gives another waveform")

    yield "decodes mels to waveforms, repeatably", decode
    yield "pickles", lambda: pickle.loads(pickle.dumps(plugin(MelSpec(), config)))


def _metric(plugin: type[Any], config: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    def declared() -> None:
        _require(plugin.columns and set(plugin.higher_is_better) == set(plugin.columns), "higher_is_better must name each of columns")
        _require(plugin.mode in ("aligned", "free") and plugin.version, "mode must be aligned or free, and version not empty")

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
        lambda: _require(plugin.card.title and plugin.card.licence and plugin.card.layout, "title, licence or layout is empty"),
    )
    if plugin.needs_root:
        return

    def splits() -> None:
        dataset = plugin(None, config)
        speakers = [set(dataset.speakers(split)) for split in SPLITS]
        _require(all(speakers), "a split has no speakers")
        _require(sum(map(len, speakers)) == len(set.union(*speakers)), "a speaker is in two splits")
        utterances = dataset.utterances(min(speakers[0]))
        _require(len({u.id for u in utterances}) == len(utterances) > 0, "utterance ids are missing or not unique")
        first, _ = dataset.load(utterances[0])
        again, _ = dataset.load(utterances[0])
        _require(np.array_equal(first, again) and np.isfinite(first).all(), "audio is not finite, or differs between two loads")

    yield "disjoint splits, unique ids, repeatable audio", splits
