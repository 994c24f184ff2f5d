"""A message with another's tag."""

from kvsim.core.message import Message
from kvsim.strategies.replication.single_copy import SingleCopy


class Keep(Message, tag="quorum.store"):
    """Has the tag of a message of quorum replication."""


class TagTaken(SingleCopy):
    """Sends it."""
