"""What `--help` says: no word of it is lost on the way to the terminal, and every command shows an example."""

import re
from collections.abc import Iterator

import pytest
import typer.main

from kvsim.cli.app import app, run

Output = pytest.CaptureFixture[str]

PLACES = {"client": ("client", "http://127.0.0.1:1")}


def commands() -> Iterator[tuple[tuple[str, ...], typer.main.TyperCommand]]:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield (name,), command
        for inner, below in getattr(command, "commands", {}).items():
            yield (*PLACES[name], inner), below


COMMANDS = [pytest.param(words, command, id=" ".join((words[0], words[-1]))) for words, command in commands()]


def squeezed(text: str) -> str:
    """Only what is no space and no frame: where lines break does not matter."""
    return re.sub(r"[\s│╭╮╰╯─]", "", text)


def helped(words: tuple[str, ...], capsys: Output, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 300)
    assert run([*words, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_every_word_of_every_options_help_is_shown(
    words: tuple[str, ...], command: typer.main.TyperCommand, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = squeezed(helped(words, capsys, monkeypatch))
    for parameter in command.params:
        meant = (getattr(parameter, "help", None) or "").replace("\\[", "[")
        assert squeezed(meant) in shown, f"{parameter.name}: {meant}"


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_every_command_has_a_summary_of_one_line_and_an_example(
    words: tuple[str, ...], command: typer.main.TyperCommand, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, *rest = (command.help or "").strip().split("\n\n")
    assert len(summary) <= 110
    assert "\n" not in summary
    assert any(part.startswith("Example: kvsim ") for part in rest)
    assert squeezed(rest[-1]) in squeezed(helped(words, capsys, monkeypatch))


def test_the_levels_of_check_are_whole_words(capsys: Output) -> None:
    assert run(["check", "--help"]) == 0
    shown = capsys.readouterr().out
    for level in ("causal-convergence", "monotonic-reads", "strong-session-serializable", "list-append"):
        assert level in shown


def test_the_version_is_printed_alone(capsys: Output) -> None:
    assert run(["--version"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"\d+\.\d+\S*\n", printed.out)
    assert printed.err == ""


def test_without_a_command_the_help_is_printed_and_nothing_else(capsys: Output) -> None:
    assert run([]) == 2
    printed = capsys.readouterr()
    assert "Usage" in printed.out
    assert printed.err == ""


def test_a_wrong_option_ends_its_sentence_before_the_remedy(capsys: Output) -> None:
    assert run(["list", "--jsn"]) == 2
    assert re.search(r"\S[.?!] Try --help\.\n", capsys.readouterr().err)
