"""``export``: one file of a finished run speaks as the run does, in 16 bits nearly so, anywhere; damaged and foreign files are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from benchmark import problems
from benchmark.cli import main
from benchmark.data import recordings
from benchmark.metric import Sample
from benchmark.plugins import registry
from benchmark.plumbing import model_file
from benchmark.plumbing.files import sealed
from benchmark.results.result import read_result
from benchmark.running import say
from benchmark.running.finished import bundle_of, open_run
from benchmark.running.trained_model import TrainedModel, open_model
from benchmark.vocoder import Vocoder
from tests.cli_helpers import full_disk, refused, scoring_here
from tests.dataset_helpers import SENTENCES, speech

TEXT = "Two tall boys read a book."
MEL_ERROR = 0.01
"""Most mean absolute difference of the log-mel that 16-bit weights may make: 0.1 dB, of a range of about 100."""
TINY = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1"]
VOCODER = ["--vocoder.checkpoint", "", "--vocoder.width", "8", "--vocoder.inner", "16", "--vocoder.blocks", "1",
           "--vocoder.critic_width", "1"]  # fmt: skip
EARS = ["--metrics", "per,stoi", "--metrics.per.channels", "8", "--metrics.per.blocks", "1", "--metrics.per.hidden", "8",
        "--metrics.per.max_steps", "3"]  # fmt: skip
CLEAR = '''
"""How loud it is."""
import numpy as np
from benchmark.metric import Column, Metric


class Clear(Metric):
    """Root mean square."""

    version = "1"
    columns = {"clear": Column(unit="", meaning="how loud it is", higher_is_better=True)}
    needs = ("speech",)

    def score(self, sample):
        return {"clear": float(np.sqrt(np.mean(sample.audio ** 2)))}


PLUGIN = Clear
'''


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a vocoder that trained, scored by the recogniser."""
    output = tmp_path_factory.mktemp("runs")
    with scoring_here():
        assert main(["run", "--algo", "finetune", *TINY, *VOCODER, *EARS, "--cache", str(cache), "--output", str(output)]) == 0
    return next(path.parent for path in output.glob("*/result.json"))


@pytest.fixture(scope="module")
def files(run: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run's files, by precision."""
    folder = tmp_path_factory.mktemp("models")
    found = {precision: folder / f"{precision}.safetensors" for precision in ("float16", "float32")}
    for precision, path in found.items():
        words = ["export", str(run), "-o", str(path), "--precision", precision, "--card", str(path.with_suffix(".md"))]
        assert main([*words, "--cache", str(cache)]) == 0
    return found


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Three sentences of a woman, and a table of what she says."""
    folder = tmp_path / "voice"
    folder.mkdir()
    rows = ["audio,text,speaker"]
    for number, text in enumerate(SENTENCES[:3]):
        soundfile.write(folder / f"{number}.wav", speech(text, "f2", 16_000), 16_000)
        rows.append(f'{number}.wav,"{text}.",anna')
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


def opened(path: Path) -> TrainedModel:
    return open_model(model_file.read(path), path.name, problems.get("synthesis"), ())


def command(voice: Path, output: Path, *more: str, text: str = TEXT) -> list[str]:
    return ["say", text, "--voice", str(voice), "-o", str(output), *more]


def test_a_file_speaks_as_its_run_does_and_needs_no_cache(
    run: Path, files: Mapping[str, Path], voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {name: tmp_path / f"{name}.wav" for name in ("run", "float32", "float16")}
    assert main(command(voice, said["run"], "--run", str(run), "--cache", str(cache))) == 0
    for name in ("float32", "float16"):
        capsys.readouterr()
        assert main(command(voice, said[name], "--model", str(files[name]), "--cache", str(tmp_path / "none"))) == 0
        printed = capsys.readouterr().out
        assert "Adapted finetune to 3 recordings" in printed and re.search(r"between its recordings: .*, strangers': 0\.\d{3}\)\.", printed)
        assert re.search(r"^per \d\S* \(fraction, lower is better; .*on recordings: \S+\): share of phonemes that", printed, re.M)
    assert said["run"].read_bytes() == said["float32"].read_bytes()
    assert said["run"].read_bytes() != said["float16"].read_bytes() and not (tmp_path / "none").exists()


def test_sixteen_bits_change_the_mel_by_less_than_a_tenth_of_a_decibel(files: Mapping[str, Path], voice: Path) -> None:
    heard, _ = recordings.read(voice)
    for steps in (0, 2):
        mels = []
        for path in files.values():
            trained = opened(path)
            adapted = say.adapt(trained, heard, steps).adapted.model
            (sentence,) = say.sentences(TEXT, trained.frontend)
            durations = torch.full_like(sentence.tokens, 5)  # else one frame more would shift the rest
            mels.append(adapted.mel(sentence.tokens, durations))
        half, whole = mels
        assert 0 < float((half - whole).abs().mean()) < MEL_ERROR and float(whole.std()) > 10 * MEL_ERROR


def test_a_file_holds_what_speaks_and_listens_and_no_more(run: Path, files: Mapping[str, Path], cache: Path) -> None:
    half, whole = (model_file.read(path) for path in files.values())
    assert {name.partition("/")[0] for name in half.tensors} == {"algorithm", "vocoder", "aligner", "strangers", "metric per"}
    assert not [name for name in half.tensors if "critics" in name]
    for part in ("algorithm", "vocoder"):
        assert {value.dtype for value in half.part(part).values()} == {torch.float16}
    assert all(torch.equal(value, whole.part("aligner")[name]) for name, value in half.part("aligner").items())
    assert sum(size for *_, size in half.sizes()) < 0.6 * sum(size for *_, size in whole.sizes())
    trained = torch.load(run / "checkpoints" / "vocoder.pt", weights_only=True)["state"]
    assert all(torch.equal(value, trained[name]) for name, value in whole.part("vocoder").items())
    assert half.facts["corpora"][0]["licence"] and half.facts["provenance"]["data_version"] == read_result(run)["data_version"]
    assert half.facts["provenance"]["outside_plugins"] == read_result(run)["outside_plugins"]
    assert str(cache) not in json.dumps(half.facts), "no path of this machine"
    strangers = half.tensors["strangers/ge2e"]
    assert strangers.shape[1] == 256 and torch.allclose(strangers.norm(dim=1), torch.ones(len(strangers)), atol=1e-3)


def test_the_recogniser_of_a_file_hears_what_the_cached_one_hears(run: Path, files: Mapping[str, Path], cache: Path) -> None:
    settings = open_run(run, cache, ()).settings
    from benchmark.running.preparation import open_corpus, open_manifest
    from benchmark.running.run import Places, prepared_metrics

    corpus = open_corpus("espeak", None, None, cache, 1, ())
    only = replace(settings, metrics=tuple(each for each in settings.metrics if each.name == "per"))
    (cached,) = prepared_metrics(only, corpus, open_manifest(corpus, ()), Places(Path(), cache, None, 1))
    trained = opened(files["float32"])
    kept, words = trained.metrics["per"], (trained.frontend.symbols[3:6],)
    for text in SENTENCES[:3]:
        sample = Sample(speech(text, "f2", 16_000).astype(np.float32), np.zeros(0, np.float32), words, "", ())
        assert kept.score(sample) == cached.score(sample)
    assert kept.facts() == cached.facts()


def test_metrics_that_need_only_speech_score_it_and_others_say_why_not(
    files: Mapping[str, Path], voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "clear.py"
    plugin.write_text(CLEAR)
    output = tmp_path / "out.wav"
    assert main([*command(voice, output, "--model", str(files["float16"]), "--steps", "0"), "--plugin", str(plugin)]) == 0
    loudness = float(re.search(r"^clear (\S+) \(higher is better\): how loud it is\.", capsys.readouterr().out, re.M)[1])  # type: ignore[index]
    assert loudness == pytest.approx(np.sqrt(np.mean(np.square(soundfile.read(output)[0]))), rel=0.02)
    plugin.write_text(CLEAR + '\n\ndef require(self):\n    raise BenchmarkError("clear needs clearlib: pip install clearlib.")\n\n\n'
                      "from benchmark.errors import BenchmarkError\nClear.require = require\n")  # fmt: skip
    other = tmp_path / "unclear.py"
    other.write_text(plugin.read_text().replace("clear ", "unclear "))
    assert main([*command(voice, output, "--model", str(files["float16"]), "--steps", "0"), "--plugin", str(other)]) == 0
    assert "unclear: not measured, unclear needs clearlib: pip install clearlib." in capsys.readouterr().out


def test_the_shipped_model_is_taken_if_none_is_named(
    files: Mapping[str, Path], voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.wav"
    monkeypatch.setattr("benchmark.plumbing.model_file.SHIPPED", files["float16"])
    assert main(command(voice, output, "--steps", "0")) == 0 and output.is_file()
    assert "No recognition model is shipped" in refused(["transcribe", voice], 2, capsys)
    monkeypatch.setattr("benchmark.plumbing.model_file.SHIPPED", tmp_path / "none.safetensors")
    said = refused(command(voice, output), 2, capsys)
    assert "No synthesis model is shipped with this version: name a file that 'export' wrote (--model) or a run (--run)." in said


def test_a_budget_limits_the_steps(
    files: Mapping[str, Path], voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a clock that goes on by a second at every look: the start, and each step."""
    trained, (heard, _) = opened(files["float16"]), recordings.read(voice)
    for budget, steps in ((0.5, 0), (1.5, 1), (3.5, 2), (4.5, 3), (100.0, 7)):
        now = iter(range(1000))
        with monkeypatch.context() as patch:
            patch.setattr("benchmark.running.trained_model.time.perf_counter", lambda now=now: float(next(now)))
            adapted = say.adapt(trained, heard, 7, budget)
        assert (adapted.adapted.steps, adapted.asked, adapted.adapted.seconds) == (steps, 7, steps + 1), budget
        asked = say.adapt(trained, heard, steps).adapted.model
        assert all(torch.equal(value, asked.stored[name]) for name, value in adapted.adapted.model.stored.items())
    assert main(command(voice, tmp_path / "out.wav", "--model", str(files["float16"]), "--budget", "600")) == 0
    assert "(2 steps, all within 600 s)" in capsys.readouterr().out
    for wrong in ("-1", "nan", "inf"):
        said = refused(command(voice, tmp_path / "x.wav", "--model", str(files["float16"]), f"--budget={wrong}"), 2, capsys)
        assert "--budget: must be a time" in said


def test_several_texts_are_said_into_numbered_files_and_played(
    files: Mapping[str, Path], voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, out, bin_ = tmp_path / "texts.txt", tmp_path / "out", tmp_path / "bin"
    texts.write_text(f"{TEXT}\n\nShe sees a kite! {TEXT}\n", encoding="utf-8")
    base = ["say", "--texts", texts, "--voice", voice, "--model", files["float16"], "--steps", "0", "-o"]
    monkeypatch.setenv("PATH", str(bin_))
    assert "--play needs a program that plays sound, one of afplay, paplay, aplay, ffplay" in refused([*base, out, "--play"], 2, capsys)
    bin_.mkdir()
    (bin_ / "aplay").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/played\n')
    (bin_ / "aplay").chmod(0o755)
    assert main([str(word) for word in [*base, out, "--play"]]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["001.wav", "003.wav"]
    assert (tmp_path / "played").read_text().splitlines() == [f"-q {out / '001.wav'}", f"-q {out / '003.wav'}"]
    assert capsys.readouterr().out.count("Adapted") == 1
    (tmp_path / "one.wav").unlink(missing_ok=True)
    assert main(command(voice, tmp_path / "one.wav", "--model", str(files["float16"]), "--steps", "0")) == 0
    assert (tmp_path / "one.wav").read_bytes() == (out / "001.wav").read_bytes()
    (bin_ / "aplay").write_text('#!/bin/sh\necho "no sound card" >&2\nexit 1\n')
    assert "001.wav is written, but aplay can't play it (no sound card); leave out --play." in refused([*base, out, "--play"], 1, capsys)

    soundfile.write(out / "003.wav", np.zeros(1000), 16_000)
    assert "003.wav is there and was not written by 'say'" in refused([*base, out], 2, capsys)
    assert "With --texts, -o must name a folder" in refused([*base, tmp_path / "a.wav"], 2, capsys)
    texts.write_text("Hello there.\n... !?\n")
    assert f"Line 2 of {texts}: There is nothing to pronounce" in refused([*base, tmp_path / "new"], 2, capsys)
    for content, sentence in ((b"\xff\xfe", "is not UTF-8 text"), (b"\n \n", "is empty; write a text"), (b"a\0b", "it holds a NUL")):
        texts.write_bytes(content)
        assert sentence in refused([*base, tmp_path / "new"], 2, capsys)
    texts.unlink()
    assert "can't be read (No such file or directory)" in refused([*base, tmp_path / "new"], 2, capsys)
    both = "Give either a text to say"
    assert both in refused([*base[:1], "Hello.", *base[1:], tmp_path / "new"], 2, capsys)
    assert both in refused(["say", "--voice", voice, "-o", out], 2, capsys) and not (tmp_path / "new").exists()


def test_the_wrong_language_is_refused_unless_one_insists(
    files: Mapping[str, Path], voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    german = "Guten Tag, wie geht es Ihnen denn heute?"
    model = ["--model", str(files["float16"]), "--steps", "0"]
    said = refused(command(voice, tmp_path / "out.wav", *model, text=german), 2, capsys)
    assert f"'{german}' is not in the model's language, en-us; if it is, give --language en-us." in said
    assert main(command(voice, tmp_path / "out.wav", *model, "--language", "en-us", text=german)) == 0
    said = refused(command(voice, tmp_path / "out.wav", *model, "--language", "de", text=german), 2, capsys)
    assert "never heard" in said


def test_the_card_says_what_was_measured_and_whose_speech_it_was(run: Path, files: Mapping[str, Path]) -> None:
    card = files["float16"].with_suffix(".md").read_text()
    result = read_result(run)
    point = result["curve"][-1]
    assert re.search(rf"^\| {point['steps']} .*\| +{point['metrics']['per']['mean']:.3g}\b", card, re.M)
    assert f"{result['facts']['per_real']:.3g}" in card and "training voices are synthetic" in card
    assert model_file.read(files["float16"]).facts["corpora"][0]["title"] in card and "--model float16.safetensors --voice DIR" in card
    assert "{" not in card and not re.search(r"\n\n\n", card)


def test_what_is_no_model_file_is_one_sentence(
    files: Mapping[str, Path], voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, output = files["float16"].read_bytes(), tmp_path / "bad.safetensors", tmp_path / "out.wav"

    def said(status: int = 1) -> str:
        return refused(command(voice, output, "--model", str(bad)), status, capsys)

    assert "There is no model file" in said(2)
    for content in (b"", b"hello", good[:4], good[: len(good) // 2], good[:-1]):
        bad.write_bytes(content)
        assert "is no model file, or was cut short or damaged; copy or export it again." in said()
    bad.write_bytes(good[:-100] + bytes([good[-100] ^ 1]) + good[-99:])
    assert "its weights are not those that were written" in said()
    bad.write_bytes(good.replace(b'\\"algorithm\\"', b'\\"algorythm\\"', 1).replace(b'finetune', b'finetun3', 1))
    assert "bad.safetensors" in said()
    save_file({"a": torch.zeros(2)}, bad)
    assert "is a model of another program; name a file that 'export' wrote." in said()
    bundle = model_file.read(files["float16"])
    facts = sealed({**bundle.facts, "format": 0})
    save_file({"a": torch.zeros(2)}, bad, {model_file.KEY: json.dumps(facts)})
    assert "has format 0, and this version reads format 1; export its run again." in said()
    lacking = {name: value for name, value in bundle.facts.items() if name != "frontend"}
    model_file.write(bad, model_file.Bundle(lacking, bundle.tensors))
    assert "does not fit the plugins here ('frontend')" in said()
    fewer = {name: value for name, value in bundle.tensors.items() if not name.endswith(".bias")}
    model_file.write(bad, model_file.Bundle(bundle.facts, fewer))
    assert re.search(r"does not fit the plugins here \(\S+\.bias is absent there and \d+ here\): export its run again, or use the", said())
    strange = {**bundle.facts, "config": {**bundle.facts["config"], "algo": {"name": "finetone"}}}
    model_file.write(bad, model_file.Bundle(strange, bundle.tensors))
    assert "no algorithm called 'finetone'; did you mean 'finetune'?" in said(2)
    assert "--run and --model name a model each" in refused(command(voice, output, "--model", str(bad), "--run", "x"), 2, capsys)
    assert not output.exists()


def test_export_overwrites_nothing_of_others_and_says_what_is_wrong(
    run: Path, files: Mapping[str, Path], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.safetensors"
    base = ["export", run, "--cache", cache, "-o"]
    assert "-o must name a file to write that ends in .safetensors" in refused([*base, tmp_path / "model.pt"], 2, capsys)
    assert "There is no run folder" in refused(["export", tmp_path / "none", "-o", output], 2, capsys)
    save_file({"a": torch.zeros(2)}, output)
    assert "was not written by 'export'; choose another name" in refused([*base, output], 2, capsys)
    output.unlink()
    (tmp_path / "notes.md").write_text("mine")
    assert "is no card that 'export' wrote" in refused([*base, output, "--card", tmp_path / "notes.md"], 2, capsys)
    with full_disk(5000):
        assert "choose a folder that is writable and has space" in refused([*base, output], 1, capsys)
    assert not output.exists() and (tmp_path / "notes.md").read_text() == "mine"


def test_weights_beyond_sixteen_bits_stay_as_they_are() -> None:
    given = {"algorithm/a": torch.tensor([1e6, 1.0]), "algorithm/b": torch.tensor([1.5, -0.1]), "aligner/c": torch.tensor([0.1])}
    half = model_file.Bundle({}, {**given, "algorithm/d": torch.tensor([3])}).halved().tensors
    assert torch.equal(half["algorithm/a"], given["algorithm/a"]) and half["aligner/c"].dtype == torch.float32
    assert half["algorithm/b"].dtype == torch.float16 and half["algorithm/d"].dtype == torch.int64
    assert torch.allclose(half["algorithm/b"].float(), given["algorithm/b"], rtol=2**-11)


def test_a_vocoder_that_adapts_with_the_model_is_kept_once(cache: Path, voice: Path, tmp_path: Path) -> None:
    words = ["run", "--algo", "finetune", *TINY, *VOCODER, "--adapt_vocoder", "--metrics", "stoi"]
    with scoring_here():
        assert main([*words, "--cache", str(cache), "--output", str(tmp_path / "runs")]) == 0
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/result.json"))
    model = tmp_path / "m.safetensors"
    model_file.write(model, bundle_of(open_run(folder, cache, ()), cache, ()))
    assert not model_file.read(model).part("vocoder")
    by_run, by_file = tmp_path / "run.wav", tmp_path / "file.wav"
    assert main(command(voice, by_run, "--run", str(folder), "--cache", str(cache))) == 0
    assert main(command(voice, by_file, "--model", str(model))) == 0
    assert by_run.read_bytes() == by_file.read_bytes()


def test_every_vocoder_decodes_from_what_a_file_keeps() -> None:
    for name in registry.find("vocoder"):
        kind: type[Vocoder] = registry.load("vocoder", name)
        torch.manual_seed(1)
        one = kind(kind.tiny()).eval()
        torch.manual_seed(2)
        other = kind(kind.tiny()).eval()
        other.load_state_dict({**other.state_dict(), **one.decoding_state()})
        mel = torch.randn(20, one.mel.n_mels) - 5
        with torch.no_grad():
            assert torch.equal(one.decode(mel), other.decode(mel)), name


def test_a_long_text_is_written_as_it_is_spoken_and_only_its_start_is_kept(
    files: Mapping[str, Path], voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, (heard, _) = opened(files["float16"]), recordings.read(voice)
    adapted, text = say.adapt(trained, heard, 0), say.sentences(" ".join([TEXT] * 6), trained.frontend)
    monkeypatch.setattr(say, "JUDGED_SECONDS", 0.01)
    spoken = say.speak(adapted, text, tmp_path / "long.wav")
    assert len(text) == 6 and [each for each, _ in spoken.judged] == text[:1]
    wave, _ = soundfile.read(tmp_path / "long.wav")
    one = len(spoken.judged[0][1])
    assert len(wave) == spoken.samples == 6 * one + 5 * round(say.PAUSE_SECONDS * 16_000)
    np.testing.assert_allclose(wave[-one:], spoken.judged[0][1], atol=2**-15)
