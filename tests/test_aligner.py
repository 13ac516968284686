"""The aligner: finds boundaries and pauses, gives the same model however it is run, and says what it can't align."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.aligner import HOP_SECONDS, STATES, Aligner, AlignmentItem, CannotAlign, mfcc
from benchmark.utterance import Words

PHONES = ("a", "i", "m", "s", "t")
Truth = list[list[tuple[int, int]]]
"""First frame and the one after the last, of each phone, word by word."""


def utterances(count: int, seed: int = 0, spread: float = 1.0) -> list[tuple[AlignmentItem, Truth]]:
    """Frames drawn from a Gaussian a phone, silence at both ends, a pause of 24 frames after one word in three."""
    rng = np.random.default_rng(1)
    means = {name: rng.normal(0, 3, 39) for name in (*PHONES, "silence")}
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        pieces = [("silence", 12)]
        words: list[tuple[str, ...]] = []
        truth: Truth = []
        for index in range(4):
            # One frame after the other must differ in phone, or there is no boundary to find.
            previous = words[-1][-1] if words else ""
            word: list[str] = []
            for _ in range(int(rng.integers(1, 4))):
                word.append(str(rng.choice([p for p in PHONES if p != (word[-1] if word else previous)])))
            spans = []
            for phone in word:
                start = sum(length for _, length in pieces)
                pieces.append((phone, int(rng.integers(8, 24))))
                spans.append((start, start + pieces[-1][1]))
            words.append(tuple(word))
            truth.append(spans)
            if index < 3 and rng.random() < 1 / 3:
                pieces.append(("silence", 24))
        pieces.append(("silence", 12))
        frames = np.concatenate([rng.normal(means[name], spread, (length, 39)) for name, length in pieces])
        made.append((AlignmentItem(f"u{number}", frames.astype(np.float32), tuple(words)), truth))
    return made


def arrays(aligner: Aligner) -> list[bytes]:
    return [np.ascontiguousarray(array).tobytes() for array in (aligner.mean, aligner.variance, aligner.stay)]


def items(count: int, seed: int = 0) -> list[AlignmentItem]:
    return [item for item, _ in utterances(count, seed)]


def test_boundaries_and_pauses_of_known_gaussians_are_found() -> None:
    made = utterances(80)
    aligner = Aligner.fit([item for item, _ in made])
    pauses = joins = 0
    for item, truth in utterances(20, seed=5):  # others than those trained on
        found = aligner.align(item)
        assert [[segment.phone for segment in word] for word in found] == [list(word) for word in item.words]
        for word, spans in zip(found, truth, strict=True):
            for segment, (start, end) in zip(word, spans, strict=True):
                assert segment.start / HOP_SECONDS == pytest.approx(start, abs=2)
                assert segment.end / HOP_SECONDS == pytest.approx(end, abs=2)
        for index in range(len(truth) - 1):
            gap = round((found[index + 1][0].start - found[index][-1].end) / HOP_SECONDS)
            if truth[index + 1][0][0] > truth[index][-1][1]:
                pauses += 1
                assert gap == pytest.approx(24, abs=2)
            else:
                joins += 1
                assert gap == 0
    assert pauses > 5 and joins > 5


def test_speech_without_silence_at_its_ends_is_all_given_to_phones() -> None:
    aligner = Aligner.fit(items(60))
    for item, truth in utterances(10, seed=6):
        found = aligner.align(AlignmentItem(item.id, item.features[truth[0][0][0] : truth[-1][-1][1]], item.words))
        assert found[0][0].start == 0
        assert found[-1][-1].end / HOP_SECONDS == pytest.approx(truth[-1][-1][1] - truth[0][0][0])


def test_within_words_segments_touch_and_last_their_least() -> None:
    aligner = Aligner.fit(items(30))
    for item in items(10, seed=3):
        for word in aligner.align(item):
            assert all(a.end == b.start for a, b in pairwise(word))
            assert all(s.end - s.start >= (STATES - 0.01) * HOP_SECONDS for s in word)


def test_the_model_does_not_depend_on_the_number_of_workers() -> None:
    made = items(40)
    assert arrays(Aligner.fit(made, workers=1)) == arrays(Aligner.fit(made, workers=3))


class Killed(Exception):
    pass


def test_training_goes_on_after_a_kill_and_gives_the_same_model(tmp_path: Path) -> None:
    made = items(40)
    whole = Aligner.fit(made)

    def die(done: int, total: int) -> None:
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        Aligner.fit(made, resume_folder=tmp_path, progress=die)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 4
    resumed = Aligner.fit(made, resume_folder=tmp_path)
    assert arrays(resumed) == arrays(whole)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}.items()  # not done over


def test_a_damaged_pass_is_made_again(tmp_path: Path) -> None:
    made = items(40)
    whole = Aligner.fit(made, resume_folder=tmp_path)
    last = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)[-1]
    last.write_bytes(last.read_bytes()[:-100])
    assert arrays(Aligner.fit(made, resume_folder=tmp_path)) == arrays(whole)


def test_passes_kept_for_other_utterances_are_not_used(tmp_path: Path) -> None:
    Aligner.fit(items(40, seed=1), resume_folder=tmp_path)
    made = items(40, seed=2)
    assert arrays(Aligner.fit(made, resume_folder=tmp_path)) == arrays(Aligner.fit(made))


def test_an_utterance_too_short_for_its_phones_is_refused() -> None:
    made = items(30)
    aligner = Aligner.fit(made)
    words: Words = (("a", "i", "m"), ("s",))
    with pytest.raises(CannotAlign, match="too short"):
        aligner.align(AlignmentItem("short", made[0].features[:12], words))


def test_training_passes_over_what_is_too_short_and_refuses_if_nothing_is_left() -> None:
    made = items(30)
    short = AlignmentItem("short", made[0].features[:9], (("a", "i", "m"), ("s",)))
    assert arrays(Aligner.fit([*made, short])) == arrays(Aligner.fit(made))
    with pytest.raises(CannotAlign, match="no utterance"):
        Aligner.fit([short])


def test_a_phone_never_trained_on_is_placed_by_its_neighbours() -> None:
    aligner = Aligner.fit(items(60))
    item, truth = utterances(1, seed=9)[0]
    words = (("new", *item.words[0][1:]), *item.words[1:])
    found = aligner.align(AlignmentItem("new", item.features, words))
    assert found[0][0].phone == "new"
    assert found[1][0].start / HOP_SECONDS == pytest.approx(truth[1][0][0], abs=3)


def test_mfcc_frames_say_nothing_of_loudness_and_follow_the_hop() -> None:
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal(16_000) * np.linspace(0.2, 1, 16_000)).astype(np.float32)
    features = mfcc(audio, 16_000)
    assert features.dtype == np.float32 and features.shape == (round(1 / HOP_SECONDS), 39)
    np.testing.assert_allclose(mfcc(audio / 2, 16_000), features, atol=0.02)
    assert np.isfinite(mfcc(np.zeros(8_000, np.float32), 16_000)).all()  # digital silence
