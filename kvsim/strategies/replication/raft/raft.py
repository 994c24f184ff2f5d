"""Raft: one log, agreed on by a majority and applied by all; a leader decides the order of everything.

Ongaro and Ousterhout, "In search of an understandable consensus algorithm", USENIX ATC 2014; Ongaro, "Consensus:
bridging theory and practice", thesis, 2014 (6.3 sessions, 6.4 reads, 9.6 pre-votes, 10.2 batches and disks).
Left out so far: snapshots and log compaction (section 7), membership change (section 6), leadership transfer
(thesis 3.10), leases (thesis 6.4.1).
"""

from __future__ import annotations

from collections.abc import Iterable

from kvsim.core.design import Cluster, Design
from kvsim.core.guarantee import Level, Promise, durability
from kvsim.core.message import Failure
from kvsim.core.operation import (
    Absent,
    Elsewhere,
    Found,
    Page,
    Read,
    Scan,
    Unavailable,
    Write,
    Written,
    error_from,
)
from kvsim.core.settings import shown_duration
from kvsim.strategies.replication.raft.election import Elections
from kvsim.strategies.replication.raft.invariants import RaftInvariants
from kvsim.strategies.replication.raft.state import RaftSettings
from kvsim.strategies.replication.scanning import page_of


class Raft(Elections):
    """All ServerData nodes in one group, each with a copy of all; it is done when a majority's disks have it."""

    Settings = RaftSettings
    moot = ("partitioning", "conflict")

    def held_bytes(self) -> int:
        """Of the log and the state machine."""
        return super().held_bytes() + self.log.held_bytes

    @classmethod
    def copies(cls, settings: RaftSettings, nodes: int) -> int:
        return nodes

    @classmethod
    def usual_consistency(cls, settings: RaftSettings) -> str:
        return "eventual" if settings.reads == "follower" else "linearizable"

    @classmethod
    def invariants(cls, settings: RaftSettings, design: Design, cluster: Cluster) -> RaftInvariants:
        return RaftInvariants(len(cluster.data))

    @classmethod
    def refusals(cls, settings: RaftSettings, design: Design) -> Iterable[str]:
        if design.durability == "memory":
            yield (
                'durability = "memory" would let a restarted server forget its vote and its log: the group could then '
                'elect two leaders in one term, or lose what a majority had; use durability = "disk"'
            )
        if settings.reads == "follower" and design.uses("consistency", "linearizable"):
            yield (
                'reads = "follower" shows what that replica has, which may be old, so it is not linearizable; '
                'use reads = "read_index", or consistency = "eventual"'
            )
        if 2 * settings.heartbeat_ns > settings.election_timeout_ns:
            yield (
                f"heartbeat = {shown_duration(settings.heartbeat_ns)} leaves no room for a lost one within "
                f"election_timeout = {shown_duration(settings.election_timeout_ns)}; keep it at half of that or less"
            )

    @classmethod
    def promises(cls, settings: RaftSettings, design: Design) -> Iterable[Promise]:
        yield Promise("faults", "any ⌊(n−1)/2⌋ of n servers may be down or cut off; the others go on after an election")
        yield durability("an acknowledged write is on a majority's disks and survives every crash", True)
        yield Promise("conditional operations", "atomic: judged where the log puts them, the same on every server")
        yield Promise(
            "retries", "a retried operation is applied once, whoever leads, by a session table", "exactly-once"
        )
        yield Promise("scans", "all keys lie in one group, so a page shows one moment")

    def status(self) -> dict[str, str]:
        state = self.state
        facts = {"term": str(state.current_term), "leader": state.leader or "none known"}
        return facts | {"log": str(self.log.last_index), "committed": str(state.commit_index)}

    async def write(self, op: Write) -> Written:
        outcome = self.machine.outcome(op.request)  # what was applied was committed: any server may tell
        if outcome is None:
            self.must_lead()
            if self.host.disk.full():
                raise Unavailable(f"the disk of the leader {self.me} is full; free some space")
            outcome = await self.propose(op)
        if isinstance(outcome, Failure):
            raise error_from(outcome)
        return outcome

    async def read_latest(self, op: Read) -> Found | Absent:
        if self.settings.reads == "follower":
            return await self.read_any(op)
        await self._confirm_leadership()
        return self._shown(op)

    async def read_any(self, op: Read) -> Found | Absent:
        if self.settings.reads == "read_index":
            return await self.read_latest(op)
        self._must_be_replayed()
        return self._shown(op)

    async def scan(self, op: Scan) -> Page:
        if self.settings.reads == "read_index" or self.site.level >= Level.LINEARIZABLE:
            await self._confirm_leadership()
        else:
            self._must_be_replayed()
        return page_of(self.replica, op)

    async def _confirm_leadership(self) -> None:
        """Know that this node led when asked: its state then holds every write acknowledged before (thesis 6.4)."""
        self.must_lead()
        confirmation = self.reads.join(self.host.now() + self.site.design.timeout_ns)
        self.begin_round()
        await confirmation

    def _must_be_replayed(self) -> None:
        if not self.is_replayed:
            # The log is here, but only a leader knows how much of it is committed; until then the replica looks empty.
            raise Elsewhere(f"{self.me} has restarted and not learned yet what is committed", self.state.leader)

    def _shown(self, op: Read) -> Found | Absent:
        record = self.replica.get(op.key)
        if record is None or record.value is None:
            return Absent()
        return Found(record.value, record.version)
