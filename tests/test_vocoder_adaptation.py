"""A vocoder that adapts with the backbone: what is learned, spoken and counted, and what can't be had."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile
import torch
from torch import Tensor

from benchmark.algorithm import AdaptedModel
from benchmark.audio import from_int16
from benchmark.backbone import Backbone
from benchmark.batch import NEW_SPEAKER, Batch, sound_only
from benchmark.cli import main
from benchmark.errors import PredictionFailed
from benchmark.learning.inner_loop import gradients
from benchmark.learning.reuse import Reuse
from benchmark.mel import MelSpec, log_mel
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import longer, tiny_backbone, tiny_batch
from benchmark.running.flops import counted
from benchmark.running.joint import with_vocoder
from benchmark.settings import config, tuned_values
from benchmark.task import Task
from benchmark.vocoder import Segments, Vocoder, load_speaking_state, speaking_state
from tests.cli_helpers import refused, scoring_here
from tests.dataset_helpers import SENTENCES, speech
from tests.meta_gradients import in_double

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "trained_vocoder.py"
HOP = MelSpec().hop_length
FRAMES = 24
"""Of the synthetic utterances, so that pieces of so many are whole utterances and nothing is drawn."""
TRAINED = [name for name in registry.find("vocoder") if registry.load("vocoder", name).trains]


def vocoder_of(name: str, **options: Any) -> Vocoder:
    kind = registry.load("vocoder", name, [EXAMPLE])
    torch.manual_seed(1)
    made: Vocoder = kind(dataclasses.replace(kind.tiny(), **options))
    return made


def model(name: str = "trained_vocoder", frames: int = FRAMES) -> Backbone:
    return with_vocoder(tiny_backbone(), vocoder_of(name), frames)


def whole(batch: Batch) -> Segments:
    """The recordings of a batch whose utterances are equally long."""
    audio = torch.from_numpy(from_int16(batch.audio.numpy()))
    mels = torch.stack([log_mel(each, MelSpec()) for each in audio])
    return Segments(mels.to(batch.mels.dtype), audio.to(batch.mels.dtype))


def algorithm(name: str, backbone: Backbone, **values: Any) -> Any:
    plugin = registry.load("algorithm", name)
    return plugin(backbone, plugin.Config(**values))


def last(learner: Any, support: Batch, steps: int) -> AdaptedModel:
    torch.manual_seed(0)
    ((_, found),) = learner.adapt(support, [steps])
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", TRAINED)
def test_fine_tuning_it_is_the_loop_that_one_would_write(name: str) -> None:
    # In double precision: Adam divides by the gradient's size, so that single precision's noise would move weights whose gradient is none.
    support, rate, steps = in_double(tiny_batch(NEW_SPEAKER)), 1e-3, 3
    learner = algorithm("finetune", model(name).double(), groups=("vocoder",), learning_rate=rate)
    found = last(learner, support, steps).stored
    by_hand = vocoder_of(name).double()
    optimizer = torch.optim.Adam(by_hand.adaptable_parameters().values(), rate)
    torch.manual_seed(0)
    for _ in range(steps):
        torch.randint(1, ()), torch.randint(1, ())  # where each piece begins
        optimizer.zero_grad()
        by_hand.loss(whole(support))["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    expected = by_hand.adaptable_parameters()
    assert set(found) == {f"vocoder.{each}" for each in expected} and learner.adapted_parameters().keys() == found.keys()
    for each, value in expected.items():
        torch.testing.assert_close(found[f"vocoder.{each}"], value.detach(), atol=1e-9, rtol=1e-7)
    assert any(not torch.equal(value, dict(vocoder_of(name).double().named_parameters())[each]) for each, value in expected.items())


def test_all_is_both_and_each_learns_what_it_would_alone() -> None:
    support = tiny_batch(NEW_SPEAKER)
    both = last(algorithm("reptile", model(), optimizer="sgd", inner_lr=0.01), support, 2).stored
    backbone = last(algorithm("reptile", tiny_backbone(), optimizer="sgd", inner_lr=0.01), support, 2).stored
    vocoder = last(algorithm("reptile", model(), groups=("vocoder",), optimizer="sgd", inner_lr=0.01), support, 2).stored
    assert both.keys() == {*backbone, *vocoder} and backbone and vocoder
    for name, value in both.items():
        torch.testing.assert_close(value, {**backbone, **vocoder}[name])
    same = last(algorithm("reptile", model(), groups=("all", "vocoder"), optimizer="sgd", inner_lr=0.01), support, 2).stored
    assert same.keys() == both.keys()


@pytest.mark.parametrize("name", TRAINED)
def test_the_model_speaks_with_its_own_vocoder_and_adapted_weights(name: str) -> None:
    tokens, durations = torch.tensor([1, 3, 4, 5, 6, 1]), torch.full((6,), 2)
    fixed = vocoder_of(name).eval()
    learner = algorithm("finetune", model(name), groups=("vocoder",), learning_rate=0.01)
    adapted = last(learner, tiny_batch(NEW_SPEAKER), 3)
    by_hand = vocoder_of(name).eval()
    by_hand.load_state_dict({**by_hand.state_dict(), **{key.removeprefix("vocoder."): value for key, value in adapted.stored.items()}})
    spoken = adapted.wave(fixed, tokens, durations)
    torch.testing.assert_close(spoken, by_hand.decode(adapted.mel(tokens, durations)), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(spoken, fixed.decode(adapted.mel(tokens, durations)), atol=1e-5)
    plain = last(algorithm("finetune", tiny_backbone()), tiny_batch(NEW_SPEAKER), 1)
    assert torch.equal(plain.wave(fixed, tokens, durations), fixed.decode(plain.mel(tokens, durations)))


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [*((name, {}, torch.nan) for name in ["trained_vocoder", *TRAINED]), ("wavenet", {"output": "mu_law", "levels": 8}, torch.nan),
     ("waveglow", {}, 0.0)],  # a singular mixing matrix
)  # fmt: skip
def test_adapted_weights_that_make_no_waveform_are_a_failure(name: str, options: dict[str, Any], value: float) -> None:
    joint = with_vocoder(tiny_backbone(), vocoder_of(name, **options), FRAMES)
    spoilt = {each: torch.full_like(joint.get_parameter(each), value) for each in joint.adaptable_groups()["vocoder"]}
    with pytest.raises(PredictionFailed, match=r"made a waveform that is not finite|could not compute a waveform"):
        AdaptedModel(joint, spoilt).wave(vocoder_of("trained_vocoder"), torch.tensor([1, 3, 4]), torch.full((3,), 3))


@pytest.mark.parametrize("name", TRAINED)
def test_second_derivatives_pass_through_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What MAML's family differentiates, the inner loop's gradients, changes along a direction as finite differences say."""
    monkeypatch.setattr("benchmark.vocoders.waveglow.DEQUANTISATION", 0.0)  # it would be drawn for each loss
    joint, batch = model(name).double().eval(), in_double(tiny_batch(NEW_SPEAKER))
    generator = torch.Generator().manual_seed(2)
    names = joint.adaptable_groups()["vocoder"]

    def drawn() -> dict[str, Tensor]:
        return {each: torch.randn(joint.get_parameter(each).shape, generator=generator).double() for each in names}

    # Some weights are zero at first, so that the curvature with respect to others is none.
    start = {each: joint.get_parameter(each).detach() + 0.02 * noise for each, noise in drawn().items()}
    direction, probe = drawn(), drawn()

    def slope(distance: float, create_graph: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient's component along ``probe``, so far away."""
        values = {each: (start[each] + distance * direction[each]).requires_grad_() for each in names}
        _, grads = gradients(joint, values, batch, create_graph)
        return torch.stack([(grad * probe[each]).sum() for each, grad in zip(names, grads, strict=True)]).sum(), values

    along, values = slope(0, create_graph=True)
    second = torch.autograd.grad(along, list(values.values()), materialize_grads=True)
    expected = sum(float((grad * direction[each]).sum()) for each, grad in zip(names, second, strict=True))
    assert sum(bool(grad.any()) for grad in second) > 0.8 * len(second)
    # So near that hardly any of the spectral losses' kinks lies between.
    found = float(slope(1e-9)[0] - slope(-1e-9)[0]) / 2e-9
    assert found == pytest.approx(expected, rel=1e-3)


def test_its_operations_are_charged() -> None:
    support = tiny_batch(NEW_SPEAKER)
    learner = algorithm("reptile", model(), groups=("vocoder",))
    with counted() as total:
        last(learner, support, 1)
    with counted() as backbone, torch.no_grad():
        tiny_backbone().loss(support)
    bins, hidden, mels = MelSpec().n_fft // 2 + 1, 8, MelSpec().n_mels
    frames = len(support) * FRAMES
    layers = [2 * 7 * frames * inputs * outputs for inputs, outputs in ((mels, hidden), (hidden, hidden), (hidden, 2 * bins))]
    # Forward, the gradients of weights, and of the inputs of all layers but the first; before that the mel filters.
    vocoder = 3 * sum(layers) - layers[0] + 2 * frames * bins * mels
    assert total.total - backbone.total == vocoder


def test_adapters_learn_from_pieces_drawn_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the vocoder has no adapters; what it makes of the first piece must not serve for the next."""
    support = tiny_batch(NEW_SPEAKER)

    def adapters() -> Any:
        return last(algorithm("finetune", model("vocos", frames=8), groups=("vocoder",), lora_rank=2), support, 4).stored

    found = adapters()
    monkeypatch.setattr(Reuse, "__call__", lambda self, adapted: nullcontext())
    torch.testing.assert_close(dict(found), dict(adapters()), rtol=0, atol=0)


def test_padding_and_augmentation_change_nothing_for_it_and_pieces_are_drawn() -> None:
    joint, batch = model().eval(), tiny_batch(NEW_SPEAKER)
    with torch.no_grad():
        losses, padded = joint.loss(batch), joint.loss(longer(batch))
        torch.testing.assert_close(losses["loss"], padded["loss"])
        torch.testing.assert_close(losses["vocoder_loss"], vocoder_of("trained_vocoder").loss(whole(batch))["loss"])
    learner = algorithm("finetune", model(), groups=("vocoder",), augmentation=("speed", "pitch", "gain", "mask"))
    plain = algorithm("finetune", model(), groups=("vocoder",))
    one, other = (last(each, batch, 2).stored for each in (learner, plain))
    assert all(torch.equal(one[name], other[name]) for name in other)
    pieces = model(frames=8)
    with torch.no_grad():
        assert len({float(pieces.loss(batch)["vocoder_loss"]) for _ in range(5)}) > 1


def test_a_batch_without_recordings_is_refused() -> None:
    batch = tiny_batch(NEW_SPEAKER)
    silent = Batch(**{name: value for name, value in vars(batch).items() if not name.startswith("audio")})
    for each in (silent, sound_only(batch.mels, batch.mel_lengths)):
        with pytest.raises(ValueError, match="no recordings for the vocoder to learn from"):
            model()._pieces(each)  # type: ignore[operator]


def test_what_speaks_holds_no_discriminators() -> None:
    joint, other = model("vocos"), model("vocos")
    torch.nn.init.ones_(joint.get_parameter("new_speaker"))
    state = speaking_state(joint)
    assert not any("critics" in name for name in state) and any(name.startswith("vocoder.head") for name in state)
    load_speaking_state(other, state)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in state.items())
    with pytest.raises(ValueError, match=r"vocoder\.head\.bias is absent there"):
        load_speaking_state(other, {name: value for name, value in state.items() if name != "vocoder.head.bias"})


@pytest.mark.parametrize("name", TRAINED)
def test_copies_and_pickles_are_the_same_model(name: str) -> None:
    joint, batch = model(name), tiny_batch(NEW_SPEAKER)

    def loss(each: Backbone) -> Tensor:
        torch.manual_seed(0)
        return each.loss(batch)["loss"].detach()

    def frozen(each: Backbone) -> set[str]:
        return {name for name, parameter in each.named_parameters() if not parameter.requires_grad}

    for other in (copy.deepcopy(joint), pickle.loads(pickle.dumps(joint))):
        assert type(other) is type(joint) and torch.equal(loss(other), loss(joint)) and frozen(other) == frozen(joint)
        assert other.state_dict().keys() == joint.state_dict().keys()


@pytest.mark.parametrize(
    "name",
    ["maml", "maml_plus_plus", "maml_adam", "meta_lora", "meta_sgd", "anil", "imaml", "reptile", "finetune", "metric", "no_adaptation"],
)
def test_learners_train_both_and_leave_what_only_helps_to_train_alone(name: str) -> None:
    joint = model("vocos")
    learner = algorithm(name, joint)
    learner.meta_step([Task(tiny_batch(speaker, 2, speaker), tiny_batch(speaker, 2, speaker + 10)) for speaker in (0, 1)])
    grads = {each for each, parameter in joint.named_parameters() if parameter.grad is not None and parameter.grad.any()}
    assert any(each.startswith("vocoder.") for each in grads) and any(not each.startswith("vocoder.") for each in grads)
    assert not any(each.startswith("vocoder.critics") for each in grads)


TINY = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "stoi"]
SMALL = ["--vocoder", "trained_vocoder", "--vocoder.hidden", "8", "--plugin", str(EXAMPLE)]
SILENT = '''
"""Trains by itself."""
import torch
from benchmark.vocoder import Vocoder

class Silent(Vocoder):
    """It keeps its loss to itself."""
    trains = True
    def training_step(self, segments):
        return {"loss": 0.0}
    def decode(self, mel):
        return torch.zeros((len(mel) - 1) * self.mel.hop_length)

PLUGIN = Silent
'''


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--algo", "finetune", "--vocoder", "griffin_lim"], "griffin_lim learns nothing, so it can't adapt; choose a vocoder that"),
        (["--algo", "copy_synthesis", "--vocoder", "vocos"], "copy_synthesis neither trains nor adapts; leave it out."),
        (["--algo", "finetune", "--backbone", "crnn_ctc", "--metrics", "cer", "--vocoder", "vocos"], "crnn_ctc does recognition,"),
        (["--algo", "finetune", "--vocoder", "silent"], "silent has no loss() to adapt it by; choose another vocoder."),
        (["--algo", "finetune", "--vocoder", "vocos", "--algo.groups", "vocodr"], "The backbone has no group 'vocodr' to adapt; it has "),
    ],
)
def test_what_can_not_adapt_is_refused_before_anything_runs(
    words: Sequence[str], sentence: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "silent.py"
    plugin.write_text(SILENT)
    places = ["--cache", cache, "--output", tmp_path, "--plugin", plugin]
    said = refused(["run", *TINY, *words, "--adapt_vocoder", *places], 2, capsys)
    assert sentence in said and ("adapt_vocoder does not fit: " in said or "vocodr" in said)
    assert not list(tmp_path.glob("espeak-*"))


def test_without_the_switch_there_is_no_such_group(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", *TINY, "--algo", "finetune", "--algo.groups", "vocoder", "--cache", cache, "--output", tmp_path]
    assert "The backbone has no group 'vocoder' to adapt; it has embedding" in refused(words, 2, capsys)


def test_runs_without_the_switch_keep_their_names() -> None:
    given = ["--algo", "maml", "--dataset", "espeak", "--preset", "smoke", "--vocoder", "vocos"]
    plain, joint = (config.to_dict(tuned_values.parse([*given, *more])) for more in ([], ["--adapt_vocoder"]))
    assert "adapt_vocoder" not in plain and joint == {**plain, "adapt_vocoder": True}
    assert config.to_dict(tuned_values.parse([*given, "--adapt_vocoder", "false"])) == plain


@pytest.fixture(scope="module")
def runs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs that fine-tune the vocoder, the vocoder of the backbone's model, and the backbone alone."""
    found = {}
    for name, words in (
        ("vocoder", ["--adapt_vocoder", "--algo.groups", "vocoder"]), ("both", ["--adapt_vocoder"]), ("backbone", []),
    ):  # fmt: skip
        output = tmp_path_factory.mktemp(name)
        # One is scored in a worker process, which is sent the model.
        with nullcontext() if name == "both" else scoring_here():
            assert main(["run", *TINY, *SMALL, "--algo", "finetune", *words, "--cache", str(cache), "--output", str(output)]) == 0
        (found[name],) = (path for path in output.iterdir() if path.is_dir())
    return found


def test_a_run_counts_what_it_costs_and_stores(runs: dict[str, Path]) -> None:
    def point(name: str) -> dict[str, Any]:
        return json.loads((runs[name] / "result.json").read_text())["curve"][-1]["cost"]  # type: ignore[no-any-return]

    kind = registry.load("vocoder", "trained_vocoder", [EXAMPLE])
    size = sum(each.numel() for each in kind(kind.Config(hidden=8)).parameters())
    assert point("vocoder")["stored_parameters"] == size
    assert point("both")["stored_parameters"] == point("backbone")["stored_parameters"] + size
    assert point("both")["flops_to_adapt"] > point("backbone")["flops_to_adapt"] > 0
    episodes = {name: pd.read_csv(folder / "episodes.csv") for name, folder in runs.items()}
    assert episodes["both"]["stoi"].notna().all() and not episodes["both"]["stoi"].equals(episodes["backbone"]["stoi"])
    assert "adapt_vocoder: true" in (runs["both"] / "config.yaml").read_text()


def test_say_speaks_with_the_vocoder_adapted_to_the_voice(
    runs: dict[str, Path], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = tmp_path / "voice"
    voice.mkdir()
    for number, text in enumerate(SENTENCES[:2]):
        soundfile.write(voice / f"{number}.wav", speech(text, "f2", 16_000), 16_000)
        (voice / f"{number}.txt").write_text(f"{text}.\n")
    say = partial(lambda steps, out: ["say", "Two tall boys.", "--run", str(runs["vocoder"]), "--voice", str(voice), "-o", str(out),
                                      "--steps", str(steps), "--cache", str(cache), "--plugin", str(EXAMPLE)])  # fmt: skip
    assert main(say(2, tmp_path / "adapted.wav")) == 0
    assert "Adapted finetune to 2 recordings" in capsys.readouterr().out
    assert main(say(0, tmp_path / "before.wav")) == 0
    adapted, before = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("adapted", "before"))
    # The backbone does not adapt, so only the waveform differs.
    assert len(adapted) == len(before) > 1000 and not (adapted == before).all()
