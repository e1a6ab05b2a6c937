# SPDX-License-Identifier: MIT
"""Rules of the code base that a reviewer would otherwise have to remember."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "isocenter").rglob("*.py"))
SHIPPED = sorted((ROOT / "sequences").glob("*.py"))
MAX_LINES = 400

UNIT_SUFFIXES = (
    "_s _hz _t _t_per_m _t_per_m_s _per_m _m _rad _kg _v _a _w _c _k _db _ppm _tick _ticks _code _codes _bytes _px "
    "_hz_per_m _hz_per_c _per_s _w_per_kg _hz_per_t _m2 _us _ms _mm _deg _m2_per_s _volts _turns "
    "_ohm _k_per_w _t_per_s _h _f _j"
).split()
# Dimensionless by nature, or a count; a new one needs a reason here.
DIMENSIONLESS = {
    "default", "low", "high",  # of a declared parameter: SI, the unit is a field beside them
    "rf_scale", "max_duty", "rf_duty", "scale", "fraction", "factor", "snr", "density", "amplitude",
    "volts_per_unit", "centre_sample", "centre_lin", "centre_par", "tx_t_per_code", "time_scale", "requested", "allowed",
    "noise", "gain", "kelvin", "share", "x_share", "y_share", "z_share", "compression", "level",
    "battery_share", "reflected_share", "coil_load_share", "offset_share", "residual_share",
    "ring_down_level", "transmit_scale", "sensor_leak", "edge",
    "quality", "spread",  # of a virtual coil and its capacitors: ratios
    "slope", "wedge_slope", "contrast",  # of test objects: ratios
    "value", "limit", "absorbed_share", "advised",  # of an exposure or advice: the unit is a field beside them; a ratio
    "a1", "a2", "a3", "g_scale",  # of the SAFE model of nerves: ratios
    "tolerance", "damping", "weighting",  # of least squares: ratios
    "peak", "rms", "broadband_rms", "floor", "sigma", "a90", "a90_sd", "ratio", "ratio_sd", "r2", "b1_spread",
    "saturation", "cost", "criterion",  # of the prescan: shares of full scale, in the unit of what was given, or ratios
    "agreement", "mean_scale", "scale_sd", "spread_sd", "background_share",  # of service calibrations: ratios
}  # fmt: skip


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*SOURCES, *SHIPPED], ids=_name)
def test_file_is_short_enough_to_read(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{_name(path)} has {lines} lines; split it by idea."


@pytest.mark.parametrize("path", [*SOURCES, *SHIPPED], ids=_name)
def test_file_says_its_licence_first(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: MIT\n")


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_float_fields_carry_their_unit(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            if (
                isinstance(item, ast.AnnAssign)
                and isinstance(item.target, ast.Name)
                and isinstance(item.annotation, ast.Name)
            ):
                name = item.target.id
                if item.annotation.id == "float":
                    has_unit = name.endswith(tuple(UNIT_SUFFIXES)) or name in DIMENSIONLESS
                    assert has_unit, f"{_name(path)}: {node.name}.{name} is a float without a unit in its name."


def test_the_gyromagnetic_ratio_stands_in_one_place_only() -> None:
    wrong = [
        _name(path)
        for path in [*SOURCES, *SHIPPED]
        if path.name != "units.py"
        and re.search(r"42\.5\d|267\.5|4\.25[0-9]+e7|2\.67[0-9]+e8", path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_nothing_speaks_of_a_private_machine() -> None:
    pattern = re.compile("/" + r"(work|root|tmp)/")
    wrong = [_name(path) for path in [*SOURCES, *SHIPPED] if pattern.search(path.read_text(encoding="utf-8"))]
    assert wrong == []


def test_pypulseq_stays_in_sequences() -> None:
    """It is imported by name, when a sequence is built, where import contracts do not see it."""
    wrong = [
        _name(path)
        for path in SOURCES
        if path.parent.name != "sequences" and re.search(r"import(_module\(.|\s+)pypulseq|from pypulseq", path.read_text())
    ]
    assert wrong == []
