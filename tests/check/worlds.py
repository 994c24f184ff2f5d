"""Histories for the tests of judges, from stores that work and stores that lie, and the plain definition to compare."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from kvsim.core.history import NEVER, History, Operation, Recorder

ALL = ("put", "create", "update", "cas", "read", "read", "read", "delete", "remove")
REGISTER = ("put", "read", "read")
CAS_REGISTER = ("put", "cas", "read", "read")
NEVER_ERASED = ("put", "create", "update", "cas", "read", "read")


def step(state: Any, o: Operation) -> tuple[bool, Any]:
    """The kv model, as the definition of the histories puts it: whether the operation is legal, and the next state."""
    if o.op == "read":
        return state == o.answer, state
    if o.op == "put":
        return True, o.value
    if o.op == "create":
        return state is None, o.value
    if o.op == "update":
        return state is not None, o.value
    if o.op == "cas":
        return state == o.expected, o.value
    if o.op == "delete":
        return state is not None, None
    assert o.op == "remove"
    return True, None


def linearizable_by_definition(operations: Sequence[Operation]) -> bool:
    """Try every order of the certain operations and of every choice of the unknown ones. One key; no cleverness."""

    def extends(left: tuple[Operation, ...], state: Any) -> bool:
        if all(o.completed == NEVER for o in left):
            return True
        for o in left:
            if any(other.completed < o.invoked for other in left):
                continue
            legal, after = step(state, o)
            if legal and extends(tuple(other for other in left if other is not o), after):
                return True
        return False

    return extends(tuple(operations), None)


def story(text: str) -> History:
    """A history from lines `process op arguments began ended [outcome]`, times in seconds, of one key `x`.

    The argument of a read is its answer; `nothing` stands for absence.
    """
    moments: list[tuple[float, int, int, dict[str, Any]]] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        words = line.split()
        outcome = words.pop() if words[-1] in ("ok", "fail", "info") else "ok"
        process, op, *arguments = words[:-2]
        values = [None if word == "nothing" else json.loads(word) for word in arguments]
        call = {"process": int(process), "op": op, "values": values, "outcome": outcome}
        moments.append((float(words[-2]), 1, len(moments), call))
        moments.append((float(words[-1]), 0, len(moments), call))  # at one moment, ends come before beginnings
    recorder = Recorder()
    for time_s, begins, _, call in sorted(moments, key=lambda moment: moment[:3]):
        process, op, values, time_ns = call["process"], call["op"], call["values"], round(time_s * 1e9)
        value = values[-1] if values else None
        if begins:
            asked = None if op == "read" else value
            recorder.invoke(process, time_ns, op, "x", asked, values[0] if op == "cas" else None)
        else:
            recorder.complete(process, time_ns, call["outcome"], value)
    return recorder.history


def run(
    random: Random,
    operations: int,
    clients: int,
    ops: Sequence[str],
    unique: bool = True,
    honest: float = 1.0,
    unknown: float = 0.1,
    keys: int = 1,
) -> History:
    """A run of clients against one atomic store; with probability 1 - `honest` an answer is made up."""
    recorder = Recorder()
    state: dict[str, Any] = {}
    open_: dict[int, list[Any]] = {}  # client: process, operation, whether it took effect, what it found
    processes = list(range(clients))
    now = token = begun = 0

    def take_effect(call: list[Any]) -> None:
        o: Operation = call[1]
        held = state.get(o.key)
        legal, after = step(held, o) if o.op != "read" else (True, held)
        call[2], call[3] = True, (legal, held)
        if legal:
            state[o.key] = after

    while begun < operations or open_:
        now += random.randrange(1, 1000)
        client = random.randrange(clients)
        call = open_.get(client)
        if call is None:
            if begun == operations:
                continue
            begun += 1
            token += 1
            op, key = random.choice(ops), f"k{random.randrange(keys)}"
            value = (token if unique else random.randrange(3)) if op in ("put", "create", "update", "cas") else None
            expected = state.get(key) if op == "cas" and random.random() < 0.8 else None
            recorder.invoke(processes[client], now, op, key, value, expected)  # type: ignore[arg-type]
            o = Operation(processes[client], op, key, value, expected, 0, 0, 0, 0, "ok")  # type: ignore[arg-type]
            open_[client] = [processes[client], o, False, None]
            continue
        if not call[2] and random.random() < 0.6:
            take_effect(call)
            continue
        del open_[client]
        process, o, done, _ = call
        if random.random() < unknown:
            recorder.complete(process, now, "info")
            processes[client] = max(processes) + 1
            continue
        if not done:
            take_effect(call)
        legal, held = call[3]
        if random.random() > honest:
            legal, held = True, random.choice([None, held, token, max(1, token - 1), max(1, token - 2)])
        recorder.complete(process, now, "ok" if legal else "fail", held if o.op == "read" else None)
    return recorder.history
