"""Scans: paging over nodes that each hold a part gives every key once, in order, as the newest record has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.operation import Item, Page, Put, RequestId, Scan
from kvsim.core.replica import NO_REQUEST, Change, Record, Replica
from kvsim.core.version import Version
from kvsim.strategies.replication import scanning
from kvsim.strategies.replication.scanning import Rows, ScanPart, merged, page_of, rows_of
from tests.core.disks import ManualDisk
from tests.strategies.stepping import Running

KEYS = st.binary(min_size=1, max_size=2)
RECORDS = st.dictionaries(KEYS, st.tuples(st.integers(1, 5), st.none() | st.binary(max_size=30)), max_size=12)
NODES = st.lists(RECORDS, min_size=1, max_size=4)
"""What each node holds; the same key may be newer on one than on another."""


class Newest:
    def newer(self, mine: Record, theirs: Record) -> bool:
        return theirs.version > mine.version


def replica(records: dict[bytes, tuple[int, bytes | None]]) -> Replica:
    def failed(error: Exception) -> None:
        raise error

    made = Replica(ManualDisk(), Newest(), "memory", "many", failed)
    for key, (counter, value) in records.items():
        made.apply(Change(NO_REQUEST, key, value, Version(counter)))
    return made


def scan_all(nodes: list[Replica], start: bytes, end: bytes | None, limit: int) -> list[list[Item]]:
    """Page after page, as a client would."""
    pages: list[list[Item]] = []
    at: bytes | None = start
    while at is not None:
        op = Scan(RequestId("c", 1), at, end, limit)
        page = merged(op, [rows_of(node, ScanPart(op.start, op.end, op.limit)) for node in nodes])
        pages.append(list(page.items))
        assert page.next is None or page.next > at, "a page that leads to itself never ends"
        at = page.next
    return pages


def plainly(nodes: list[dict[bytes, tuple[int, bytes | None]]], start: bytes, end: bytes | None) -> list[bytes]:
    """The keys that hold a value in the newest record of any node."""
    newest: dict[bytes, tuple[int, bytes | None]] = {}
    for node in nodes:
        for key, record in node.items():
            if key not in newest or record[0] > newest[key][0]:
                newest[key] = record
    return sorted(
        k for k, (_, value) in newest.items() if value is not None and k >= start and (end is None or k < end)
    )


def consistent(nodes: list[dict[bytes, tuple[int, bytes | None]]]) -> list[dict[bytes, tuple[int, bytes | None]]]:
    """One version has one value wherever it lies."""
    values: dict[tuple[bytes, int], bytes | None] = {}
    return [{k: (c, values.setdefault((k, c), value)) for k, (c, value) in node.items()} for node in nodes]


@given(NODES, st.integers(1, 4), KEYS, st.none() | KEYS)
def test_paging_gives_every_living_key_once_and_in_order(
    nodes: list[dict[bytes, tuple[int, bytes | None]]], limit: int, start: bytes, end: bytes | None
) -> None:
    nodes = consistent(nodes)
    pages = scan_all([replica(node) for node in nodes], start, end, limit)
    assert [item.key for page in pages for item in page] == plainly(nodes, start, end)
    assert all(len(page) <= limit for page in pages)


@given(NODES)
def test_pages_end_by_bytes_and_nothing_is_lost(nodes: list[dict[bytes, tuple[int, bytes | None]]]) -> None:
    nodes = consistent(nodes)
    before, scanning.PAGE_BYTES = scanning.PAGE_BYTES, 100
    try:
        pages = scan_all([replica(node) for node in nodes], b"", None, 100)
    finally:
        scanning.PAGE_BYTES = before
    assert [item.key for page in pages for item in page] == plainly(nodes, b"", None)
    for page in pages:
        sizes = [len(item.key) + len(item.value) + scanning.ROW_OVERHEAD_BYTES for item in page]
        assert len(page) <= 1 or sum(sizes) <= 100


def test_a_row_that_is_larger_than_a_page_is_a_page() -> None:
    large = {b"a": (1, bytes(scanning.PAGE_BYTES)), b"b": (1, bytes(scanning.PAGE_BYTES))}
    pages = scan_all([replica(large)], b"", None, 10)
    assert [[item.key for item in page] for page in pages if page] == [[b"a"], [b"b"]]


def test_one_replica_that_holds_all_gives_a_page_alone() -> None:
    held = replica({b"a": (1, b"1"), b"b": (2, None), b"c": (3, b"3")})
    assert page_of(held, Scan(RequestId("c", 1), b"", None, 1)) == Page((Item(b"a", b"1", Version(1)),), b"a\0")


def test_an_answer_of_nothing_that_claims_more_does_no_harm() -> None:
    assert merged(Scan(RequestId("c", 1), b""), [Rows((), True)]) == Page(())


@pytest.mark.parametrize("replication", ["single_copy", "quorum", "primary_backup", "raft"])
@pytest.mark.parametrize("topology", ["client_server", "peer_to_peer"])
def test_every_replication_scans_five_nodes_with_keys_on_all(replication: str, topology: str) -> None:
    run = Running({"replication": replication, "topology": topology})
    run.wait(600)
    keys = [b"k%02d" % number for number in range(20)]
    for key in keys:
        run.ask(Put, key, b"of " + key)
    run.wait(300)
    if replication == "quorum":
        holders = {host.id for host in run.world.hosts.values() if host.step_disk.durable.get("replica.journal")}
        assert len(holders) == 5, "keys lie on all nodes"
    first = run.ask(Scan, b"k05", b"k15", 4)
    assert isinstance(first, Page)
    found = list(first.items)
    while first.next is not None:
        first = run.ask(Scan, first.next, b"k15", 4)
        assert isinstance(first, Page)
        found += first.items
    assert [(item.key, item.value) for item in found] == [(key, b"of " + key) for key in keys[5:15]]
