"""Names and numbers in sentences."""

from __future__ import annotations

from benchmark.plumbing.words import counted, listed, seeds_said


def test_names_are_listed_and_things_counted_as_in_a_sentence() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ("a", "b", "c"))] == ["", "a", "a and b", "a, b and c"]
    assert [listed(names, "or") for names in (["a"], ["a", "b"], ("a", "b", "c"))] == ["a", "a or b", "a, b or c"]
    assert [counted(number, "shot") for number in (0, 1, 5)] == ["0 shots", "1 shot", "5 shots"]
    assert [counted(number, "query", "queries") for number in (1, 2)] == ["1 query", "2 queries"]
    assert [seeds_said(seeds) for seeds in ({3}, {1, 0}, [2, 0, 1])] == ["seed 3", "seeds 0 and 1", "seeds 0, 1 and 2"]
