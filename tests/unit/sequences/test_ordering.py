# SPDX-License-Identifier: MIT
"""Every combination of lines, train length and order measures each line once, in bands that change little by little."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.sequences.ordering import (
    EMPTY,
    ORDERS,
    centre_echo,
    echo_trains,
    grid_lines,
    grid_trains,
    interleaved,
    kept_from,
    point_trains,
    spoil_directions,
    spoil_phase_deg,
)

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


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 256), st.floats(0.55, 1.0))
def test_partial_fourier_keeps_the_share_and_the_centre(n, fraction):
    first = kept_from(n, fraction)
    assert 0 <= first <= n // 2
    assert n - first >= fraction * n - 1e-6
    assert n - first - 1 < fraction * n or first == n // 2


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 64), st.integers(1, 80), st.sampled_from(ORDERS), st.floats(0.55, 1.0))
def test_trains_without_the_first_lines_have_the_others_once(n, etl, order, fraction):
    skip = kept_from(n, fraction)
    table = echo_trains(n, etl, order, skip)
    assert sorted(table[table != EMPTY].tolist()) == list(range(skip, n))
    echo = centre_echo(table, n)
    assert echo == {"centre-out": 0, "reversed": table.shape[1] - 1}.get(order, echo)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 40), st.sampled_from(ORDERS), st.booleans())
def test_trains_over_a_grid_have_each_point_once_and_no_empty_train(n_lin, n_par, etl, order, elliptical):
    skip = kept_from(n_lin, 0.7), kept_from(n_par, 0.6)
    trains = grid_trains((n_lin, n_par), skip, etl, order, elliptical=elliptical)
    points = [point for train in trains for point in train if point[0] != EMPTY]
    assert sorted(points) == sorted(grid_lines(n_lin, n_par, elliptical=elliptical, skip=skip))
    assert len({len(train) for train in trains}) == 1
    assert all(any(point[0] != EMPTY for point in train) for train in trains)
    assert (n_lin // 2, n_par // 2) in points


def test_points_by_hand():
    # a plus of five points, trains of two: by |LIN - 1|, then |PAR - 1|: (1,1) (1,0) | (1,2) (0,1) (2,1); bands by PAR, LIN
    plus = [(1, 0), (0, 1), (1, 1), (2, 1), (1, 2)]
    out = point_trains(plus, (1, 1), 2, "centre-out")
    assert out.tolist() == [[[1, 0], [0, 1]], [[1, 1], [2, 1]], [[EMPTY, EMPTY], [1, 2]]]
    assert point_trains(plus, (1, 1), 2, "reversed").tolist() == out[:, ::-1].tolist()
    linear = point_trains(plus, (1, 1), 2, "linear")
    assert linear.tolist() == [[[1, 0], [1, 1]], [[0, 1], [2, 1]], [[EMPTY, EMPTY], [1, 2]]]
    with pytest.raises(ValueError, match="no such order"):
        point_trains([], (0, 0), 2, "linear")


def test_spoiling_phases_differ_by_a_growing_multiple_of_117_degrees():
    phases = [spoil_phase_deg(count) for count in range(5)]
    assert phases == [0, 117, 351, 702 - 360, 1170 - 3 * 360]


def test_spoilers_of_neighbouring_shots_undo_each_other_in_no_combination():
    """Of three that follow each other no sum, each counted forth, back or not at all, is short.

    Half a spoiler of a turbo spin echo is four turns over a partition, enough to leave nothing of the signal there.
    """
    directions = np.array(spoil_directions())
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    assert directions[:, 2].min() >= 0.4
    signs = np.array([sign for sign in itertools.product((-1, 0, 1), repeat=3) if any(sign)])
    for first in range(len(directions)):
        following = directions[(first + np.arange(3)) % len(directions)]
        assert np.linalg.norm(signs @ following, axis=1).min() > 0.5
