# SPDX-License-Identifier: MIT
"""Hardware and site files to domain objects. pydantic lives here and only here."""
