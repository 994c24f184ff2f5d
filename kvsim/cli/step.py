"""`kvsim step`: a person as the scheduler: see what could happen next, choose, go back, look into the nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.scenario_file import read_file

if TYPE_CHECKING:
    from kvsim.explore.session import Session

HELP = """\
NUMBER          let this happen            (Enter: number 1)
list            what could happen next
undo            go one step back
mark NAME       remember this moment       go NAME      go to it
state NODE      what a node holds          diff NODE    what the last step changed in it
judge           ask the judges             path         what has happened
save FILE       write the path as a transcript that is a test
quit"""


def step(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME|RUN", help=r"An experiment's file; its \[explore] says what is asked. Or a run's folder."
        ),
    ],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key: design.replication.w=1.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin at this moment of a simulated run; FILE is its folder.")
    ] = None,
) -> None:
    """Choose by hand what happens next: messages, disks, timers, crashes.

    Reads commands from standard input; help lists them.

    Example: kvsim step mine.toml --set design.replication.w=1
    """
    from kvsim.explore.session import Session

    _Terminal(Session(read_file(experiment, set_ or (), at))).run()


class _Terminal:
    """Reads a command, does it, and shows what it led to."""

    def __init__(self, session: Session) -> None:
        from rich.console import Console

        self.session = session
        self.console = Console(highlight=False)
        self.is_over = False
        self._commands: dict[str, Callable[..., None]] = {
            "list": self.list, "undo": self.undo, "mark": self.mark, "go": self.go, "state": self.state,
            "diff": self.diff, "judge": self.judge, "path": self.path, "save": self.save, "quit": self.quit,
            "help": self.help,
        }  # fmt: skip

    def run(self) -> None:
        """Until `quit`, or the end of the input."""
        self.list()
        while not self.is_over:
            try:
                line = self.console.input(f"step {len(self.session.path)}> ")
            except EOFError:
                self.say("")
                return
            self.do(line)

    def do(self, line: str) -> None:
        """One command."""
        name, *words = line.split() or ["1"]
        if name.isdecimal():
            self.choose(int(name))
            return
        command = self._commands.get(name)
        if command is None:
            self.say(f"unknown command {name}; help lists them")
            return
        try:
            command(*words)
        except TypeError:
            self.say(f"{name} takes other words; help shows which")
        except OSError as error:
            self.say(f"{error.filename}: {error.strerror}")

    def say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    # ---- Commands

    def help(self) -> None:
        self.say(HELP)

    def quit(self) -> None:
        self.is_over = True

    def list(self) -> None:
        """All that could happen, with numbers."""
        from rich.table import Table
        from rich.text import Text

        choices = self.session.choices()
        if not choices:
            self.say("nothing can happen any more that a client would see; undo, judge, save or quit")
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(justify="right")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for number, action in enumerate(choices, 1):
            table.add_row(str(number), _sort_of(action[0]), Text(self.session.told(action)))
        self.console.print(table)

    def choose(self, number: int) -> None:
        choices = self.session.choices()
        if not 1 <= number <= len(choices):
            self.say(f"there is no {number}; list shows what there is")
            return
        action = choices[number - 1]
        self.say(self.session.told(action), style="bold")
        for line in self.session.take(action):
            self.say(f"  → {line}")
        if verdict := self.session.verdict():
            self.say(f"  ✗ {verdict}", style="bold")
        self.list()

    def undo(self) -> None:
        self.say("one step back" if self.session.undo() else "this is the beginning")
        self.list()

    def mark(self, name: str) -> None:
        self.session.mark(name)
        self.say(f"{name}: after {len(self.session.path)} steps")

    def go(self, name: str) -> None:
        try:
            self.session.go_to(name)
        except KeyError:
            self.say(f"no moment is named {name}; there is {', '.join(self.session.bookmarks) or 'none'}")
            return
        self.say(f"at {name}, after {len(self.session.path)} steps")
        self.list()

    def state(self, node: str) -> None:
        if self._is_known(node):
            for name, value in self.session.node_state(node).items():
                self.say(f"  {name} = {_plain(value)}" if name else f"  {value}")

    def diff(self, node: str) -> None:
        if not self._is_known(node):
            return
        now, before = self.session.node_state(node), self.session.node_state(node, steps_back=1)
        changed = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
        if not changed:
            self.say(f"the last step changed nothing that {node} keeps")
        for name in changed:
            self.say(f"- {name} = {_plain(before.get(name))}")
            self.say(f"+ {name} = {_plain(now.get(name))}")

    def judge(self) -> None:
        names = ", ".join(self.session.always.judges) or "no judge"
        verdict = self.session.verdict()
        self.say(f"✗ {verdict}" if verdict else f"✓ nothing speaks against it so far ({names})")

    def path(self) -> None:
        session = self.session
        state = session.beginning.state
        from kvsim.explore.told import sentence

        for number, action in enumerate(session.path, 1):
            self.say(f"{number:3}. {sentence(session.world, state, action)}")
            state = session.world.act(state, action).state

    def save(self, file: str) -> None:
        from kvsim.testing.transcript import rerun

        head = self.session.verdict() or "Chosen by hand."
        Path(file).write_text(rerun(self.session.transcript(head), file), encoding="utf-8")
        self.say(f"written: {file}")

    def _is_known(self, node: str) -> bool:
        nodes = self.session.world.nodes
        if node not in nodes:
            self.say(f"there is no node {node}; there is {', '.join(nodes)}")
        return node in nodes


def _sort_of(kind: int) -> str:
    from kvsim.explore.action import Kind

    return Kind(kind).name.lower().replace("_", " ")


def _plain(value: object) -> str:
    import msgspec

    return msgspec.json.encode(value).decode() if isinstance(value, dict | list | tuple) else str(value)
