"""Distributions draw what they say, and refuse what makes no sense."""

import statistics
from itertools import islice
from pathlib import Path

import pytest

from kvsim.core.chance import Chance
from kvsim.core.settings import SettingsError
from kvsim.sim.distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Lognormal,
    Mixture,
    Normal,
    Pareto,
    Part,
    Uniform,
)
from kvsim.sim.settings import read_world

ALL: dict[str, Distribution] = {
    "constant": Constant(1_000),
    "uniform": Uniform(1_000, 3_000),
    "normal": Normal(mean_ns=10_000, deviation_ns=1_000),
    "lognormal by p99": Lognormal(median_ns=500_000, p99_ns=4_000_000),
    "lognormal by sigma": Lognormal(median_ns=500_000, sigma=0.5),
    "exponential": Exponential(mean_ns=50_000),
    "pareto": Pareto(minimum_ns=1_000, shape=3.0),
    "mixture": Mixture(parts=(Part(1, Constant(1_000)), Part(3, Exponential(mean_ns=5_000)))),
}


@pytest.mark.parametrize("name", ALL)
def test_the_mean_of_many_draws_is_the_stated_one(name: str) -> None:
    draws = list(islice(ALL[name].draws(Chance(1, name)), 20_000))
    error = 4 * statistics.pstdev(draws) / len(draws) ** 0.5
    assert all(isinstance(draw, int) and draw >= 0 for draw in draws)
    assert statistics.fmean(draws) == pytest.approx(ALL[name].average_ns(), abs=error + 1)


@pytest.mark.parametrize("name", ALL)
def test_the_same_stream_gives_the_same_draws(name: str) -> None:
    first, second = (list(islice(ALL[name].draws(Chance(7, "x")), 100)) for _ in range(2))
    assert first == second


def test_a_lognormal_has_its_median_and_its_99th_percentile() -> None:
    draws = sorted(islice(ALL["lognormal by p99"].draws(Chance(1, "x")), 100_000))
    assert draws[50_000] == pytest.approx(500_000, rel=0.02)
    assert draws[99_000] == pytest.approx(4_000_000, rel=0.05)


def test_a_uniform_stays_between_its_bounds() -> None:
    draws = list(islice(Uniform(1_000, 1_003).draws(Chance(1, "x")), 1_000))
    assert set(draws) == {1_000, 1_001, 1_002, 1_003}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"distribution": "lognormal", "median": "500us"}, "either p99 or sigma"),
        ({"distribution": "lognormal", "median": "500us", "p99": "1ms", "sigma": 1.0}, "either p99 or sigma"),
        ({"distribution": "lognormal", "median": "5ms", "p99": "1ms"}, "below the median"),
        ({"distribution": "uniform", "low": "2ms", "high": "1ms"}, "swap"),
        ({"distribution": "exponential", "mean": "0s"}, "network.latency.mean"),
        ({"distribution": "pareto", "minimum": "1ms", "shape": 0}, "network.latency.shape"),
        ({"distribution": "lognorml", "median": "1ms"}, "did you mean 'lognormal'"),
        ({"median": "1ms"}, "distribution: missing"),
        ({"distribution": "constant", "value": "-1ms"}, "network.latency.value"),
        ({"distribution": "mixture", "parts": []}, "a mixture needs at least one part"),
        (
            {"distribution": "mixture", "parts": [{"weight": 0, "of": {"distribution": "constant", "value": "1ms"}}]},
            "network.latency.parts[0].weight",
        ),
        (
            {"distribution": "mixture", "parts": [{"weight": 1, "of": {"distribution": "exponential", "mean": "0s"}}]},
            "network.latency.parts[0].of.mean",
        ),
        ({"distribution": "empirical", "file": "nowhere.txt"}, "cannot read nowhere.txt"),
    ],
)
def test_impossible_distributions_are_refused_with_the_reason(table: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_world({"network": {"latency": table}}, "x.toml: ")
    assert said in str(refused.value)


def test_an_empirical_distribution_draws_the_lines_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "measured.txt"
    file.write_text("# of a Tuesday\n1.5ms\n200us\n\n3  # milliseconds\n")
    found = Empirical(str(file))
    draws = list(islice(found.draws(Chance(1, "x")), 3_000))
    assert {value: draws.count(value) for value in set(draws)} == {
        value: pytest.approx(1_000, abs=120) for value in (1_500_000, 200_000, 3_000_000)
    }
    assert found.average_ns() == pytest.approx(4_700_000 / 3)


@pytest.mark.parametrize(("text", "said"), [("1ms\nsoon\n", "line 2"), ("# nothing\n", "holds no times")])
def test_a_file_that_holds_no_times_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "measured.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        Empirical(str(file))


def test_parts_of_a_mixture_come_as_often_as_their_weights_say() -> None:
    draws = list(islice(Mixture(parts=(Part(1, Constant(1)), Part(3, Constant(2)))).draws(Chance(1, "x")), 10_000))
    assert draws.count(1) == pytest.approx(2_500, abs=200)
