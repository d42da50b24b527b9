from __future__ import annotations

import itertools

from autotuner.search.axes import Axes
from autotuner.search.base import Candidate
from autotuner.search.spread import spread_out

GRID = [
    Candidate(f"{x}-{y}", {"x": x, "y": y}, 1, ())
    for x, y in itertools.product(range(8), ("a", "b", "c", "d"))
]


def order(candidates: list[Candidate], seed: int = 0) -> list[str]:
    axes = Axes([candidate.parameters for candidate in candidates])
    return list(spread_out(candidates, axes, seed))


def test_every_candidate_is_given_once() -> None:
    assert sorted(order(GRID)) == sorted(candidate.id for candidate in GRID)


def test_the_first_few_reach_every_part_of_the_space() -> None:
    for seed in range(20):
        first = order(GRID, seed)[:8]
        assert {one[-1] for one in first} == {"a", "b", "c", "d"}
        assert len({int(one[0]) // 2 for one in first}) == 4


def test_the_seed_decides_and_nothing_else() -> None:
    assert order(GRID, 5) == order(GRID, 5) != order(GRID, 6)


def test_where_a_part_of_the_space_is_excluded_the_nearest_candidate_takes_its_place() -> None:
    some = [one for one in GRID if one.id[0] in "012" or one.id[-1] == "a"]
    assert sorted(order(some)) == sorted(candidate.id for candidate in some)


def test_candidates_that_do_not_differ_keep_their_order() -> None:
    same = [Candidate(name, {"x": 1}, 1, ()) for name in "abc"]
    assert order(same) == ["a", "b", "c"]
