# SPDX-License-Identifier: MIT
"""docs/virtual-scanner.md tells of every key, scenario and phantom that there is, with the defaults that hold."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from isocenter.config.scenarios import list_scenarios, load_scenario
from isocenter.domain.harmonics import USUAL_NAMES
from isocenter.domain.scenario import EddyTerm, Interference, MotionStep, Scenario
from isocenter.virtual.phantoms.catalogue import PHANTOMS

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "virtual-scanner.md").read_text(encoding="utf-8")
SECTIONS = {found[1]: found[2] for found in re.finditer(r"(?ms)^##+ (.+?)\n(.*?)(?=^##|\Z)", TEXT)}
PARTS = ("magnet", "gradients", "coil", "receiver", "motion", "devices")


def defaults():
    """Every key of a file with its default."""
    perfect = Scenario()
    for entry in dataclasses.fields(perfect):
        value = getattr(perfect, entry.name)
        if entry.name in PARTS:
            yield from ((f"{entry.name}.{inner.name}", getattr(value, inner.name)) for inner in dataclasses.fields(value))
        elif entry.name != "name":
            yield entry.name, value


def test_every_key_stands_in_the_table_with_its_default():
    rows = {}
    for line in SECTIONS["Keys"].splitlines():
        if line.startswith("| `"):
            names, default, _ = line.strip("| ").split(" | ", 2)
            rows |= dict.fromkeys(re.findall(r"`([^`]+)`", names), default.strip("` "))
    assert set(rows) == {key for key, _ in defaults()}
    for key, value in defaults():
        if key == "summary":
            continue
        if value == () or value == {}:
            assert rows[key] in {"none", "{}"}
            continue
        written = tomllib.loads(f"value = {rows[key]}")["value"]
        assert written == (list(value) if isinstance(value, tuple) else value), key


@pytest.mark.parametrize("row", [EddyTerm, Interference, MotionStep])
def test_every_key_of_a_row_is_named(row):
    for entry in dataclasses.fields(row):
        assert f"`{entry.name}`" in SECTIONS["Keys"]


def test_every_scenario_and_its_scanner_stand_in_the_table():
    told = {}
    for line in SECTIONS["Scenarios"].splitlines():
        if line.startswith("| `"):
            names, scanner, _ = line.strip("| ").split(" | ", 2)
            told |= dict.fromkeys(re.findall(r"`([^`]+)`", names), scanner)
    assert set(told) == set(list_scenarios())
    for name, scanner in told.items():
        assert (load_scenario(name).scanner or "any") == scanner


def test_every_phantom_has_its_row_and_picture():
    assert set(re.findall(r"`([a-z0-9-]+)`", "".join(re.findall(r"(?m)^\| (`.*?) \| !", SECTIONS["Phantoms"])))) == set(
        PHANTOMS
    )
    for name in PHANTOMS:
        assert f"![{name}](phantoms/{name}.png)" in TEXT
        assert (DOCS / "phantoms" / f"{name}.png").stat().st_size < 60_000


def test_the_example_is_a_scenario(tmp_path):
    (example,) = re.findall(r"(?s)```toml\n(summary.*?)```", TEXT)
    path = tmp_path / "mine.toml"
    path.write_text(example, encoding="utf-8")
    assert load_scenario(path).magnet.harmonics_hz == {"z2": 120.0, "x2-y2": -40.0}


def test_usual_names_of_harmonics_are_listed():
    assert " ".join(USUAL_NAMES) in TEXT
