"""A message that no codec can write."""

from kvsim.core.message import Message
from kvsim.core.version import LamportClock
from kvsim.strategies.replication.single_copy import SingleCopy


class Keep(Message, tag="unreadable_message.keep"):
    """Holds an object."""

    clock: LamportClock


class UnreadableMessage(SingleCopy):
    """Sends it."""
