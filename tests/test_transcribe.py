"""``transcribe``: a finished recognition run adapts to recordings with transcripts and reads others."""

from __future__ import annotations

import re
from pathlib import Path

import jiwer
import pytest
import soundfile

from benchmark.cli import main
from benchmark.data.corpus import UNLEARNABLE
from tests.cli_helpers import refused, scoring_here
from tests.dataset_helpers import SENTENCES, speech

TINY = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1"]


def finished(cache: Path, output: Path, *words: str) -> Path:
    """The folder of a finished run."""
    with scoring_here():
        assert main(["run", *TINY, "--cache", str(cache), "--output", str(output), *words]) == 0
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    return folder


@pytest.fixture(scope="module")
def listener(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser after a few hundred steps: it writes letters, though hardly the right ones."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["--algo", "finetune", "--backbone", "crnn_ctc", "--backbone.hidden", "16", "--backbone.channels", "2"]
    return finished(cache, folder, *words, "--metrics", "cer", "--algo.learning_rate", "0.03")


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Three sentences of a woman, transcripts beside two of them."""
    folder = tmp_path / "voice"
    folder.mkdir()
    for number, text in enumerate(SENTENCES[:3]):
        soundfile.write(folder / f"{number}.wav", speech(text, "f2", 16_000), 16_000)
        if number < 2:
            (folder / f"{number}.txt").write_text(f"{text}.\n")
    return folder


def test_a_voice_is_adapted_to_and_errors_are_counted(
    listener: Path, voice: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["transcribe", str(voice), "--run", str(listener), "--cache", str(cache)]
    assert main(command) == 0
    plain = capsys.readouterr()
    assert "Transcribed 3 recordings in" in plain.out and "Adapted" not in plain.out and plain.err == "Loading …\n"
    first, _, third, *_ = plain.out.splitlines()
    heard, error = re.fullmatch(r"0\.wav: (.*) \((\d+)% of the characters wrong\)", first).groups()  # type: ignore[union-attr]
    assert int(error) == round(100 * jiwer.cer(SENTENCES[0].casefold().replace(",", ""), heard))
    assert third.startswith("2.wav: ") and "wrong" not in third

    assert main([*command, "--voice", str(voice), "--steps", "20"]) == 0
    adapted = capsys.readouterr()
    assert adapted.out.count(" of the characters wrong, though adapted to)") == 2
    assert "adapted" not in next(line for line in adapted.out.splitlines() if line.startswith("2.wav"))
    assert re.search(r"Adapted finetune to 2 recordings in \d+\.\d\d s \(20 steps\)", adapted.out)
    assert "Left out: no transcript (2.wav)." in adapted.err
    assert adapted.out.splitlines()[0] != first

    one = [*command[:1], str(voice / "2.wav"), *command[2:]]
    assert main(one) == 0 and capsys.readouterr().out.startswith("2.wav: ")


def test_what_teaches_nothing_is_left_out_of_the_voice(
    listener: Path, voice: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (voice / "0.txt").write_text(f"{' '.join(SENTENCES)}\n")
    (voice / "2.txt").write_text("%\n")
    soundfile.write(voice / "3.wav", speech(SENTENCES[3], "f2", 16_000), 16_000)
    (voice / "3.txt").write_text("\N{CYRILLIC SMALL LETTER TE}\N{CYRILLIC SMALL LETTER A} a \N{CYRILLIC SMALL LETTER TE}\n")
    command = ["transcribe", str(voice / "1.wav"), "--run", str(listener), "--cache", str(cache), "--voice", str(voice)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "Adapted finetune to 1 recording in" in said.out
    strange = "most of the transcript is in characters that the model can't write (3.wav)"
    assert f"Left out: {UNLEARNABLE} (0.wav, 2.wav); {strange}." in said.err


def test_all_of_a_folder_is_read_whoever_speaks(
    listener: Path, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, lines = tmp_path / "many", ["audio,text,speaker"]
    folder.mkdir()
    for number in range(22):
        (folder / f"{number:02d}.wav").write_bytes((voice / f"{number % 3}.wav").read_bytes())
        lines.append(f"{number:02d}.wav,,{'ann' if number % 2 else 'bob'}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    assert main(["transcribe", str(folder), "--run", str(listener), "--cache", str(cache)]) == 0
    assert "Transcribed 22 recordings in" in capsys.readouterr().out
    refused_voice = ["transcribe", folder, "--run", listener, "--cache", cache, "--voice", folder]
    assert "names 2 speakers, ann and bob" in refused(refused_voice, 2, capsys)


def test_the_model_as_it_was_trained_reads_too(voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--backbone", "crnn_ctc", "--backbone.hidden", "16", "--backbone.channels", "2", "--metrics", "cer"]
    run = finished(cache, tmp_path / "runs", "--algo", "no_adaptation", *words)
    command = ["transcribe", str(voice), "--run", str(run), "--cache", str(cache)]
    assert main(command) == 0
    assert "Transcribed 3 recordings in" in capsys.readouterr().out
    assert "no_adaptation does not adapt to recordings; leave --voice out" in refused([*command, "--voice", voice], 2, capsys)


@pytest.mark.parametrize(("algorithm", "option"), [("all_speech", "--algo.batch_size=2"), ("finetune", "--algo.augmentation=speed")])
def test_recordings_are_batches_as_a_corpus_is(
    algorithm: str, option: str, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More of them than a step takes, and stretched."""
    (voice / "2.txt").write_text(SENTENCES[2])
    words = ["--backbone", "crnn_ctc", "--backbone.hidden", "16", "--backbone.channels", "2", "--metrics", "cer"]
    run = finished(cache, tmp_path / "runs", "--algo", algorithm, option, *words)
    assert main(["transcribe", str(voice), "--run", str(run), "--cache", str(cache), "--voice", str(voice)]) == 0
    assert f"Adapted {algorithm} to 3 recordings in" in capsys.readouterr().out


def test_an_exported_recogniser_reads_as_its_run_does(
    listener: Path, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, card = tmp_path / "model.safetensors", tmp_path / "card.md"
    assert main(["export", str(listener), "-o", str(model), "--precision", "float32", "--card", str(card), "--cache", str(cache)]) == 0
    assert "| algorithm |" in capsys.readouterr().out and "transcribe FILE --model model.safetensors" in card.read_text()

    def read(*words: str) -> list[str]:
        assert main(["transcribe", str(voice), *words, "--voice", str(voice), "--steps", "20"]) == 0
        return capsys.readouterr().out.splitlines()[:3]

    assert read("--model", str(model)) == read("--run", str(listener), "--cache", str(cache))
    said = refused(["say", "Hello.", "--model", model, "--voice", voice, "-o", tmp_path / "o.wav"], 2, capsys)
    assert f"{model} is a recognition model; choose a synthesis model." in said


def test_what_cant_be_transcribed_is_one_sentence(
    listener: Path, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["transcribe", voice, "--cache", cache]
    assert "--steps needs --voice DIR" in refused([*base, "--run", listener, "--steps", "5"], 2, capsys)
    assert "--steps: must be a whole number, at least 0, not -1" in refused([*base, "--run", listener, "--steps", "-1"], 2, capsys)
    assert "There is no run folder" in refused([*base, "--run", tmp_path / "none"], 2, capsys)
    assert "no folder of recordings and no recording at" in refused(["transcribe", tmp_path / "x.wav", "--run", listener], 2, capsys)
    for text in voice.glob("*.txt"):
        text.unlink()
    said = refused([*base, "--run", listener, "--voice", voice], 2, capsys)
    assert "A recogniser adapts to transcripts (no transcript (0.wav, 1.wav, 2.wav)): put them beside the recordings, as 0.txt" in said


def test_a_run_that_speaks_does_not_transcribe_and_the_other_way_round(
    listener: Path, voice: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speaker = finished(cache, tmp_path / "runs", "--algo", "finetune", "--metrics", "stoi")
    said = refused(["transcribe", voice, "--run", speaker, "--cache", cache], 2, capsys)
    assert f"{speaker.name} is a synthesis model; choose a recognition model." in said
    said = refused(["say", "Hello.", "--run", listener, "--voice", voice, "-o", tmp_path / "o.wav", "--cache", cache], 2, capsys)
    assert f"{listener.name} is a recognition model; choose a synthesis model." in said
