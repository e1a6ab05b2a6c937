# SPDX-License-Identifier: MIT
"""`isocenter scenarios` explains them, and scans take them, from names and from files."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from isocenter.config.scenarios import list_scenarios
from isocenter.storage.stored import read_raw


def test_all_are_listed_in_words_and_as_json(isocenter):
    words, data = isocenter("scenarios"), isocenter("scenarios", "--json")
    assert words.code == data.code == 0
    entries = json.loads(data.out)
    assert [entry["name"] for entry in entries] == list(list_scenarios())
    for entry in entries:
        assert f"{entry['name']:<22} {entry['summary']}" in words.out


def test_one_is_explained_with_its_tissues_its_field_and_its_faults(isocenter):
    said = isocenter("scenarios", "osii-mini-raw-magnet").out
    assert "Look for: The grid" in said
    assert "Scanner: osii-mini" in said
    assert "water                 200 ms    150 ms" in said
    assert "8985 ppm" in said
    assert "harmonics to order" in said
    entry = json.loads(isocenter("scenarios", "warm-gradients", "--json").out)
    assert entry["faults"]["gradients.delay_s"] == [9e-6, 12e-6, 7e-6]
    assert entry["faults"]["gradients.eddy"][0]["time_constant_s"] == 1e-3
    assert "Faults: none" in isocenter("scenarios", "ideal-box").out


def test_what_is_wrong_is_said_in_two_sentences(isocenter, tmp_path):
    assert "'noisy-word'" in isocenter("scenarios", "noisy-word").refused()
    path = tmp_path / "mine.toml"
    path.write_text('summary = "x"\n[magnet]\nspread = 3\n')
    assert "line 3, key 'magnet.spread'" in isocenter("scenarios", path).refused()
    path.write_text('summary = "x"\nphantom_file = "none.nii"\n')
    assert "none.nii" in isocenter("scenarios", path).refused()
    path.write_text('summary = "x"\n[magnet]\ntable = "none.csv"\n')
    assert "none.csv" in isocenter("scenarios", path).refused()


FID = ("scan", "fid", "--virtual", "--spins", "500", "--json")


@pytest.mark.timeout(300)  # a first run compiles the inner loops
def test_a_scan_takes_the_scanner_that_its_scenario_is_meant_for(isocenter, tmp_path):
    done = isocenter(*FID, "--frequency", "3.0635", "--scenario", "knee-72mT", "--position", "FFS", "--out", tmp_path)
    assert done.code == 0, done.err
    assert read_raw(Path(json.loads(done.out)["folder"])).lo_hz == pytest.approx(3.0635e6, rel=1e-6)
    named = isocenter(*FID, "--frequency", "2.0017", "--scenario", "knee-72mT", "--scanner", "osii-one", "--out", tmp_path)
    assert named.code == 0, named.err
    assert np.abs(read_raw(Path(json.loads(named.out)["folder"])).samples[0, 0, :10]).mean() > 1e-3


@pytest.mark.timeout(300)
def test_a_scan_of_a_users_own_label_map(isocenter, tmp_path):
    labels = np.zeros((20, 20, 20), dtype=np.int16)
    labels[4:16, 4:16, 4:16] = 5
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = -76.0
    image = nibabel.Nifti1Image(labels, affine)
    image.set_sform(affine, code=1)
    nibabel.save(image, tmp_path / "cube.nii.gz")
    (tmp_path / "cube.toml").write_text('[[tissue]]\nlabel = 5\nname = "oil"\nt1_s = 0.1\nt2_s = 0.08\n')
    (tmp_path / "mine.toml").write_text('summary = "x"\nphantom_file = "cube.nii.gz"\nhas_t2_prime = false\n')
    done = isocenter(*FID, "--frequency", "2.0", "--scenario", tmp_path / "mine.toml", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    raw = read_raw(Path(json.loads(done.out)["folder"]))
    assert np.abs(raw.samples[0, 0, 5]) == pytest.approx(0.096**3 * 100, rel=0.1)  # its volume in water
