"""The examples of the literature, written by hand: for each judge a history to accept and one to refute."""

import re

import pytest

from kvsim.check.judges import JUDGES, Limited
from kvsim.core.history import History, Recorder

SESSIONS = ("read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads")
EVERY = tuple(JUDGES)

# P1 w(x)1: process 1 writes 1 to x. P1 r(x)1: it reads 1; r(x)-: it finds x absent. P1 both(-,1): it reads x and y at
# once. Operations follow each other in time; a judge of staleness allows one version, convergence is from the last
# write on.
EXAMPLES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "a value is written once and read": ("P1 w(x)1, P1 r(x)1, P2 r(x)1, P3 r(x)1", EVERY, ()),
    "a stale read (Herlihy and Wing 1990)": (
        "P1 w(x)1, P1 w(x)2, P2 r(x)1",
        ("sequential", "causal-memory", "causal-convergence", "session-guarantees", "bounded-staleness"),
        ("linearizable", "durability", "worm"),
    ),
    "new and old inversion (Lamport 1986)": (
        "P1 w(x)1, P1 w(x)2, P2 r(x)2, P3 r(x)1",
        ("sequential",),
        ("linearizable", "convergence", "exactly-once"),
    ),
    "Dekker's example (Lamport 1979): neither sees the other": (
        "P1 w(x)1, P2 w(y)1, P1 r(y)-, P2 r(x)-",
        ("causal-memory", "causal-convergence", "session-guarantees"),
        ("linearizable", "sequential"),
    ),
    "independent reads of independent writes (Boehm and Adve 2008)": (
        "P1 w(x)1, P2 w(y)1, P3 r(x)1, P3 r(y)-, P4 r(y)1, P4 r(x)-",
        ("causal-memory", "causal-convergence"),
        ("sequential",),
    ),
    "readers see concurrent writes in either order (Tanenbaum and van Steen 2007, figure 7-10 b)": (
        "P1 w(x)1, P2 w(x)2, P3 r(x)2, P3 r(x)1, P4 r(x)1, P4 r(x)2",
        ("causal", "causal-memory"),
        ("sequential", "causal-convergence", "session-guarantees", "convergence"),
    ),
    "readers see cause and effect in either order (Tanenbaum and van Steen 2007, figure 7-10 a)": (
        "P1 w(x)1, P2 r(x)1, P2 w(x)2, P3 r(x)2, P3 r(x)1, P4 r(x)1, P4 r(x)2",
        (),
        ("causal", "causal-memory", "causal-convergence"),
    ),
    "causal convergence is more than causal memory (Bouajjani et al. 2017)": (
        "P1 w(x)1, P2 w(x)2, P1 r(x)2, P2 r(x)1",
        ("causal", "causal-memory"),
        ("causal-convergence",),
    ),
    "causal memory is more than causality (Bouajjani et al. 2017)": (
        "P1 w(x)1, P2 w(x)2, P2 r(x)1, P2 r(x)2",
        ("causal",),
        ("causal-memory",),
    ),
    "the album without its photo (Lloyd et al. 2011)": (
        "P1 w(x)1, P1 w(y)1, P2 r(y)1, P2 r(x)-",
        SESSIONS,
        ("causal", "session-guarantees"),
    ),
    "the old password after its change (Terry et al. 1994)": (
        "P1 w(x)1, P1 r(x)-",
        ("monotonic-reads", "monotonic-writes", "writes-follow-reads"),
        ("read-your-writes", "session-guarantees", "durability"),
    ),
    "the appointment that is gone again (Terry et al. 1994)": (
        "P1 w(x)1, P2 r(x)1, P2 r(x)-",
        ("read-your-writes", "monotonic-writes", "writes-follow-reads"),
        ("monotonic-reads", "session-guarantees"),
    ),
    "the program without the library that was stored before it (Terry et al. 1994)": (
        "P1 w(x)1, P1 w(y)1, P2 both(-,1)",
        ("read-your-writes", "monotonic-reads", "writes-follow-reads"),
        ("monotonic-writes", "session-guarantees", "causal"),
    ),
    "the reply without the article (Terry et al. 1994)": (
        "P1 w(x)1, P2 r(x)1, P2 w(y)1, P3 both(-,1)",
        ("read-your-writes", "monotonic-reads", "monotonic-writes"),
        ("writes-follow-reads", "session-guarantees", "causal"),
    ),
    "two versions behind (k-atomicity, Golab et al. 2011)": (
        "P1 w(x)1, P1 w(x)2, P1 w(x)3, P2 r(x)1",
        ("sequential",),
        ("bounded-staleness",),
    ),
    "replicas agree in the end (Vogels 2009)": (
        "P1 w(x)1, P2 w(x)2, P3 r(x)2, P4 r(x)2",
        ("convergence", "durability", "linearizable"),
        ("worm",),
    ),
    "a retried write comes back (Ongaro 2014, 6.3)": (
        "P1 w(x)1, P2 r(x)1, P3 w(x)2, P2 r(x)2, P2 r(x)1",
        (),
        ("exactly-once", "linearizable"),
    ),
}


def told(text: str) -> History:
    """The history that an example tells, an operation a second."""
    recorder = Recorder()
    for at, step in enumerate(text.split(", ")):
        process, deed = re.fullmatch(r"P(\d) (.+)", step).groups()  # type: ignore[union-attr]
        begin_ns, end_ns = at * 1_000_000_000, at * 1_000_000_000 + 500_000_000
        if deed.startswith("both"):
            x, y = (None if value == "-" else int(value) for value in deed[5:-1].split(","))
            recorder.invoke(int(process), begin_ns, "txn", None, [["r", "x", None], ["r", "y", None]])
            recorder.complete(int(process), end_ns, "ok", [["r", "x", x], ["r", "y", y]])
            continue
        key, value = deed[2], None if deed[4:] == "-" else int(deed[4:])
        recorder.invoke(
            int(process), begin_ns, "put" if deed[0] == "w" else "read", key, value if deed[0] == "w" else None
        )
        recorder.complete(int(process), end_ns, "ok", value)
    return recorder.history


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_judges_say_of_an_example_what_the_literature_says(name: str) -> None:
    text, accept, refute = EXAMPLES[name]
    expected = dict.fromkeys(accept, "not_refuted") | dict.fromkeys(refute, "refuted")
    assert {judge: JUDGES[judge].judge(told(text), Limited(versions=1)).name for judge in expected} == expected


def test_every_judge_has_an_example_to_accept_and_one_to_refute() -> None:
    assert {judge for _, accept, _ in EXAMPLES.values() for judge in accept} == set(JUDGES)
    assert {judge for _, _, refute in EXAMPLES.values() for judge in refute} == set(JUDGES)
