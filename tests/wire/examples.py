"""Every kind of message that any built-in strategy sends."""

from __future__ import annotations

from kvsim.core.axes import Replication
from kvsim.core.message import Message
from kvsim.core.settings import SettingsError
from kvsim.strategies.catalogue import BUILT_IN, message_kinds, read_design


def built_in_kinds() -> dict[str, type[Message]]:
    """Every kind of message that any built-in strategy sends, by its tag."""
    kinds: dict[str, type[Message]] = {}
    for axis, names in BUILT_IN.items():
        for name in names:
            try:
                design = read_design({axis: name}, "design", 5)
            except SettingsError as error:
                raise AssertionError(f"{axis} = {name} does not stand with the defaults of the others") from error
            assert issubclass(design["replication"].strategy, Replication)
            for kind in message_kinds(design):
                tag = str(kind.__struct_config__.tag)
                assert kinds.setdefault(tag, kind) is kind, f"{kind} and {kinds[tag]} share the tag {tag}"
    return dict(sorted(kinds.items()))
