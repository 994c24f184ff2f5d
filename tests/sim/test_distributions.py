"""Distributions draw what they say, and refuse what makes no sense."""

import statistics
from itertools import islice

import pytest

from kvsim.core.chance import Chance
from kvsim.core.settings import SettingsError
from kvsim.sim.distributions import Constant, Distribution, Exponential, Lognormal, Normal, Pareto, Uniform
from kvsim.sim.settings import read_world

ALL: dict[str, Distribution] = {
    "constant": Constant(1_000),
    "uniform": Uniform(1_000, 3_000),
    "normal": Normal(mean_ns=10_000, deviation_ns=1_000),
    "lognormal by p99": Lognormal(median_ns=500_000, p99_ns=4_000_000),
    "lognormal by sigma": Lognormal(median_ns=500_000, sigma=0.5),
    "exponential": Exponential(mean_ns=50_000),
    "pareto": Pareto(minimum_ns=1_000, shape=3.0),
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
    ],
)
def test_impossible_distributions_are_refused_with_the_reason(table: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_world({"network": {"latency": table}}, "x.toml: ")
    assert said in str(refused.value)
