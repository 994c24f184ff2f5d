"""The page of published against simulated figures, and its pictures in the papers' own axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvsim.lab.plots.style import RC, look
from kvsim.lab.published.run import Reproduced, Row

LEFT_OUT = {
    "join.moved.rendezvous, join.moved.jump": "no rendezvous or jump hashing yet",
    "copysets": "no copysets yet",
    "chord.path, kademlia.hops": "no multi-hop routing yet",
    "swim.first_detection": "no SWIM yet",
    "gossip.push, gossip.push_pull": "no gossip yet",
    "frontend.two_choices": "frontends do not balance by queue length yet",
    "delays.write.multi_paxos": "no Multi-Paxos yet",
    "delays.write.chain, craq.read_scaling": "no chain replication yet",
    "2pc.commit": "no transactions yet",
}
"""Entries without an experiment, and why."""


def write_page(done: Sequence[Reproduced], page: Path, pictures: Path) -> None:
    """Write the page, and the pictures beside it."""
    pictures.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(_lines(done, _draw(done, pictures), pictures.relative_to(page.parent))), "utf-8")


def _lines(done: Sequence[Reproduced], drawn: Mapping[str, str], folder: Path) -> list[str]:
    rows = [row for one in done for row in one.rows]
    lines = [
        "# Published against simulated",
        "",
        "Each row is a figure from the literature, or an exact one, and what kvsim's own strategies give in the",
        "simulated world: measured from what clients were told and what nodes did, with no formula beside them.",
        "`make published` runs the experiments in `experiments/published/` and writes this page; CI runs a tenth of",
        "the trials, with tolerances √10 times as wide.",
        "",
        f"{sum(row.holds for row in rows)} of {len(rows)} figures lie within their tolerance.",
        "",
        "Where the source's own figure differs from the expected one, the expected one was recomputed for the setup as",
        "it is stated, with more trials than the source had.",
    ]
    for one in done:
        lines += ["", f"## {one.title}", "", f"{one.source}.", ""]
        lines += [
            "| | figure | published | expected | simulated | trials | |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [_line(row) for row in one.rows]
        if one.name in drawn:
            lines += ["", f"![{drawn[one.name]}]({folder.as_posix()}/{one.name}.png)", "", drawn[one.name]]
    lines += ["", "## Left out", "", "| entry | why |", "| --- | --- |"]
    lines += [f"| `{entry}` | {why} |" for entry, why in LEFT_OUT.items()]
    return [*lines, ""]


def _line(row: Row) -> str:
    published = "" if row.published is None else f"{row.published:g}"
    verdict = "within" if row.holds else "**outside**"
    figures = f"{published} | {row.expected} | {row.found:.4g} | {row.trials:,}"
    return f"| {row.variant} | `{row.metric}` | {figures} | {verdict} |"


# Pictures -------------------------------------------------------------------------------------------------------------

Draw = Callable[[Axes, Reproduced], str]


def _draw(done: Sequence[Reproduced], folder: Path) -> dict[str, str]:
    """Draw what there is a picture for; gives the captions."""
    captions = {}
    for one in done:
        draw = PICTURES.get(one.name)
        if draw is None:
            continue
        with mpl.rc_context(RC):
            figure = Figure(figsize=(6.4, 3.6), layout="constrained")
            axes = figure.add_subplot()
            captions[one.name] = draw(axes, one)
            figure.savefig(folder / f"{one.name}.png", metadata={"Software": None})
    return captions


def _visibility(axes: Axes, one: Reproduced) -> str:
    """Figure 6 of Bailis et al.: the probability of consistency over the time since the commit, logarithmic."""
    for number, (variant, found) in enumerate(one.measured.items()):
        times = sorted(found.samples["t-visibility (ms)"])
        if times[-1] == 0:
            continue
        chosen = look(number)
        shares = [(at + 1) / len(times) for at in range(len(times))]
        label = f"R={variant[1]}, W={variant[3]}"
        axes.plot(times, shares, color=chosen.colour, linestyle=chosen.line, label=label)
        published = next(
            (row.published for row in one.rows if row.variant == variant and row.metric == "t_visibility_p999_ms"), None
        )
        if published:
            axes.plot([published], [0.999], color=chosen.colour, marker=chosen.marker, linestyle="none")
    axes.set(xscale="log", xlabel="t-visibility (ms)", ylabel="P(consistency)", xlim=(0.1, None))
    axes.legend(title="N=3; markers: published, 99.9 %", loc="lower right")
    return (
        "The share of reads begun t after a write was acknowledged that see it (the paper's figure 6). Designs with "
        "R+W > N are always consistent and not drawn."
    )


def _elections(axes: Axes, one: Reproduced) -> str:
    """Figures 16 and 9.9: the cumulative share of trials over the time without a leader."""
    for number, (variant, found) in enumerate(one.measured.items()):
        times, chosen = sorted(found.samples["time without a leader (ms)"]), look(number)
        shares = [100 * (at + 1) / len(times) for at in range(len(times))]
        axes.plot(times, shares, color=chosen.colour, linestyle=chosen.line, label=variant)
        for row in one.rows:
            level = {"election_median_ms": 50, "election_p90_ms": 90, "downtime_median_ms": 50}.get(row.metric)
            if level is not None and row.published is not None and row.variant == variant:
                axes.plot([row.published], [level], color=chosen.colour, marker=chosen.marker, linestyle="none")
    axes.set(xscale="log", xlabel="time without a leader (ms)", ylabel="cumulative share (%)", ylim=(0, 100))
    if len(one.measured) > 1:
        axes.legend(title="election timeouts", loc="lower right")
    return "How long the servers are without a leader, cumulated over the trials; markers: published quantiles."


def _queues(axes: Axes, one: Reproduced) -> str:
    """Sojourn times, expected against simulated, as bars."""
    rows = [row for row in one.rows if row.metric == "mean_sojourn_ms"]
    names = [row.variant for row in rows]
    expected = [float(row.expected.rpartition(" ")[2]) for row in rows]
    places = range(len(rows))
    axes.bar([at - 0.2 for at in places], expected, 0.36, color=look(0).colour, label="theory")
    axes.bar([at + 0.2 for at in places], [row.found for row in rows], 0.36, color=look(1).colour, label="simulated")
    axes.set(ylabel="mean time in the system (ms)")
    axes.set_xticks(list(places), names)
    axes.legend()
    return (
        "The mean time from arrival to the end of service, by kind of queue and load; service takes 1 ms in the mean."
    )


def _omission(axes: Axes, one: Reproduced) -> str:
    """Latency by percentile, as Tene draws it."""
    [found] = one.measured.values()
    for number, (name, values) in enumerate(found.samples.items()):
        ordered = sorted(values)
        shares = [100 * (at + 1) / len(ordered) for at in range(len(ordered))]
        chosen = look(number)
        label = name.removeprefix("latency, ").removesuffix(" (ms)")
        axes.plot(shares, ordered, color=chosen.colour, linestyle=chosen.line, label=label)
    axes.set(xlabel="percentile", ylabel="latency (ms)", yscale="log")
    axes.legend()
    return "Latency by percentile while the server stands still for half of the time: the closed loop hides it."


PICTURES: dict[str, Draw] = {
    "staleness-lnkd-disk": _visibility,
    "staleness-lnkd-ssd": _visibility,
    "raft-downtime": _elections,
    "raft-elections-wan": _elections,
    "queues": _queues,
    "coordinated-omission": _omission,
}
