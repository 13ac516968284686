"""The usual layouts of speech corpora, one a file, each read into utterances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmark.data.layouts.found import Found
from benchmark.data.layouts.header import header_table
from benchmark.data.layouts.kaldi import kaldi
from benchmark.data.layouts.ljspeech import ljspeech
from benchmark.data.layouts.plain import plain

Reader = Callable[[Path], Found | None]

TABLES: Mapping[str, Reader] = {
    "a table with a header, metadata.csv": header_table,
    "LJSpeech's layout": ljspeech,
    "Kaldi's tables": kaldi,
}
"""The layouts with a table."""
LAYOUTS: Mapping[str, Reader] = {**TABLES, "a folder a speaker": plain}
"""In the order in which they are tried; a layout that is not there gives None."""
