"""Names of a table's columns, ours and those of Hugging Face's, Common Voice's and other tables; the first that a table has is read."""

from __future__ import annotations

from collections.abc import Sequence

AUDIO = ("audio", "file_name", "path", "file", "filename", "audio_file", "audio_path", "wav_filename", "wav", "id")
TEXT = ("normalized_text", "normalised_text", "text_normalized", "text", "transcription", "sentence", "transcript")
"""A text that spells numbers out comes before the text as written."""
SPEAKER = ("speaker", "speaker_id", "client_id", "speaker_name")
LANGUAGE = ("language", "lang", "locale")
KNOWN = {*AUDIO, *TEXT, *SPEAKER}
"""A line with one of these is a header."""


def first(names: Sequence[str], columns: Sequence[str]) -> str:
    """The first of the names that a table has, "" if it has none."""
    return next((name for name in names if name in columns), "")
