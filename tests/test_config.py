"""Settings come from preset, file and command line, in that order, and mistakes in them are told in one sentence."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from benchmark.errors import BenchmarkError, UsageError
from benchmark.settings import config
from benchmark.settings.config import Plugin, from_dict, parse, plugin, plugins, read_preset, to_dict, to_yaml
from benchmark.settings.help import settings_help
from benchmark.settings.schema import RunSettings
from benchmark.settings.tuned_values import parse as parse_run
from tests.cli_helpers import refused

VOCODER = '''
from __future__ import annotations
from dataclasses import dataclass
from benchmark.vocoder import Vocoder

class Tiny(Vocoder):
    """Tiny."""

    @dataclass(frozen=True)
    class Config:
        """Options.

        Attributes:
            rounds: of estimation.
        """

        rounds: int = 3
        momentum: float = 0.5
        sizes: tuple[int, ...] = (1, 2)

        def __post_init__(self) -> None:
            if self.rounds < 1:
                raise ValueError(f"rounds must be at least 1, not {self.rounds}")

    def decode(self, mel):
        return mel

PLUGIN = Tiny
'''


@dataclass(frozen=True)
class Training:
    """Training.

    Attributes:
        steps: of the optimiser.
        rate: of learning.
    """

    steps: int = 10
    rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate must be above 0, not {self.rate}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings.

    Attributes:
        shots: support sizes.
    """

    vocoder: Plugin = plugin("vocoder")
    metrics: tuple[Plugin, ...] = plugins("metric", ("mcd", "stoi"))
    shots: tuple[int, ...] = (5,)
    names: tuple[str, ...] = ()
    mode: Literal["fast", "slow"] = "fast"
    limit: int | None = None
    quick: bool = False
    folder: Path = Path("runs")
    training: Training = field(default_factory=Training)


@dataclass(frozen=True, kw_only=True)
class WithPreset(Settings):
    """Settings with a preset."""

    preset: str = "one"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two plugin files that differ in name only, and in one option."""
    (tmp_path / "tiny.py").write_text(VOCODER)
    (tmp_path / "other.py").write_text(VOCODER.replace("rounds", "passes"))
    return [tmp_path / "tiny.py", tmp_path / "other.py"]


def read(files: list[Path], *arguments: str, text: str | None = None, kind: Any = Settings) -> Any:
    """Parse, and hold every success to the round trip through YAML."""
    words = list(arguments)
    if text is not None:
        path = files[0].parent / "settings.yaml"
        path.write_text(text, encoding="utf-8")
        words += ["--config", str(path)]
    settings = parse(kind, words, files, also=("--output",))
    assert from_dict(kind, yaml.safe_load(to_yaml(settings)), "config.yaml", files) == settings
    return settings


def test_defaults_are_the_dataclasses_own(files: list[Path]) -> None:
    settings = read(files, "--vocoder", "tiny")
    assert settings.vocoder.name == "tiny" and settings.vocoder.config.rounds == 3
    assert [each.name for each in settings.metrics] == ["mcd", "stoi"]
    assert dataclasses.replace(settings, vocoder=Plugin("x"), metrics=()) == Settings(vocoder=Plugin("x"), metrics=())


def test_the_command_line_reaches_every_kind_of_field(files: list[Path]) -> None:
    settings = read(
        files,
        *("--vocoder=tiny", "--vocoder.rounds", "7", "--vocoder.momentum", "1", "--vocoder.sizes", "4"),
        *("--shots", "5,10", "--names", "a,b", "--mode", "slow", "--limit", "3", "--quick", "--folder", "x/y"),
        *("--training.rate", "1e-5", "--metrics", "pesq"),
    )
    assert settings.vocoder.config == type(settings.vocoder.config)(rounds=7, momentum=1.0, sizes=(4,))
    assert isinstance(settings.vocoder.config.momentum, float)
    assert (settings.shots, settings.names, settings.mode) == ((5, 10), ("a", "b"), "slow")
    assert (settings.limit, settings.quick, settings.folder) == (3, True, Path("x/y"))
    assert settings.training == Training(10, 1e-5)
    assert [each.name for each in settings.metrics] == ["pesq"]


def test_dashes_in_keys_and_names_stand_for_underscores(files: list[Path]) -> None:
    assert read(files, "--vocoder", "griffin-lim").vocoder.name == "griffin_lim"


def test_yaml_takes_the_short_and_the_long_form(files: list[Path]) -> None:
    assert read(files, text="vocoder: tiny").vocoder == read(files, text="vocoder: {name: tiny}").vocoder
    settings = read(files, text="vocoder: {name: tiny, rounds: 2}\ntraining: {rate: 1e-4}\nshots: 3\nlimit: null\n")
    assert settings.vocoder.config.rounds == 2 and settings.training.rate == 1e-4 and settings.shots == (3,)
    listed, mapped = read(files, "--vocoder=tiny", text="metrics: [per]"), read(files, "--vocoder=tiny", text="metrics: {per: {}}")
    assert listed == mapped and [each.name for each in listed.metrics] == ["per"]


def test_an_option_of_one_of_several_plugins(files: list[Path]) -> None:
    by_file = read(files, "--vocoder=tiny", text="metrics: {mcd: {}, per: {epochs: 3}}")
    by_word = read(files, "--vocoder=tiny", "--metrics", "mcd,per", "--metrics.per.epochs", "3")
    assert by_file == by_word and by_file.metrics[1].config.epochs == 3


def test_preset_below_file_below_command_line(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = files[0].parent
    monkeypatch.setattr(config, "PRESETS", folder)
    (folder / "one.yaml").write_text("training: {steps: 1, rate: 0.1}\nshots: [1]\nlimit: 1\nvocoder: tiny")
    (folder / "two.yaml").write_text("training: {steps: 2}\nvocoder: tiny")
    settings = read(files, "--limit", "3", text="training: {steps: 5}\nlimit: 2", kind=WithPreset)
    assert (settings.training, settings.shots, settings.limit) == (Training(5, 0.1), (1,), 3)
    assert read(files, "--preset", "two", kind=WithPreset).training.steps == 2
    assert read(files, text="preset: two", kind=WithPreset).preset == "two"
    with pytest.raises(UsageError, match=r"no preset called 'tow'; did you mean 'two'\?"):
        read(files, "--preset", "tow", kind=WithPreset)


def test_another_plugin_drops_the_options_of_the_one_before(files: list[Path]) -> None:
    settings = read(files, "--vocoder", "other", "--vocoder.passes", "9", text="vocoder: {name: tiny, rounds: 2}")
    assert settings.vocoder.name == "other" and settings.vocoder.config.passes == 9


def test_options_without_a_name_are_for_whichever_is_chosen(files: list[Path]) -> None:
    assert read(files, "--vocoder", "tiny", text="vocoder: {rounds: 2}").vocoder.config.rounds == 2
    with pytest.raises(UsageError, match=r"no setting 'vocoder\.rounds' of other"):
        read(files, "--vocoder", "other", text="vocoder: {rounds: 2}")


def test_a_preset_has_values_of_its_own_for_a_problem() -> None:
    words = ["--algo", "reptile", "--dataset", "espeak"]
    recognition, synthesis = parse_run([*words, "--backbone", "crnn_ctc"]), parse_run(words)
    assert (recognition.meta.tflops, recognition.meta.tasks, recognition.backbone.config.layers) == (1, synthesis.meta.tasks, 1)
    assert synthesis.meta.tflops == 24
    assert parse_run([*words, "--backbone", "crnn_ctc", "--meta.tflops", "5"]).meta.tflops == 5


def test_every_shipped_preset_fills_the_run_settings() -> None:
    words = ["--algo", "reptile", "--dataset", "espeak"]
    made = [parse(RunSettings, [*words, "--preset", name]) for name in config.presets()]
    assert {"smoke", "small", "paper"} == {settings.preset for settings in made}
    assert len({to_yaml(settings) for settings in made}) == len(made)
    assert all(from_dict(RunSettings, yaml.safe_load(to_yaml(settings)), "config.yaml") == settings for settings in made)
    assert parse(RunSettings, words).preset == "small"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "No vocoder is chosen: give --vocoder NAME, where NAME is one of .*griffin_lim"),
        (["--vocoder", "tinny"], "no vocoder called 'tinny'; did you mean 'tiny'"),
        (["--vocoder=tiny", "--vocoder.round=1"], "'--vocoder.round' of tiny; did you mean '--vocoder.rounds'"),
        (["--vocoder=tiny", "--rounds=1"], "did you mean '--vocoder.rounds'"),
        (["--vocoder=tiny", "--outputs=1"], "did you mean '--output'"),
        (["--vocoder=tiny", "--zzz=1"], "no setting '--zzz'. There are: vocoder, metrics, shots"),
        (["--vocoder=tiny", "--vocoder.rounds=1.5"], "--vocoder.rounds must be a whole number, not '1.5'"),
        (["--vocoder=tiny", "--vocoder.rounds=0"], "vocoder.rounds must be at least 1, not 0"),
        (["--vocoder=tiny", "--vocoder.rounds=1_0"], "must be a whole number, not '1_0': write 1_0 as a plain number"),
        (["--vocoder=tiny", "--shots=5,1:30"], "--shots must be a list, .*: write 1:30 as a plain number"),  # 90 in YAML
        (["--vocoder=tiny", "--training.rate=٠"], "--training.rate must be a number, not '٠'"),
        (["--vocoder=tiny", "--training.rate=-1"], "training.rate must be above 0, not -1"),
        (["--vocoder=tiny", "--training.rate=.nan"], "training.rate must be a (finite )?number, not"),
        (["--vocoder=tiny", "--training.rate=.inf"], "training.rate must be a finite number, not inf"),
        (["--vocoder=tiny", "--shots=5,a"], "--shots must be a list, each item a whole number, not '5,a'"),
        (["--vocoder=tiny", "--mode=c"], "--mode must be one of fast, slow, not 'c'"),
        (["--vocoder=tiny", "--limit=q"], "--limit must be a whole number or null, not 'q'"),
        (["--vocoder=tiny", "--training=3"], "--training is a group of settings: give one of --training.steps"),
        (["--vocoder=tiny", "--metrics=mcd,psq"], "no metric called 'psq'; did you mean 'pesq'"),
        (["--vocoder=tiny", "--metrics=mcd,pesq,mcd"], "metrics names mcd twice"),
        (["--vocoder=tiny", "--metrics.pesq.x=1"], "no setting '--metrics.pesq.x'"),
        (["--vocoder=tiny", "--config"], "--config needs a value: --config FILE"),
        (["--vocoder", "--limit=3"], "--vocoder needs a value: --vocoder NAME"),
        (["--vocoder=tiny", "stray"], "Unexpected argument 'stray': write options as --key value, with commas between values"),
        (["--vocoder=tiny", "--config=none.yaml"], "Config file none.yaml can't be read: No such file"),
    ],
)
def test_mistakes_on_the_command_line(files: list[Path], arguments: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as error:
        read(files, *arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1\nb: 2", "is not valid YAML: line 2"),
        ("a: \x00", "is not valid YAML"),
        ("- 1", "must hold 'key: value' lines, not a list"),
        ("!!python/object/apply:os.getcwd []", "is not valid YAML: line 1"),
        ("vocoder: 3", "vocoder in .* must be the name of a vocoder, not 3"),
        ("vocoder: {name: tiny, rounds: x}", "vocoder.rounds in .*settings.yaml must be a whole number, not 'x'"),
        ("vocoder: {name: tiny, rounds: 0}", "vocoder.rounds must be at least 1"),
        ("training: {setps: 3}", "no setting 'training.setps' in .*; did you mean 'training.steps'"),
        ("training: 3", "training in .* must be a group of settings"),
        ("metrics: {mcd: {a: 1}}", "no setting 'metrics.mcd"),
        ("quick: 3", "quick in .* must be true or false, not 3"),
        ("shots: [a]", "shots in .* must be a list, each item a whole number"),
        ("preset: small", "no setting 'preset'"),
    ],
)
def test_mistakes_in_a_file(files: list[Path], text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as error:
        read(files, "--vocoder", "tiny", text=text)
    assert "\n" not in str(error.value)


def test_a_config_that_is_no_dataclass_is_the_plugins_mistake(files: list[Path]) -> None:
    files[0].write_text(VOCODER.replace("    @dataclass(frozen=True)\n", ""))
    with pytest.raises(BenchmarkError, match=r"The vocoder in .*tiny\.py must have a dataclass called Config"):
        read(files, "--vocoder", "tiny")


def test_the_plain_form_holds_every_option(files: list[Path]) -> None:
    plain = to_dict(read(files, "--vocoder=tiny", "--metrics=mcd"))
    assert plain["vocoder"] == {"name": "tiny", "rounds": 3, "momentum": 0.5, "sizes": [1, 2]}
    assert plain["metrics"] == {"mcd": {}} and plain["folder"] == "runs" and plain["training"]["steps"] == 10


def test_help_lists_settings_and_the_chosen_plugins_options(files: list[Path]) -> None:
    text = settings_help(Settings, ["--vocoder", "tiny"], files)
    for expected in ("--vocoder.rounds", "of estimation (default 3)", "--training.steps", "support sizes (default 5)"):
        assert expected in text
    assert "--vocoder.rounds" not in settings_help(Settings, [], files)


def test_the_order_of_shots_and_steps_makes_no_other_run() -> None:
    given = parse(RunSettings, ["--algo", "maml", "--dataset", "espeak", "--steps", "5,0,5", "--shots", "5,1"])
    assert (given.steps, given.shots) == ((0, 5), (1, 5))


def test_help_shows_the_values_of_the_preset() -> None:
    for arguments, name in ([], "small"), (["--preset", "paper"], "paper"):
        preset, text = read_preset(name), " ".join(settings_help(RunSettings, arguments).split())
        steps = ",".join(map(str, preset["steps"]))
        for value in (steps, preset["vocoder"], preset["pretrain"]["steps"]):
            assert f"(default {value})" in text


def test_help_names_metrics_options_as_they_are_given() -> None:
    said = settings_help(RunSettings, ["--metrics", "per,mcd"], [])
    assert "--metrics.per.epochs" in said and "settings of metric mcd" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]", "line 2, refers to another value by '*a'; write the value there"),
        ("a: &a {b: *a}", "line 1, refers to another value by '*a'"),
        ("vocoder: {<<: *a}", "line 1, refers to another value"),
        ("a: " + 50_000 * "[", "line 1, nests values more than 20 deep"),
        ("".join(f"{' ' * depth}a:\n" for depth in range(30)), "nests values more than 20 deep"),
        ("seed: 2026-13-45", "holds a value that can't be read: month must be in 1..12"),
        ("seed: !!timestamp x", "holds a value that can't be read"),
        ("seed: !!int x", "holds a value that can't be read"),
        (f"seed: {5000 * '9'}", "holds a value that can't be read"),
        (f"seed: 0x{5000 * 'f'}", "holds a whole number of more than 64 bits"),
        (f"shots: [5, 0{5000 * '7'}]", "holds a whole number of more than 64 bits"),
        (f"algo: {{inner_lr: 1{4000 * ':59'}}}", "holds a whole number of more than 64 bits"),
        (f"? 0x{5000 * 'f'}\n: 1", "holds a whole number of more than 64 bits"),
        ("seed: !!binary ä", "is not valid YAML"),
        ("a: " + 200_000 * "x", "is longer than 100000 bytes"),
    ],
)  # fmt: skip
def test_bombs_and_garbage_in_a_file_are_refused_at_once(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    started = time.monotonic()
    with pytest.raises(UsageError, match=re.escape(sentence)):
        parse(RunSettings, ["--config", str(file)])
    assert time.monotonic() - started < 5


def test_numbers_too_large_to_be_printed_or_used_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(config.__file__).parents[2] / "algorithms/finetune.py").read_text()
    for name, default in (("written", f"0x{5000 * 'f'}"), ("computed", "1 << 20_000")):
        field = f"class Config(Checked):\n        size: int = {default}"
        (tmp_path / f"{name}.py").write_text(text.replace("class Config(Checked):", field))
        command = ["run", "--plugin", str(tmp_path / f"{name}.py"), "--algo", name, "--dataset", "espeak", "--preset", "smoke"]
        assert "algo.size must be a whole number of at most 64 bits." in refused(command, 2, capsys)
    huge = ["run", "--algo", "finetune", "--dataset", "espeak", "--algo.learning_rate", 500 * "9"]
    assert "A number on the command line is too large; give a smaller one." in refused(huge, 2, capsys)
    assert "written.py holds a value that can't be read" in refused(["describe", str(tmp_path / "written.py")], 1, capsys)


def test_a_config_file_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"Config file .*pipe can't be read: it is no file\."):
        config.read_yaml(tmp_path / "pipe")


def test_what_seems_to_be_left_out_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["run", "--algo", "reptile", "--dataset", "espeak"]
    assert "There is no preset called ''" in refused([*start, "--preset", ""], 2, capsys)
    assert "There is no preset called ''" in refused([*start, "--preset="], 2, capsys)
    for option in ("--output", "--cache", "--data-root"):
        assert f"{option}: must be a path, not empty" in refused([*start, option, ""], 2, capsys)
    assert "can't be read: Is a directory" in refused([*start, "--config", ""], 2, capsys)


def test_a_value_of_any_length_makes_a_short_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["run", "--algo", "reptile", "--dataset", "espeak", "--seed", 100_000 * "9"], 2, capsys)
    assert len(said) < 2100 and "--seed" in said


def test_text_of_several_lines_is_refused_because_tables_hold_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--algo", "finetune", "--dataset", "espeak", "--algo.groups", '["decoder", "out\\nput"]']
    assert "algo.groups must be text on one line" in refused(words, 2, capsys)
