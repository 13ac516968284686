"""`--pretrain.dataset` end to end: a single speaker is adapted to from a model of other voices, and the run speaks afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from benchmark.cli import main
from benchmark.data.joined import JoinedCorpus
from benchmark.running.finished import open_run
from benchmark.running.preparation import Sources, open_corpora
from benchmark.settings.config import Plugin
from tests.cli_helpers import refused
from tests.dataset_helpers import recorded

RUN = ["run", "--algo", "finetune", "--dataset", "folder", "--preset", "smoke", "--fast-dev-run", "--metrics", "stoi", "--workers", "1"]
OTHERS = ["--pretrain.dataset", "espeak", "--pretrain.dataset.espeak.sentences", "6"]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One German speaker, nothing said of splits."""
    root = recorded(tmp_path_factory.mktemp("alone") / "Nadia's voice", {"": {"nadia": 7}}, "de")
    return root


@pytest.mark.usefixtures("in_this_process")
def test_a_single_speaker_is_adapted_to_from_other_voices(
    voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data-root", str(voice), "--cache", str(cache), "--output", str(tmp_path), "--shots", "3", "--dataset.language", "de"]
    assert "folder has 0 training speakers" in refused([*RUN, *places], 2, capsys)
    assert main([*RUN, *places, *OTHERS]) == 0
    printed = capsys.readouterr().out
    assert "of the phonemes to say are in no training speech, so their embeddings are untrained: " in printed
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    result = json.loads((folder / "result.json").read_text())
    assert result["data_version"].count("+") == 1 and result["config"]["pretrain"]["dataset"] == {"espeak": {"sentences": 6}}
    assert {point["speakers"] for point in result["curve"]} == {1} and not result["synthetic"]
    assert main(["leaderboard", "show", str(tmp_path / "folder_nadia_s_voice.csv")]) == 0 and "finetune" in capsys.readouterr().out

    # The finished run speaks: it finds the corpora that it was made with, and knows the phonemes of both.
    corpus = open_run(folder, cache, ()).corpus
    assert isinstance(corpus, JoinedCorpus) and corpus.version == result["data_version"]
    heard = tmp_path / "voice"
    heard.mkdir()
    for number in range(3):
        (heard / f"{number}.wav").write_bytes((voice / f"nadia-{number}.wav").read_bytes())
        (heard / f"{number}.txt").write_text(corpus.text(f"nadia-{number}"), encoding="utf-8")
    said = tmp_path / "said.wav"
    assert main(["say", "Peter and Monday", "--run", str(folder), "--voice", str(heard), "-o", str(said), "--cache", str(cache)]) == 0
    assert "Adapted finetune to 3 recordings" in capsys.readouterr().out and len(soundfile.read(said)[0]) > 0


def test_a_single_speaker_is_training_speech_for_another(voice: Path, cache: Path, tmp_path: Path) -> None:
    other = recorded(tmp_path / "other", {"": {"nobody": 0, "olga": 7}}, "de")
    sources = Sources(Plugin("folder"), (Plugin("folder"),), voice, {"": other})
    joined = open_corpora(sources, "test", cache, 1, ())
    assert (list(joined.speakers("train")), list(joined.speakers("test"))) == (["folder/olga"], ["nadia"])

    # LJ Speech lends its speaker, too.
    lj = tmp_path / "lj"
    (lj / "wavs").mkdir(parents=True)
    rows = [line.split(",") for line in (other / "metadata.csv").read_text("utf-8").splitlines()[1:]]
    for name, *_ in rows:
        (lj / "wavs" / name).write_bytes((other / name).read_bytes())
    (lj / "metadata.csv").write_text("".join(f"{Path(name).stem}|{text}|{text}\n" for name, text, *_ in rows), "utf-8")
    joined = open_corpora(Sources(Plugin("folder"), (Plugin("ljspeech"),), voice, {"ljspeech": lj}), "test", cache, 1, ())
    assert (list(joined.speakers("train")), list(joined.speakers("test"))) == (["ljspeech/linda_johnson"], ["nadia"])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--pretrain.dataset", "espeak", "--pretrain-root", "."], "Dataset espeak takes no --pretrain-root: It is rendered on the fly."),
        (["--pretrain.dataset", "vctk"], "Dataset vctk needs --pretrain-root DIR (or $BENCHMARK_DATA"),
        (["--pretrain-root", "."], "--pretrain-root DIR does not fit --pretrain.dataset, which names nothing."),
        (["--pretrain.dataset", "vctk,espeak", "--pretrain-root", "."], "which names espeak, vctk; write NAME=DIR"),
        (["--pretrain.dataset", "vctk", "--pretrain-root", "folder=."], "--pretrain-root folder=DIR does not fit --pretrain.dataset"),
        (["--pretrain.dataset", "vctk", "--pretrain-root", "a,b"], "must be NAME=DIR,NAME=DIR, each name once, not a,b"),
        (["--pretrain.dataset", "folder", "--pretrain-root", "VOICE"], "is the only speech of --dataset, so"),
        (["--pretrain.dataset", "espeak", "--evaluation.split", "validation"], "folder has no validation speakers to adapt to"),
    ],
)
def test_wrong_usage_is_one_sentence_before_anything_is_prepared(
    more: list[str], sentence: str, voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCHMARK_DATA", raising=False)
    places = ["--data-root", str(voice), "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "runs")]
    assert sentence in refused([*RUN, *places, *(word.replace("VOICE", str(voice)) for word in more)], 2, capsys)
    assert not list(tmp_path.iterdir())


def test_prepare_says_what_a_single_speaker_is_good_for(voice: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data-root", str(voice), "--dataset.language", "de", "--cache", str(cache), "--workers", "1"]
    assert main(["prepare", "--dataset", "folder", *options]) == 0
    printed = capsys.readouterr().out
    assert "a run adapts to its 1 held-out speaker with --pretrain.dataset NAME" in printed
    assert main(["check", "folder", "--data-root", str(voice)]) == 0
    assert "with --pretrain.dataset NAME" in capsys.readouterr().out
