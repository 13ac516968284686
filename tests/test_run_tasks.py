"""Runs by language and by style, on the embedded corpora and on a folder of recordings, cut down to seconds."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.cli import main
from tests.cli_helpers import refused
from tests.dataset_helpers import in_languages
from tests.test_examples import LISTENS

espeak = importlib.import_module("benchmark.datasets.espeak")
SPOKEN = {
    "train": {"de": ("boris", "belinda"), "es": ("andrea", "marcelo")},
    "validation": {"ca": ("f5", "ian")},
    "test": {"it": ("grandma", "gustave"), "id": ("f2", "sandro")},
}
STYLED = {"train": ("boris", "andrea"), "validation": ("ian",), "test": ("f4", "m8")}
STYLES = {name: espeak.STYLES[name] for name in ("", "fast", "whisper")}
MAML = ["--algo", "maml", "--algo.inner_lr", "0.0001"]
"""Steps too small to make minutes of speech of a sentence."""
TINY = ["--preset", "smoke", "--fast-dev-run", "--workers", "1"]
pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The embedded corpora with fewer languages, voices and styles."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("SPOKEN", SPOKEN), ("STYLED", STYLED), ("STYLES", STYLES)):
            patch.setattr(espeak, name, value)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for this module's corpora."""
    return tmp_path_factory.mktemp("cache")


def run(store: Path, output: Path, *words: str, dataset: str = "espeak") -> tuple[dict[str, object], list[dict[str, str]]]:
    """A run's result and its rows."""
    assert main(["run", "--dataset", dataset, *TINY, "--cache", str(store), "--output", str(output), *words]) == 0
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    with (folder / "episodes.csv").open() as stream:
        return json.loads((folder / "result.json").read_text()), list(csv.DictReader(stream))


@pytest.mark.parametrize("problem", ["synthesis", "recognition"])
def test_adaptation_to_held_out_languages(problem: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = LISTENS if problem == "recognition" else ["--metrics", "mcd,speaker_similarity"]
    result, rows = run(store, tmp_path, *MAML, "--task", "language", "--dataset.sentences", "8", *words)
    assert (result["task"], result["problem"]) == ("language", problem)
    assert {row["speaker"] for row in rows} == {"id", "it"}
    assert all(float(row["cer" if problem == "recognition" else "mcd"]) > 0 for row in rows)
    name = "espeak-recognition-language" if problem == "recognition" else "espeak-language"
    said = capsys.readouterr().out
    assert "maml (" in said and f"Leaderboard of your runs: {tmp_path / name}.csv" in said


def test_adaptation_to_styles_of_held_out_voices(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task", "style", "--dataset.sentences", "12", "--metrics", "style_gap", "--metrics.style_gap.utterances", "4"]
    _, rows = run(store, tmp_path / "maml", *MAML, *words)
    assert {row["speaker"] for row in rows} == {"f4+fast", "f4+whisper"}, "the first two of the test split"
    assert "style_gap_closed ↑" in capsys.readouterr().out
    _, rows = run(store, tmp_path / "real", "--algo", "ground_truth", *words)
    found = [float(row["style_gap_closed"]) for row in rows]
    assert len(found) == 2 and all(0.7 < value < 1.3 for value in found), "recordings are in their own style"


def test_preparation_renders_what_the_task_needs(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prepare", "--dataset", "espeak", "--dataset.sentences", "8", "--task", "language", "--cache", str(store), "--workers", "1"]
    assert main([*words, "--write-manifest", str(tmp_path / "episodes.json")]) == 0
    assert "train         4 speakers      32 utterances" in capsys.readouterr().out
    written = json.loads((tmp_path / "episodes.json").read_text())
    assert (written["task"], written["speakers"]["test"]) == ("language", ["id", "it"])


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the columns language and split; Polish has one speaker."""
    voices = {"de": ("f2", "m3"), "es": ("f2", "m3"), "pl": ("f2",), "ca": ("f3", "m4"), "it": ("f4", "m1")}
    splits = {"ca": "validation", "it": "test"}
    said = (
        (f"{language}-{variant}", language, splits.get(language, "train"), variant, text)
        for language, variants in voices.items()
        for variant in variants
        for text in espeak.sentences_in(language)[(8 if variant[0] == "m" else 0) :][:8]
    )
    return in_languages(tmp_path_factory.mktemp("recordings"), said)


def test_a_folder_by_language_leaves_out_a_language_of_one_speaker(
    recordings: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data-root", str(recordings), "--task", "language", "--metrics", "mcd", "--algo", "reptile"]
    _, rows = run(store, tmp_path, *words, dataset="folder")
    assert {row["speaker"] for row in rows} == {"it"}
    assert (
        "1 language of folder has one speaker and is left out, because no model could tell the language from the speaker: pl (pl-f2)."
    ) in capsys.readouterr().out


def test_two_languages_are_too_few_to_learn_from_some_and_be_tested_on_others(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ((f"{language}-{variant}", language, "", variant, espeak.sentences_in(language)[0])
            for language in ("de", "es") for variant in ("f2", "m3"))  # fmt: skip
    folder = in_languages(tmp_path, said)
    command = ["run", "--dataset", "folder", "--data-root", folder, *TINY, "--task", "language", "--algo", "reptile", "--cache", store]
    assert "folder has fewer than three languages, too few to learn from some" in refused([*command, "--output", tmp_path], 2, capsys)


def test_a_folder_without_styles_has_no_tasks_by_style(
    recordings: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--dataset", "folder", "--data-root", recordings, *TINY, "--task", "style", "--algo", "reptile", "--metrics", "mcd"]
    said = refused([*command, "--cache", store, "--output", tmp_path], 1, capsys)
    assert "folder has no test styles with usable audio to adapt to; no utterance names its style: name it (in a folder: the column" in said
