# SPDX-License-Identifier: MIT
"""Files about gradient coils: what is written is read back; what is wrong is refused by line and key."""

import numpy as np
import pytest

from isocenter.config.coil_files import coils_text, load_coils, load_lattice
from isocenter.domain.errors import ConfigError
from isocenter.domain.harmonics import CoilField, harmonic_key

KEYS = tuple(harmonic_key(name) for name in ("z", "x", "y", "z3", "xz2", "c55"))


def some_field():
    rng = np.random.default_rng(0)
    return CoilField(
        keys=KEYS,
        weights_m=1e-3 * rng.standard_normal((3, len(KEYS))),
        radius_m=0.1,
        reach_m=0.075,
        rms_m=1.3e-4,
        n_points=251,
        name='a "quoted" \\ name\nof two lines',
        scanner="osii-one",
    )


def test_the_field_comes_back_to_the_last_bit(tmp_path):
    path, field = tmp_path / "coils.toml", some_field()
    path.write_text(coils_text(field), encoding="utf-8")
    back = load_coils(path)
    places = np.random.default_rng(1).uniform(-0.1, 0.1, (200, 3))
    np.testing.assert_allclose(back.apparent_m(places), field.apparent_m(places), rtol=0, atol=1e-15)
    assert back.name == 'a "quoted" \\ name of two lines'
    assert (back.scanner, back.n_points, back.reach_m) == ("osii-one", 251, 0.075)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("c10 =", "c99999 =", r"line \d+.*there is no solid harmonic 'c99999'"),
        ("radius_m = 0.1", "radius_m = -0.1", r"line 5, key 'radius_m'.*greater than 0"),
        ("n_points = 251", "", r"key 'n_points': this key is missing"),
        ("[x]", "[w]", r"there is no such key.*\n.*Allowed here: name"),
        ("c10 = ", "c10 = 1", r"found 1.* m for 'c10' of x; no gradient coil moves things by more than 0.05 m"),
        ("c10 = ", "c10 = nan #", r"found nan for 'c10'; allowed is a length"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path, old, new, said):
    path = tmp_path / "coils.toml"
    text = coils_text(some_field())
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        load_coils(path)


def test_a_lattice_of_nodes_and_one_of_listed_places(tmp_path):
    path = tmp_path / "lattice.toml"
    path.write_text("pitch_m = 0.02\nball_radius_m = 0.004\nreach_m = 0.04\nmarker_lps_m = [0.02, 0.0, 0.0]\n")
    points = load_lattice(path).points_m()
    assert len(points) == 33  # whole numbers whose squares add up to 4 at most
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(0.04)
    path.write_text(
        "pitch_m = 0.02\nball_radius_m = 0.004\npoints_lps_m = [[0.0, 0.0, 0.0], [0.02, 0.0, 0.0]]\n"
        "marker_lps_m = [0.02, 0.0, 0.0]\n"
    )
    assert load_lattice(path).points_m().tolist() == [[0, 0, 0], [0.02, 0, 0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pitch_m = 0.02\nball_radius_m = 0.004\nmarker_lps_m = [0.0, 0.0, 0.0]\n", "give either reach_m"),
        (
            "pitch_m = 0.02\nball_radius_m = 0.009\nreach_m = 0.05\nmarker_lps_m = [0.0, 0.0, 0.0]\n",
            r"found balls of radius 0.009 m every 0.02 m; they must be at most 0.007 m",
        ),
        ("pitch_m = 0.02\nball_radius_m = 0.004\nreach_m = 0.05\n", "marker_lps_m"),
    ],
)
def test_a_lattice_that_cannot_be_is_refused(tmp_path, text, said):
    path = tmp_path / "lattice.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_lattice(path)
