"""Tables and text for LaTeX."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

SIGNS = {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$"}
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"}
PAGE = 40
"""Rows that fit a page."""
NUMBER = re.compile(r"[-+]?[\d.]+(?: ± [\d.]+)?|[-+]?[\d.]+ \[[-+\d., ]+\]")


def escaped(text: str) -> str:
    """Text in which no character has a meaning of its own, for a tabular, a caption or BibTeX."""
    return re.sub(r"[\\~^<>&%$#_{}]", lambda found: SPECIAL.get(found[0], f"\\{found[0]}"), text)


def text(words: str) -> str:
    """Escaped text, with the signs of tables as LaTeX's."""
    whole = escaped(words)
    for sign, command in SIGNS.items():
        whole = whole.replace(sign, command)
    return whole


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, notes: Sequence[str] = (),
    bold: Collection[tuple[int, int]] = (), left: Collection[int] = (0,),
) -> str:  # fmt: skip
    """A floating table with booktabs' rules; with more rows than a page holds, one that goes on over pages.

    Args:
        header: of the columns.
        rows: plain text; numbers and intervals are set in math mode.
        caption, label: plain text; the label without its "tab:".
        notes: lines under the table, which a paper's readers need too.
        bold: (row, column) of cells in bold.
        left: columns set flush left; the others are flush right.
    """
    import pandas as pd

    cells = [[_cell(cell, (i, j) in bold) for j, cell in enumerate(row)] for i, row in enumerate(rows)]
    frame = pd.DataFrame(cells, columns=[text(name) for name in header])
    sides = "".join("l" if place in left else "r" for place in range(len(header)))
    label = "tab:" + re.sub(r"[^\w.:-]", "-", label)
    long = len(rows) > PAGE
    whole = frame.to_latex(
        index=False, escape=False, column_format=sides, longtable=long, position=None if long else "htbp", caption=text(caption),
        label=label,
    )
    body, end, rest = whole.rstrip().partition("\\end{longtable}" if long else "\\end{tabular}")
    under = "".join(f"\n\\par{{\\footnotesize {text(note)}}}" for note in notes)
    return f"% needs \\usepackage{{booktabs{',longtable' * long}}}\n" + body + end + under + rest


def _cell(cell: str, bold: bool) -> str:
    if not NUMBER.fullmatch(cell):
        return f"\\textbf{{{text(cell)}}}" if bold else text(cell)
    numbers = cell.replace("±", r"\pm")
    return f"$\\mathbf{{{numbers}}}$" if bold else f"${numbers}$"
