# SPDX-License-Identifier: MIT
"""Scenario files: the shipped ones hold together, a wrong one is refused with file, line, key, found and allowed."""

import dataclasses
import pickle
import re
from pathlib import Path

import pytest

from isocenter.config import paths
from isocenter.config.hardware import list_scanners
from isocenter.config.scenario_schema import ScenarioFile
from isocenter.config.scenarios import list_scenarios, load_scenario, load_tissues
from isocenter.domain.errors import ConfigError
from isocenter.domain.geometry import PatientPosition
from isocenter.domain.scenario import EddyTerm, Interference, InterferenceKind, MotionStep, Scenario

IDEAL = ("ideal", "ideal-block", "ideal-box", "ideal-cylinder", "ideal-vials", "uniform")


@pytest.fixture(autouse=True)
def no_user_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(paths.platformdirs, "user_config_dir", lambda *args, **kwargs: str(tmp_path / "user"))


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "mine.toml"
        path.write_text('summary = "x"\n' + text, encoding="utf-8")
        return load_scenario(path)

    return load


def value(item):
    """A value as TOML."""
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, dict):
        return "{" + ", ".join(f'"{key}" = {number!r}' for key, number in item.items()) + "}"
    return repr(list(item)) if isinstance(item, tuple) else f'"{item}"' if isinstance(item, str) else repr(item)


def as_toml(thing, name="", header=""):
    """A scenario, or a part of it, as the file that says it."""
    lines, tables = [header] if header else [], []
    for entry in dataclasses.fields(thing):
        item, inner = getattr(thing, entry.name), f"{name}.{entry.name}".lstrip(".")
        if dataclasses.is_dataclass(item):
            tables.append(as_toml(item, inner, f"[{inner}]"))
        elif isinstance(item, tuple) and item and dataclasses.is_dataclass(item[0]):
            tables += [as_toml(row, inner, f"[[{inner}]]") for row in item]
        elif item != () and inner != "name":
            lines.append(f"{entry.name} = {value(item)}")
    return "\n".join([*lines, *tables]) + "\n"


def test_the_shipped_ones_are_listed():
    assert set(IDEAL) | {"osii-one-brain", "block", "vials"} <= set(list_scenarios())
    wanted = "osii-mini-raw-magnet noisy-ward cold-magnet broken-cable restless-child breathing warm-gradients concomitant"
    assert set(wanted.split()) | {"compressed-rfpa", "clipping", "knee-72mT", "acr-qa"} <= set(list_scenarios())


@pytest.mark.parametrize("name", list_scenarios())
def test_each_shipped_one_tells_a_trainee_what_it_is(name):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert len(scenario.summary) > 20
    assert len(scenario.look_for) > 20
    assert scenario.summary.endswith(".")
    assert scenario.look_for.endswith(".")
    assert scenario.scanner in {"", *list_scanners()}
    assert not scenario.magnet.table or Path(scenario.magnet.table).is_file()
    assert pickle.loads(pickle.dumps(scenario)) == scenario


@pytest.mark.parametrize("name", list_scenarios())
def test_each_shipped_one_survives_a_round_trip(name, tmp_path):
    scenario = load_scenario(name)
    path = tmp_path / f"{name}.toml"
    path.write_text(as_toml(scenario), encoding="utf-8")
    assert load_scenario(path) == scenario


@pytest.mark.parametrize("name", IDEAL)
def test_ideal_ones_have_no_fault(name):
    scenario, perfect = load_scenario(name), Scenario()
    for part in ("magnet", "gradients", "coil", "receiver", "interference", "motion"):
        assert getattr(scenario, part) == getattr(perfect, part)
    assert not scenario.has_t2_prime
    assert not scenario.has_chemical_shift


def test_what_is_left_out_is_perfect(load):
    assert dataclasses.replace(load(""), name="custom", summary="") == Scenario()


def test_every_key_of_the_domain_can_be_written():
    fields = {entry.name for entry in dataclasses.fields(Scenario)} - {"name"}
    assert set(ScenarioFile.model_fields) == fields
    for part in ("magnet", "gradients", "coil", "receiver", "motion"):
        keys = {entry.name for entry in dataclasses.fields(getattr(Scenario(), part))}
        assert set(ScenarioFile.model_fields[part].annotation.model_fields) == keys


def test_everything_at_once(load):
    scenario = load("""
look_for = "all of it"
scanner = "osii-mini"
phantom = "knee"
position = "FFP"
n_spins = 5000
has_diffusion = true
n_sensors = 3
seed = 7
[magnet]
harmonics_hz = { z2 = 120.0, "c42" = -3 }
field_axis = "y"
[gradients]
delay_s = [1e-6, 0, -2e-6]
[[gradients.eddy]]
channel = "x"
share = 0.01
time_constant_s = 1e-3
is_b0 = true
[[interference]]
kind = "mains-comb"
level = 1e-3
modulation_hz = 60
[motion]
restless_hz = 0.1
[[motion.steps]]
start_s = 1
turn_lps_rad = [0, 0, 0.1]
[[motion.steps]]
start_s = 2.5
""")
    assert scenario.position is PatientPosition.FFP
    assert scenario.magnet.harmonics_hz == {"z2": 120.0, "c42": -3.0}
    assert scenario.gradients.delay_s == (1e-6, 0.0, -2e-6)
    assert scenario.gradients.eddy == (EddyTerm(channel="x", share=0.01, time_constant_s=1e-3, is_b0=True),)
    assert scenario.interference == (Interference(kind=InterferenceKind.MAINS_COMB, level=1e-3, modulation_hz=60.0),)
    assert scenario.motion.steps == (MotionStep(start_s=1.0, turn_lps_rad=(0.0, 0.0, 0.1)), MotionStep(start_s=2.5))
    assert (scenario.seed, scenario.n_sensors, scenario.has_diffusion) == (7, 3, True)


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("[magnet]\nspread = 3", "line 3, key 'magnet.spread': there is no such key", "Did you mean 'spread_hz'"),
        ("[magnet]\nspread_hz = -3.0", "line 3, key 'magnet.spread_hz': found -3; allowed is 0 to 100000 Hz", "Correct"),
        ("[magnet]\nspread_hz = nan", "found nan; allowed is 0 to 100000 Hz", "Correct"),
        ("[magnet]\nspread_hz = '3'", "found '3'; allowed is a number, without quotes", "spread_hz"),
        ("[magnet]\nharmonics_hz = { z7x = 1.0 }", "no solid harmonic 'z7x'; use x, y, z", "Correct"),
        ("[magnet]\nharmonics_hz = { z2 = 1e9 }", "found z2 = 1e+09; allowed is -100000 to 100000 Hz", "Correct"),
        ("[magnet]\nfield_axis = 'q'", "found 'q'; allowed is 'x', 'y' or 'z'", "field_axis"),
        ("position = 'HFQ'", "key 'position': found 'HFQ'; allowed is 'HFS', 'HFP'", "position"),
        ("n_sensors = 13", "key 'n_sensors': found 13; allowed is 0 to 12", "Correct"),
        ("has_t2_prime = 'yes'", "found 'yes'; allowed is true or false", "has_t2_prime"),
        ("[gradients]\ndelay_s = [1e-6, 1, 0]", "found 1; allowed is -0.001 to 0.001 s", "Correct"),
        ("[gradients]\ndelay_s = 1e-6", "key 'gradients.delay_s': found 1e-06; allowed is a list", "delay_s"),
        ("[[interference]]\nkind = 'tone'\nlevel = 1e-3\n[[interference]]\nkind = 'hum'\nlevel = 1.0",
         "line 6, key 'interference.2.kind': found 'hum'; allowed is 'tone', 'mains-comb' or 'broadband'", "kind"),
        ("[[interference]]\nkind = 'tone'", "key 'interference.1.level': this key is missing", "level"),
        ("[[motion.steps]]\nstart_s = 5\n[[motion.steps]]\nstart_s = 2", "steps in order of time", "Correct"),
        ("[coil]\ncompression = 0.9", "found 0.9; allowed is 0 to 0.33", "Correct"),
        ("[coils]\n", "key 'coils': there is no such key", "Did you mean 'coil'"),
        ("n_spins = " + "1" * 400, "found a number of 400 digits; allowed is 100 to 20000000", "Correct"),
        ("n_spins = " + "1" * 9000, "not valid TOML", "docs/virtual-scanner.md"),
        ("n_spins = " + "[" * 3000, "brackets within brackets", "noisy-ward"),
        ("n_spins = 1", "found 1; allowed is 100 to 20000000", "Correct"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused(load, text, problem, remedy):
    with pytest.raises(ConfigError, match=rf"(?s)mine\.toml.*{re.escape(problem)}.*What to do: .*{re.escape(remedy)}"):
        load(text)


def test_a_summary_is_needed_and_toml_must_be_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("n_spins = 1000\n")
    with pytest.raises(ConfigError, match="key 'summary': this key is missing"):
        load_scenario(path)
    path.write_text("n_spins == 1000\n")
    with pytest.raises(ConfigError, match=r"(?s)not valid TOML.*line 1.*virtual-scanner\.md"):
        load_scenario(path)


def test_an_unknown_name_is_refused_with_a_guess():
    with pytest.raises(ConfigError, match=r"(?s)'noisy-word'.*Did you mean 'noisy-ward'.*osii-one-brain"):
        load_scenario("noisy-word")
    with pytest.raises(ConfigError, match=r"(?s)gone\.toml does not exist.*noisy-ward"):
        load_scenario("gone.toml")


def test_the_users_own_come_first_and_files_are_found_beside_them(tmp_path, monkeypatch):
    folder = paths.user_dir("scenarios")
    folder.mkdir(parents=True)
    (folder / "noisy-ward.toml").write_text('summary = "mine"\nphantom_file = "head.nii.gz"\n[magnet]\ntable = "map.csv"\n')
    (folder / "new.toml").write_text('summary = "mine"\n')
    scenario = load_scenario("noisy-ward")
    assert scenario.summary == "mine"
    assert Path(scenario.magnet.table) == (folder / "map.csv").resolve()
    assert Path(scenario.phantom_file) == (folder / "head.nii.gz").resolve()
    assert "new" in list_scenarios()


def test_tissues_are_read_in_order_and_refused_when_wrong(tmp_path):
    path = tmp_path / "brain.toml"
    row = '[[tissue]]\nlabel = {}\nname = "a"\nt1_s = {}\nt2_s = 0.1\n'
    path.write_text(row.format(4, 0.3) + row.format(2, 0.5))
    assert [(found.label, found.t1_s) for found in load_tissues(path)] == [(2, 0.5), (4, 0.3)]
    for text, message in (
        (row.format(4, 0.3) * 2, "found label 4 twice"),
        (row.format(4, 0.05), r"t2_s 0\.1 longer than t1_s 0\.05 for label 4"),
        (row.format(0, 0.3), r"tissue\.1\.label': found 0; allowed is 1 to 32000"),
        ("", "key 'tissue': this key is missing"),
        (row.replace("t1_s", "t1").format(4, 0.3), r"tissue\.1\.t1': there is no such key"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_tissues(path)
    with pytest.raises(ConfigError, match=r"(?s)none\.toml does not exist.*beside the label map"):
        load_tissues(tmp_path / "none.toml")
