"""What makes a run another run: code that a plugin is made of, versions, devices; and not where code lies or how it is written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import benchmark
from benchmark.errors import UsageError
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_spec
from benchmark.plugins.digest import source_digest
from benchmark.results.result import RunIdentity, run_id
from benchmark.running import pretraining, vocoding
from benchmark.running.checks import check_shares
from benchmark.running.episodes import Manifest
from benchmark.running.hardware import Hardware
from benchmark.running.identity import EVALUATION_VERSION, TRAINING_VERSION, identify, outside_plugins, plugin_digest
from benchmark.running.preparation import metrics_folder
from benchmark.settings import tuned_values
from benchmark.settings.schema import PretrainSettings, VocoderSettings
from benchmark.vocoder import Vocoder
from tests.toy_backbones import Linear
from tools import record_versions

METHOD = '''
"""A method of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.algorithms.no_adaptation import NoAdaptation

from .parts import RATE, Base

if TYPE_CHECKING:
    from benchmark.batch import Batch


class Mine(Base):
    """It does little."""

    rate = RATE

    def twice(self, support: Batch) -> float:
        return 2 * RATE


PLUGIN = Mine
'''
PARTS = '''
from dataclasses import dataclass

from benchmark.algorithm import Algorithm
from . import constants as numbers

RATE = 0.5 * numbers.HALF

class Base(Algorithm):
    """Shared by my methods."""

    @dataclass(frozen=True)
    class Config:
        depth: int = 3
        """Layers."""

    def meta_step(self, tasks):
        return {"loss": 0.0}

    def adapt(self, support, steps):
        return iter(())

    def adapted_parameters(self):
        return {}
'''
CORPUS: Any = SimpleNamespace(
    name="voices", version="v1", training_digest="t1", preparation="3", meta={"card": {"synthetic": True}}, symbols="ab", characters="ab",
    mel=MelSpec(), statistics=None, speakers=lambda split: ["one", "two"],
)  # fmt: skip
CORPUS.own = CORPUS
MANIFEST = Manifest("voices", {"test": ("three",)}, {"test": ()})


def write(folder: Path, method: str = METHOD, parts: str = PARTS, half: float = 0.5, name: str = "mine.py") -> Path:
    """A plugin file with two files beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "parts.py").write_text(parts, encoding="utf-8")
    (folder / "constants.py").write_text(f"HALF = {half}\n", encoding="utf-8")
    path = folder / name
    path.write_text(method, encoding="utf-8")
    return path


def digest(path: Path) -> str:
    return source_digest(registry.from_file(path))


def identity(
    arguments: Sequence[str] = ("--algo", "maml"), plugins: Sequence[Path] = (), hardware: Hardware = Hardware("cpu")
) -> RunIdentity:
    """Of a smoke run on the embedded voices."""
    plugin_digest.cache_clear()  # a process keeps what it found first
    given = [*arguments, "--dataset", "espeak", "--preset", "smoke"]
    return identify(tuned_values.parse(given, tuple(plugins)), CORPUS, MANIFEST, tuple(plugins), hardware)


def id_of(path: Path) -> str:
    return run_id(identity(("--algo", path.stem), [path]))


def test_a_file_that_was_moved_reformatted_or_commented_makes_the_same_run(tmp_path: Path) -> None:
    first = write(tmp_path / "here")
    moved = write(tmp_path / "there")
    assert digest(moved) == digest(first) and id_of(moved) == id_of(first)
    assert digest(write(tmp_path / "renamed", name="ours.py")) == digest(first)
    otherwise = METHOD
    for was, said in (
        ('"""It does little."""', '"""It does\n\n    much."""  # really'), ("2 * RATE", "(\n        2   * RATE\n        )"),
        ("\nfrom .parts import RATE, Base\n", "\nimport math\n\nfrom .parts import Base\nfrom .parts import RATE as FACTOR\n"),
        ("RATE\n", "FACTOR\n"), ("if TYPE_CHECKING:\n    from benchmark.batch import Batch\n", "from benchmark.batch import Batch\n"),
    ):  # fmt: skip
        assert was in otherwise
        otherwise = otherwise.replace(was, said)
    written = write(tmp_path / "written", otherwise, PARTS.replace('"""Layers."""', '"""How many."""'))
    assert digest(written) == digest(first) and id_of(written) == id_of(first)


def test_a_file_beside_may_be_renamed(tmp_path: Path) -> None:
    first = write(tmp_path / "here")
    other = write(tmp_path / "there", METHOD.replace(".parts", ".shared.pieces"), PARTS.replace("from . import", "from .. import"))
    (tmp_path / "there" / "shared").mkdir()
    other.with_name("parts.py").rename(tmp_path / "there" / "shared" / "pieces.py")
    assert digest(other) == digest(first)
    assert registry.load("algorithm", "mine", [other]).rate == 0.25


def test_one_constant_in_a_file_beside_makes_another_run(tmp_path: Path) -> None:
    first, other = write(tmp_path / "here"), write(tmp_path / "there", half=0.25)
    assert digest(other) != digest(first)
    assert id_of(other) != id_of(first)
    again = write(tmp_path / "third", parts=PARTS.replace("depth: int = 3", "depth: int = 4"))
    assert digest(again) != digest(first)


def test_an_absolute_import_of_a_file_beside_counts(tmp_path: Path) -> None:
    method = METHOD.replace("from .parts", "from parts")
    parts = PARTS.replace("from . import constants as numbers", "import constants as numbers")
    first, other = write(tmp_path / "here", method, parts), write(tmp_path / "there", method, parts, half=0.25)
    assert digest(first) != digest(other)


def test_which_of_two_functions_a_name_stands_for_counts(tmp_path: Path) -> None:
    one, other = (
        write(tmp_path / name, METHOD.replace("import RATE, Base", f"import {name} as RATE, Base"), f"{PARTS}\nSLOW = 1\nFAST = 2\n")
        for name in ("SLOW", "FAST")
    )
    assert digest(one) != digest(other)


LOSSES = """
from {package}slow import loss as slow_loss
from {package}fast import loss as fast_loss
from benchmark.algorithm import Algorithm

class A(Algorithm):
    def both(self):
        return slow_loss(), fast_loss()

PLUGIN = A
"""


def losses(folder: Path, method: str, **files: str) -> str:
    """The digest of a plugin beside two files that each define ``loss``."""
    folder.mkdir()
    for name, code in {"slow": "def loss(): return 1", "fast": "def loss(): return 2", **files}.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    path = folder / "mine.py"
    path.write_text(method, encoding="utf-8")
    return digest(path)


def test_where_a_name_is_imported_from_counts(tmp_path: Path) -> None:
    relative = LOSSES.format(package=".")
    first = losses(tmp_path / "first", relative)
    for number, (was, said) in enumerate((
        ("slow_loss(), fast_loss()", "fast_loss(), slow_loss()"),
        ("from .slow import loss as slow_loss", "from .fast import loss as slow_loss"),
        ("slow_loss(), fast_loss()", "fast_loss(), fast_loss()"),
    )):  # fmt: skip
        assert was in relative and losses(tmp_path / f"{number}", relative.replace(was, said)) != first
    log = "from {} import log\nfrom benchmark.algorithm import Algorithm\n\nclass A(Algorithm):\n    x = log(2)\n\nPLUGIN = A\n"
    assert losses(tmp_path / "math", log.format("math")) != losses(tmp_path / "numpy", log.format("numpy"))
    assert losses(tmp_path / "alias", log.format("math").replace("log\n", "log as l\n").replace("log(", "l(")) == digest(
        tmp_path / "math/mine.py"
    )
    whole = log.format("math").replace("from math import log", "import math as m").replace("log(", "m.log(")
    assert losses(tmp_path / "whole", whole) == digest(tmp_path / "math/mine.py")
    star = log.replace("import log", "import *")
    assert losses(tmp_path / "star math", star.format("math")) != losses(tmp_path / "star numpy", star.format("numpy"))


def test_a_name_counts_as_what_it_stands_for_however_it_is_imported(tmp_path: Path) -> None:
    first = losses(tmp_path / "first", LOSSES.format(package="."))
    assert losses(tmp_path / "absolute", LOSSES.format(package="")) == first
    modules = (
        LOSSES.format(package=".").replace("from .slow import loss as slow_loss", "from . import slow").replace("slow_loss", "slow.loss")
    )
    assert losses(tmp_path / "modules", modules) == first
    again = LOSSES.format(package=".").replace(".slow import loss as", ".both import").replace(".fast import loss as", ".both import")
    both = "from .slow import loss as slow_loss\nfrom .fast import loss as fast_loss"
    assert losses(tmp_path / "again", again, both=both) == first
    swapped = "from .fast import loss as slow_loss\nfrom .slow import loss as fast_loss"
    assert losses(tmp_path / "swapped", again, both=swapped) != first
    # Files that import one another.
    cyclic = {"slow": "from . import fast\ndef loss(): return fast.loss", "fast": "from . import slow\ndef loss(): return slow.loss, 1"}
    one = losses(tmp_path / "cyclic", LOSSES.format(package="."), **cyclic)
    assert losses(tmp_path / "moved", LOSSES.format(package="."), **cyclic) == one
    assert losses(tmp_path / "edited", LOSSES.format(package="."), **{**cyclic, "fast": cyclic["fast"].replace("1", "2")}) != one


def test_a_plugin_file_imports_from_beside_it_and_is_described_with_what_it_inherits(tmp_path: Path) -> None:
    path = write(tmp_path)
    loaded = registry.load("algorithm", "mine", [path])
    assert loaded.rate == 0.25
    found = registry.describe(registry.from_file(path))
    assert [(field.name, field.default, field.doc) for field in found.fields] == [("depth", "3", "Layers.")]
    second = write(tmp_path, name="second.py")
    assert registry.load("algorithm", "second", [second]).__mro__[1] is loaded.__mro__[1], "a file beside is run once"
    write(tmp_path / "lost").with_name("parts.py").unlink()
    with pytest.raises(UsageError, match="must be a class in it that derives from"):
        registry.from_file(tmp_path / "lost" / "mine.py")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code, in which built-in plugins are found."""
    for folder in benchmark.__path__:
        for part in ("", "learning", "algorithms"):
            for path in Path(folder, part).glob("*.py"):
                copy = tmp_path / "benchmark" / part / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    monkeypatch.setattr(benchmark, "__path__", [str(tmp_path / "benchmark")])
    return tmp_path / "benchmark"


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")


def test_code_that_built_in_plugins_share_counts_and_contracts_do_not(checkout: Path) -> None:
    def digests() -> dict[str, str]:
        return {name: source_digest(registry.get("algorithm", name)) for name in ("maml", "reptile", "style")}

    first = digests()
    for contract in ("algorithm.py", "backbone.py", "batch.py", "task.py", "utterance.py"):
        append(checkout / contract, "MORE = 1")
    append(checkout / "learning" / "outer_loop.py", "# A comment.")
    assert digests() == first
    append(checkout / "learning" / "outer_loop.py", "MORE = 1")
    second = digests()
    assert second["maml"] != first["maml"] and (second["reptile"], second["style"]) == (first["reptile"], first["style"])
    append(checkout / "learning" / "inner_loop.py", "MORE = 1")
    third = digests()
    assert third["maml"] != second["maml"] and third["reptile"] != second["reptile"] and third["style"] == second["style"]
    append(checkout / "algorithms" / "style.py", "MORE = 1")
    assert digests()["style"] != third["style"]


def test_a_plugin_file_is_made_of_the_built_in_code_that_it_imports(checkout: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    imports = "from benchmark.learning.inner_loop import descend\nfrom benchmark.algorithm import Algorithm\n"
    path.write_text(f"{imports}\nclass A(Algorithm): ...\n\nPLUGIN = A\n")
    first = digest(path)
    append(checkout / "algorithm.py", "MORE = 1")
    assert digest(path) == first
    append(checkout / "learning" / "inner_loop.py", "MORE = 1")
    assert digest(path) != first


def test_an_entry_point_counts_with_the_files_of_its_own_package_alone(tmp_path: Path) -> None:
    package = tmp_path / "mymethods"
    path = write(package, METHOD.replace(".parts", "mymethods.parts"))
    (package / "__init__.py").write_text("")
    (tmp_path / "torch.py").write_text("X = 1\n")  # what lies beside the package is not part of it
    info = registry.PluginInfo("mine", "algorithm", "mymethods.mine", "PLUGIN", path, "entry point of mymethods")
    append(path, "import torch")
    first = source_digest(info)
    append(tmp_path / "torch.py", "X = 2")
    assert source_digest(info) == first
    append(package / "constants.py", "HALF = 2")
    assert source_digest(info) != first


def test_a_built_in_metric_counts_by_its_version_and_one_from_outside_by_its_code_too(tmp_path: Path) -> None:
    path = tmp_path / "loudness.py"
    path.write_text(
        "from benchmark.metric import Column, Metric\n\n\nclass Loudness(Metric):\n    version = '7'\n"
        "    columns = {'loudness': Column('', 'how loud it is', True)}\n    needs = ('speech',)\n\n"
        "    def score(self, sample):\n        return {'loudness': 1.0}\n\n\nPLUGIN = Loudness\n"
    )
    given = ("--algo", "maml", "--metrics", "mcd,loudness")
    first = identity(given, [path])
    assert first.metric_versions == {"mcd": registry.load("metric", "mcd").version, "loudness": "7"}
    assert set(first.sources) == {"algorithm", "dataset", "backbone", "vocoder", "vocoder weights", "metric loudness"}
    assert (first.training_version, first.evaluation_version) == (TRAINING_VERSION, EVALUATION_VERSION)
    path.write_text(path.read_text().replace("1.0", "2.0"))
    assert run_id(identity(given, [path])) != run_id(first)
    assert outside_plugins(tuned_values.parse([*given, "--dataset", "espeak", "--preset", "smoke"], [path]), [path]) == ["metric loudness"]


@pytest.mark.parametrize("name", ["TRAINING_VERSION", "EVALUATION_VERSION"])
def test_a_raised_version_makes_another_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_id(identity())
    monkeypatch.setattr(f"benchmark.running.identity.{name}", "next")
    assert run_id(identity()) != first


@pytest.mark.parametrize(
    ("part", "value", "runs", "learned"),
    [("preparation", "4", 2, 2), ("training_digest", "t2", 1, 2), ("version", "v2", 2, 1)],
    ids=["another preparation", "other training speech", "other test speakers"],
)
def test_what_makes_another_run_and_what_is_learned_again(
    part: str, value: str, runs: int, learned: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version of a corpus is a digest of what its speech was made from."""
    monkeypatch.setattr(pretraining, "_train", lambda model, *_: model.state_dict())
    kept: set[Path] = set()

    def train(vocoder: Vocoder, _name: str, done: Path, *_: Any) -> dict[str, torch.Tensor]:
        kept.add(done)
        return vocoder.weights()

    monkeypatch.setattr(vocoding, "_train", train)
    ids, keys, folders = set(), set(), set()
    for each in (getattr(CORPUS, part), value):
        monkeypatch.setattr(CORPUS, part, each)
        ids.add(run_id(identity()))
        keys.add(pretraining.pretrained(Small, Small.Config(), "code", CORPUS, PretrainSettings(), 0, tmp_path)[1])
        vocoding.prepared(Learned(), "learned", "code", CORPUS, VocoderSettings(), 0, tmp_path)
        folders.add(metrics_folder(tmp_path, CORPUS))
    assert len(ids) == runs and len(keys) == len(kept) == len(folders) == learned


OTHERS = [Hardware("gpu"), Hardware("cpu", precision="bf16-mixed")]


def test_device_precision_and_number_of_processes_make_another_run() -> None:
    first = run_id(identity(hardware=Hardware("cpu")))
    assert len({first, *(run_id(identity(hardware=each)) for each in (*OTHERS, Hardware("cpu", devices=2)))}) == 4
    assert run_id(identity(hardware=Hardware("cpu", devices=2, strategy="ddp"))) == run_id(identity(hardware=Hardware("cpu", devices=2)))


@pytest.mark.parametrize("name", ["metric", "memory", "fast_weights"])
def test_algorithms_that_compare_tasks_are_not_trained_by_several_processes(name: str) -> None:
    settings = tuned_values.parse(["--algo", name, "--dataset", "espeak", "--preset", "smoke"])
    check_shares(settings, Hardware("cpu"), ())
    with pytest.raises(UsageError, match=rf"^{name} learns from all tasks of a step together, so 2 processes .* \(--devices 1\)\.$"):
        check_shares(settings, Hardware("cpu", devices=2), ())


def test_how_a_backbone_decodes_makes_another_run_of_the_same_pretraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "_train", lambda model, *_: model.state_dict())
    monkeypatch.setattr("benchmark.backbones.crnn_ctc.find_spec", lambda name: name)
    given = ("--algo", "maml", "--backbone", "crnn_ctc")
    assert run_id(identity(given)) != run_id(identity((*given, "--backbone.beam", "4")))
    plugin: Any = registry.load("backbone", "crnn_ctc")
    corpus: Any = SimpleNamespace(**{**vars(CORPUS), "statistics": tiny_spec().statistics})
    configs = [replace(plugin.tiny(), **changes) for changes in ({}, {"beam": 4}, {"hidden": 9})]
    keys = [pretraining.pretrained(plugin, each, "code", corpus, PretrainSettings(), 0, tmp_path)[1] for each in configs]
    assert keys[0] == keys[1] != keys[2]


class Small(Linear):
    """As the harness builds a backbone."""

    def __init__(self, spec: Any, config: Any) -> None:
        super().__init__(body=torch.zeros(2, 2))


class Learned(Vocoder):
    """It trains."""

    trains = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def decode(self, mel: torch.Tensor) -> torch.Tensor:
        return mel[:, 0] * self.weight


def test_what_else_is_learned_from_makes_another_run_and_nothing_else_leaves_it_as_it_was() -> None:
    plain, joined = identity(), identity(("--algo", "maml", "--pretrain.dataset", "folder"))
    assert set(plain.config["pretrain"]) == {"steps", "batch_size", "learning_rate"} and "dataset espeak" not in plain.sources
    assert run_id(joined) != run_id(plain)
    assert joined.config["pretrain"]["dataset"]["folder"]["language"] == "en-us"
    assert joined.sources["pretraining dataset folder"] != joined.sources["dataset"] == plain.sources["dataset"]
    more = ("--algo", "maml", "--pretrain.dataset", "vctk,folder"), ("--algo", "maml", "--pretrain.dataset", "folder,vctk")
    assert run_id(identity(more[0])) == run_id(identity(more[1])) != run_id(joined)


def test_device_and_precision_make_another_pretraining_and_another_vocoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "_train", lambda model, *_: model.state_dict())
    keys = {
        pretraining.pretrained(Small, Small.Config(), "code", CORPUS, PretrainSettings(), 0, tmp_path, hardware=each)[1]
        for each in (Hardware("cpu"), Hardware("cpu", devices=2), *OTHERS)
    }
    assert len(keys) == 4  # several processes share a batch's rows, and each averages over its own
    kept: set[Path] = set()

    def train(vocoder: Vocoder, _name: str, done: Path, *_: Any) -> dict[str, Any]:
        kept.add(done)
        return vocoder.weights()

    monkeypatch.setattr(vocoding, "_train", train)
    for each in (Hardware("cpu"), Hardware("cpu", devices=2), *OTHERS):
        vocoding.prepared(Learned(), "learned", "code", CORPUS, VocoderSettings(), 0, tmp_path, each)
    assert len(kept) == 4


def test_every_version_stands_for_the_code_that_was_recorded() -> None:
    recorded = record_versions.read_json(record_versions.RECORDED, "table of versions")
    found = dict(record_versions.parts())
    assert not [sentence for name, part in found.items() if (sentence := record_versions.complaint(name, part, recorded))]
    assert recorded.keys() == found.keys(), f"run {record_versions.COMMAND}"


def test_changed_code_without_a_changed_version_is_told(tmp_path: Path) -> None:
    package = tmp_path / "benchmark"
    shutil.copytree(record_versions.ROOT / "benchmark", package, ignore=shutil.ignore_patterns("__pycache__"))
    recorded = {name: part._asdict() for name, part in record_versions.parts(package)}

    def told() -> list[str]:
        return [record_versions.complaint(name, part, recorded) for name, part in record_versions.parts(package)]

    append(package / "running" / "training.py", "# A comment.")
    assert not any(told())
    append(package / "running" / "training.py", "MORE = 1")
    assert [each for each in told() if each] == [
        f"The code of training has changed since its version {TRAINING_VERSION}: raise it if a number can move, then run "
        "python -m tools.record_versions."
    ]
    recorded["training"]["version"] = "0"
    found = next(each for each in told() if each)
    assert found == f"The version of training is {TRAINING_VERSION} now, but 0 is recorded: run python -m tools.record_versions."


@pytest.mark.parametrize("name", ["aligner", "corpus_aligner"])
def test_the_aligner_counts_in_the_metric_that_measures_with_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "benchmark"
    shutil.copytree(record_versions.ROOT / "benchmark", package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(benchmark, "__path__", [str(package)])

    def digests() -> list[str]:
        return [source_digest(registry.get("metric", metric)) for metric in ("duration_error", "mcd")]

    first = digests()
    append(package / "data" / f"{name}.py", "MORE = 1")
    assert digests()[0] != first[0] and digests()[1] == first[1]


def test_no_file_of_the_harness_is_without_a_version() -> None:
    package = record_versions.ROOT / "benchmark"
    named = [each for patterns in (*record_versions.VERSIONED.values(), record_versions.NUMBERLESS) for each in patterns]
    covered = {path for each in named for path in package.glob(each)}
    found = [path for folder in ("", "data", "problems", "running") for path in (package / folder).glob("*.py")]
    forgotten = [str(path.relative_to(package)) for path in found if path not in covered]
    assert not forgotten, f"Name {forgotten} in tools/record_versions.py: among those of a version, or those that can't move a number."
    assert not [each for each in named if not list(package.glob(each))], "files that tools/record_versions.py names are gone"
