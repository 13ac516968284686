"""A value out of its range is refused in one sentence that begins with the field, from the command line and from Python."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml

from benchmark.errors import UsageError
from benchmark.plugins import registry
from benchmark.settings.config import parse
from benchmark.settings.ranges import Checked, Names, Odd, PositiveFloat, PositiveInt, in_words
from benchmark.settings.schema import RunSettings

ONE, ZERO = {"0": "be at least 1, not 0"}, {"-1": "be at least 0, not -1"}
TWO, ABOVE = {"1": "be at least 2, not 1"}, {"0": "be above 0, not 0", "-1": "be above 0, not -1"}
BELOW_ONE = {"-0.1": "be at least 0, not -0.1", "1": "be below 1, not 1"}
BETWEEN = {"0": "be above 0, not 0", "1": "be below 1, not 1"}
ODD = {"4": "be odd, not 4", "-1": "be at least 1, not -1"}
SOME = {"[]": "hold at least 1 value"}
RATE = {"inner_lr": ABOVE}
BOOST, SPEAKER = {"outer_boost": ABOVE}, {"speaker_lr": ZERO}
INNER = {"groups": SOME, "inner_steps": ONE, "inner_lr": ZERO} | BOOST | SPEAKER
PART = {"-0.1": "be at least 0, not -0.1", "1.1": "be at most 1, not 1.1"}
CRITICS = {"adversarial_part": PART, "adversarial_weight": ZERO, "critic_width": ONE}
ATTENTIVE = {"frames_per_step": ONE, "speaker_dim": ONE, "guidance": ZERO}
CHOICE, CHOICES = {"other": "be one of "}, {"other": "be a list, each item one of "}
FINE_TUNING = {
    "groups": SOME, "optimizer": CHOICE, "training_boost": ABOVE, "learning_rate": ABOVE, "speaker_lr": ZERO, "momentum": BELOW_ONE,
    "weight_decay": ZERO, "unfreeze_every": ZERO, "lora_rank": ZERO, "lora_alpha": ABOVE, "augmentation": CHOICES, "early_stopping": ZERO,
    "normalisation": CHOICE,
}  # fmt: skip

REFUSED: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("algorithm", "maml"): INNER,
    ("algorithm", "anil"): INNER,
    ("algorithm", "meta_sgd"): INNER | RATE | {"adam_lr": ZERO},
    ("algorithm", "maml_plus_plus"): INNER | RATE | {"annealing_steps": ZERO, "first_order_steps": ZERO},
    ("algorithm", "maml_adam"): INNER | RATE | {"speaker_lr": ABOVE},
    ("algorithm", "meta_lora"): INNER | RATE | {"speaker_lr": ABOVE, "lora_rank": ONE, "adapter_lr": ABOVE},
    ("algorithm", "imaml"): INNER | RATE | {"optimizer": CHOICE, "proximal_weight": ABOVE, "damping": ZERO, "cg_steps": ONE},
    ("algorithm", "reptile"): INNER | RATE | {"inner_steps": TWO, "optimizer": CHOICE, "momentum": BELOW_ONE, "interpolation": PART},
    ("algorithm", "finetune"): FINE_TUNING,
    ("algorithm", "from_scratch"): FINE_TUNING,
    ("algorithm", "all_speech"): FINE_TUNING | {"batch_size": ONE},
    ("algorithm", "memory"): {"slots": TWO, "key_dim": ONE, "value_dim": ONE, "usage_decay": BELOW_ONE} | BOOST,
    ("algorithm", "fast_weights"): {
        "rule": CHOICE, "key_dim": ONE, "value_dim": ONE, "decay": BETWEEN,
    } | BOOST,
    ("algorithm", "style"): {"width": ONE, "heads": ONE, "dropout": BELOW_ONE, "table_weight": ZERO, "encoder_boost": ABOVE} | BOOST,
    ("algorithm", "metric"): {
        "loss": CHOICE, "encoder": CHOICE, "embedding_dim": TWO, "metric_weight": ZERO, "table_weight": ZERO, "encoder_boost": ABOVE,
        "fine_tune_rate": ABOVE,
    } | BOOST,
    ("backbone", "fastspeech2"): {
        "hidden": ONE, "encoder_blocks": ONE, "decoder_blocks": ONE, "encoder_kernel": ODD, "decoder_kernel": ODD, "predictor_hidden": ONE,
        "speaker_dim": ONE, "dropout": BELOW_ONE, "blocks": CHOICE, "heads": ONE,
    },
    ("backbone", "tacotron2"): ATTENTIVE | {
        "encoder": ONE, "encoder_layers": ONE, "kernel": ODD, "attention": ONE, "filters": ONE, "location_kernel": ODD, "prenet": ONE,
        "decoder": ONE, "postnet": ONE, "postnet_layers": ONE, "dropout": BELOW_ONE, "recurrent_dropout": BELOW_ONE,
    },
    ("backbone", "deep_voice3"): ATTENTIVE | {
        "width": ONE, "encoder": ONE, "encoder_layers": ONE, "decoder_layers": ONE, "converter": ONE, "converter_layers": ONE,
        "kernel": ODD, "attention": ONE, "position_weight": ZERO, "dropout": BELOW_ONE, "prenet_dropout": BELOW_ONE,
    },
    ("vocoder", "vocos"): CRITICS | {"width": ONE, "inner": ONE, "blocks": ONE},
    ("vocoder", "hifigan"): CRITICS | {"size": CHOICE, "channels": ZERO, "critics": CHOICE},
    ("vocoder", "griffin_lim"): {"iterations": ONE, "momentum": BELOW_ONE, "sharpen": ABOVE},
    ("vocoder", "waveglow"): {
        "group": ONE, "flows": ONE, "early_every": ZERO, "early_channels": ONE, "layers": ONE, "channels": ONE, "skip_channels": ONE,
        "condition_channels": ONE, "kernel": ODD, "sigma": ZERO,
    },
    ("vocoder", "wavenet"): {
        "output": CHOICE, "mixtures": ONE, "levels": TWO, "layers": ONE, "cycle": ONE, "channels": ONE, "skip_channels": ONE,
        "condition_channels": ONE, "temperature": ABOVE,
    },
    ("backbone", "crnn_ctc"): {"channels": ONE, "hidden": ONE, "layers": ONE, "dropout": BELOW_ONE, "beam": ZERO},
    ("dataset", "folder"): {"split_by": CHOICE, "validation": BETWEEN, "test": BETWEEN, "seed": ZERO},
    ("dataset", "espeak"): {"sentences": {"0": "be at least 1, not 0", "41": "be at most 40, not 41"}},
    ("metric", "per"): {
        "channels": ONE, "blocks": ONE, "hidden": ONE, "epochs": ONE, "max_steps": ONE, "batch": ONE, "learning_rate": ABOVE,
    },
    ("metric", "speaker_similarity"): {"encoder": CHOICE, "utterances": TWO},
    ("metric", "ecapa_similarity"): {"utterances": TWO}, ("metric", "dvector_similarity"): {"utterances": TWO},
    ("metric", "style_gap"): {"utterances": TWO},
}  # fmt: skip

RUN: dict[str, dict[str, str]] = {
    "shots": SOME | {"0": "be at least 1, not 0", "5,11": "be at most 10, not 11"},
    "steps": SOME | {"0,-5": "be at least 0, not -5", "100001": "be at most 100000, not 100001"},
    "seed": {"-3": "be at least 0, not -3", str(2**32): f"be at most {2**32 - 1}, not {2**32}"},
    "threads": ONE | {"1025": "be at most 1024, not 1025"},
    "pretrain.steps": ONE | {"1000000001": "be at most 1000000000, not 1000000001"},
    "pretrain.batch_size": ONE | {"10001": "be at most 10000, not 10001"}, "pretrain.learning_rate": ABOVE,
    "meta.tflops": ABOVE, "meta.tasks": ONE, "meta.support": ONE, "meta.query": ONE, "meta.learning_rate": ABOVE,
    "vocoder_training.steps": ONE, "vocoder_training.batch_size": ONE, "vocoder_training.frames": TWO,
    "vocoder_training.learning_rate": ABOVE,
    "evaluation.split": CHOICE,
    "evaluation.episodes": ONE | {"4": "be at most 3, not 4"},
    "evaluation.queries": ONE | {"5": "be at most 4, not 5"},
    "evaluation.speakers": ZERO,
}  # fmt: skip


def limited(kind: Any, prefix: str = "") -> Iterator[str]:
    """Fields whose annotations say more than a type."""
    for each in dataclasses.fields(kind):
        hint = typing.get_type_hints(kind, include_extras=True)[each.name]
        if dataclasses.is_dataclass(hint) and "kind" not in each.metadata:
            yield from limited(hint, f"{prefix}{each.name}.")
        elif "Annotated[" in str(hint) or "Literal[" in str(hint):
            yield f"{prefix}{each.name}"


def refusals(*words: str) -> str:
    """The sentence with which the reader refuses a command line."""
    with pytest.raises(UsageError) as error:
        parse(RunSettings, words)
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence.removeprefix("--")


def test_every_limited_field_of_every_plugin_is_tried_below() -> None:
    for kind in registry.KINDS:
        for name, info in registry.find(kind).items():
            if info.origin == "built-in":
                fields = set(limited(registry.load(kind, name).Config))
                assert fields == set(REFUSED.get((kind, name), {})), f"{kind} {name}"
    assert set(limited(RunSettings)) == set(RUN)


@pytest.mark.parametrize(("kind", "name"), REFUSED)
def test_plugins_refuse_what_is_out_of_range(kind: str, name: str) -> None:
    config = registry.load(kind, name).Config
    words = {"algorithm": "maml", "dataset": "espeak", "metric": "mcd", kind: name}
    chosen = [f"--{'algo' if key == 'algorithm' else 'metrics' if key == 'metric' else key}={value}" for key, value in words.items()]
    path = {"algorithm": "algo", "metric": f"metrics.{name}"}.get(kind, kind)
    for field, values in REFUSED[kind, name].items():
        for value, sentence in values.items():
            assert refusals(*chosen, f"--{path}.{field}={value}").startswith(f"{path}.{field} must {sentence}")
            given = ("other",) if values is CHOICES else () if value == "[]" else yaml.safe_load(value)
            with pytest.raises(ValueError) as error:
                config(**{field: given})
            assert str(error.value).startswith(f"{field} must {sentence}") and "\n" not in str(error.value)


@pytest.mark.parametrize("field", RUN)
def test_run_settings_refuse_what_is_out_of_range(field: str) -> None:
    for value, sentence in RUN[field].items():
        assert refusals("--algo=maml", "--dataset=espeak", f"--{field}={value}").startswith(f"{field} must {sentence}")


def test_a_wrong_choice_is_told_which_there_are() -> None:
    said = refusals("--algo=imaml", "--dataset=espeak", "--algo.optimizer=rmsprop")
    assert said == "algo.optimizer must be one of adam, sgd, not 'rmsprop'."


def test_values_at_their_bounds_are_taken() -> None:
    words = ["--algo=finetune", "--dataset=espeak", "--shots=1,10", "--steps=0", f"--seed={2**32 - 1}", "--evaluation.queries=4"]
    settings = parse(RunSettings, [*words, "--algo.momentum=0", "--algo.weight_decay=0", "--dataset.sentences=40"])
    assert (settings.shots, settings.steps, settings.seed, settings.evaluation.queries) == ((1, 10), (0,), 2**32 - 1, 4)
    assert settings.algo.config.momentum == 0 and settings.dataset.config.sentences == 40


@dataclass(frozen=True)
class Base(Checked):
    """A base of settings."""

    rate: PositiveFloat = 0.1
    kernel: Odd = 3
    names: Names = ("a",)


@dataclass(frozen=True)
class Derived(Base):
    """Settings with fields that go together."""

    rate: Annotated[PositiveFloat, ""] = 0.2
    width: PositiveInt = 4
    heads: PositiveInt = 2
    mode: Literal["fast", "slow"] = "fast"
    limit: PositiveInt | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, {self.heads}, not {self.width}")


def test_checked_dataclasses_are_dataclasses() -> None:
    made = Derived(rate=1, names=["x", "y"])  # type: ignore[arg-type]
    assert isinstance(made.rate, float) and made.names == ("x", "y")
    assert pickle.loads(pickle.dumps(made)) == made == dataclasses.replace(made) == Derived(**dataclasses.asdict(made))
    assert hash(made) == hash(dataclasses.replace(made))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.rate = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rate": 0}, "rate must be above 0, not 0"),
        ({"rate": float("inf")}, "rate must be a finite number, not inf"),
        ({"rate": "much"}, "rate must be a number, not much"),
        ({"kernel": 2}, "kernel must be odd, not 2"),
        ({"names": ()}, "names must hold at least 1 value"),
        ({"names": ("a", 3)}, "names must be a list, each item text, not 3"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"mode": "idle"}, "mode must be one of fast, slow, not idle"),
        ({"width": 1.5}, "width must be a whole number, not 1.5"),
        ({"heads": 0}, "heads must be at least 1, not 0"),  # before the fields are compared, or it would divide by 0
        ({"width": 9}, "width must be a multiple of heads, 2, not 9"),
    ],
)
def test_a_subclass_checks_its_own_and_inherited_fields(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        Derived(**values)
    assert str(error.value) == sentence
    with pytest.raises(ValueError):
        dataclasses.replace(Derived(), **values)


def test_limits_do_not_show_in_a_types_words() -> None:
    assert in_words(Names) == "a list, each item text" and in_words(PositiveInt | None) == "a whole number or null"


@pytest.mark.parametrize("words", [["list"], ["run", "--algo", "maml", "--help"]], ids=" ".join)
def test_listing_and_help_do_without_pydantic(words: list[str]) -> None:
    code = f"import sys; from benchmark import cli\ntry: cli.main({words})\nexcept SystemExit: pass\nassert 'pydantic' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
