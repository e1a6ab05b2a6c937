# SPDX-License-Identifier: MIT
"""Shipped files are found in a checkout and in a wheel, and the user's folder lies over them."""

import tomllib
from typing import get_args

from isocenter.config import paths


def test_in_a_checkout_the_repositorys_own_folders_are_used():
    assert (paths.shipped_dir("hardware_configs") / "osii-one.toml").is_file()
    assert (paths.shipped_dir("sequences") / "tse_3d.py").is_file()
    assert (paths.shipped_dir("scenarios") / "noisy-ward.toml").is_file()


def test_every_kind_is_packed_into_the_wheel():
    project = tomllib.loads((paths.shipped_dir("sequences").parent / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for kind in get_args(paths.Kind):
        assert packed[kind] == f"isocenter/_shipped/{kind}"


def test_in_a_wheel_the_package_data_are_used(monkeypatch, tmp_path):
    packaged = tmp_path / "isocenter" / "_shipped" / "sequences"
    packaged.mkdir(parents=True)
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "isocenter")
    assert paths.shipped_dir("sequences") == packaged
    assert paths.shipped_dir("hardware_configs") == tmp_path.parent / "hardware_configs"


def test_the_users_folder_is_searched_first_if_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setattr(paths.platformdirs, "user_config_dir", lambda *args, **kwargs: str(tmp_path))
    assert paths.search_dirs("sequences") == (paths.shipped_dir("sequences"),)
    (tmp_path / "sequences").mkdir()
    assert paths.search_dirs("sequences") == (tmp_path / "sequences", paths.shipped_dir("sequences"))
