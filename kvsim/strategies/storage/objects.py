"""Objects: a value is stored, moved and replaced as a whole, under one key."""

from __future__ import annotations

import msgspec

from kvsim.core.axes import Storage
from kvsim.core.replica import HowOften


class ObjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of object storage."""

    written: HowOften = "many"
    """How often a key may be written: `many` (WMRM), or `once` (WORM: created, then only read)."""


class Objects(Storage):
    """A value is one object; `written` says whether it may change."""

    Settings = ObjectSettings
