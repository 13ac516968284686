"""``say``: a run's algorithm adapts to a folder of recordings and speaks; what it does without transcripts and with bad input."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmark.cli import main
from benchmark.data import languages, recordings
from benchmark.data.corpus_aligner import corpus_aligner
from benchmark.errors import UsageError
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone
from benchmark.results.result import read_result
from benchmark.running import say
from benchmark.running.building import frontend_of
from benchmark.running.preparation import metrics_folder, open_corpus
from tests.cli_helpers import full_disk, refused, scoring_here
from tests.dataset_helpers import SENTENCES, speech
from tests.report_helpers import change_result

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "trained_vocoder.py"
TEXT = "Two tall boys read a book."
LISTENER = '''
"""Hears how loud the mels are; reads no transcript."""
import torch
from benchmark.algorithm import AdaptedModel, Algorithm


class Listener(Algorithm):
    """A speaker vector from the mels alone."""

    trains = False
    max_steps = 0
    needs = ("mels", "speaker_vector")

    def adapt(self, support, steps):
        heard = support.mels.mean() / 10 + torch.zeros(self.backbone.speaker_dim)
        for step in steps:
            yield step, AdaptedModel(self.backbone, {"speaker": heard.detach()})

    def adapted_parameters(self):
        return {"speaker": self.backbone.speaker_dim}


PLUGIN = Listener
'''


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "listener.py"
    path.write_text(LISTENER)
    return path


@pytest.fixture(scope="module")
def folders(cache: Path, listener: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs by algorithm."""
    found = {}
    with scoring_here():
        for name in ("finetune", "listener", "mean_speaker"):
            output = tmp_path_factory.mktemp(name)
            common = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "stoi"]
            places = ["--cache", str(cache), "--output", str(output), "--plugin", str(listener)]
            assert main(["run", "--algo", name, *common, *places]) == 0
            (found[name],) = (path for path in output.iterdir() if path.is_dir())
    return found


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Three sentences of a woman, transcripts beside them."""
    folder = tmp_path / "voice"
    folder.mkdir()
    for number, text in enumerate(SENTENCES[:3]):
        soundfile.write(folder / f"{number}.wav", speech(text, "f2", 44_100), 44_100)
        (folder / f"{number}.txt").write_text(f"{text}.\n")
    return folder


def command(run: Path, voice: Path, output: Path, cache: Path, *more: str, text: str = TEXT) -> list[str]:
    return ["say", text, "--run", str(run), "--voice", str(voice), "-o", str(output), "--cache", str(cache), *more]


def test_say_adapts_speaks_and_tells(
    folders: Mapping[str, Path], voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "out.wav"
    assert main(command(folders["finetune"], voice, output, cache)) == 0
    printed = capsys.readouterr().out
    assert re.search(r"Adapted finetune to 3 recordings in \d+\.\d\d s \(2 steps\)", printed)
    assert re.search(r"Spoke \d+\.\d\d s in \d+\.\d\d s", printed) and "GE2E cosine: " in printed and str(output) in printed
    wave, rate = soundfile.read(output)
    assert rate == 16_000 and len(wave) > 8000 and np.abs(wave).max() > 0.01

    # The same again, to the sample; other steps and another voice are other speech.
    again, fewer = tmp_path / "again.wav", tmp_path / "fewer.wav"
    assert main(command(folders["finetune"], voice, again, cache)) == 0
    assert main(command(folders["finetune"], voice, fewer, cache, "--steps", "0")) == 0
    assert again.read_bytes() == output.read_bytes() != fewer.read_bytes()
    assert "(0 steps)" in capsys.readouterr().out

    # Transcripts are read, so one is enough, and none is not.
    (voice / "1.txt").unlink()
    (voice / "2.txt").write_text("...")
    assert main(command(folders["finetune"], voice, again, cache)) == 0
    told = capsys.readouterr()
    assert "to 1 recording in" in told.out and "no transcript (1.wav); text without phonemes (2.wav)" in told.err


def test_the_support_set_is_what_preparation_makes_of_the_same_recordings(folders: Mapping[str, Path], cache: Path, tmp_path: Path) -> None:
    """An utterance of the corpus, handed over as a wav, comes back with its own phones and nearly its own durations."""
    corpus = open_corpus("espeak", None, None, cache, 1, ())
    name = corpus.utterance_ids(corpus.speakers("test")[0])[0]
    original = corpus[name]
    soundfile.write(tmp_path / "a.wav", original.audio, 16_000)
    (tmp_path / "a.txt").write_text(original.text)
    found, left_out = recordings.read(tmp_path)
    batch, skipped = recordings.transcribed(found, frontend_of(corpus), corpus_aligner(corpus, metrics_folder(cache, corpus)))
    assert batch is not None and not left_out and not skipped
    # The dataset's phones are the synthesiser's, ours phonemizer's: nearly the same.
    assert abs(batch.tokens.shape[1] - len(original.tokens)) <= 3
    assert batch.mel_lengths[0] == pytest.approx(len(original.mel), abs=8)
    only = recordings.sound_of(found, corpus.mel)
    assert only.mels.equal(batch.mels) and only.mel_lengths.equal(batch.mel_lengths) and len(only) == 1
    assert only.as_new_speaker().speakers.equal(batch.speakers) and only.to("cpu").mels.equal(batch.mels)


def test_without_transcripts_only_those_who_just_listen_speak(
    folders: Mapping[str, Path], listener: Path, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.wav"
    plugin = ["--plugin", str(listener)]
    assert main(command(folders["listener"], voice, output, cache, *plugin)) == 0
    with_transcripts = output.read_bytes()
    for path in voice.glob("*.txt"):
        path.unlink()
    assert main(command(folders["listener"], voice, output, cache, *plugin)) == 0
    assert output.read_bytes() == with_transcripts and "to 3 recordings" in capsys.readouterr().out
    output.unlink()
    assert main(command(folders["finetune"], voice, output, cache)) == 2
    assert "put them beside the recordings, as 0.txt" in capsys.readouterr().err and not output.exists()


def test_algorithms_that_need_no_transcripts_adapt_to_sound_alone(voice: Path) -> None:
    found, _ = recordings.read(voice)
    support = recordings.sound_of(found, MelSpec())
    listening = set()
    for name in registry.find("algorithm"):
        plugin = registry.load("algorithm", name)
        algorithm = plugin(tiny_backbone()).eval()
        if plugin.uses_support and "transcripts" not in algorithm.needs:
            ((_, model),) = algorithm.adapt(support, [0])
            assert all(torch.isfinite(value).all() for value in model.stored.values())
            listening.add(name)
    assert listening == {"metric", "style"}


def test_its_own_output_is_no_recording_and_no_other_file_is_overwritten(
    folders: Mapping[str, Path], listener: Path, voice: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = ["--plugin", str(listener)]
    output = voice / "out.wav"
    assert main(command(folders["listener"], voice, output, cache, *plugin)) == 0
    first = output.read_bytes()
    shutil.copy(output, voice / "a copy.wav")
    assert main(command(folders["listener"], voice, output, cache, *plugin)) == 0
    told = capsys.readouterr()
    assert "to 3 recordings in" in told.out and "speech that 'say' wrote (a copy.wav, out.wav)" in told.err
    assert output.read_bytes() == first
    before = (voice / "0.wav").read_bytes()
    for place in (voice, voice / "0.wav"):
        said = refused(command(folders["listener"], place, voice / "0.wav", cache, *plugin), 2, capsys)
        assert "0.wav is there and was not written by 'say'; choose another name" in said
    assert (voice / "0.wav").read_bytes() == before
    assert "speech that 'say' wrote" in refused(command(folders["listener"], output, voice / "new.wav", cache, *plugin), 2, capsys)


def test_one_recording_is_a_voice_and_a_long_text_is_spoken_sentence_by_sentence(
    folders: Mapping[str, Path], listener: Path, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoken(text: str) -> np.ndarray:
        arguments = command(folders["listener"], voice / "0.wav", tmp_path / "out.wav", cache, "--plugin", str(listener), text=text)
        assert main(arguments) == 0
        assert "to 1 recording in" in capsys.readouterr().out
        return np.asarray(soundfile.read(tmp_path / "out.wav")[0])

    one, two = "Two tall boys read a book.", "She sees a kite!"
    both = spoken(f"{one} {two}")
    parts = spoken(one), spoken(two)
    pause = round(say.PAUSE_SECONDS * 16_000)
    assert len(both) == len(parts[0]) + pause + len(parts[1])
    np.testing.assert_array_equal(both[: len(parts[0])], parts[0])
    assert not both[len(parts[0]) : len(parts[0]) + pause].any()


def test_the_language_reads_text_and_transcripts(
    folders: Mapping[str, Path], voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, run = tmp_path / "out.wav", folders["finetune"]
    assert main(command(run, voice, output, cache)) == 0
    plain = output.read_bytes()
    assert main(command(run, voice, output, cache, "--language", "en_US")) == 0
    assert output.read_bytes() == plain
    assert main(command(run, voice, output, cache, "--language", "en-gb-x-rp", "--steps", "0")) == 0
    assert output.read_bytes() != plain
    for language, sentence in (("qqq", "Argument --language: espeak-ng has no voice 'qqq'"), ("ru", "espeak-ng's voice ru can't read")):
        assert sentence in refused(command(run, voice, output, cache, "--language", language), 2, capsys)
    for path in voice.glob("*.txt"):
        path.write_text("Мама дома.")
    found, _ = recordings.read(voice)
    corpus = open_corpus("espeak", None, None, cache, 1, ())
    aligner = corpus_aligner(corpus, metrics_folder(cache, corpus))
    frontend = frontend_of(corpus)
    assert "espeak-ng's voice en-us can't read" in recordings.told(recordings.transcribed(found, frontend, aligner)[1])
    assert "script" not in recordings.told(recordings.transcribed(found, frontend, aligner, "ru")[1])


def test_transcripts_may_be_in_another_language_than_the_text(
    folders: Mapping[str, Path], voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, run = tmp_path / "out.wav", folders["finetune"]

    def spoken(*words: str) -> bytes:
        assert main(command(run, voice, output, cache, *words)) == 0
        return output.read_bytes()

    other = "--voice-language", "en-gb-x-rp"
    assert spoken("--steps", "0", *other) == spoken("--steps", "0"), "the text is read as before"
    assert spoken("--steps", "2", *other) != spoken("--steps", "2")
    said = refused(command(run, voice, output, cache, "--voice-language", "qqq"), 2, capsys)
    assert "Argument --voice-language: espeak-ng has no voice 'qqq'" in said


def test_a_transcript_that_can_not_be_read_does_not_matter_to_those_who_just_listen(voice: Path) -> None:
    (voice / "0.txt").write_bytes(b"caf\xe9")
    (voice / "1.wav").rename(voice / "1.WAV")
    (voice / "1.txt").rename(voice / "1.TXT")
    (voice / "2.txt").write_bytes(b"\xef\xbb\xbfHi\r\n there")
    found, left_out = recordings.read(voice)
    assert [(each.text, each.unreadable) for each in found] == [("", "not UTF-8 text"), (f"{SENTENCES[1]}.", ""), ("Hi there", "")]
    assert not left_out and len(recordings.sound_of(found, MelSpec())) == 3


def test_mp3_is_a_recording(
    folders: Mapping[str, Path], listener: Path, voice: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for path in voice.glob("*.wav"):
        soundfile.write(path.with_suffix(".mp3"), *soundfile.read(path))
        path.unlink()
    arguments = command(folders["listener"], voice, tmp_path / "out.wav", cache, "--plugin", str(listener))
    assert main(arguments) == 0
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": ""})
    assert ".mp3 can't be decoded here, convert it to wav (0.mp3, 1.mp3, 2.mp3)" in refused(arguments, 2, capsys)


def test_bad_voices_are_one_sentence(
    folders: Mapping[str, Path], voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, run = tmp_path / "out.wav", folders["finetune"]

    def said(place: Path) -> str:
        return refused(command(run, place, output, cache), 2, capsys)

    assert "no folder of recordings and no recording at" in said(tmp_path / "nowhere")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "notes.txt").write_text("hello")
    assert "holds no recordings" in said(bad)
    soundfile.write(bad / "a.wav", speech(SENTENCES[0], "f2")[8000:11_200], 16_000)
    assert said(bad).endswith("shorter than 0.45 s of speech (a.wav); put a few wav files there, one spoken sentence each.")
    (bad / "a.wav").write_bytes((voice / "0.wav").read_bytes()[:30_000])
    (bad / "b.wav").write_text("not audio")
    assert "corrupt audio (b.wav)" in (line := said(bad)) and "truncated audio (a.wav)" in line
    (bad / "a.wav").unlink()
    shutil.copy(voice / "0.wav", bad / "b.wav")
    (bad / "b.txt").write_bytes(b"\xff\xfe\xff")
    assert "transcript is not UTF-8 text (b.wav)" in said(bad)
    (bad / "b.txt").write_text("A\0B")
    assert "transcript is not UTF-8 text (b.wav)" in said(bad)
    (bad / "b.txt").write_text("Она видит змея")
    assert "transcript in a script that espeak-ng's voice en-us can't read (b.wav)" in said(bad)
    (bad / "b.txt").write_text("...")
    assert "text without phonemes (b.wav)" in said(bad)
    (bad / "b.txt").write_text(" ".join(SENTENCES) * 3)
    assert "too short for its phones" in said(bad)


def test_bad_texts_runs_and_outputs_are_one_sentence(
    folders: Mapping[str, Path], listener: Path, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    output, run = tmp_path / "out.wav", folders["finetune"]
    assert "text to say is empty" in refused(command(run, voice, output, cache, text=" "), 2, capsys)
    assert "has 20001 characters; say at most 20000" in refused(command(run, voice, output, cache, text="One. " * 4000 + "x"), 2, capsys)
    assert r"holds '\udce9', which is no letter" in refused(command(run, voice, output, cache, text="Hi \udce9"), 2, capsys)
    assert "nothing to pronounce" in refused(command(run, voice, output, cache, text="... !?"), 2, capsys)
    assert "--steps: must be a whole number, at least 0, not -1" in refused(command(run, voice, output, cache, "--steps", "-1"), 2, capsys)
    assert "does not adapt to recordings" in refused(command(folders["mean_speaker"], voice, output, cache), 2, capsys)
    assert "no run folder" in refused(command(tmp_path / "nowhere", voice, output, cache), 2, capsys)
    assert "no run result" in refused(command(voice, voice, output, cache), 1, capsys)
    assert "does not hold the prepared corpus" in refused(command(run, voice, output, tmp_path), 1, capsys)
    assert "no algorithm called 'listener'" in refused(command(folders["listener"], voice, output, cache), 2, capsys)
    assert "must name a wav file" in refused(command(run, voice, tmp_path / "out.ogg", cache), 2, capsys)
    (tmp_path / "file").write_text("")
    with monkeypatch.context() as patched:  # said before the work is done
        patched.setattr("benchmark.data.recordings.read", pytest.fail)
        assert "writable" in refused(command(run, voice, tmp_path / "file" / "out.wav", cache), 1, capsys)
    languages.is_other_language("Two tall boys read a book.", "en-us")  # it unpacks a larger file
    with full_disk(5000):
        assert "out.wav: File too large; choose a folder" in refused(command(run, voice, output, cache), 1, capsys)

    for folder in (cache / "corpora").glob("espeak-*"):  # as it is, but for one number
        shutil.copytree(folder, tmp_path / "corpora" / folder.name, copy_function=os.symlink)
        shard = tmp_path / "corpora" / folder.name / "shards" / "00000.energy.npy"
        content = shard.read_bytes()
        shard.unlink()
        shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "00000.energy.npy is missing or damaged; delete" in refused(command(run, voice, output, tmp_path), 1, capsys)

    damaged = tmp_path / run.name
    shutil.copytree(run, damaged)
    (damaged / "checkpoints" / "algorithm.pt").write_bytes(b"cut")
    assert "algorithm.pt is missing, damaged, or from other code" in refused(command(damaged, voice, output, cache), 1, capsys)
    shutil.copy(folders["listener"] / "checkpoints" / "algorithm.pt", damaged / "checkpoints" / "algorithm.pt")
    result = read_result(damaged)
    change_result(damaged, facts=[1])
    assert "lacks or garbles 'facts'" in refused(command(damaged, voice, output, cache), 1, capsys)
    change_result(damaged, facts=result["facts"], seed=7)
    assert "does not belong to this folder" in refused(command(damaged, voice, output, cache), 1, capsys)
    (damaged / "result.json").unlink()
    assert "no run result" in refused(command(damaged, voice, output, cache), 1, capsys)
    assert not output.exists()


def test_say_speaks_with_the_vocoder_that_the_run_trained_and_trains_none(
    cache: Path, listener: Path, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Faulty vocoders fail before anything else is trained.
    faulty = tmp_path / "faulty.py"
    faulty.write_text(
        "from benchmark.errors import BenchmarkError\nfrom benchmark.vocoder import Vocoder\n\n\nclass Faulty(Vocoder):\n"
        "    def prepare(self, context):\n        raise BenchmarkError('No weights of mine.')\n\n"
        "    def decode(self, mel):\n        return mel\n\n\nPLUGIN = Faulty\n"
    )
    plugins = [word for path in (listener, faulty, EXAMPLE) for word in ("--plugin", str(path))]
    common = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "stoi", "--cache", str(cache)]
    run = ["run", "--algo", "listener", *common, "--output", str(tmp_path / "runs"), *plugins]
    with scoring_here(), monkeypatch.context() as patch:
        patch.setattr("benchmark.running.run.trained", lambda *_: pytest.fail("the algorithm came first"))
        assert "No weights of mine." in refused([*run, "--vocoder", "faulty"], 1, capsys)
    with scoring_here():
        small = ["--vocoder", "trained_vocoder", "--vocoder.hidden", "16", "--vocoder_training.steps", "3"]
        assert main([*run, *small, "--precision", "bf16-mixed"]) == 0
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/result.json"))
    kept = {path: path.read_bytes() for path in (cache / "vocoders").glob("espeak-trained_vocoder-*.pt")}
    ours = torch.load(folder / "checkpoints" / "vocoder.pt", weights_only=True)
    cached = [torch.load(io.BytesIO(each), weights_only=True)["state"] for each in kept.values()]
    assert any(all(torch.equal(ours["state"][name], value) for name, value in each.items()) for each in cached)
    for path in kept:
        path.unlink()
    output = tmp_path / "out.wav"
    assert main(command(folder, voice, output, cache, *plugins)) == 0
    assert output.stat().st_size > 10_000 and not list((cache / "vocoders").glob("espeak-trained_vocoder-*.pt"))
    (folder / "checkpoints" / "vocoder.pt").unlink()
    assert "vocoder.pt is missing, damaged, or from other code" in refused(command(folder, voice, output, cache, *plugins), 1, capsys)


def test_phones_that_the_corpus_lacks_are_named(cache: Path, folders: Mapping[str, Path]) -> None:
    frontend = frontend_of(open_corpus("espeak", None, None, cache, 1, ()))
    assert frontend.unknown((("ɬ", frontend.symbols[-1]),)) == ["ɬ"]
    with pytest.raises(UsageError, match="never heard"):
        say.sentences(TEXT, replace(frontend, symbols=frontend.symbols[:-30]))


def test_a_table_beside_recordings_is_read(voice: Path) -> None:
    said = [f"{text}." for text in SENTENCES[:3]]
    for path in voice.glob("*.txt"):
        path.unlink()

    def texts(place: Path = voice) -> list[tuple[str, str]]:
        return [(each.name, each.text) for each in recordings.read(place)[0]]

    assert texts() == [("0.wav", ""), ("1.wav", ""), ("2.wav", "")]
    table = voice / "metadata.csv"
    table.write_text(f"0|{said[0]}\n1|{said[1]}\n2|{said[2]}\n")  # LJSpeech's
    assert texts() == [(f"{number}.wav", text) for number, text in enumerate(said)]
    assert texts(voice / "1.wav") == [("1.wav", said[1])]
    table.write_text(f'audio,text,language\n0.wav,"{said[0]}",en\n1.wav,"{said[1]}",de\n')
    (voice / "2.txt").write_text("From a text beside it.")
    found, _ = recordings.read(voice)
    assert [(each.text, each.language) for each in found] == [(said[0], "en"), (said[1], "de"), ("From a text beside it.", "")]
    (voice / "wavs").mkdir()
    (voice / "2.wav").rename(voice / "wavs" / "2.wav")
    table.write_text(f'audio,text\n0.wav,"{said[0]}"\n2.wav,"{said[2]}"\n')  # one below, in LJSpeech's folder, that the table names
    assert texts() == [("0.wav", said[0]), ("1.wav", ""), ("2.wav", said[2])]
    table.unlink()
    (voice / "wav.scp").write_text("a 0.wav\nb 1.wav\n")
    (voice / "text").write_text(f"a {said[0]}\nb {said[1]}\n")
    (voice / "utt2spk").write_text("a anna\nb anna\n")
    assert texts() == [("0.wav", said[0]), ("1.wav", said[1])]
    (voice / "utt2spk").write_text("a anna\nb bert\n")
    with pytest.raises(UsageError, match=r"names 2 speakers, anna and bert; give a folder with recordings of one\."):
        recordings.read(voice)
    assert texts(voice / "0.wav") == [("0.wav", said[0])], "one recording has one speaker"


def test_a_language_in_the_table_reads_its_transcript(cache: Path, voice: Path) -> None:
    corpus = open_corpus("espeak", None, None, cache, 1, ())
    frontend, aligner = frontend_of(corpus), corpus_aligner(corpus, metrics_folder(cache, corpus))
    for path in voice.glob("*.txt"):
        path.unlink()
    rows = [f'{number}.wav,"{SENTENCES[number]}.",{language}' for number, language in enumerate(("en", "ru", "xx"))]
    (voice / "metadata.csv").write_text("\n".join(["audio,text,language", *rows]))
    batch, left_out = recordings.transcribed(recordings.read(voice)[0], frontend, aligner)
    assert batch is not None and len(batch) == 1
    told = recordings.told(left_out)
    assert "espeak-ng's voice ru can't read (1.wav)" in told and "espeak-ng has no voice 'xx'" in told
    every, _ = recordings.transcribed(recordings.read(voice)[0], frontend, aligner, "en-us")
    assert every is not None and len(every) == 3, "a language that is asked for reads all"
