"""Choosing the groups that together explain most, no transaction or invoice used twice."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from .amounts import Relation
from .evidence import Evidence

DEEPEST = 20_000
LARGEST_SQUARE = 120
# How many competing groups are improved how thoroughly.
FEW, MANY, ROUNDS = 400, 2_000, 20


@dataclass(frozen=True, slots=True)
class Group:
    """Transactions and invoices that may belong together, and how strongly (log odds, bits)."""

    transactions: tuple[int, ...]
    invoices: tuple[int, ...]
    score: float
    relation: Relation
    evidence: tuple[Evidence, ...]
    note: str = ""

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What makes it this group."""
        return self.transactions, self.invoices

    @property
    def single(self) -> bool:
        """One transaction for one invoice."""
        return len(self.transactions) == 1 == len(self.invoices)


def _nodes(group: Group) -> list[tuple[str, int]]:
    return [("t", each) for each in group.transactions] + [("i", each) for each in group.invoices]


def components(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups that compete, directly or through others, together."""
    parent: dict[tuple[str, int], tuple[str, int]] = {}

    def root(node: tuple[str, int]) -> tuple[str, int]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for group in groups:
        first, *others = _nodes(group)
        for other in others:
            parent[root(other)] = root(first)
    found: dict[tuple[str, int], list[Group]] = defaultdict(list)
    for group in groups:
        found[root(("t", group.transactions[0]))].append(group)
    return list(found.values())


def choose(groups: Iterable[Group]) -> list[Group]:
    """The disjoint groups of greatest total; exact where few compete, else improved greedy."""
    best: dict[tuple[tuple[int, ...], tuple[int, ...]], Group] = {}
    for group in groups:
        if group.score > 0 and (group.key not in best or best[group.key].score < group.score):
            best[group.key] = group
    chosen: list[Group] = []
    for some in components(sorted(best.values(), key=lambda g: (-g.score, g.key))):
        chosen += _solve(some)
    return chosen


def _solve(groups: list[Group]) -> list[Group]:
    if len(groups) == 1:
        return groups
    start = _improve(groups, _greedy(groups))
    if all(group.single for group in groups) or len(groups) > 60:
        return _pair_up(groups, start)
    return _search(groups, start)


def _greedy(groups: Sequence[Group], taken: Sequence[Group] = ()) -> list[Group]:
    used = {node for group in taken for node in _nodes(group)}
    chosen = list(taken)
    for group in groups:
        nodes = _nodes(group)
        if not used.intersection(nodes):
            used.update(nodes)
            chosen.append(group)
    return chosen


def _improve(groups: Sequence[Group], chosen: list[Group]) -> list[Group]:
    """Puts a left-out group in wherever that gains, until nothing does."""
    if len(groups) > FEW:
        return _exchange(groups, chosen)
    for _ in range(ROUNDS):
        gained = False
        for group in groups:
            nodes = set(_nodes(group))
            if group in chosen:
                continue
            kept = [each for each in chosen if nodes.isdisjoint(_nodes(each))]
            changed = _greedy(groups, [*kept, group])
            if _total(changed) > _total(chosen) + 1e-9:
                chosen, gained = changed, True
        if not gained:
            break
    return chosen


def _exchange(groups: Sequence[Group], chosen: list[Group]) -> list[Group]:
    """As `_improve` where many compete: what one pushes out is not refilled in the same step."""
    owner = {node: group for group in chosen for node in _nodes(group)}
    for _ in range(1 if len(groups) > MANY else ROUNDS):
        gained = False
        for group in groups:
            displaced = {owner[n].key: owner[n] for n in _nodes(group) if n in owner}
            if group.key in displaced or group.score <= _total(displaced.values()) + 1e-9:
                continue
            for node in (node for each in displaced.values() for node in _nodes(each)):
                del owner[node]
            owner |= dict.fromkeys(_nodes(group), group)
            gained = True
        if not gained:
            break
    return list({group.key: group for group in owner.values()}.values())


def _total(groups: Iterable[Group]) -> float:
    return sum(group.score for group in groups)


def _search(groups: list[Group], start: list[Group]) -> list[Group]:
    """Branch and bound over the transactions; gives up with the best so far at a limit of steps."""
    by_transaction: dict[int, list[Group]] = defaultdict(list)
    for group in groups:
        by_transaction[min(group.transactions)].append(group)
    order = sorted(by_transaction, key=lambda t: -by_transaction[t][0].score)
    ahead = [0.0] * (len(order) + 1)
    for n in range(len(order) - 1, -1, -1):
        ahead[n] = ahead[n + 1] + by_transaction[order[n]][0].score
    best, best_total, steps = start, _total(start), 0
    stack: list[tuple[int, float, tuple[Group, ...], frozenset[tuple[str, int]]]] = [
        (0, 0.0, (), frozenset())
    ]
    while stack and steps < DEEPEST:
        steps += 1
        depth, total, chosen, used = stack.pop()
        if total > best_total + 1e-9:
            best, best_total = list(chosen), total
        if depth == len(order) or total + ahead[depth] <= best_total + 1e-9:
            continue
        stack.append((depth + 1, total, chosen, used))
        for group in reversed(by_transaction[order[depth]]):
            nodes = _nodes(group)
            if used.isdisjoint(nodes):
                stack.append((depth + 1, total + group.score, (*chosen, group), used.union(nodes)))
    return best


def _pair_up(groups: Sequence[Group], chosen: list[Group]) -> list[Group]:
    """Assigns anew, at greatest total, what is paired one to one."""
    fixed = [group for group in chosen if not group.single]
    used = {node for group in fixed for node in _nodes(group)}
    free = [g for g in groups if g.single and used.isdisjoint(_nodes(g))]
    rows = sorted({g.transactions[0] for g in free})
    columns = sorted({g.invoices[0] for g in free})
    if not free or max(len(rows), len(columns)) > LARGEST_SQUARE:
        return chosen
    by_pair = {(g.transactions[0], g.invoices[0]): g for g in free}
    gains = [[by_pair[t, i].score if (t, i) in by_pair else 0.0 for i in columns] for t in rows]
    changed = fixed + [
        by_pair[rows[r], columns[c]]
        for r, c in enumerate(assign(gains))
        if c >= 0 and (rows[r], columns[c]) in by_pair
    ]
    return changed if _total(changed) > _total(chosen) + 1e-9 else chosen


def assign(gains: Sequence[Sequence[float]]) -> list[int]:
    """For each row its column (or -1) such that the sum of gains is greatest (Hungarian method)."""
    height, width = len(gains), max(len(gains), len(gains[0]))
    cost = [[-gain for gain in row] + [0.0] * (width - len(row)) for row in gains]
    over_rows, over_columns = [0.0] * (height + 1), [0.0] * (width + 1)
    row_of = [0] * (width + 1)
    for row in range(1, height + 1):
        row_of[0] = row
        column, way = _shortest_path(cost, over_rows, over_columns, row_of)
        while column:
            row_of[column] = row_of[way[column]]
            column = way[column]
    result = [-1] * height
    for column in range(1, len(gains[0]) + 1):
        if row_of[column]:
            result[row_of[column] - 1] = column - 1
    return result


def _shortest_path(
    cost: Sequence[Sequence[float]],
    over_rows: list[float],
    over_columns: list[float],
    row_of: Sequence[int],
) -> tuple[int, list[int]]:
    """The nearest free column from the row at column 0, and the way back; shifts the potentials."""
    width = len(row_of) - 1
    least, seen, way = [inf] * (width + 1), [False] * (width + 1), [0] * (width + 1)
    column = 0
    while row_of[column]:
        seen[column] = True
        current, step, following = row_of[column], inf, 0
        for each in range(1, width + 1):
            if seen[each]:
                continue
            reduced = cost[current - 1][each - 1] - over_rows[current] - over_columns[each]
            if reduced < least[each]:
                least[each], way[each] = reduced, column
            if least[each] < step:
                step, following = least[each], each
        for each in range(width + 1):
            if seen[each]:
                over_rows[row_of[each]] += step
                over_columns[each] -= step
            else:
                least[each] -= step
        column = following
    return column, way
