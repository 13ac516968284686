"""Plugins are found by file, by entry point and by path, and mistakes in them are told in one sentence."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import registry, source

PLUGIN = '''
"""A file's docstring."""
from __future__ import annotations

from dataclasses import dataclass, field

from benchmark.metric import Column, Metric, Sample


class Loudness(Metric):
    """Root mean square of the speech.

    More about it.
    """

    version = "3"
    columns = {"loudness": Column(unit="", meaning="how loud it is", higher_is_better=True, low=0.0)}
    needs = ("speech",)

    @dataclass(frozen=True)
    class Config:
        """Options.

        Attributes:
            gain: factor applied
                before measuring.
            bands: none yet.
        """

        gain: float = 1.0
        bands: list[int] = field(default_factory=list)
        floor: int | None = None
        """Least value."""

    def score(self, sample: Sample) -> dict[str, float]:
        return {"loudness": float((sample.audio**2).mean())}


PLUGIN = Loudness
'''


def write(folder: Path, name: str, text: str = PLUGIN) -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def test_built_in_plugins_of_every_kind_are_found_and_derive_from_their_base() -> None:
    expected = {
        "algorithm": "reptile",
        "dataset": "speechocean762",
        "backbone": "fastspeech2",
        "vocoder": "griffin_lim",
        "metric": "mcd",
    }
    for kind, name in expected.items():
        found = registry.find(kind)
        assert name in found
        assert list(found) == sorted(found)
        assert found[name].origin == "built-in"
        assert found[name].summary and not found[name].summary.startswith("BROKEN")
        assert registry.load(kind, name).__module__ == found[name].module


def test_a_plugin_file_is_found_described_and_loaded(tmp_path: Path) -> None:
    path = write(tmp_path, "loud-ness.py")
    info = registry.get("metric", "loud-ness", [path])
    assert (info.name, info.kind, info.origin) == ("loud_ness", "metric", "file")
    assert info.summary == "A file's docstring."
    found = registry.describe(info)
    assert [(field.name, field.type, field.default, field.doc) for field in found.fields] == [
        ("gain", "float", "1.0", "factor applied before measuring."),
        ("bands", "list[int]", "list()", "none yet."),
        ("floor", "int | None", "None", "Least value."),
    ]
    assert found.facts["version"] == "3" and found.facts["columns"]["loudness"]["meaning"] == "how loud it is"
    assert registry.load("metric", "loud_ness", [path]).__name__ == "Loudness"
    assert "loud_ness" not in registry.find("vocoder", [path])


def test_the_same_file_given_twice_is_one_plugin(tmp_path: Path) -> None:
    path = write(tmp_path, "loudness.py")
    assert registry.get("metric", "loudness", [path, str(path)]).path == path


def test_objects_of_a_plugin_file_can_be_unpickled_in_a_fresh_process(tmp_path: Path) -> None:
    path = write(tmp_path, "loudness.py")
    metric = registry.load("metric", "loudness", [path])()
    (tmp_path / "metric.pickle").write_bytes(pickle.dumps((metric, metric.config)))
    code = (
        "import pickle, sys; from benchmark.plugins import registry; registry.register([sys.argv[1]]);"
        "metric, config = pickle.load(open(sys.argv[2], 'rb')); print(type(metric).__name__, config.gain)"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "metric.pickle")]
    root = Path(registry.__file__).parent.parent.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.stdout.split() == ["Loudness", "1.0"], done.stderr


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("from benchmark.algorithm import Algorithm\nclass A(Algorithm): ...", "algorithm"),
        ("from benchmark.dataset import Dataset as D\nclass A(D): ...", "dataset"),
        ("import benchmark.vocoder\nclass A(benchmark.vocoder.Vocoder): ...", "vocoder"),
        ("import benchmark.backbone as b\nclass A(b.Backbone): ...", "backbone"),
        ("from benchmark.backbone import SynthesisBackbone\nclass A(SynthesisBackbone): ...", "backbone"),
        ("from benchmark.backbone import RecognitionBackbone as Base\nclass B(Base): ...\nclass A(B): ...", "backbone"),
        ("from benchmark.algorithms.reptile import Reptile\nclass A(Reptile): ...", "algorithm"),
        ("from benchmark.algorithms import reptile\nclass A(reptile.Reptile): ...", "algorithm"),
        ("from benchmark.metric import Metric\nclass Mixin: ...\nclass B(Mixin, Metric): ...\nclass A(B): ...", "metric"),
    ],
)
def test_the_kind_of_a_plugin_file_is_that_of_its_base_class(tmp_path: Path, base: str, kind: str) -> None:
    path = write(tmp_path, "mine.py", f"{base}\nPLUGIN = A\n")
    assert registry.from_file(path).kind == kind


def test_options_inherited_from_a_built_in_plugin_are_described(tmp_path: Path) -> None:
    text = """
    from dataclasses import dataclass
    from benchmark.algorithms.reptile import Reptile

    class Mine(Reptile):
        @dataclass(frozen=True)
        class Config(Reptile.Config):
            extra: int = 7
            '''Of ours.'''

    PLUGIN = Mine
    """
    fields = registry.describe(registry.from_file(write(tmp_path, "mine.py", text))).fields
    theirs = registry.describe(registry.get("algorithm", "reptile")).fields
    assert fields[:-1] == theirs and fields[-1].doc == "Of ours."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("class A: ...\nPLUGIN = A\n", "must be a class in it that derives from one of benchmark.algorithm.Algorithm"),
        ("from somewhere import A\nPLUGIN = A\n", "must be a class in it that derives"),
        ("class A: ...\n", "does not end in 'PLUGIN = YourClass'"),
        ("", "does not end in 'PLUGIN = YourClass'"),
        ("class A(\nPLUGIN = A\n", "is not valid Python"),
    ],
)
def test_a_plugin_file_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, "mine.py", text)
    with pytest.raises(BenchmarkError, match=sentence) as error:
        registry.find("metric", [path])
    assert str(path) in str(error.value)


def test_a_missing_plugin_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no plugin file .*none\.py"):
        registry.find("metric", [tmp_path / "none.py"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("PLUGIN = Loudness", "raise RuntimeError('no luck')\nPLUGIN = Loudness"), "RuntimeError: no luck"),
        (("PLUGIN = Loudness", "raise SystemExit(3)\nPLUGIN = Loudness"), "SystemExit: 3"),
        (("from dataclasses", "import no_such_module\nfrom dataclasses"), "No module named 'no_such_module'"),
        (("def score", "def scores"), r"Loudness in .* must still define score\(\)"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_says_why(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    path = write(tmp_path, "loudness.py", PLUGIN.replace(*change))
    with pytest.raises(BenchmarkError, match=sentence) as error:
        registry.load("metric", "loudness", [path])
    assert str(path) in str(error.value)


def test_a_duplicate_name_is_an_error_that_names_both(tmp_path: Path) -> None:
    path = write(tmp_path, "mcd.py")
    with pytest.raises(UsageError, match=r"Two metrics are called 'mcd': .*metrics/mcd\.py and .*; rename one"):
        registry.find("metric", [path])


def test_a_wrong_name_gets_a_suggestion_and_the_list() -> None:
    with pytest.raises(UsageError, match=r"no algorithm called 'Reptil'; did you mean 'reptile'\? There are: .*maml"):
        registry.get("algorithm", "Reptil")
    with pytest.raises(UsageError, match="did you mean 'metric'"):
        registry.find("metrik")
    with pytest.raises(UsageError, match=r"no plugin called 'zzz'\. 'list' shows all\."):
        registry.resolve("zzz")


def test_resolve_takes_a_name_a_kind_and_name_or_a_path(tmp_path: Path) -> None:
    by_name = registry.resolve("griffin-lim")
    assert by_name == registry.resolve("vocoder/griffin_lim") == registry.resolve(str(by_name.path))
    assert registry.resolve(str(write(tmp_path, "loudness.py"))).kind == "metric"
    with pytest.raises(UsageError, match="use vocoder/griffin_lim or metric/griffin_lim"):
        registry.resolve("griffin_lim", [write(tmp_path, "griffin_lim.py")])


def install(site: Path, plugins: dict[str, str]) -> None:
    """Lay down an installed distribution with entry points in the group benchmark.metrics."""
    info = site / "extras-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extras\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in plugins.items()]
    (info / "entry_points.txt").write_text("\n".join(["[benchmark.metrics]", *lines, ""]))


def test_entry_points_are_found_without_importing_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "extras_for_tests"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    write(package, "loudness.py")
    install(tmp_path, {"ext-loud": "extras_for_tests.loudness", "ext_class": "extras_for_tests.loudness:Loudness"})
    monkeypatch.syspath_prepend(str(tmp_path))
    found = registry.find("metric")
    assert found["ext_loud"].summary == found["ext_class"].summary == "A file's docstring."
    assert found["ext_loud"].origin == "entry point of extras"
    assert "extras_for_tests" not in sys.modules
    with pytest.raises(BenchmarkError, match="RuntimeError: imported"):
        registry.load("metric", "ext_loud")
    (package / "__init__.py").write_text("")
    assert registry.load("metric", "ext_loud") is registry.load("metric", "ext_class")


def test_an_entry_point_of_a_built_in_name_is_a_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, {"mcd": "nowhere_at_all.mcd"})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"Two metrics are called 'mcd'.*nowhere_at_all\.mcd \(entry point of extras\)"):
        registry.find("metric")


def test_a_file_where_a_name_belongs_is_told_how_to_say_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--plugin mine/fast\.py, and then fast"):
        registry.get("algorithm", "mine/fast.py")
    (tmp_path / "notes.txt").write_text("no plugin")
    with pytest.raises(UsageError, match="not a Python file"):
        registry.resolve(str(tmp_path / "notes.txt"))


BODY = "from benchmark.algorithm import Algorithm\n"
DEEP = "x = " + 100_000 * "-" + "1\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("class A(B):\n    pass\nclass B(A):\n    pass\nPLUGIN = A\n", "must be a class in it that derives from one of"),
        ("class A(A):\n    pass\nPLUGIN = A\n", "must be a class in it that derives from one of"),
        ("from .circle import A\nPLUGIN = A\n", "must be a class in it that derives from one of"),
        ("".join(f"class C{n}({f'C{n - 1}, C{n - 1}' if n else 'object'}):\n    pass\n" for n in range(60)) + "PLUGIN = C59\n", "must be"),
        (BODY + DEEP + "class A(Algorithm):\n    pass\nPLUGIN = A\n", "too large to be read|too many nested"),
        (BODY + f"class A(Algorithm):\n    x = {'+'.join(50_000 * ['1'])}\nPLUGIN = A\n", "too large to be read|too many nested"),
        ("#" + (1 << 20) * "x", "is larger than 1048576 bytes"),
    ],
    ids=["two in a circle", "its own base", "an import in a circle", "a diamond of 60", "deep", "long", "large"],
)  # fmt: skip
def test_source_that_would_never_end_is_one_sentence_that_names_the_file(
    tmp_path: Path, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "mine.py", text)
    write(tmp_path, "circle.py", "from .mine import A\n")
    started = time.monotonic()
    said = refused_by_describe(file, capsys)
    assert re.search(reason, said) and str(file) in said
    assert time.monotonic() - started < 20


def refused_by_describe(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence of ``describe``; exit statuses differ."""
    status = main(["describe", str(file)])
    said = capsys.readouterr().err
    assert status in (1, 2) and said.startswith("error: ") and said.count("\n") == 1 and "Unexpected" not in said, said
    return said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("class Mine(BaseException):\n    pass\nraise Mine('no')\n", "Mine: no"),
        ("raise GeneratorExit\n", "GeneratorExit"),
        ("class Mine(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mine\n", "can't be imported: Mine"),
        ("import sys\nsys.exit()\n", "SystemExit"),
        ("class Mine(Exception):\n    def __str__(self):\n        raise SystemExit(9)\nraise Mine\n", "can't be imported: Mine"),
    ],
)
def test_any_error_at_import_is_one_sentence_that_names_the_file(tmp_path: Path, text: str, reason: str) -> None:
    file = write(tmp_path, "mine.py", f"{BODY}class A(Algorithm):\n    pass\n{text}PLUGIN = A\n")
    with pytest.raises(BenchmarkError, match=rf"{re.escape(str(file))} can't be imported: .*") as caught:
        registry.load_info(registry.from_file(file))
    assert reason in str(caught.value)


def test_an_interruption_at_import_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "mine.py", f"{BODY}class A(Algorithm):\n    pass\nraise KeyboardInterrupt\nPLUGIN = A\n")
    assert main(["check", str(file)]) == 130
    assert re.fullmatch(rf"Interrupted while plugin .*{re.escape(str(file))}.* was imported; run .* to resume\.\n", capsys.readouterr().err)


def test_a_class_that_cannot_be_looked_at_is_one_sentence(tmp_path: Path) -> None:
    odd = "class Odd(type(Algorithm)):\n    def __getattribute__(self, name):\n        raise SystemExit(4)\n"
    file = write(tmp_path, "mine.py", f"{BODY}{odd}class A(Algorithm, metaclass=Odd):\n    pass\nPLUGIN = A\n")
    with pytest.raises(BenchmarkError, match=re.escape(str(file))):
        registry.load_info(registry.from_file(file))


def test_a_base_reached_by_two_ways_is_read_once(tmp_path: Path) -> None:
    bases = "class Left(Algorithm):\n    x = 1\nclass Right(Algorithm):\n    y = 2\n"
    file = write(tmp_path, "mine.py", f"{BODY}{bases}class A(Left, Right):\n    pass\nPLUGIN = A\n")
    names = [node.name for _, node in source.lineage(source.read(file), "A")]
    assert names == ["A", "Left", "Algorithm", "Right"]
