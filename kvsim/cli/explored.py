"""What an exploration came to, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from kvsim.check.wording import counted
from kvsim.cli.tables import WORDS, console
from kvsim.core.message import SECOND
from kvsim.core.settings import shown_duration, toml_name
from kvsim.explore.action import Action
from kvsim.explore.explore import Exploration
from kvsim.explore.told import consequences, sentence

LAST = 12
"""Steps shown of the nearest approach to a goal."""
LONGEST_S = 86_400.0


def show(found: Exploration, folder: Path | None) -> None:
    """The verdict, how far the search came, goals, and the story if there is one."""
    to = console()
    promised = ", ".join((*_judges(found), *(["its invariants"] if found.world.invariants else [])))
    to.print(f"\n{WORDS[found.verdict]}: {escape(promised or 'nothing that could be judged is promised')}")
    to.print(escape(_how_far(found)))
    bounds = found.scenario.settings.bounds
    given = [f"{toml_name(n)} ≤ {v}" for n in bounds.__struct_fields__ if (v := getattr(bounds, n))]
    to.print(f"bounds: {', '.join(given) or 'nothing goes wrong'}", style="dim")
    for goal in found.goals:
        if not goal.reached and found.story is None:
            whole = goal.of or goal.nearest
            ended = f"{goal.nearest} of {counted(whole, 'operation')}" if goal.of else counted(whole, "operation")
            to.print(
                f"[yellow]never reached:[/] {escape(goal.name)}; the nearest schedule, "
                f"of {counted(len(goal.path), 'step')}, had {ended} ended:"
            )
            _show_path(found, goal.path, LAST)
    for reason in found.undecided:
        to.print(f"[yellow]undecided:[/] {escape(reason)}")
    if found.story is not None:
        to.print(f"\n[bold]{escape(found.story.sentence)}[/]\n")
        _show_path(found, found.story.path)
    if folder is not None:
        to.print(f"\nstory       {folder / 'story.md'}", soft_wrap=True)
        to.print(f"transcript  {folder / 'transcript.txt'}", soft_wrap=True)


def _show_path(found: Exploration, path: Sequence[Action], shown: int | None = None) -> None:
    """The steps in words, with what they led to; the last ones alone where so many are to be shown."""
    to = console()
    state = found.beginning.state
    first = 0 if shown is None else max(0, len(path) - shown)
    if first:
        to.print(f"     {counted(first, 'step')}, and then", style="dim")
    for number, action in enumerate(path):
        outcome = found.world.act(state, action)
        if number >= first:
            to.print(f"{number + 1:3}. {escape(sentence(found.world, state, action))}", soft_wrap=True)
            for line in consequences(found.world, outcome):
                to.print(f"       → {escape(line)}", soft_wrap=True)
        state = outcome.state


def _judges(found: Exploration) -> list[str]:
    claimed = {promise.judge for promise in found.scenario.design.promises()}
    return [name for name in ("linearizable", "durability") if name in claimed]


def _how_far(found: Exploration) -> str:
    counts = found.counts
    rate = counts.schedules / max(found.seconds, 1e-9)
    if found.is_complete:
        whole = "all"
    elif found.complete_to_faults is not None:
        whole = f"all with up to {counted(found.complete_to_faults, 'fault')}"
    elif found.share is not None and found.finding is None:
        whole = f"{_share(found.share)} of all, as far as depth first came"
    else:
        whole = "a part"
    histories = "1 different history" if found.histories == 1 else f"{found.histories:,} different histories"
    return (
        f"{counted(counts.schedules, 'schedule')} ({whole}), {counted(counts.states, 'state')}, {histories}, "
        f"depth {counts.deepest}, in {found.seconds:.1f} s: {rate:,.0f} a second{_the_rest(found)}"
    )


def _share(share: float) -> str:
    """`about 12.50 %`; what would be rounded to nothing is `less than 0.01 %`."""
    return "less than 0.01 %" if share < 0.0001 else f"about {share * 100:.2f} %"


def _the_rest(found: Exploration) -> str:
    """How long everything would take."""
    if found.is_complete or found.finding is not None or found.mode in ("pct", "bfs"):
        return ""
    if found.whole_s is None or found.whole_s > LONGEST_S:
        return "; all would take days: lower the bounds, or ask less"
    return f"; all would take about {shown_duration(round(found.whole_s) * SECOND)}"
