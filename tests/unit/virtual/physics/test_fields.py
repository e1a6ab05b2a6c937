# SPDX-License-Identifier: MIT
"""Fields of magnets and coils: named harmonics, measured tables, rings of loops."""

from dataclasses import replace

import numpy as np
import pytest

from isocenter.domain.errors import ConfigError
from isocenter.domain.harmonics import harmonic_keys, harmonic_values
from isocenter.domain.scenario import CoilFaults, MagnetFaults, Scenario
from isocenter.domain.units import GAMMA_HZ_PER_T
from isocenter.virtual.physics.coils import loop_field, ring_sensitivity
from isocenter.virtual.physics.field_table import FieldTable, fit_table, read_table
from isocenter.virtual.physics.fields import ScannerFields
from isocenter.virtual.physics.magnet import b0_offset_hz

from .lab import make_scanner

RNG = np.random.default_rng(5)
B0_T = 0.0457


def ball(radius_m, step_m):
    axis = np.arange(-radius_m, radius_m + step_m / 2, step_m)
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return places[np.linalg.norm(places, axis=1) <= radius_m + 1e-9]


def truth_hz(places, order=5):
    """A field of 9000 ppm with terms up to an order."""
    keys = harmonic_keys(order)[1:]
    weights = np.random.default_rng(8).normal(size=len(keys)) * np.array([0.5**n for n, _, _ in keys])
    return 9e3 * weights @ harmonic_values(np.asarray(places) / 0.05, keys)


@pytest.fixture
def write(tmp_path):
    def write(places, values, header="X,Y,Z,B0", separator=",", scale=(1.0, 1.0), remark="# a remark\n", decimal="."):
        path = tmp_path / "field.csv"
        lines = [
            separator.join(f"{v:.9g}".replace(".", decimal) for v in (*(p * scale[0]), b * scale[1]))
            for p, b in zip(places, values, strict=True)
        ]
        path.write_text(remark + (header + "\n" if header else "") + "\n".join(lines) + "\n")
        return path

    return write


def test_a_named_harmonic_peaks_at_its_coefficient():
    fields = ScannerFields(Scenario(magnet=MagnetFaults(harmonics_hz={"z2": 500.0, "x": -120.0})), make_scanner())
    radius = make_scanner().magnet.imaging_diameter_m / 2
    places = radius * np.array([[0, 0, 1.0], [1.0, 0, 0], [0, 0, 0]])
    assert fields.offset_hz(places) == pytest.approx([500.0, -370.0, 0.0])


def test_harmonics_add_to_the_random_field():
    scanner, places = make_scanner(), 0.05 * RNG.normal(size=(100, 3))
    radius = scanner.magnet.imaging_diameter_m / 2
    both = ScannerFields(Scenario(magnet=MagnetFaults(spread_hz=300.0, harmonics_hz={"c42": 40.0})), scanner)
    random = b0_offset_hz(places, peak_to_peak_hz=300.0, radius_m=radius, seed=1)
    named = ScannerFields(Scenario(magnet=MagnetFaults(harmonics_hz={"c42": 40.0})), scanner).offset_hz(places)
    assert both.offset_hz(places) == pytest.approx(random + named, abs=1e-3)


@pytest.mark.parametrize(
    ("header", "separator", "scale", "decimal"),
    [
        ("X,Y,Z,B0", ",", (1.0, 1.0), "."),
        ("", ",", (1.0, 1.0), "."),
        ("x_mm;y_mm;z_mm;B0_mT", ";", (1e3, 1e3), ","),
        ("x [cm]\ty [cm]\tz [cm]\tB (G)", "\t", (1e2, 1e4), "."),
        ("", " ", (1.0, 1.0), "."),
    ],
)
def test_a_table_is_read_however_it_is_written(write, header, separator, scale, decimal):
    places = ball(0.05, 0.02)
    values = B0_T + truth_hz(places) / GAMMA_HZ_PER_T
    table = read_table(write(places, values, header, separator, scale, decimal=decimal))
    assert table.position_m == pytest.approx(places, abs=1e-9)
    assert table.b0_t == pytest.approx(values, rel=1e-8)


def test_a_header_puts_columns_in_another_order(tmp_path):
    places = ball(0.05, 0.02)
    rows = "\n".join(f"{i},{B0_T},{z:.4f},{y:.4f},{x:.4f}" for i, (x, y, z) in enumerate(places))
    path = tmp_path / "f.csv"
    path.write_text("number,B0,Z,Y,X\n" + rows)
    assert read_table(path).position_m == pytest.approx(places)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty.*\n.*X, Y, Z, B0 in metres"),
        ("X,Y,B0\n1,2,3\n", r"line 1: found no column Z.*\n.*X_mm"),
        ("X_inch,Y,Z,B0\n", r"line 1: found the unit 'inch' for X; known are m, cm, mm"),
        ("X,Y,Z,B0\n0,0,0\n", r"line 2: found 3 columns; 4 are needed"),
        ("X,Y,Z,B0\n0,0,zero,1\n", r"line 2: found '0, 0, zero, 1', which are not four numbers"),
        ("0,0,0,nan\n", r"line 1: found a value that is not finite.*\n.*Delete the lines"),
        ("0,0,0,0.05\n", r"has 1 points; at least 30 are needed"),
        ("".join(f"{i % 7},{i % 5},{i % 3},0.05\n" for i in range(60)), r"found a point 6 m from the isocenter.*\n.*X_mm"),
        ("".join(f"0.0{i % 7},0.0{i % 5},0.0{i % 3},45.0\n" for i in range(60)), r"from 45 to 45 T; allowed is 0\.001 to 3"),
        ("".join(f"0.0{i % 7},0.0{i % 5},0,0.045\n" for i in range(60)), r"line or in a plane.*\n.*throughout a volume"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "field.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"(?s)field\.csv.*" + message.replace(r".*\n.*", ".*")):
        fit_table(read_table(path), 0.1)


def test_a_missing_table_and_a_binary_one_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)none\.csv cannot be read.*magnet\.table"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_table(tmp_path / "b.csv")


def test_a_table_gives_back_the_field_between_its_points_and_a_little_beyond():
    places = ball(0.05, 0.005)
    found = fit_table(FieldTable(position_m=places, b0_t=B0_T + truth_hz(places) / GAMMA_HZ_PER_T), 0.05)
    assert found.n_points == 4169
    assert found.order == 5
    assert found.residual_hz < 0.1
    between = 0.045 * RNG.uniform(-0.57, 0.57, (500, 3))
    beyond = RNG.normal(size=(500, 3))
    beyond *= 0.057 / np.linalg.norm(beyond, axis=1, keepdims=True)
    mean = truth_hz(places).mean()
    for where in (between, beyond):
        assert found.offset_hz(where) == pytest.approx(truth_hz(where) - mean, abs=1.0)
    assert found.mean_t == pytest.approx(B0_T + mean / GAMMA_HZ_PER_T)
    assert "4169 points" in found.describe()


def test_far_outside_the_field_stays_as_it_is_at_the_edge_of_knowledge():
    places = ball(0.05, 0.005)
    found = fit_table(FieldTable(position_m=places, b0_t=B0_T + truth_hz(places) / GAMMA_HZ_PER_T), 0.05)
    direction = np.array([[0.3, -0.5, 0.8]])
    direction /= np.linalg.norm(direction)
    assert found.offset_hz(0.3 * direction) == pytest.approx(found.offset_hz(1.25 * found.radius_m * direction))


def test_noise_is_not_fitted_but_what_a_fit_cannot_say_is_kept_between_points():
    places, rng = ball(0.05, 0.005), np.random.default_rng(1)
    noisy = truth_hz(places, 3) + rng.normal(size=len(places)) * 20.0
    found = fit_table(FieldTable(position_m=places, b0_t=B0_T + noisy / GAMMA_HZ_PER_T), 0.05)
    assert found.order <= 5
    assert found.residual_hz == pytest.approx(20.0, rel=0.1)
    assert found.offset_hz(places) == pytest.approx(noisy - noisy.mean(), abs=0.5)
    scattered = places + rng.normal(size=places.shape) * 1e-3
    rough = fit_table(FieldTable(position_m=scattered, b0_t=B0_T + truth_hz(scattered, 3) / GAMMA_HZ_PER_T), 0.06)
    assert "left out" in rough.describe()
    assert rough.offset_hz(scattered) == pytest.approx(truth_hz(scattered, 3) - truth_hz(scattered, 3).mean(), abs=1.0)


def test_the_field_of_a_loop_is_that_of_its_wire():
    centre, axis, radius = np.array([0.1, 0.02, -0.01]), np.array([0.6, 0.0, 0.8]), 0.07
    across = np.cross(axis, [0, 1.0, 0])
    turns = 2 * np.pi * (np.arange(20000) + 0.5) / 20000
    wire = centre + radius * (np.outer(np.cos(turns), across) + np.outer(np.sin(turns), np.cross(axis, across)))
    along = radius * 2 * np.pi / 20000 * (np.outer(-np.sin(turns), across) + np.outer(np.cos(turns), np.cross(axis, across)))
    places = np.vstack([centre + 0.05 * RNG.normal(size=(20, 3)), centre + 0.03 * axis])
    reach = places[:, None] - wire
    expected = (
        (np.cross(along, reach) / np.linalg.norm(reach, axis=2, keepdims=True) ** 3).sum(axis=1) * radius / (2 * np.pi)
    )
    assert loop_field(places, centre, axis, radius) == pytest.approx(expected, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("field_axis", ["x", "y", "z"])
def test_a_ring_of_coils_sees_all_and_each_its_own_side(field_axis):
    places = 0.08 * RNG.uniform(-0.57, 0.57, (400, 3))
    maps = ring_sensitivity(places, n_coils=6, radius_m=0.1, field_axis=field_axis)
    assert maps.shape == (6, 400)
    assert np.linalg.norm(
        ring_sensitivity(np.zeros((1, 3)), n_coils=6, radius_m=0.1, field_axis=field_axis)
    ) == pytest.approx(1)
    assert np.linalg.norm(maps, axis=0).min() > 0.4
    assert np.linalg.matrix_rank(maps @ maps.conj().T, tol=1e-3) == 6
    angle = np.pi / 6
    near = 0.07 * np.array([[np.cos(angle), np.sin(angle), 0]])
    strength = np.abs(ring_sensitivity(np.vstack([near, -near]), n_coils=6, radius_m=0.1, field_axis=field_axis)[0])
    assert strength[0] > 3 * strength[1]


def test_several_coils_make_a_row_of_weights_each():
    fields = ScannerFields(Scenario(coil=CoilFaults(n_receive=4)), make_scanner())
    places = 0.05 * RNG.normal(size=(70_000, 3)).astype(np.float32)
    assert fields.receive(places).shape == (4, 70_000)
    one = ScannerFields(replace(Scenario(), coil=CoilFaults(b1_fall_db=1.0)), make_scanner())
    assert one.receive(places).shape == (70_000,)
    assert one.transmit(places[:2]).dtype == np.float32


def test_one_coil_is_a_solenoid_that_falls_as_the_scenario_says():
    scanner = make_scanner()
    radius = scanner.magnet.imaging_diameter_m / 2
    fields = ScannerFields(Scenario(coil=CoilFaults(b1_fall_db=3.0)), scanner)
    on_axis, aside = radius * np.array([[0, 0, 1.0], [0, 0, -1.0]]), radius * np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    assert 20 * np.log10(fields.transmit(on_axis)) == pytest.approx(-3.0, abs=0.01)
    assert 20 * np.log10(np.abs(fields.receive(on_axis))) == pytest.approx(-3.3, abs=0.2)
    assert fields.transmit(aside).min() > 1.05  # nearer to the wires
    assert fields.transmit(np.zeros((1, 3))) == pytest.approx(1)
    assert fields.transmit(np.array([[0, 0, 0.5]])).min() > 0
    perfect = ScannerFields(Scenario(), scanner)
    assert np.array_equal(perfect.transmit(on_axis), np.ones(2, np.float32))
    assert np.array_equal(perfect.receive(on_axis), np.ones(2, np.complex64))
