"""What all vocoders share: weights of a user's own, and mels that nothing can be made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import soundfile
import torch
from torch import Tensor

from benchmark.cli import main
from benchmark.errors import BenchmarkError, PredictionFailed, UsageError
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.plumbing import model_file
from benchmark.results.result import run_id
from benchmark.running.building import restored
from benchmark.running.vocoding import prepared
from benchmark.settings.schema import VocoderSettings
from benchmark.vocoder import Vocoder, VocoderContext, digest_of_weights
from benchmark.vocoders.waveglow import WaveGlow
from tests.cli_helpers import refused
from tests.dataset_helpers import SENTENCES, speech
from tests.test_identity import identity

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "trained_vocoder.py"


class Learned(Vocoder):
    """A gain that is learned, or loaded."""

    trains = True

    @dataclass(frozen=True)
    class Config:
        """Options."""

        size: int = 2
        checkpoint: str = ""

    def __init__(self, config: Any = None, mel: MelSpec | None = None) -> None:
        super().__init__(config)
        self.mel = mel or MelSpec()
        self.gain = torch.nn.Parameter(torch.ones(self.config.size))

    def decode(self, mel: Tensor) -> Tensor:
        return mel[1:].mean(dim=1).repeat_interleave(self.mel.hop_length) * self.gain.mean()


def never(vocoder: Vocoder) -> None:
    raise AssertionError("it trains")


def written(path: Path, gain: float = 3.0, size: int = 2, mel: MelSpec | None = None) -> Path:
    vocoder = Learned(Learned.Config(size), mel)
    torch.nn.init.constant_(vocoder.gain, gain)
    vocoder.save_weights(path)
    return path


def test_weights_of_ones_own_are_loaded_instead_of_training(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.pt")
    plainly = tmp_path / "plainly.pt"
    torch.save({"mel": vars(MelSpec()), "state": {"gain": torch.tensor([5.0, 5.0])}}, plainly)
    for file, gain in ((path, 3), (plainly, 5)):
        vocoder = Learned(Learned.Config(checkpoint=str(file)))
        vocoder.prepare(VocoderContext(never))
        assert vocoder.gain.tolist() == [gain, gain]
    with pytest.raises(AssertionError, match="it trains"):
        Learned().prepare(VocoderContext(never))


def bundled(path: Path, gain: float, algorithm: float) -> Path:
    """A model file whose vocoder is of 16 bits and without what only helped to train it."""
    facts = {"frontend": {"spec": {"mel": vars(MelSpec())}}}
    tensors = {"algorithm/a": torch.tensor([algorithm]), "vocoder/gain": torch.tensor([gain, gain])}
    model_file.write(path, model_file.Bundle(facts, tensors).halved())
    return path


class Criticised(Learned):
    """With a discriminator, which decoding doesn't need."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.critic = torch.nn.Parameter(torch.ones(3))

    def adaptable_parameters(self) -> dict[str, torch.nn.Parameter]:
        return {"gain": self.gain}


def test_the_vocoder_of_a_model_file_is_loaded_and_known_by_its_weights_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = (bundled(tmp_path / f"{n}.safetensors", *each) for n, each in enumerate([(3, 1), (3, 2), (4, 1)]))
    assert digest_of_weights(one) == digest_of_weights(same) != digest_of_weights(other)
    monkeypatch.setattr(model_file, "SHIPPED", other)
    for named, gain in ((str(one), 3), ("shipped", 4)):
        vocoder = Criticised(Learned.Config(checkpoint=named))
        vocoder.prepare(VocoderContext(never))
        assert vocoder.gain.tolist() == [gain, gain] and vocoder.gain.dtype == torch.float32
    with pytest.raises(UsageError, match="gain is 2 there and 5 here"):
        Criticised(Learned.Config(5)).load_weights(one)
    model_file.write(one, model_file.Bundle({}, {"algorithm/a": torch.zeros(1)}))
    with pytest.raises(UsageError, match=r"The model file .*0.safetensors holds no vocoder; name another"):
        Criticised().load_weights(one)


def test_what_only_helps_to_train_is_neither_written_nor_asked_for(tmp_path: Path) -> None:
    path, vocoder = tmp_path / "mine.pt", Criticised()
    torch.nn.init.constant_(vocoder.gain, 3.0)
    assert vocoder.weights()["state"].keys() == {"gain"}
    vocoder.save_weights(path)
    Learned().load_weights(path)
    # Files of earlier versions hold it, of other sizes perhaps.
    torch.save({"mel": MEL, "state": {"gain": torch.tensor([4.0, 4.0]), "critic": torch.zeros(9)}}, path)
    vocoder.load_weights(path)
    assert vocoder.gain.tolist() == [4, 4] and vocoder.critic.tolist() == [1, 1, 1]
    with pytest.raises(UsageError, match="critic is 9 there and absent here"):
        Learned().load_weights(path)


def test_weights_that_a_run_kept_need_no_longer_the_file_that_they_came_from(tmp_path: Path) -> None:
    kept = Learned(Learned.Config(checkpoint=str(written(tmp_path / "mine.pt")))).weights()["state"]
    vocoder = restored(Learned(Learned.Config(checkpoint=str(tmp_path / "gone.pt"))), kept)
    assert vocoder.gain.tolist() == [1, 1] and not vocoder.training  # type: ignore[union-attr, operator]
    with pytest.raises(ValueError, match="gain is absent there and 2 here"):
        restored(Learned(), {})


def test_what_only_decoding_depends_on_trains_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Path] = []
    monkeypatch.setattr("benchmark.running.ranks.made_once", lambda file, *_: files.append(file))
    corpus: Any = SimpleNamespace(name="c", training_digest="t", preparation="1")
    for options in ({}, {"sigma": 0.5}, {"flows": 2}):
        vocoder = WaveGlow(replace(WaveGlow.tiny(), **options))
        prepared(vocoder, "waveglow", "source", corpus, VocoderSettings(), 0, tmp_path)
    assert files[0] == files[1] != files[2]


class Beside:
    """No vocoder by itself."""

    def decode(self, mel: Tensor) -> Tensor:
        return mel.mean(dim=1)


class Borrowing(Beside, Vocoder):
    """Decodes as a class beside does."""


def test_a_decode_of_a_class_beside_is_checked_too() -> None:
    with pytest.raises(PredictionFailed, match="the mel has 1 frame, and a waveform takes 4"):
        Borrowing().decode(torch.zeros(1, 80))


def cut(path: Path) -> None:
    path.write_bytes(written(path).read_bytes()[:-200])


def flip(path: Path) -> None:
    content = bytearray(written(path).read_bytes())
    content[content.index(torch.tensor([3.0, 3.0]).numpy().tobytes())] ^= 1
    path.write_bytes(content)


def legacy(path: Path) -> None:
    torch.save(Learned().weights(), path, _use_new_zipfile_serialization=False)


MEL = vars(MelSpec())
DAMAGED = "The checkpoint .* is damaged, or is no file of weights that torch.save wrote."
FOREIGN = "The checkpoint .* is not of a vocoder: it must hold 'mel' and 'state', as Vocoder.weights returns them."
REFUSED: dict[str, tuple[Callable[[Path], object], type[BenchmarkError], str]] = {
    "missing": (lambda path: None, UsageError, "There is no checkpoint .*mine.pt; name a file of a vocoder's weights."),
    "a folder": (lambda path: path.mkdir(), UsageError, "There is no checkpoint "),
    "of another mel": (
        lambda path: written(path, mel=MelSpec(n_mels=40)), UsageError,
        "The checkpoint .* inverts mels of n_mels 40, this vocoder those of 80; name another file.",
    ),
    "larger": (
        lambda path: written(path, size=3), UsageError,
        "The checkpoint .* is of another vocoder or of other sizes: gain is 3 there and 2 here; set the sizes that it was trained with.",
    ),
    "of another vocoder": (
        lambda path: torch.save({"mel": MEL, "state": {"bias": torch.ones(4, 2)}}, path), UsageError, "gain is absent there and 2 here",
    ),
    "cut short": (cut, BenchmarkError, DAMAGED),
    "of a flipped bit": (flip, BenchmarkError, DAMAGED),
    "empty": (lambda path: path.write_bytes(b""), BenchmarkError, DAMAGED),
    "text": (lambda path: path.write_text("weights"), BenchmarkError, DAMAGED),
    "of an old format": (legacy, BenchmarkError, DAMAGED),
    "with code inside": (lambda path: torch.save({"mel": MEL, "state": {}, "more": Path("x")}, path), BenchmarkError, DAMAGED),
    "a bare state": (lambda path: torch.save({"gain": torch.ones(2)}, path), BenchmarkError, FOREIGN),
    "of numbers": (lambda path: torch.save({"mel": MEL, "state": {"gain": [1, 2]}}, path), BenchmarkError, FOREIGN),
    "not finite": (lambda path: written(path, gain=float("nan")), BenchmarkError, "holds weights that are not finite; name another file."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_such_weights_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    make, error, sentence = REFUSED[case]
    path = tmp_path / "mine.pt"
    make(path)
    vocoder = Learned(Learned.Config(checkpoint=str(path)))
    with pytest.raises(error, match=sentence) as raised:
        vocoder.prepare(VocoderContext(never))
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".") and vocoder.gain.tolist() == [1, 1]


def test_what_the_file_holds_is_part_of_a_runs_identity_and_where_it_is_not_given_nothing_is(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.pt")
    given = ("--algo", "maml", "--vocoder", "trained_vocoder")
    named = (*given, "--vocoder.checkpoint", str(path))
    without, first = identity(given, [EXAMPLE]), identity(named, [EXAMPLE])
    assert set(without.sources) == {"algorithm", "dataset", "backbone", "vocoder"}
    assert set(first.sources) == {*without.sources, "vocoder weights"}
    assert run_id(identity(named, [EXAMPLE])) == run_id(first) != run_id(without)
    written(path, gain=4.0)
    assert run_id(identity(named, [EXAMPLE])) != run_id(first)
    path.unlink()
    with pytest.raises(UsageError, match=r"vocoder.checkpoint .*mine.pt can't be read \(No such file or directory\); name a file"):
        identity(named, [EXAMPLE])


def test_a_run_with_weights_that_do_not_fit_ends_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = registry.load_info(registry.from_file(EXAMPLE))
    path = tmp_path / "mine.pt"
    trained(trained.tiny()).save_weights(path)
    words = ["run", "--dataset", "espeak", "--cache", tmp_path, "--output", tmp_path, "--algo", "copy_synthesis", "--plugin", EXAMPLE]
    words += ["--vocoder", "trained_vocoder", "--vocoder.hidden", "4", "--vocoder.checkpoint", path]
    assert "layers.0.weight is 8 x 80 x 7 there and 4 x 80 x 7 here" in refused(words, 2, capsys)
    path.unlink()
    assert "There is no checkpoint" in refused(words, 2, capsys)


VOCODERS: list[Callable[[], Vocoder]] = [
    *(lambda info=info: registry.load_info(info)(registry.load_info(info).tiny()) for info in registry.find("vocoder").values()),  # type: ignore[misc]
    lambda: registry.load_info(registry.from_file(EXAMPLE))(),
    Learned,
]


@pytest.mark.parametrize("make", VOCODERS)
def test_mels_that_nothing_can_be_made_of_are_refused_and_long_ones_are_not(make: Callable[[], Vocoder]) -> None:
    torch.manual_seed(0)
    vocoder = make().eval()
    for frames in range(4):
        with pytest.raises(PredictionFailed, match=rf"the mel has {frames} frames?, and a waveform takes 4"):
            vocoder.decode(torch.zeros(frames, 80))
    for value in (torch.nan, torch.inf, -torch.inf):
        mel = torch.zeros(9, 80)
        mel[4, 7] = value
        with pytest.raises(PredictionFailed, match="the mel holds values that are not finite"):
            vocoder.decode(mel)
    with torch.no_grad():
        for frames in (4, 5, 1200):
            assert len(vocoder.decode(torch.randn(frames, 80) - 5)) == (frames - 1) * 256


PICKY = '''
"""Can't make anything of every other mel."""
import torch
from benchmark.vocoder import Vocoder

class Picky(Vocoder):
    """Overflows in the first utterance that it gets, and in every second one after it."""
    def __init__(self, config=None):
        super().__init__(config)
        self.given = 0
    def decode(self, mel):
        self.given += 1
        return torch.full(((len(mel) - 1) * self.mel.hop_length,), torch.inf if self.given % 2 else 0.1)

PLUGIN = Picky
'''


@pytest.mark.usefixtures("in_this_process")
def test_what_it_can_not_speak_is_counted_in_a_run_and_told_by_say(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, output = tmp_path / "picky.py", tmp_path / "runs"
    plugin.write_text(PICKY)
    words = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "speaker_similarity"]
    words += ["--vocoder", "picky", "--plugin", str(plugin), "--cache", str(cache), "--output", str(output)]
    assert main(["run", "--algo", "finetune", *words]) == 0
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    episodes = pd.read_csv(folder / "episodes.csv")
    failed = episodes["failures"].str.contains("the vocoder made a waveform that is not finite", na=False)
    assert 0 < failed.sum() < len(episodes) == 4 and episodes["speaker_similarity"][failed].isna().all()
    point = json.loads((folder / "result.json").read_text())["curve"]
    assert sum(each["metrics"]["speaker_similarity"]["n_failed"] for each in point) >= failed.sum()

    voice = tmp_path / "voice.wav"
    soundfile.write(voice, speech(SENTENCES[0], "f2"), 16_000)
    voice.with_suffix(".txt").write_text(SENTENCES[0])
    say = ["say", "Hello there.", "--run", folder, "--voice", voice, "-o", tmp_path / "out.wav", "--cache", cache, "--plugin", plugin]
    said = refused(say, 1, capsys)
    assert "finetune could not speak: the vocoder made a waveform that is not finite; try fewer --steps or other recordings." in said
    assert not (tmp_path / "out.wav").exists()


def test_a_waveform_that_is_not_finite_is_a_failure() -> None:
    vocoder = Learned()
    torch.nn.init.constant_(vocoder.gain, 1e38)
    with pytest.raises(PredictionFailed, match="made a waveform that is not finite"):
        vocoder.decode(torch.full((4, 80), -1e3))
