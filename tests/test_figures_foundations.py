"""Chapter 0's pictures show what they are given, and nothing on the diagonal."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dfkd_lib import figures_foundations


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_answers_are_bars_below_their_images():
    p = np.random.default_rng(0).dirichlet(np.ones(10), size=(2, 3))
    figures_foundations.answers(np.zeros((3, 8, 8)), {"τ = 1": p[0], "τ = 4": p[1]})
    axes = np.array(plt.gcf().axes).reshape(3, 3)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["", "τ = 1", "τ = 4"]
    for row, heights in zip(axes[1:], p, strict=True):
        for ax, expected in zip(row, heights, strict=True):
            assert [bar.get_height() for bar in ax.patches] == pytest.approx(list(expected))


def test_likeness_leaves_the_diagonal_out():
    matrix = np.arange(9.0).reshape(3, 3)
    figures_foundations.likeness(matrix, label="probability")
    ax, bar = plt.gcf().axes
    shown = ax.images[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == np.eye(3, dtype=bool).tolist()
    assert shown[0, 1] == 1 and shown[2, 0] == 6
    assert (ax.get_xlabel(), ax.get_ylabel(), bar.get_ylabel()) == ("other class", "true class", "probability")
