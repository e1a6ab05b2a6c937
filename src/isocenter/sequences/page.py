# SPDX-License-Identifier: MIT
"""Tables of parameters for docs/sequences.md, made from the declarations."""

from isocenter.domain.parameters import Parameter, allowed_text, format_value
from isocenter.sequences.catalogue import get_sequence, list_sequences, parameters


def sequence_tables() -> str:
    """Markdown: for each shipped sequence its title, summary, and one row a parameter."""
    parts = []
    for info in list_sequences():
        parts += [f"## {info.title} (`{info.name}`)", "", info.summary, ""]
        doc = (get_sequence(info.name).build.__globals__.get("__doc__") or "").strip().split("\n", 1)
        parts += [doc[1].strip(), ""] if len(doc) > 1 else []
        parts += ["| name | label | default | allowed | |", "|---|---|---|---|---|"]
        parts += [_row(item) for item in parameters(info.name)]
        parts.append("")
    return "\n".join(parts)


def _row(item: Parameter) -> str:
    default = f"{format_value(item, item.default)} {item.unit}".strip()
    allowed = {"choice": ", ".join(item.choices), "switch": "on, off"}.get(item.kind) or allowed_text(item)
    return f"| `{item.name}` | {item.label} | {default} | {allowed} | {item.help} |"
