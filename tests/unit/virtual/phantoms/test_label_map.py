# SPDX-License-Identifier: MIT
"""Label maps that a user brings lie where their affine says, and are refused in plain words when they cannot be used."""

import nibabel
import numpy as np
import pytest

from isocenter.domain.errors import ConfigError, StorageError
from isocenter.domain.geometry import PatientPosition, lps_from_device
from isocenter.domain.scenario import Scenario
from isocenter.virtual.phantoms.label_map import load_label_map
from isocenter.virtual.phantoms.simple import BLOCK_SIZE_M, MARKER_LPS_M
from isocenter.virtual.physics.phantoms import label_map, phantom_spins
from isocenter.virtual.physics.scenario import scenario_phantom

TABLE = """
[[tissue]]
label = 7
name = "gel"
t1_s = 0.15
t2_s = 0.1
density = 0.4
[[tissue]]
label = 300
name = "marker"
t1_s = 0.2
t2_s = 0.12
diffusion_m2_per_s = 2e-9
source = "measured here"
"""


def block_in(affine_ras_mm, shape):
    """The marked block as a label map on a grid."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    lps = (index @ affine_ras_mm[:3, :3].T + affine_ras_mm[:3, 3]) * np.array([-1e-3, -1e-3, 1e-3])
    return np.array([0, 7, 300], dtype=np.int16)[label_map("block", lps)]


@pytest.fixture
def save(tmp_path):
    def save(values, affine=None, table=TABLE, name="block.nii.gz", code=1, unit="mm"):
        path = tmp_path / name
        image = nibabel.Nifti1Image(values, np.diag([3.0, 3.0, 3.0, 1.0]) if affine is None else affine)
        image.set_sform(image.affine, code=code)
        image.set_qform(None, code=0)
        image.header.set_xyzt_units(unit)
        nibabel.save(image, path)
        if table is not None:
            (tmp_path / "block.toml").write_text(table)
        return path

    return save


def oblique():
    """Voxels of 2 x 2.5 x 3 mm, turned, with their first axis from left to right and their third pointing down."""
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0, 2.5, -3.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array([80, 64, 40]) / 2)
    return affine


def test_it_lies_where_its_affine_says_however_that_is_turned(save):
    affine, shape = oblique(), (80, 64, 40)
    phantom = load_label_map(save(block_in(affine, shape), affine))
    places = np.random.default_rng(1).uniform(-0.07, 0.07, (20000, 3))
    assert np.mean(phantom.label(places) == label_map("block", places)) > 0.97
    spins = phantom_spins(phantom, n_spins=20000, position=PatientPosition.FFP)
    marker = lps_from_device(PatientPosition.FFP) @ spins.position_m[spins.tissue == 1].astype(float).mean(axis=0)
    assert marker == pytest.approx(MARKER_LPS_M, abs=1e-3)
    assert np.all(np.subtract(phantom.high_m, phantom.low_m) > BLOCK_SIZE_M)


def test_tissues_come_from_the_table_beside_it(save):
    affine = oblique()
    path = save(block_in(affine, (80, 64, 40)).astype(np.float32), affine)
    gel, marker = scenario_phantom(Scenario(phantom_file=str(path))).tissues
    assert (gel.name, gel.t1_s, gel.density, gel.source) == ("gel", 0.15, 0.4, "assumed")
    assert (marker.t2_s, marker.diffusion_m2_per_s, marker.source) == (0.12, 2e-9, "measured here")


def test_units_in_metres_are_honoured(save):
    values = np.full((10, 10, 10), 7, dtype=np.int16)
    phantom = load_label_map(save(values, np.diag([3e-3, 3e-3, 3e-3, 1.0]), unit="meter"))
    assert np.subtract(phantom.high_m, phantom.low_m) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((8, 8), 7, np.int16), r"8 x 8 voxels; a label map has three dimensions"),
        (np.full((8, 8, 8, 3), 7, np.int16), r"8 x 8 x 8 x 3 voxels"),
        (np.zeros((8, 8, 8), np.int16), r"no label but 0"),
        (np.full((8, 8, 8), -1, np.int16), r"labels from -1 to -1; allowed is 0 to 32000"),
        (np.full((8, 8, 8), 40000, np.int32), r"labels from 40000 to 40000"),
        (np.full((8, 8, 8), 0.5, np.float32), r"holds 0\.5, which is no whole number"),
        (np.full((8, 8, 8), np.nan, np.float32), r"holds nan, which is no whole number"),
    ],
)
def test_what_is_no_label_map_is_refused(save, values, message):
    with pytest.raises(StorageError, match=rf"(?s){message}.*0 for air"):
        load_label_map(save(values))


def test_labels_without_a_tissue_are_named_and_counted(save):
    values = np.zeros((8, 8, 8), dtype=np.int16)
    values[:2], values[2, 0, :3] = 7, 9
    with pytest.raises(
        ConfigError, match=r"(?s)labels that block\.toml does not explain: 9 \(3 voxels\).*Add a \[\[tissue\]\]"
    ):
        load_label_map(save(values))


def test_missing_files_and_rubbish_are_refused(save, tmp_path):
    with pytest.raises(StorageError, match=r"(?s)no label map.*phantom_file"):
        load_label_map(tmp_path / "none.nii")
    (tmp_path / "block.nii").write_bytes(b"rubbish" * 100)
    with pytest.raises(StorageError, match="cannot be read as NIfTI"):
        load_label_map(tmp_path / "block.nii")
    full = save(np.full((8, 8, 8), 7, np.int16)).read_bytes()
    (tmp_path / "block.nii.gz").write_bytes(full[: len(full) // 2])
    with pytest.raises(StorageError, match="cannot be read as NIfTI"):
        load_label_map(tmp_path / "block.nii.gz")
    (tmp_path / "block.nii.gz").write_bytes(full[:40] + bytes(100) + full[140:])
    with pytest.raises(StorageError, match="cannot be read as NIfTI"):
        load_label_map(tmp_path / "block.nii.gz")
    (tmp_path / "block.toml").unlink()
    alone = save(np.full((8, 8, 8), 7, np.int16), table=None)
    with pytest.raises(ConfigError, match=r"(?s)block\.toml does not exist.*beside the label map"):
        load_label_map(alone)


def test_a_map_that_does_not_say_how_it_lies_is_refused(save):
    with pytest.raises(StorageError, match=r"(?s)does not say how it lies.*left and right"):
        load_label_map(save(np.full((8, 8, 8), 7, np.int16), code=0))
