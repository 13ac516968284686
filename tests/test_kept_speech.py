"""What a run keeps beside its speech, so that it can be listened to by itself: recording, copy, a support sentence, and their texts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from benchmark.audio import SAMPLE_RATE
from benchmark.cli import main
from benchmark.data.corpus import Corpus
from benchmark.plugins import registry
from benchmark.results.episode_tables import read_episodes
from benchmark.results.kept_speech import BESIDE, beside_file, beside_in, damaged, speech_in
from benchmark.results.result import read_result
from benchmark.running.episodes import sizes_of
from benchmark.running.preparation import open_corpus, open_manifest
from benchmark.settings.trial import fast_dev_run
from benchmark.settings.tuned_values import parse
from tests.cli_helpers import refused

WORDS = ["--algo", "mean_speaker", "--dataset", "espeak", "--preset", "smoke", "--vocoder", "griffin_lim", "--metrics", "mcd"]


@pytest.fixture
def folder(in_this_process: None, cache: Path, tmp_path: Path) -> Path:
    common = ["--fast-dev-run", "--workers", "1", "--cache", str(cache), "--output", str(tmp_path / "runs")]
    assert main(["run", *WORDS, *common]) == 0
    (found,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    return found


def test_a_run_keeps_what_its_speakers_said_and_repairs_it(
    folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = read_result(folder)
    corpus: Corpus = open_corpus("espeak", None, None, cache, 1, ())
    manifest = open_manifest(corpus, (), sizes_of(fast_dev_run(parse(WORDS)), ()), "test")
    vocoder = registry.load("vocoder", "griffin_lim")()
    for target in corpus.targets("test")[:2]:
        episode = next(each for each in manifest.episodes["test"] if each.target == target and each.index == 0)
        query, support = corpus[episode.query[0]], corpus[episode.support[0]]
        kept = beside_in(folder, result, target)
        assert list(kept) == list(BESIDE)
        assert [text for _, text in kept.values()] == [query.text, "", support.text]
        expected = {"recording": query.waveform, "copy": vocoder.decode(torch.tensor(query.mel)).numpy(), "support": support.waveform}
        for kind, (path, _) in kept.items():
            wave, rate = soundfile.read(path, dtype="float32")
            assert rate == SAMPLE_RATE
            np.testing.assert_allclose(wave, np.clip(expected[kind], -1, 1), atol=2 / 32768)
    path, _ = kept["copy"]
    sound = path.read_bytes()
    path.write_bytes(sound[:-8] + bytes(8))
    assert path.name in refused(["report", folder], 1, capsys)
    again = ["--fast-dev-run", "--workers", "1", "--cache", str(cache), "--output", str(folder.parent)]
    assert main(["run", *WORDS, *again]) == 0
    assert path.read_bytes() == sound and json.loads((folder / "result.json").read_text())["speech"] == result["speech"]
    path.unlink()
    assert not damaged(folder) and "copy" not in beside_in(folder, result, target), "what was deleted, to save room, is no fault"
    assert main(["run", *WORDS, *again]) == 0 and "already complete" in capsys.readouterr().out


HEARD = ["--algo", "finetune", "--dataset", "espeak", "--preset", "smoke", "--backbone", "crnn_ctc", "--backbone.channels", "2",
         "--backbone.hidden", "8", "--fast-dev-run", "--workers", "1"]  # fmt: skip


def test_recognition_keeps_transcripts_which_the_report_shows_beside_what_was_said(
    in_this_process: None, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *HEARD, "--cache", str(cache), "--output", str(tmp_path)]) == 0
    assert "Transcripts to read: " in capsys.readouterr().out
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    result = read_result(folder)
    found, frame = speech_in(folder, result, "txt"), read_episodes(folder / "episodes.csv")
    rows = {(str(row.speaker), int(str(row.shots)), int(str(row.steps))): row for row in frame.itertuples()}
    assert set(found) == set(rows) and not speech_in(folder, result)
    for place, row in rows.items():
        ((_, said),) = beside_in(folder, result, place[0]).values()
        heard = found[place].read_text()
        cer = registry.load("metric", "cer")().score(SimpleNamespace(text=heard.strip(), transcript=said))
        assert cer["cer"] == pytest.approx(row.cer)
    assert main(["report", str(folder), "--html", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Transcripts" in page and said in page and page.count("<audio") == 2
    found[place].write_text("something else")
    assert "disagree" in refused(["report", folder], 1, capsys)


def test_names_lead_nowhere_else() -> None:
    assert beside_file("a/../b", "copy") == "a%2F..%2Fb_copy.wav" and beside_file("x", "support", "txt") == "x_support.txt"
