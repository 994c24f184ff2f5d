"""Histories in the formats of kvsim and of others; which one a file has is known by its content."""

import re
from pathlib import Path

from kvsim.check.formats.etcd_log import etcd_log
from kvsim.check.formats.jepsen import jepsen
from kvsim.check.formats.kv_log import kv_log
from kvsim.core.history import History, HistoryError, open_plain, read_history

_LARGEST_TEXT_BYTES = 256 << 20
_SNIFFED_BYTES = 4096
_KV_EVENT = re.compile(rb":f\s+:(get|put|append)\b.*:key\b")


def read(path: str | Path) -> History:
    """Read a history: kvsim's JSON lines, Jepsen's EDN, Porcupine's etcd and key-value logs; `.gz` too.

    Raises HistoryError with the first line at fault, and OSError where the file cannot be read at all.
    """
    with open_plain(path) as stream:
        beginning = stream.read(_SNIFFED_BYTES).lstrip()
        if beginning.startswith((b"[", b"(", b";", b"#")) or beginning[:1] + beginning[1:].lstrip()[:1] == b"{:":
            parse = kv_log if _KV_EVENT.search(beginning) else jepsen
        elif b"jepsen.util - " in beginning:
            parse = etcd_log
        else:
            return read_history(path)
    return parse(_text(path))


def _text(path: str | Path) -> str:
    with open_plain(path) as stream:
        data = stream.read(_LARGEST_TEXT_BYTES + 1)
    if len(data) > _LARGEST_TEXT_BYTES:
        raise HistoryError(0, f"larger than {_LARGEST_TEXT_BYTES >> 20} MiB; only JSON lines may be")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise HistoryError(data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
