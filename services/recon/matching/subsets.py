"""Which few of some amounts add up to a given one."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from math import comb


def subsets(
    amounts: Sequence[int], target: int, smallest: int = 2, largest: int = 12, limit: int = 32
) -> list[tuple[int, ...]]:
    """Positions of the amounts that add up exactly to the target, smallest sets first.

    Meets in the middle: 2^(n/2) sums from each half; n must not exceed 24. At most `limit` answers.
    """
    assert len(amounts) <= 24
    half = len(amounts) // 2
    left, right = range(half), range(half, len(amounts))
    sums: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for size in range(min(len(left), largest) + 1):
        for chosen in combinations(left, size):
            sums[sum(amounts[n] for n in chosen)].append(chosen)
    found: list[tuple[int, ...]] = []
    for size in range(min(len(right), largest) + 1):
        for chosen in combinations(right, size):
            rest = target - sum(amounts[n] for n in chosen)
            found += [
                other + chosen
                for other in sums.get(rest, ())
                if smallest <= len(other) + size <= largest
            ]
    return sorted(found, key=lambda some: (len(some), some))[:limit]


def tried(count: int, largest: int) -> int:
    """How many sets of at most this size there are."""
    return sum(comb(count, size) for size in range(1, min(count, largest) + 1))
