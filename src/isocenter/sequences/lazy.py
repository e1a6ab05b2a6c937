# SPDX-License-Identifier: MIT
"""pypulseq, imported when it is first used: the import takes a second, and listing sequences does not need it."""

import importlib
from typing import Any


class _Lazy:
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("pypulseq"), name)


pp: Any = _Lazy()
