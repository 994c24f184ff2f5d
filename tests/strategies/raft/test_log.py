"""The log on its disk: what it says is durable is what a crash would leave, whatever was cut off meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.host import Recovered
from kvsim.core.operation import Put, RequestId
from kvsim.explore.stepper import StepDisk, Stepper
from kvsim.strategies.replication.raft.log import LOG_FILE, Log
from kvsim.strategies.replication.raft.messages import LogEntry
from kvsim.strategies.replication.raft.state import RaftState
from tests.strategies.raft.invariants import log_on


def fail(error: Exception) -> None:
    raise error


class OnDisk:
    """A log, and a disk whose syncs complete one by one."""

    def __init__(self) -> None:
        self.world = Stepper((), lambda host, scope: None)  # type: ignore[arg-type, return-value]
        self.world.hosts["a"] = None  # type: ignore[assignment]
        self.disk = StepDisk(self.world, "a")
        self.log = Log(RaftState(), self.disk, fail, lambda: None)

    def sync(self) -> None:
        work = next(iter(self.world.works.values()), None)
        if work is not None:
            del self.world.works[work.number]
            self.disk.durable[work.file] = work.content
            work.done.complete(None)


def entry(term: int, value: bytes = b"") -> LogEntry:
    return LogEntry(term, Put(RequestId("c", 1), b"k", value))


Step = tuple[str, int, int]
STEPS = st.lists(st.tuples(st.sampled_from(["append", "cut", "sync", "sync"]), st.integers(0, 5), st.integers(1, 3)))


@given(STEPS)
def test_durable_is_what_a_crash_would_leave(steps: list[Step]) -> None:
    here, term = OnDisk(), 1
    for kind, at, count in steps:
        if kind == "sync":
            here.sync()
        elif kind == "append":
            here.log.append(here.log.last_index, tuple(entry(term) for _ in range(count)))
        else:
            term += 1
            here.log.append(min(at, here.log.last_index), tuple(entry(term) for _ in range(count)))
        kept = log_on(here.disk.durable.get(LOG_FILE, b""))
        durable = here.log.durable_index
        assert kept[:durable] == here.log.entries[:durable] and len(kept) >= durable


@given(STEPS)
def test_a_restarted_log_is_what_the_disk_kept(steps: list[Step]) -> None:
    here = OnDisk()
    for term, (kind, at, count) in enumerate(steps, 1):
        if kind == "sync":
            here.sync()
        else:
            after = min(at, here.log.last_index) if kind == "cut" else here.log.last_index
            here.log.append(after, tuple(entry(term) for _ in range(count)))
            here.log.state.current_term = term
            here.log.save()
    while here.world.works:
        here.sync()
    again = Log(RaftState(), StepDisk(here.world, "a"), fail, lambda: None)
    again.recover(Recovered(dict(here.disk.durable), 2))
    assert again.entries == here.log.entries and again.durable_index == here.log.last_index
    assert again.state.current_term == here.log.state.current_term


@given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 12), st.integers(1, 60), st.data())
def test_a_batch_holds_as_many_entries_as_fit_and_one_at_least(
    sizes: list[int], most_entries: int, most_bytes: int, data: st.DataObject
) -> None:
    log = OnDisk().log
    log.append(0, tuple(entry(1, b"v" * size) for size in sizes))
    first = data.draw(st.integers(1, len(sizes)))
    batch = log.batch(first, most_entries, most_bytes)
    best = 1
    while (
        best < most_entries
        and first + best <= len(sizes)
        and sum(sizes[first - 1 : first + best]) + best + 1 <= most_bytes
    ):
        best += 1
    assert batch == tuple(log.entries[first - 1 : first - 1 + best])


def test_terms_are_found_by_their_ends() -> None:
    log = OnDisk().log
    log.append(0, tuple(entry(term) for term in (1, 1, 4, 4, 4, 6)))
    assert [log.first_of_term(term) for term in (1, 4, 6, 7)] == [1, 3, 6, 7]
    assert [log.last_of_term(term) for term in (0, 1, 3, 4, 6)] == [0, 2, 2, 5, 6]
