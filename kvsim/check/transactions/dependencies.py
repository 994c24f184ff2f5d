"""What must come before what among transactions: the dependencies that their reads and writes show.

Adya, "Weak consistency", 1999; Kingsbury and Alvaro, "Elle", VLDB 2020. `ww`: a wrote a version, b the next. `wr`: b
read the version that a wrote. `rw`: a read a version, b wrote the next, so a did not see b. A read of a list shows the
order of its versions; of registers the order is known only from nothing to something, and from what a transaction read
of a key to what it then wrote there.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from kvsim.check.transactions.read import Transaction, Transactions, external_reads, written
from kvsim.core.history import NEVER

Graph = list[list[int]]
"""By number, the transactions that come after."""


class Dependencies:
    """The graphs of a history, by kind of edge: ww, wr, rw, process, realtime."""

    def __init__(self, of: Transactions) -> None:
        self.of = of
        count = len(of.all)
        self.ww: Graph = [[] for _ in range(count)]
        self.wr: Graph = [[] for _ in range(count)]
        self.rw: Graph = [[] for _ in range(count)]
        self.orders: dict[Any, list[Any]] = {}
        """Of each list, the longest state that was read."""
        self.incompatible: list[tuple[Any, tuple[int, list[Any]], tuple[int, list[Any]]]] = []
        """Lists of which two reads contradict each other: key, and each reader with its answer."""
        self.writers: dict[Any, list[Transaction]] = {}
        """Of each key, the committed transactions that wrote it."""
        self.readers: dict[Any, list[tuple[Transaction, Any]]] = {}
        """Of each key, the external reads of acknowledged transactions."""
        self.own_order: dict[tuple[Any, Any], list[Transaction]] = {}
        """Of registers: by version, who read it and then wrote the key."""
        for t in of.all:
            if t.committed:
                for key in {mop[1] for mop in t.mops if mop[0] != "r"}:
                    self.writers.setdefault(key, []).append(t)
            if t.outcome == "ok":
                for key, value in external_reads(t):
                    self.readers.setdefault(key, []).append((t, value))
        self._order_lists()
        for key in self.writers.keys() | self.readers.keys():
            if key in of.lists:
                self._depend_on_list(key)
            else:
                self._depend_on_register(key)

    # ---- lists

    def _order_lists(self) -> None:
        longest: dict[Any, tuple[int, list[Any]]] = {}
        reads: dict[Any, list[tuple[int, list[Any]]]] = {}
        for t in self.of.all:
            if t.outcome != "ok":
                continue
            for f, key, value in t.mops:
                if f == "r" and value and key in self.of.lists:
                    reads.setdefault(key, []).append((t.number, value))
                    if key not in longest or len(value) > len(longest[key][1]):
                        longest[key] = (t.number, value)
        for key, best in longest.items():
            self.orders[key] = order = best[1]
            for number, value in reads[key]:
                if order[: len(value)] != value:
                    self.incompatible.append((key, best, (number, value)))

    def _depend_on_list(self, key: Any) -> None:
        order = self.orders.get(key, [])
        writer = self.of.writer
        sources = [(at, writer.get((key, value))) for at, value in enumerate(order)]
        chain = [(at, source.number) for at, source in sources if source is not None and source.committed]
        for (_, a), (_, b) in pairwise(chain):
            if a != b:
                self.ww[a].append(b)
        observed = set(order)
        # Committed elements that nobody read come after all that were read, in an order that nobody knows.
        beyond = [t.number for t in self.writers.get(key, ()) if any(v not in observed for v in written(t)[key])]
        if chain:
            self.ww[chain[-1][1]].extend(number for number in beyond if number != chain[-1][1])
        following: list[list[int]] = [beyond] * (len(order) + 1)
        after, at = beyond, len(order)
        for place, number in reversed(chain):
            while at > place:
                following[at] = after
                at -= 1
            after = [number]
        following[: at + 1] = [after] * (at + 1)
        for reader, value in self.readers.get(key, ()):
            answer = value or []
            if order[: len(answer)] != answer:
                continue
            me = reader.number
            source = writer.get((key, answer[-1])) if answer else None
            if source is not None and source.committed and source is not reader:
                self.wr[source.number].append(me)
            self.rw[me].extend(number for number in following[len(answer)] if number != me)

    # ---- registers

    def _depend_on_register(self, key: Any) -> None:
        writer = self.of.writer
        readers = self.readers.get(key, [])
        successors = self.own_order
        followed: set[int] = set()
        for reader, value in readers:
            mine = written(reader).get(key)
            if mine and (value is None or (key, value) in writer):
                successors.setdefault((key, value), []).append(reader)
                if value is not None:
                    followed.add(reader.number)
        roots = [t for t in self.writers.get(key, ()) if t.number not in followed]
        for reader, value in readers:
            me = reader.number
            if value is None:
                self.rw[me].extend(t.number for t in roots if t is not reader)
                continue
            source = writer.get((key, value))
            if source is None or not source.committed:
                continue
            if source is not reader:
                self.wr[source.number].append(me)
                if written(source)[key][-1] != value:
                    self.rw[me].append(source.number)
            self.rw[me].extend(t.number for t in successors.get((key, value), ()) if t is not reader)

    # ---- time

    def process(self) -> Graph:
        """Each committed transaction comes before the next of its process."""
        graph: Graph = [[] for _ in self.of.all]
        last: dict[int, int] = {}
        for t in self.of.all:
            if t.committed:
                before = last.get(t.operation.process)
                if before is not None:
                    graph[before].append(t.number)
                last[t.operation.process] = t.number
        return graph

    def realtime(self) -> Graph:
        """Each committed transaction comes before those that began after its end; what follows is left out."""
        graph: Graph = [[] for _ in self.of.all]
        moments = [(t.invoked, t) for t in self.of.all if t.committed]
        moments += [(t.completed, t) for t in self.of.all if t.committed and t.completed != NEVER]
        moments.sort(key=lambda moment: moment[0])
        front: list[Transaction] = []
        for moment, t in moments:
            if moment == t.invoked:
                for before in front:
                    graph[before.number].append(t.number)
            else:
                front = [before for before in front if before.completed > t.invoked]
                front.append(t)
        return graph

    def registers_in_time(self, graph: Graph, realtime: bool) -> Graph:
        """More rw edges between registers' transactions, if versions keep the order of processes or of real time."""
        more: Graph = [[] for _ in self.of.all]
        for key, writers in self.writers.items():
            if key in self.of.lists or len(writers) < 2:
                continue
            readers: dict[Any, list[int]] = {}
            for reader, value in self.readers.get(key, ()):
                readers.setdefault(value, []).append(reader.number)
            for t, following in _next_in_time(writers, realtime):
                for number in readers.get(written(t)[key][-1], ()):
                    more[number].extend(other.number for other in following if other.number != number)
        return more


def _next_in_time(writers: list[Transaction], realtime: bool) -> Iterable[tuple[Transaction, list[Transaction]]]:
    if not realtime:
        last: dict[int, Transaction] = {}
        for t in writers:
            if (before := last.get(t.operation.process)) is not None:
                yield before, [t]
            last[t.operation.process] = t
        return
    begins = [t.invoked for t in writers]
    for t in writers:
        following: list[Transaction] = []
        i, end = bisect_right(begins, t.completed), NEVER
        while i < len(writers) and begins[i] < end:
            following.append(writers[i])
            end = min(end, writers[i].completed)
            i += 1
        yield t, following
