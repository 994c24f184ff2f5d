"""Transactions: named anomalies, and levels against their definition on small random histories."""

from collections.abc import Iterator
from itertools import pairwise, permutations, product
from random import Random
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.check.transactions import LEVELS, transactions, verdict_of_level
from kvsim.check.verdict import NotRefuted, Refuted
from kvsim.core.history import History, HistoryError, Recorder

FIRST = {"G0": 0, "G1c": 1, "G-single": 2, "G-nonadjacent": 3, "G2-item": 4}


def told(*lines: tuple[Any, ...]) -> History:
    """One transaction after the other or beside it: (process, begin, end, outcome, micro-operations)."""
    moments: list[tuple[float, int, int, str, list[Any]]] = []
    for process, begin, end, outcome, mops in lines:
        moments += [(begin, 1, process, "invoke", mops), (end, 0, process, outcome, mops)]
    recorder = Recorder()
    for time_s, _, process, type_, mops in sorted(moments, key=lambda m: m[:3]):
        if type_ == "invoke":
            asked = [[f, key, None if f == "r" else value] for f, key, value in mops]
            recorder.invoke(process, round(time_s * 1e9), "txn", None, asked)
        else:
            recorder.complete(process, round(time_s * 1e9), type_, mops)  # type: ignore[arg-type]
    return recorder.history


TEXTBOOK = {
    "G0: two transactions write two lists in different orders": (
        [(0, 1, 9, "ok", [["append", "x", 1], ["append", "y", 1]]),
         (1, 2, 9, "ok", [["append", "x", 2], ["append", "y", 2]]),
         (2, 10, 11, "ok", [["r", "x", [1, 2]], ["r", "y", [2, 1]]])],
        "none", {"G0"},
    ),
    "G1a: an aborted read": (
        [(0, 1, 2, "fail", [["append", "x", 1]]), (1, 3, 4, "ok", [["r", "x", [1]]])], "read-uncommitted", {"G1a"},
    ),
    "G1b: an intermediate read": (
        [(0, 1, 5, "ok", [["w", "x", 1], ["w", "x", 2]]), (1, 2, 4, "ok", [["r", "x", 1]])],
        "read-uncommitted", {"G1b", "G-single"},
    ),
    "G1c: each read what the other wrote": (
        [(0, 1, 5, "ok", [["w", "x", 1], ["r", "y", 1]]), (1, 2, 4, "ok", [["w", "y", 1], ["r", "x", 1]])],
        "read-uncommitted", {"G1c"},
    ),
    "read skew": (
        [(0, 1, 5, "ok", [["append", "x", 1], ["append", "y", 1]]), (1, 2, 6, "ok", [["r", "x", [1]], ["r", "y", []]])],
        "read-committed", {"G-single"},
    ),
    "long fork": (
        [(0, 1, 9, "ok", [["w", "x", 1]]), (1, 1.5, 9, "ok", [["w", "y", 1]]),
         (2, 2, 9, "ok", [["r", "x", 1], ["r", "y", None]]), (3, 3, 9, "ok", [["r", "x", None], ["r", "y", 1]])],
        "consistent-view", {"G-nonadjacent"},
    ),
    "write skew": (
        [(0, 1, 9, "ok", [["r", "x", None], ["w", "y", 1]]), (1, 2, 9, "ok", [["r", "y", None], ["w", "x", 1]])],
        "snapshot-isolation", {"G2-item", "write-skew"},
    ),
    "lost update": (
        [(0, 1, 9, "ok", [["r", "x", None], ["w", "x", 1]]), (1, 2, 9, "ok", [["r", "x", None], ["w", "x", 2]])],
        "read-committed", {"lost-update", "G2-item"},
    ),
    "a session misses its own write": (
        [(0, 1, 2, "ok", [["w", "x", 1]]), (0, 3, 4, "ok", [["r", "x", None]])], "serializable", {"G-single-process"},
    ),
    "a stale read": (
        [(0, 1, 2, "ok", [["w", "x", 1]]), (1, 3, 4, "ok", [["r", "x", None]])],
        "strong-session-serializable", {"G-single-realtime"},
    ),
    "registers written blindly, one after the other, and the older read": (
        [(0, 1, 2, "ok", [["w", "x", 1]]), (1, 3, 4, "ok", [["w", "x", 2]]), (2, 5, 6, "ok", [["r", "x", 1]])],
        "strong-session-serializable", {"G-single-realtime"},
    ),
    "dirty update: a committed element on top of an aborted one (Kingsbury and Alvaro 2020)": (
        [(0, 1, 2, "fail", [["append", "x", 1]]), (1, 3, 4, "ok", [["append", "x", 2]]),
         (2, 5, 6, "ok", [["r", "x", [1, 2]]])],
        "read-uncommitted", {"G1a", "dirty-update"},
    ),
    "incompatible orders of one list (Kingsbury and Alvaro 2020)": (
        [(0, 1, 2, "ok", [["append", "x", 1]]), (1, 1.5, 4, "ok", [["append", "x", 2]]),
         (2, 5, 6, "ok", [["r", "x", [1, 2]]]), (3, 5.5, 7, "ok", [["r", "x", [2, 1]]])],
        "read-uncommitted", {"incompatible-order"},
    ),
    "internal: a transaction does not see its own append (Kingsbury and Alvaro 2020)": (
        [(0, 1, 2, "ok", [["append", "x", 1], ["r", "x", []]])], "consistent-view", {"internal"},
    ),
    "one after the other": (
        [(0, 1, 2, "ok", [["append", "x", 1]]), (1, 3, 4, "ok", [["r", "x", [1]], ["append", "x", 2]])],
        "strict-serializable", set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTBOOK)
def test_the_textbook_example(name: str) -> None:
    lines, strongest, anomalies = TEXTBOOK[name]
    found = transactions(told(*lines))
    assert found.strongest == strongest
    assert {anomaly.name for anomaly in found.anomalies} == anomalies


def test_each_edge_of_a_cycle_has_its_sentence() -> None:
    lines, _, _ = TEXTBOOK["long fork"]
    [anomaly] = transactions(told(*lines)).anomalies
    assert [kind for _, _, kind in anomaly.steps] == ["rw", "wr", "rw", "wr"]
    assert anomaly.sentence.count(";") == 3
    assert (
        'T2 (process 2) read nothing from "y" and so did not see 1, with which T1 (process 1) replaced it'
        in anomaly.sentence
    )
    assert 'T3 (process 3) read 1 from "y", which T1 (process 1) wrote' in anomaly.sentence


def test_a_level_is_refuted_with_the_anomaly_that_it_forbids() -> None:
    found = transactions(told(*TEXTBOOK["write skew"][0]))
    assert isinstance(verdict_of_level(found, "snapshot-isolation"), NotRefuted)
    refuted = verdict_of_level(found, "serializable")
    assert isinstance(refuted, Refuted)
    assert refuted.witness.sentence.startswith("G2-item: T0 (process 0) read nothing from")


def test_a_transaction_of_unknown_outcome_committed_if_it_was_seen() -> None:
    seen = [
        (0, 1, 2, "info", [["append", "x", 1], ["append", "y", 1]]),
        (1, 3, 4, "ok", [["r", "x", [1]], ["r", "y", []]]),
    ]
    assert transactions(told(*seen)).strongest == "read-committed"
    unseen = [seen[0], (1, 3, 4, "ok", [["r", "x", []], ["r", "y", []]])]
    assert transactions(told(*unseen)).strongest == "strict-serializable"


def test_what_is_no_transaction_is_refused_with_its_line() -> None:
    with pytest.raises(HistoryError) as refused:
        transactions(told((0, 1, 2, "ok", [["r", "x", None]]), (0, 3, 4, "ok", [["increment", "x", 1]])))
    assert refused.value.line == 3


def test_a_value_that_is_written_twice_leaves_all_levels_unknown() -> None:
    found = transactions(told((0, 1, 2, "ok", [["w", "x", 1]]), (0, 3, 4, "ok", [["w", "x", 1]])))
    assert set(found.levels.values()) == {"unknown"}
    assert "write 1 to 'x'" in found.reason


# ---- against the definition: every order of versions, every simple cycle


def small(random: Random, count: int, lists: bool) -> History:
    """Transactions that touch each key once; what they read is any state that their key can have had."""
    plans = []
    written: dict[str, list[int]] = {"x": [], "y": []}
    for number in range(count):
        mops: list[list[Any]] = []
        for key in random.sample("xy", random.randint(1, 2)):
            kind = random.choice(["r", "r", "w", "rw"])
            if "r" in kind:
                mops.append(["r", key, None])
            if "w" in kind:
                mops.append(["append" if lists else "w", key, number])
                written[key].append(number)
        plans.append(mops)
    orders = {key: random.sample(values, len(values)) for key, values in written.items()}
    lines = []
    for number, mops in enumerate(plans):
        for mop in mops:
            if mop[0] == "r":
                others = [v for v in orders[mop[1]] if v != number]
                before = orders[mop[1]][: orders[mop[1]].index(number)] if number in orders[mop[1]] else others
                state = before[: random.randint(0, len(before))] if lists else random.choice([None, *others])
                mop[2] = state
        begin = random.uniform(0, 6)
        lines.append(
            (number % 3 if random.random() < 0.5 else 10 + number, begin, begin + random.uniform(0.1, 3), "ok", mops)
        )
    last: dict[int, float] = {}
    for i, (process, begin, end, outcome, mops) in enumerate(lines):  # a process does one after the other
        begin = max(begin, last.get(process, 0) + 0.01)
        last[process] = max(end, begin + 0.1)
        lines[i] = (process, begin, last[process], outcome, mops)
    return told(*lines)


def weakest_refuted(history: History) -> int:
    """By the definition: the place of the weakest level that every order of versions rules out."""
    txns = [e for e in history.events if e.type == "ok"]
    begun = {e.process: 0 for e in txns}
    starts = []
    for e in txns:
        invocations = [i for i in history.events if i.type == "invoke" and i.process == e.process and i.index < e.index]
        starts.append(invocations[-1].index)
        begun[e.process] += 1
    keys: dict[str, dict[Any, int]] = {"x": {}, "y": {}}
    longest: dict[str, list[Any]] = {"x": [], "y": []}
    for t, e in enumerate(txns):
        for f, key, value in e.value:
            if f != "r":
                keys[key][value] = t
            elif isinstance(value, list) and len(value) > len(longest[key]):
                longest[key] = value
    best = -1
    for chosen in product(*(_orders(list(keys[key]), longest[key]) for key in keys)):
        best = max(best, _level(txns, starts, keys, dict(zip(keys, chosen, strict=True))))
    return best


def _orders(values: list[Any], begin: list[Any]) -> Iterator[list[Any]]:
    for rest in permutations([v for v in values if v not in begin]):
        yield [*begin, *rest]


def _level(txns: Any, starts: list[int], keys: dict[str, dict[Any, int]], orders: dict[str, list[Any]]) -> int:
    edges: set[tuple[int, int, str]] = set()
    for key, order in orders.items():
        writers = [keys[key][v] for v in order]
        edges |= {(a, b, "ww") for a, b in pairwise(writers)}
        for t, e in enumerate(txns):
            for f, k, value in e.value:
                if f == "r" and k == key:
                    last = value[-1] if isinstance(value, list) and value else None if value == [] else value
                    at = -1 if last is None else order.index(last)
                    if at >= 0:
                        edges.add((writers[at], t, "wr"))
                    if at + 1 < len(order):
                        edges.add((t, writers[at + 1], "rw"))
    edges = {(a, b, kind) for a, b, kind in edges if a != b}
    process = {
        (a, b, "p")
        for a in range(len(txns))
        for b in range(len(txns))
        if txns[a].process == txns[b].process and starts[a] < starts[b]
    }
    realtime = {(a, b, "rt") for a in range(len(txns)) for b in range(len(txns)) if txns[a].index < starts[b]}
    level = _worst(edges)
    if level == 7 and not nx.is_directed_acyclic_graph(nx.DiGraph([(a, b) for a, b, _ in edges | process])):
        level = 5
    if level == 7 and not nx.is_directed_acyclic_graph(nx.DiGraph([(a, b) for a, b, _ in edges | realtime])):
        level = 6
    return level


def _worst(edges: set[tuple[int, int, str]]) -> int:
    kinds: dict[tuple[int, int], set[str]] = {}
    for a, b, kind in edges:
        kinds.setdefault((a, b), set()).add(kind)
    worst = 7
    for ring in nx.simple_cycles(nx.DiGraph(list(kinds))):
        pairs = list(zip(ring, [*ring[1:], ring[0]], strict=True))
        for choice in product(*(kinds[pair] for pair in pairs)):
            missed = choice.count("rw")
            beside = any(a == b == "rw" for a, b in zip(choice, [*choice[1:], choice[0]], strict=True))
            name = "G0" if set(choice) == {"ww"} else "G1c" if not missed else "G-single" if missed == 1 else None
            worst = min(worst, FIRST[name or ("G2-item" if beside else "G-nonadjacent")])
    return worst


@pytest.mark.parametrize("lists", [True, False])
@settings(max_examples=600, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(2, 5))
def test_the_strongest_level_is_that_of_the_definition(lists: bool, seed: int, count: int) -> None:
    history = small(Random(seed), count, lists)
    expected = weakest_refuted(history)
    assert transactions(history).strongest == (LEVELS[expected - 1] if expected else "none")


def test_a_cycle_is_found_among_many_transactions_and_is_short() -> None:
    lines: list[tuple[Any, ...]] = []
    for i in range(2_000):
        seen = list(range(i % 50))
        lines.append((i % 10, i, i + 0.5, "ok", [["r", f"k{i // 50}", seen], ["append", f"k{i // 50}", i % 50]]))
    lines[1234] = (1234 % 10, 1234, 1234.5, "ok", [["r", "k24", list(range(33))], ["append", "k24", 34]])
    found = transactions(told(*lines))
    assert found.strongest != "strict-serializable"
    assert all(len(anomaly.transactions) <= 3 for anomaly in found.anomalies)
