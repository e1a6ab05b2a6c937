# SPDX-License-Identifier: MIT
"""Every combination of lines, train length and order measures each line once, in bands that change little by little."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.sequences.ordering import EMPTY, ORDERS, centre_echo, echo_trains, grid_lines, interleaved

ALL = given(st.integers(1, 256), st.integers(1, 300), st.sampled_from(ORDERS))


@settings(max_examples=400, deadline=None)
@ALL
def test_a_permutation_of_all_lines(n, etl, order):
    table = echo_trains(n, etl, order)
    assert sorted(table[table != EMPTY].tolist()) == list(range(n))
    assert table.shape[1] == min(etl, n)
    assert table.shape[0] == -(-n // min(etl, n))
    assert (table != EMPTY).any(axis=0).all()  # no echo is always empty
    assert (table[:-1] != EMPTY).all()  # only the last train has empty echoes


@settings(max_examples=200, deadline=None)
@ALL
def test_the_centre_is_where_the_order_says(n, etl, order):
    table = echo_trains(n, etl, order)
    echo, last = centre_echo(table, n), table.shape[1] - 1
    assert n // 2 in table[:, echo]
    if order == "centre-out":
        assert echo == 0
    elif order == "reversed":
        assert echo == last
    else:
        assert abs(echo - last / 2) <= 1


@settings(max_examples=200, deadline=None)
@ALL
def test_echoes_measure_bands_in_order(n, etl, order):
    table = echo_trains(n, etl, order)
    key = np.where(table == EMPTY, -1, table) if order == "linear" else np.where(table == EMPTY, -1, np.abs(table - n // 2))
    bands = [column[table[:, echo] != EMPTY] for echo, column in enumerate(key.T)]
    if order == "reversed":
        bands = bands[::-1]
    for earlier, later in itertools.pairwise(bands):
        assert earlier.max() <= later.min()


def test_by_hand():
    # 7 lines, trains of 3: bands 0-1, 2-3, 4-6; three trains, the last with one line
    assert echo_trains(7, 3, "linear").tolist() == [[0, 2, 4], [1, 3, 5], [EMPTY, EMPTY, 6]]
    # the centre is line 3; by distance 3 2 | 4 1 | 5 0 6
    assert echo_trains(7, 3, "centre-out").tolist() == [[2, 1, 0], [3, 4, 5], [EMPTY, EMPTY, 6]]
    assert echo_trains(7, 3, "reversed").tolist() == [[0, 1, 2], [5, 4, 3], [6, EMPTY, EMPTY]]


@pytest.mark.parametrize(("n", "etl", "order"), [(0, 1, "linear"), (4, 0, "linear"), (4, 2, "spiral")])
def test_nonsense_is_a_programming_mistake(n, etl, order):
    with pytest.raises(ValueError, match="no such order"):
        echo_trains(n, etl, order)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 64), st.integers(1, 32))
def test_the_full_grid_has_each_point_once(n_lin, n_par):
    assert sorted(grid_lines(n_lin, n_par, elliptical=False)) == [(y, z) for y in range(n_lin) for z in range(n_par)]


def test_the_ellipse_leaves_a_fifth_out_and_keeps_the_axes():
    kept = set(grid_lines(100, 60, elliptical=True))
    assert len(kept) / 6000 == pytest.approx(np.pi / 4, abs=0.01)
    assert {(y, 30) for y in range(100)} <= kept
    assert {(50, z) for z in range(60)} <= kept
    assert (0, 0) not in kept


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_interleaved_takes_every_slice_once(n):
    assert sorted(interleaved(n)) == list(range(n))
    if n > 4:
        assert min(abs(a - b) for a, b in itertools.pairwise(interleaved(n))) >= 2
