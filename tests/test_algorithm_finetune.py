"""Fine-tuning: the default is plain Adam, and each option does what it says."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm
from benchmark.backbone import SynthesisBackbone, call
from benchmark.batch import Batch
from benchmark.cli import main
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.learning.inner_loop import descend, select
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.settings import tuned_values
from tests.contract_helpers import unmet


def make(**options: Any) -> Algorithm:
    plugin = registry.load("algorithm", "finetune")
    algorithm: Algorithm = plugin(tiny_backbone(), plugin.Config(**options))
    return algorithm


def voices(algorithm: Algorithm, steps: list[int], support: Batch | None = None) -> dict[int, Adapted]:
    torch.manual_seed(0)
    return dict(algorithm.adapt(tiny_batch(-1, 4) if support is None else support, steps))


def loss(voice: Adapted, batch: Batch) -> float:
    assert isinstance(voice, AdaptedModel)
    with torch.no_grad():
        return float(call(voice.backbone.eval(), voice.replaced(), "loss", batch)["loss"])


def changed(algorithm: Algorithm, voice: Adapted) -> set[str]:
    return {name for name, value in voice.stored.items() if not torch.equal(value, algorithm.backbone.get_parameter(name))}


OPTIONS: list[dict[str, Any]] = [
    {"unfreeze_every": 1},
    {"lora_rank": 2},
    {"lora_rank": 2, "groups": ("decoder", "output"), "unfreeze_every": 1, "early_stopping": 1, "normalisation": "adapted"},
    {"optimizer": "sgd", "learning_rate": 0.01, "augmentation": ("speed", "pitch", "gain", "noise", "mask")},
    {"optimizer": "adamw", "groups": ("embedding", "variance"), "early_stopping": 1},
    {"normalisation": "adapted"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_keeps_the_contract(options: dict[str, Any]) -> None:
    # What augmentation draws depends on the shape of the batch, padding included.
    allowed = {"padding changes nothing"} if "augmentation" in options else set()
    assert unmet("finetune", registry.load("algorithm", "finetune").Config(**options)) <= allowed


@pytest.mark.parametrize("options", [{}, {"momentum": 0.0}], ids=["default", "without momentum"])
def test_the_default_is_adam_on_everything_at_two_rates(options: dict[str, float]) -> None:
    algorithm = make(**options)
    support, names = tiny_batch(-1, 4), select(algorithm.backbone, ("all",))

    def adam(values: list[Tensor]) -> torch.optim.Optimizer:
        rates = [0.1 if name == "new_speaker" else 1e-3 for name in names]
        groups = [{"params": [value], "lr": rate} for value, rate in zip(values, rates, strict=True)]
        return torch.optim.Adam(groups, betas=(options.get("momentum", 0.9), 0.999))

    expected = descend(algorithm.backbone, names, support, adam, [0, 3, 7])
    found = voices(algorithm, [0, 3, 7], support)
    for step, parameters in expected:
        assert found[step].stored.keys() == parameters.keys()
        for name, value in found[step].stored.items():  # torch's fused steps round otherwise
            torch.testing.assert_close(value, parameters[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_speaker_vector_can_have_a_rate_of_its_own(optimizer: str) -> None:
    support, rate = tiny_batch(-1, 4), 0.02
    own, all_, plain = (
        voices(make(optimizer=optimizer, **options), [1], support)[1].stored
        for options in ({"speaker_lr": rate}, {"learning_rate": rate, "speaker_lr": 0.0}, {"speaker_lr": 0.0})
    )
    for name, value in own.items():
        assert torch.equal(value, (all_ if name == "new_speaker" else plain)[name]), name
    assert not torch.equal(own["new_speaker"], plain["new_speaker"])


def test_sgd_with_momentum_equals_algebra() -> None:
    algorithm = make(optimizer="sgd", learning_rate=0.1, momentum=0.5, groups=("embedding",))
    support, model = tiny_batch(-1, 4), algorithm.backbone.eval()
    assert isinstance(model, SynthesisBackbone)
    vector, velocity = model.new_speaker.detach().clone(), torch.zeros(4)
    for _ in range(3):
        vector.requires_grad_()
        (grad,) = torch.autograd.grad(call(model, {"new_speaker": vector}, "loss", support)["loss"], vector)
        velocity = 0.5 * velocity + grad
        vector = vector.detach() - 0.1 * velocity
    assert torch.allclose(voices(algorithm, [3], support)[3].stored["new_speaker"], vector, atol=1e-6)


def test_plain_descent_has_a_row_of_its_own_beside_the_tuned_one(
    cache: Path, tmp_path: Path, repository: Path, in_this_process: None
) -> None:
    """The committed configuration is what inner loops in the literature do: plain steps at 1e-3, on everything alike."""
    plain = ["--config", str(repository / "leaderboards" / "plain_descent.yaml")]
    settings = tuned_values.parse([*plain, "--dataset", "speechocean762", "--preset", "small"])
    algorithm: Algorithm = registry.load("algorithm", settings.algo.name)(tiny_backbone(), settings.algo.config)
    support = tiny_batch(-1, 4)
    model = algorithm.backbone.eval()
    loss = call(model, {}, "loss", support)["loss"]
    stored = voices(algorithm, [1], support)[1].stored
    assert stored.keys() == set(model.adaptable_groups()["all"])
    for name, gradient in zip(stored, torch.autograd.grad(loss, [model.get_parameter(name) for name in stored]), strict=True):
        torch.testing.assert_close(stored[name], model.get_parameter(name).detach() - 1e-3 * gradient, rtol=1e-5, atol=1e-7)

    run = ["run", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--metrics", "stoi", "--workers", "1"]
    places = ["--cache", str(cache), "--output", str(tmp_path)]
    assert main([*run, *plain, *places]) == 0 and main([*run, "--algo", "finetune", *places]) == 0
    with (tmp_path / "espeak.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["steps"] == "2"]
    assert len(rows) == 2 and len({row["options"] for row in rows}) == 2
    assert ["optimizer=sgd" in row["settings"] for row in rows].count(True) == 1


def test_groups_unfreeze_output_first() -> None:
    algorithm = make(unfreeze_every=2)
    groups = algorithm.backbone.adaptable_groups()
    found = voices(algorithm, list(range(11)))
    thawed: set[str] = set()
    for step, group in ((1, "output"), (3, "decoder"), (5, "variance"), (7, "embedding"), (9, "all")):
        new = changed(algorithm, found[step]) - thawed
        assert changed(algorithm, found[step + 1]) == changed(algorithm, found[step])
        assert new and new <= set(groups[group]), group
        thawed |= new
    assert not changed(algorithm, found[0])
    # A group that is not adapted takes no turn.
    few = make(unfreeze_every=2, groups=("output", "embedding"))
    assert changed(few, voices(few, [3])[3]) == {"output.weight", "output.bias", "new_speaker"}


@pytest.mark.parametrize(
    ("backbone", "order"),
    [
        ("tacotron2", ("postnet", "output", "decoder", "attention", "encoder", "embedding")),
        ("crnn_ctc", ("output", "recurrent", "convolutions")),
    ],
)
def test_every_backbone_unfreezes_from_its_output(backbone: str, order: Sequence[str]) -> None:
    plugin = registry.load("algorithm", "finetune")
    algorithm = plugin(tiny_backbone(registry.load("backbone", backbone)), plugin.Config(unfreeze_every=1))
    groups = algorithm.backbone.adaptable_groups()
    turns = [{algorithm.stages[name] for name in groups[group]} for group in order]
    assert turns == [{turn} for turn in range(len(order))] and set(order) | {"norms", "all"} >= set(groups)


def test_adapters_are_all_that_is_stored_and_they_learn() -> None:
    algorithm = make(lora_rank=2, learning_rate=1e-2)
    support = tiny_batch(-1, 4)
    found = voices(algorithm, [0, 30], support)
    assert all(name.endswith((".lora_A", ".lora_B")) for name in found[30].stored)
    assert loss(found[0], support) == pytest.approx(loss(AdaptedModel(algorithm.backbone), support), rel=1e-6)
    assert loss(found[30], support) < 0.95 * loss(found[0], support)
    # Fewer than what they stand in for, in this tiny model already.
    weights = sum(algorithm.backbone.get_parameter(name[: -len(".lora_A")]).numel() for name in found[30].stored if name.endswith("A"))
    assert sum(algorithm.adapted_parameters().values()) < 0.7 * weights


def test_early_stopping_keeps_the_best_on_the_held_out_utterance() -> None:
    support = tiny_batch(-1, 4)
    held = Batch(**{name: value[3:] for name, value in support.__dict__.items()})
    options: dict[str, Any] = {"learning_rate": 0.05}
    stopped = voices(make(early_stopping=5, **options), [0, 5, 7, 20], support)
    kept = Batch(**{name: value[:3] for name, value in support.__dict__.items()})
    plain = {step: loss(voice, held) for step, voice in voices(make(**options), list(range(21)), kept).items()}
    for step, voice in stopped.items():
        assert loss(voice, held) == pytest.approx(min(plain[s] for s in range(0, step + 1, 5)), rel=1e-5)
    assert plain[20] > loss(stopped[20], held) < plain[0]
    # Two shots: nothing can be held out.
    two = tiny_batch(-1, 2)
    assert all(
        torch.equal(value, voices(make(**options), [5], two)[5].stored[name])
        for name, value in voices(make(early_stopping=5, **options), [5], two)[5].stored.items()
    )


def test_adapted_normalisation_is_the_supports_own() -> None:
    support = tiny_batch(-1, 4)
    stored = voices(make(normalisation="adapted", groups=("output",)), [0], support)[0].stored
    frames = support.mels.reshape(-1, 80)
    assert torch.allclose(stored["mel_mean"], frames.mean(0)) and torch.allclose(stored["mel_std"], frames.std(0))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"groups": ()}, "groups must hold at least 1 value"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0, not -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"momentum": 1.0}, "momentum must be below 1, not 1"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd, not lion"),
        ({"unfreeze_every": -1}, "unfreeze_every must be at least 0"),
        ({"lora_rank": -1}, "lora_rank must be at least 0"),
        ({"lora_alpha": 0.0}, "lora_alpha must be above 0"),
        ({"early_stopping": -5}, "early_stopping must be at least 0"),
        ({"normalisation": "off"}, "normalisation must be one of frozen, adapted, not off"),
        ({"augmentation": ("reverb",)}, "augmentation must be a list, each item one of speed, pitch, gain, noise, mask, not reverb"),
    ],
)
def test_bad_values_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        registry.load("algorithm", "finetune").Config(**options)


@pytest.mark.parametrize("options", [{}, {"early_stopping": 1}, {"lora_rank": 2}], ids=str)
def test_a_loss_that_is_not_finite_fails_the_adaptation(options: dict[str, Any]) -> None:
    support = tiny_batch(-1, 4)
    support.mels[0, 0, 0] = float("nan")
    with pytest.raises(AdaptationFailed, match="not finite"):
        voices(make(**options), [2], support)


def test_what_the_backbone_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="no group 'tail'"):
        make(groups=("tail",))
    with pytest.raises(UsageError, match="larger than every layer"):
        make(lora_rank=500)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--algo.optimizer", "lion"], "algo.optimizer must be one of adam, adamw, sgd, not 'lion'"),
        (["--algo.learning_rate", "-1"], "algo.learning_rate must be above 0"),
        (["--shots", "0"], "shots must be at least 1"),
        (["--steps", "-5"], "steps must be at least 0"),
    ],
)
def test_the_command_line_says_it_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--algo", "finetune", "--dataset", "espeak", "--cache", str(tmp_path), "--output", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and sentence in error and len(error.splitlines()) == 1
