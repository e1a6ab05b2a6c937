# SPDX-License-Identifier: MIT
"""Objects to lie in a virtual scanner: people, test objects, and label maps that users bring."""
