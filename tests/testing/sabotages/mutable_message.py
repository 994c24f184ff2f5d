"""A message that its receiver can change in the sender's hands."""

from kvsim.core.message import Message
from kvsim.strategies.replication.single_copy import SingleCopy


class Keep(Message, tag="mutable_message.keep"):
    """Holds a list."""

    keys: list[bytes]


class MutableMessage(SingleCopy):
    """Sends it."""
