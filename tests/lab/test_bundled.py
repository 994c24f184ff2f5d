"""The experiments and matrices that come with kvsim are found by name, and a wrong name is answered with a remedy."""

import csv
import tomllib

import pytest

from kvsim.lab.bundled import (
    BundledFileNotFound,
    experiment_path,
    list_experiments,
    list_matrices,
    matrix_path,
)


def test_every_listed_experiment_is_a_toml_file() -> None:
    names = list_experiments()
    assert names == sorted(names)
    for name in names:
        assert "title" in tomllib.loads(experiment_path(name).read_text(encoding="utf-8"))


def test_every_listed_matrix_is_square_with_its_regions_as_headings() -> None:
    names = list_matrices()
    assert "aws-2017-rtt-ms" in names
    for name in names:
        heading, *rows = csv.reader(matrix_path(name).read_text(encoding="utf-8").splitlines())
        assert heading[1:] == [row[0] for row in rows]
        assert all(len(row) == len(heading) for row in rows)


def test_a_suffix_in_the_name_is_harmless() -> None:
    assert matrix_path("aws-2017-rtt-ms.csv") == matrix_path("aws-2017-rtt-ms")


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(BundledFileNotFound, match=r"no matrix named 'aws-2017-rtt'; did you mean 'aws-2017-rtt-ms'"):
        matrix_path("aws-2017-rtt")


@pytest.mark.parametrize("outside", ["../pyproject", "/etc/hostname", ""])
def test_a_path_is_not_a_name(outside: str) -> None:
    with pytest.raises(BundledFileNotFound):
        experiment_path(outside)
