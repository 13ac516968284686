"""Folders of recordings that no run can use, each wrong in one way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
SPEAKERS = ("anna", "carl", "dora", "emil")


def bad_corpora(root: Path, speech: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """What is wrong, and the folder.

    Args:
        root: to make them in.
        speech: recordings that are fine.
    """
    for number, (what, make) in enumerate(MAKERS.items()):
        folder = root / f"corpus{number}"
        folder.mkdir(parents=True)
        make(folder, speech)
        yield what, folder


def _table(folder: Path, rows: Sequence[str], header: str = "audio,text,speaker") -> None:
    (folder / "metadata.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def _rows(count: int = 16) -> list[str]:
    return [f"{number}.wav,A tall boy painted gate {number},{SPEAKERS[number % 4]}" for number in range(count)]


def _recorded(folder: Path, speech: Sequence[Path], count: int = 16) -> None:
    for number in range(count):
        os.link(speech[number % len(speech)], folder / f"{number}.wav")


def _audio(wave: Callable[[np.random.Generator], np.ndarray], rate: int = RATE) -> Callable[[Path, Sequence[Path]], None]:
    """A corpus whose recordings all sound so."""

    def make(folder: Path, speech: Sequence[Path]) -> None:
        for number in range(16):
            soundfile.write(folder / f"{number}.wav", wave(np.random.default_rng(number)), rate, subtype="FLOAT")
        _table(folder, _rows())

    return make


def _bytes(content: bytes) -> Callable[[Path, Sequence[Path]], None]:
    """A corpus whose recordings all hold these bytes."""

    def make(folder: Path, speech: Sequence[Path]) -> None:
        for number in range(16):
            (folder / f"{number}.wav").write_bytes(content)
        _table(folder, _rows())

    return make


def _listed(rows: Callable[[list[str]], Sequence[str]], header: str = "audio,text,speaker") -> Callable[[Path, Sequence[Path]], None]:
    """Good recordings with such a table."""

    def make(folder: Path, speech: Sequence[Path]) -> None:
        _recorded(folder, speech)
        _table(folder, rows(_rows()), header)

    return make


def _raw(content: bytes, name: str = "metadata.csv") -> Callable[[Path, Sequence[Path]], None]:
    """Good recordings with a file of these bytes for a table."""

    def make(folder: Path, speech: Sequence[Path]) -> None:
        _recorded(folder, speech)
        (folder / name).write_bytes(content)

    return make


def _speakers(name: str) -> Callable[[Path, Sequence[Path]], None]:
    """Everybody is called so."""
    return _listed(lambda rows: [f'{",".join(row.split(",")[:2])},"{name}"' for row in rows])


def _texts(text: str) -> Callable[[Path, Sequence[Path]], None]:
    return _listed(lambda rows: [f'{number}.wav,"{text}",{SPEAKERS[number % 4]}' for number, _ in enumerate(rows)])


def _audios(name: str) -> Callable[[Path, Sequence[Path]], None]:
    return _listed(lambda rows: [f"{name},{','.join(row.split(',')[1:])}" for row in rows])


def _nested(folder: Path, speech: Sequence[Path]) -> None:
    deep = folder.joinpath(*["d"] * 60)
    deep.mkdir(parents=True)
    _recorded(deep, speech, 1)


def _pipes(folder: Path, speech: Sequence[Path]) -> None:
    for number in range(16):
        os.mkfifo(folder / f"{number}.wav")
    _table(folder, _rows())


def _loop(folder: Path, speech: Sequence[Path]) -> None:
    (folder / "anna").symlink_to(folder)


MAKERS: dict[str, Callable[[Path, Sequence[Path]], None]] = {
    "nothing": lambda folder, speech: None,
    "one speaker": _speakers("anna"),
    "a speaker ../../x": _speakers("../../x"),
    "a speaker of two lines": _speakers("a\nb"),
    "a formula as a speaker": _speakers("=cmd|'/c calc'!A1"),
    "a long speaker": _speakers("x" * 3000),
    "an empty speaker": _speakers(" "),
    "a table without text": _listed(lambda rows: [row.split(",")[0] for row in rows], "audio"),
    "a table of unknown columns": _listed(lambda rows: rows, "a,b,c"),
    "a table with a header alone": _listed(lambda rows: []),
    "an empty table": _raw(b""),
    "a table of zeros": _raw(b"\0" * 1000),
    "a table in UTF-16": _raw("audio,text,speaker\n0.wav,Hi,a\n".encode("utf-16")),
    "a table of one quote": _raw(b'audio,text,speaker\n"' + b"x" * 200_000),
    "a table of commas": _raw(b"audio,text,speaker\n" + b"," * 100_000),
    "a table with a BOM and no recordings": _raw("\ufeffaudio,text,speaker\nx.wav,Hi,a\n".encode()),
    "texts without letters": _texts("!!! ..."),
    "control characters as texts": _texts("\x01\x02"),
    "long texts": _texts("word " * 20_000),
    "texts too long to have been said": _texts("A very long sentence that goes on " * 40),
    "another script": _texts("你好世界"),
    "languages that nobody speaks": _listed(lambda rows: [f"{row},klingon" for row in rows], "audio,text,speaker,language"),
    "splits that are none": _listed(lambda rows: [f"{row},nonsense" for row in rows], "audio,text,speaker,split"),
    "a speaker in two splits": _listed(
        lambda rows: [f"{row},{'train' if n % 8 < 4 else 'test'}" for n, row in enumerate(rows)], "audio,text,speaker,split"
    ),
    "everybody in the test": _listed(lambda rows: [f"{row},test" for row in rows], "audio,text,speaker,split"),
    "recordings elsewhere": _audios("../../../../etc/passwd"),
    "a folder as a recording": _audios("."),
    "missing recordings": _audios("none.wav"),
    "one recording for all": _audios("0.wav"),
    "a device as a recording": _audios("/dev/zero"),
    "silence": _audio(lambda draw: np.zeros(2 * RATE)),
    "a constant": _audio(lambda draw: np.full(2 * RATE, 0.5)),
    "NaN": _audio(lambda draw: np.full(2 * RATE, np.nan)),
    "infinity": _audio(lambda draw: np.full(2 * RATE, np.inf)),
    "no samples": _audio(lambda draw: np.zeros(0)),
    "ten samples": _audio(lambda draw: draw.normal(0, 0.1, 10)),
    "a rate of 100 Hz": _audio(lambda draw: draw.normal(0, 0.1, 200), 100),
    "a rate of 1 MHz": _audio(lambda draw: draw.normal(0, 0.1, 10_000), 1_000_000),
    "recordings of zeros": _bytes(b"\0" * 5000),
    "recordings of text": _bytes(b"not a recording\n"),
    "empty recordings": _bytes(b""),
    "headers alone": _bytes(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\xff\xff\xff\x7f"),
    "pipes": _pipes,
    "deep folders": _nested,
    "a folder in itself": _loop,
}
"""By what is wrong."""
