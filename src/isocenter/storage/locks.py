# SPDX-License-Identifier: MIT
"""Files that one program holds alone."""

import sys


def try_lock(handle: int) -> bool:
    """Hold an open file alone until it is closed; False when somebody else does."""
    if sys.platform == "win32":  # there an open file cannot be deleted, which is protection enough
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
