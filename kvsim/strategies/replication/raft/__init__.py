"""Raft, a file an idea: messages, state, log, state machine, elections, log replication, reads, the strategy."""

from kvsim.strategies.replication.raft.raft import Raft

__all__ = ["Raft"]
