"""Values that no option should take without a word: numbers, names, paths, files and folders that make no sense."""

from __future__ import annotations

import os
from pathlib import Path

NUMBERS = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e999",
    "1.5",
    "9" * 30,
    "9" * 6000,
    "0x10",
    "1_0",
    "١",
    "--",
    "one",
    "[1]",
    "{a: 1}",
    "null",
    "true",
    "\x1b[31m1",
    "1\n2",
)
"""For whole numbers and others. Some are right for some options."""
NAMES = (
    "",
    " ",
    ".",
    "..",
    "../../x",
    "/etc/passwd",
    "no_such_name",
    "=cmd|'/c calc'!A1",
    "-",
    "a\nb",
    "a\tb",
    "\x1b]0;x\x07",
    "\u2028",
    "\udce9",
    "x" * 5000,
    "a,b,,c",
    "nan",
    "{",
    "[" * 50,
    "%s%n",
    "ﬁnetune",
    "*",
    "null",
)
"""For plugins, presets, metrics, tables, columns, words: none of them is one."""


def bad_files(folder: Path) -> dict[str, Path]:
    """Paths that lead to no file of any use, by what they are.

    Args:
        folder: to make them in.
    """
    folder.mkdir(parents=True)
    made: dict[str, bytes] = {
        "an empty file": b"", "zeros": b"\0" * 4096, "binary": bytes(range(256)) * 40, "a bomb": _bomb(), "a number": b"1\n",
        "deep brackets": b"[" * 5000, "deep JSON": b"[" * 5000 + b"]" * 5000, "a list": b"- 1\n- 2\n", "no UTF-8": b"a: \xff\xfe\n",
        "a malformed date": b"a: 2020-13-45\n", "a tag": b"a: !!python/object/apply:os.system [true]\n", "a long line": b"a" * 300_000,
        "HTML": b"<html><script>alert(1)</script>\n",
    }  # fmt: skip
    found = {}
    for number, (what, content) in enumerate(made.items()):
        found[what] = folder / f"file{number}"
        found[what].write_bytes(content)
    found |= {"a missing file": folder / "missing", "a folder": folder / "folder", "a loop": folder / "loop", "a pipe": folder / "pipe"}
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    found |= {"a name too long": folder / ("n" * 300), "a path through a file": found["a number"] / "x", "a device": Path("/dev/zero")}
    if os.getuid():  # root may read everything
        found["an unreadable file"] = folder / "unreadable"
        found["an unreadable file"].touch(mode=0)
    return found


ALGORITHM = "from benchmark.algorithm import Algorithm\nclass A(Algorithm): pass\nPLUGIN = A\n"
RAISING = {
    "an exit": "raise SystemExit(0)\n",
    "an interruption": "raise KeyboardInterrupt\n",
    "a missing import": "import no_such_library\n",
    "recursion": "def f(): f()\nf()\n",
}
"""What fails only when it is run, so a class follows that makes it look like a plugin."""
PLUGINS = {
    **{what: text + ALGORITHM for what, text in RAISING.items()},
    "no syntax": "def (",
    "nothing": "",
    "no PLUGIN": "x = 1\n",
    "a number": "PLUGIN = 1\n",
    "a deep expression": f"x = {'(' * 150}1{')' * 150}\n",
    "a long sum": f"x = {'1+' * 20000}1\n",
    "NUL": "x = 1\0\n",
    "itself": "class A(A): pass\nPLUGIN = A\n",
    "no class": "PLUGIN = len\n",
    "a foreign class": "PLUGIN = dict\n",
    "bytes": "\xff\xfe",
}
"""Python files that are no plugins, by what is in them."""


def plugins(folder: Path) -> dict[str, Path]:
    """Files of ``PLUGINS``."""
    folder.mkdir(parents=True)
    found = {}
    for number, (what, text) in enumerate(PLUGINS.items()):
        found[what] = folder / f"plugin{number}.py"
        found[what].write_text(text, encoding="latin-1" if what == "bytes" else "utf-8")
    return found


def _bomb() -> bytes:
    """YAML of a few lines that stands for 10^9 values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines).encode()
