"""The page of benchmarks: a new measurement takes the place of its own section alone."""

from benchmarks.__main__ import BENCHMARKS, TITLE, load_note, section, with_section


def test_each_section_is_replaced_alone_and_keeps_its_place() -> None:
    page = TITLE
    for name in ("simulation", "real"):
        page = with_section(page, BENCHMARKS[name].heading, section(BENCHMARKS[name], f"first {name}\n", (0, 0)))
    again = with_section(page, "Simulated world", section(BENCHMARKS["simulation"], "second simulation\n", (0, 0)))
    assert again == page.replace("first simulation", "second simulation")
    assert again.startswith("# Benchmarks\n\n") and again.count("\n## ") == 2


def test_figures_of_a_busy_machine_say_so() -> None:
    assert load_note((0.5, 1.9)) == ""
    assert "0.5 and 7.2" in load_note((0.5, 7.2))
