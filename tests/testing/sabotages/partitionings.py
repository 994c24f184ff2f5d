"""Partitionings that lose keys, share them badly, or move them."""

from kvsim.core.message import NodeId
from kvsim.core.placing import position
from kvsim.strategies.partitioning.modulo import Modulo


class ForgetsAReplica(Modulo):
    """One node fewer than asked for."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return super().preference_list(key, max(1, n - 1))


class NamesAStranger(Modulo):
    """A node that is not there."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return ("data-0", *super().preference_list(key, n)[1:])


class NamesANodeTwice(Modulo):
    """The owner again and again."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return super().preference_list(key, 1) * min(n, len(self.members))


class ReturnsAList(Modulo):
    """Something that others may change."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return list(super().preference_list(key, n))  # type: ignore[return-value]


class FearsTheEmptyKey(Modulo):
    """Not defined for all keys."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return self.members[key[0] % 1 :][:n]


class TurnsTheListRound(Modulo):
    """The owner last."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return super().preference_list(key, n)[::-1]


class CountsQuestions(Modulo):
    """Another place once it was asked often."""

    asked = 0

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        self.asked += 1
        turn = (position(key) + self.asked // 6_000) % len(self.members)
        return (self.members * 2)[turn : turn + min(n, len(self.members))]


class Favours(Modulo):
    """Three of four keys to one node."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return super().preference_list(key, n) if position(key) % 4 == 0 else self.members[:n]


class LeavesIdle(Modulo):
    """The last node owns nothing."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        first = position(key) % max(1, len(self.members) - 1)
        return (self.members * 2)[first : first + min(n, len(self.members))]


class MovesAll(Modulo):
    """Claims what modulo cannot."""

    monotone = True
