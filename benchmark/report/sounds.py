"""A board's speech: the same sentences by all algorithms, side by side, as audio and as spectrograms."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from benchmark import problems
from benchmark.errors import BenchmarkError
from benchmark.mel import LOG_FLOOR, MelSpec, log_mel
from benchmark.plumbing.words import counted
from benchmark.report.boards import Board
from benchmark.results.comparison import Contender, common_seeds
from benchmark.results.kept_speech import BESIDE, beside_in, check, speech_in

COMPRESSION = 0.5
"""Compression level of MP3, which every browser plays: about 34 kbit/s at 16 kHz."""
SHADES = 48
"""Colours of a spectrogram: fewer would show bands, more would only cost bytes."""
RAMP = ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164))
"""Dark to light through purple and orange, in even steps of lightness, so that it works in grey and for the colour-blind."""

WORDS = {"recording": "recording", "copy": "copy synthesis", "support": "a support sentence"}
"""What readers call what runs keep beside speech."""

Audio = npt.NDArray[np.float32]
Place = tuple[int, int]
"""(shots, steps)."""


@dataclass(frozen=True)
class Clip:
    """Some seconds of speech, as a ``data:`` URI; ``place`` gives its shots and steps in words."""

    source: str
    seconds: float
    place: str = ""


@dataclass(frozen=True)
class Reference:
    """What synthesis is heard beside: the recording, its copy, a support sentence (``text``), a floor (``role``)."""

    name: str
    clip: Clip
    role: str = ""
    text: str = ""


@dataclass(frozen=True)
class Picture:
    """A spectrogram, as a ``data:`` URI; ``frame`` is how many seconds its width stands for."""

    title: str
    source: str
    seconds: float
    frame: float
    width: int
    height: int


@dataclass(frozen=True)
class SpokenSentence:
    """One sentence in one speaker's voice, by every contender.

    Attributes:
        speaker: the target.
        utterance: the sentence's id.
        text: the transcript, if a run kept it or the prepared corpus is at hand.
        references: the recording first, because all others are compared with it, its copy, a support sentence; then floors.
        places: headings of the columns of ``adapted``.
        adapted: for each contender that adapts, a clip or None for each place.
        pictures: spectrograms of the recording, its copy and a support sentence.
        spectrograms: of each contender that adapts, at its fewest and its most steps of which speech was kept.
    """

    speaker: str
    utterance: str
    text: str | None
    references: list[Reference]
    places: list[str]
    adapted: list[tuple[str, list[Clip | None]]]
    pictures: list[Picture]
    spectrograms: list[tuple[str, list[Picture]]]

    @property
    def shows_fewest(self) -> bool:
        """Whether some contender is pictured at its fewest steps too, not only at its most."""
        return any(len(own) > 1 for _, own in self.spectrograms)

    @property
    def size(self) -> int:
        """Characters that it adds to the page."""
        sources = [one.clip.source for one in self.references] + [clip.source for _, row in self.adapted for clip in row if clip]
        sources += [picture.source for row in (self.pictures, *(own for _, own in self.spectrograms)) for picture in row]
        return sum(map(len, sources))


def sentences(
    board: Board, text: Callable[[str], str | None], limit: int, pictured: int, show: Callable[[float], None]
) -> tuple[list[SpokenSentence], int]:
    """The sentences for which runs kept speech, one per speaker, until they reach the limit.

    Args:
        board: the runs.
        text: transcript of an utterance, if known.
        limit: characters; the first sentence is taken whatever its size.
        pictured: how many sentences get spectrograms.
        show: called with the share that is done.

    Returns:
        the sentences, and how many speakers there are.

    Raises:
        BenchmarkError: an audio file can't be read.
    """
    # Use the common seed of which most speech was kept; if none is common, each contender's best.
    seeds: Sequence[int | None] = common_seeds(board.contenders) or [None]
    files = max(({one.name: _kept(one, seed) for one in board.contenders} for seed in seeds), key=lambda each: sum(map(len, each.values())))
    speakers = sorted({speaker for own in files.values() for speaker, *_ in own})
    found: list[SpokenSentence] = []
    size = 0
    for speaker in speakers:
        sentence = _sentence(board, speaker, files, text, len(found) < pictured)
        size += sentence.size
        if found and size > limit:
            break
        found.append(sentence)
        show(max(size / limit, len(found) / len(speakers)))
    return found, len(speakers)


_Files = dict[tuple[str, int, int], tuple[str, Path]]
"""(speaker, shots, steps) to (utterance, file)."""


def _kept(contender: Contender, seed: int | None) -> _Files:
    """The first query of each speaker's first episode, from the contender's run (of that seed, if any is given) that kept most speech.

    Raises:
        BenchmarkError: the speech was changed after the run.
    """
    every: list[_Files] = [{}]
    for folder, result in zip(contender.folders, contender.results, strict=True):
        if seed not in (None, result["seed"]):
            continue
        check(folder, result)
        # Listed, not built from speakers' names, so that a name can't lead out of the folder.
        found = speech_in(folder, result)
        frame = contender.episodes
        rows = frame[(frame["seed"] == result["seed"]) & (frame["episode"] == 0)].drop_duplicates(["speaker", "shots", "steps"])
        every.append({
            place: (row.utterance, found[place])
            for row in rows.itertuples()
            if (place := (str(row.speaker), int(row.shots), int(row.steps))) in found
        })  # fmt: skip
    return max(every, key=len)


def _sentence(
    board: Board, speaker: str, files: dict[str, _Files], text: Callable[[str], str | None], pictured: bool
) -> SpokenSentence:  # fmt: skip
    own = {name: {(shots, steps): kept for (who, shots, steps), kept in all_.items() if who == speaker} for name, all_ in files.items()}
    # Runs with other settings may have another first sentence; only the same sentence can be compared.
    utterance = next(kept[0] for by_place in own.values() for kept in by_place.values())
    paths = {name: {place: path for place, (one, path) in by_place.items() if one == utterance} for name, by_place in own.items()}
    adapting = [contender.name for contender in board.contenders if board.uses_shots(contender.name) and paths[contender.name]]
    references, transcript = _references(board, speaker, paths)
    shown = places_shown({name: set(paths[name]) for name in adapting})
    drawn: list[tuple[str, Audio]] = []
    rows: list[tuple[str, int]] = []
    if pictured:
        drawn = [(name, _read(path)) for name, path, role, _ in references if not role]
        for name in adapting:
            most = max(shots for shots, _ in paths[name])
            steps = sorted(step for shots, step in paths[name] if shots == most)
            ends = list(dict.fromkeys((steps[0], steps[-1])))
            drawn += [(said(most, step), _read(paths[name][most, step])) for step in ends]
            rows.append((name, len(ends)))
    # On one scale, so that algorithms can be compared too.
    pictures = iter(_pictures(drawn))
    beside = [next(pictures) for _ in drawn[: len(drawn) - sum(count for _, count in rows)]]
    return SpokenSentence(
        speaker, utterance, transcript or text(utterance),
        [Reference(name, clip(path), role, told) for name, path, role, told in references], [title for title, _ in shown],
        [(name, [clip(paths[name][at[name]], said(*at[name])) if name in at else None for _, at in shown]) for name in adapting],
        beside, [(name, [next(pictures) for _ in range(count)]) for name, count in rows],
    )  # fmt: skip


def _references(
    board: Board, speaker: str, paths: Mapping[str, Mapping[Place, Path]]
) -> tuple[list[tuple[str, Path, str, str]], str]:
    """Name, file, role and text of what a speaker's synthesis is heard beside, and the text of the sentence, "" if no run kept it.

    Runs keep the recording, its copy and a support sentence; in older runs, toplines stand for the first two.
    """
    beside = problems.get(board.contenders[0].results[0]["problem"]).beside
    kept: dict[str, tuple[Path, str]] = {}
    for contender in board.contenders:
        for path in list(paths[contender.name].values())[:1]:
            place = contender.folders.index(path.parent.parent)
            kept = beside_in(contender.folders[place], contender.results[place], speaker) | kept
    found = [(WORDS[kind], kept[kind][0], "", kept[kind][1] if kind == "support" else "") for kind in BESIDE if kind in kept]
    own = {name: by_place[max(by_place)] for name, by_place in paths.items() if by_place and not board.uses_shots(name)}
    toplines = {name: title for name, title in beside.items() if name in own}
    if not kept:
        found = [(title, own[name], "", "") for name, title in toplines.items()]
    found += [(name, path, board.role(name), "") for name, path in sorted(own.items()) if name not in toplines]
    return found, kept["recording"][1] if "recording" in kept else ""


def said(shots: int, steps: int | str) -> str:
    """A place of the grid in words."""
    return f"{counted(shots, 'shot')}, {steps} steps"


def places_shown(places: Mapping[str, set[Place]]) -> list[tuple[str, dict[str, Place]]]:
    """Where each contender is heard: for each number of shots at its most steps, so that none is missing, then at fewer steps."""
    if not places:
        return []
    every = {place for own in places.values() for place in own}
    columns = []
    for shots in sorted({shots for shots, _ in every}, reverse=True):
        last = {name: max(own) for name, all_ in places.items() if (own := [place for place in all_ if place[0] == shots])}
        steps = {step for _, step in last.values()}
        columns.append((said(shots, steps.pop() if len(steps) == 1 else "most"), last))
    most = max(shots for shots, _ in every)
    for step in sorted({step for shots, step in every if shots == most}, reverse=True):
        earlier = {name: (most, step) for name, own in places.items() if (most, step) in own and max(own) > (most, step)}
        if earlier:
            columns.append((said(most, step), earlier))
    return columns


def _read(path: Path) -> Audio:
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise BenchmarkError(f"{path} can't be read ({error}); run the benchmark again with --overwrite always.") from error
    if rate != MelSpec().sample_rate or not len(audio):
        raise BenchmarkError(f"{path} is empty or not at {MelSpec().sample_rate} Hz; run the benchmark again with --overwrite always.")
    return audio[:, 0]


def clip(path: Path, place: str = "") -> Clip:
    """A file of speech for the page.

    Raises:
        BenchmarkError: it can't be read.
    """
    audio, stream = _read(path), io.BytesIO()
    soundfile.write(stream, audio, MelSpec().sample_rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=COMPRESSION)
    return Clip(_uri("audio/mpeg", stream.getvalue()), len(audio) / MelSpec().sample_rate, place)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _pictures(audios: Sequence[tuple[str, Audio]]) -> list[Picture]:
    """Mel spectrograms on one scale of time and of level."""
    spec = MelSpec()
    # The transform reflects half a window at either end, so it needs more samples than that.
    padded = [np.pad(audio, (0, max(0, spec.n_fft - len(audio)))) for _, audio in audios]
    mels = [log_mel(torch.from_numpy(audio), spec).numpy() for audio in padded]
    if not mels:
        return []
    longest, loudest, floor = max(map(len, mels)), max(float(mel.max()) for mel in mels), float(np.log(LOG_FLOOR))
    pictures = []
    for (title, audio), mel in zip(audios, mels, strict=True):
        shades = np.full((longest, spec.n_mels), SHADES, dtype=np.uint8)
        shades[: len(mel)] = np.clip((mel - floor) / max(loudest - floor, 1e-6) * (SHADES - 1), 0, SHADES - 1).round()
        source = _uri("image/png", _png(shades.T[::-1]))
        pictures.append(Picture(title, source, len(audio) / spec.sample_rate, longest * spec.seconds_per_frame, longest, spec.n_mels))
    return pictures


def _png(shades: npt.NDArray[np.uint8]) -> bytes:
    """A palette image, shape (height, width); the shade ``SHADES`` is transparent (ISO 15948)."""
    where = np.linspace(0, len(RAMP) - 1, SHADES)
    palette = np.stack([np.interp(where, range(len(RAMP)), channel) for channel in zip(*RAMP, strict=True)], 1).round().astype(np.uint8)
    rows = np.pad(shades, ((0, 0), (1, 0)))  # each row starts with its filter, none

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = shades.shape
    return b"\x89PNG\r\n\x1a\n" + b"".join([
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)), chunk(b"PLTE", palette.tobytes() + bytes(3)),
        chunk(b"tRNS", bytes([255] * SHADES + [0])), chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), chunk(b"IEND", b""),
    ])  # fmt: skip
