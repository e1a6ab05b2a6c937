# SPDX-License-Identifier: MIT
"""Hardware and site files to domain objects. pydantic lives here and only here.

``from isocenter.config.hardware import load_scanner, list_scanners``; ``from isocenter.config.paths import shipped_dir``.
"""
