# SPDX-License-Identifier: MIT
"""``python -m isocenter`` does what the ``isocenter`` command does."""

from isocenter.cli.main import main

if __name__ == "__main__":
    main()
