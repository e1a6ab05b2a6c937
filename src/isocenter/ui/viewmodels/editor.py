# SPDX-License-Identifier: MIT
"""The form of one protocol: fields from its declared parameters, each text checked as it is typed."""

from dataclasses import dataclass, replace
from typing import Final

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from isocenter.app.service import Health, ItemState, MessageRaised, ProtocolCheck, QueueItem, ScannerService
from isocenter.domain.errors import ConsoleError
from isocenter.domain.parameters import Parameter, allowed_text, format_value, parse_text
from isocenter.domain.scan import Protocol
from isocenter.ui.text import translate
from isocenter.ui.viewmodels.prescription import (
    PREFIX,
    prescription_parameters,
    prescription_value,
    with_prescription_value,
)

DEBOUNCE_MS: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One line of the form.

    Attributes
    ----------
    text
        As shown, or as typed when it was refused.
    problem
        Why the text was refused, and which value is used meanwhile; empty when it was taken.
    is_changed
        True when it differs from what the programme or the sequence says.
    """

    parameter: Parameter
    text: str
    problem: str = ""
    is_changed: bool = False

    @property
    def tooltip(self) -> str:
        """Help, and the allowed range."""
        parameter = self.parameter
        lines = [parameter.help]
        if parameter.kind in ("number", "integer"):
            lines.append(translate("Editor", "Allowed: {0}").format(allowed_text(parameter)))
        return "\n".join(line for line in lines if line)


class ProtocolEditor(QObject):
    """Edits a waiting entry; what is accepted goes into the queue by itself, a moment after the last key.

    A refused text never changes the protocol: the field keeps it, marked, and says which value is still used.
    """

    loaded = Signal()  # another entry, or it was locked or unlocked: build the form anew
    field_changed = Signal(str)
    check_changed = Signal()
    message_raised = Signal(object)

    def __init__(self, service: ScannerService, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._service = service
        self._place = prescription_parameters(service.scanner)
        self._item: QueueItem | None = None
        self._protocol: Protocol | None = None
        self._original: dict[str, Protocol] = {}
        self._fields: dict[str, Field] = {}
        self._is_dirty = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self.commit)

    def scanner_changed(self) -> None:
        """Take the ranges of another scanner; nothing is shown while scanners change."""
        self._place = prescription_parameters(self._service.scanner)

    # --- what is shown ----------------------------------------------------------------------------------------------

    @property
    def item_id(self) -> str:
        """Entry that is shown, empty for none."""
        return self._item.item_id if self._item else ""

    @property
    def item(self) -> QueueItem | None:
        """The entry itself, as the queue last said."""
        return self._item

    @property
    def protocol(self) -> Protocol | None:
        """With every accepted change."""
        return self._protocol

    @property
    def fields(self) -> tuple[Field, ...]:
        """Lines of the form, in order: place, then the sequence's own parameters."""
        return tuple(self._fields.values())

    @property
    def is_locked(self) -> bool:
        """True when it can no longer be changed."""
        return self._item is None or self._item.state is not ItemState.WAITING

    @property
    def check(self) -> ProtocolCheck | None:
        """What the protocol would do; None while that is being computed."""
        return None if self._is_dirty or self._item is None else self._item.check

    @property
    def refused(self) -> Field | None:
        """The first field whose text was refused."""
        return next((field for field in self._fields.values() if field.problem), None)

    @property
    def is_changed(self) -> bool:
        """True when it differs from how it was added, or a text was refused."""
        original = self._original.get(self.item_id)
        return self.refused is not None or (original is not None and original != self._protocol)

    def field(self, name: str) -> Field:
        """One line of the form."""
        return self._fields[name]

    # --- what the queue says ----------------------------------------------------------------------------------------

    def show(self, item: QueueItem | None) -> None:
        """Show an entry, or its news; changes on the way to another entry are kept, refused texts are dropped aloud."""
        old = self._item
        if item is not None and old is not None and item.item_id == old.item_id:
            self._refresh(item)
            return
        self.commit()
        self._say_what_was_dropped()
        self._item, self._is_dirty = item, False
        self._protocol = item.protocol if item else None
        if item is not None:
            self._original.setdefault(item.item_id, item.protocol)
        self._build_fields()
        self.loaded.emit()

    def _refresh(self, item: QueueItem) -> None:
        old, self._item = self._item, item
        assert old is not None  # the caller compared them
        if (old.state is ItemState.WAITING) != (item.state is ItemState.WAITING):
            self._is_dirty = False  # what was not committed before it started did not run
            self._timer.stop()
            self._protocol = item.protocol
            self._build_fields()
            self.loaded.emit()
        elif old != item:
            self.check_changed.emit()

    def _say_what_was_dropped(self) -> None:
        field = self.refused
        if field is not None and self._protocol is not None:
            text = translate("Editor", "{0} of {1} was left at {2}.").format(
                field.parameter.label, self._protocol.name, self._shown(field.parameter)
            )
            remedy = translate("Editor", "Select it again if you meant another value.")
            self.message_raised.emit(MessageRaised(health=Health.WARNING, problem=text, remedy=remedy))

    # --- what a person does -----------------------------------------------------------------------------------------

    def set_text(self, name: str, text: str) -> None:
        """Take what was typed into a field."""
        field = self._fields.get(name)
        if field is None or self.is_locked or self._protocol is None:
            return
        parameter = field.parameter
        try:
            value = parse_text(parameter, text)
        except ConsoleError as error:
            kept = translate("Editor", "{0} {1} Until then {2} is used.").format(
                error.problem, error.remedy, self._shown(parameter)
            )
            self._fields[name] = replace(field, text=text, problem=kept)
        else:
            self._protocol = self._with_value(self._protocol, name, value)
            self._fields[name] = replace(field, text=text, problem="", is_changed=self._differs(parameter))
            self._touch()
        self.field_changed.emit(name)
        self.check_changed.emit()

    def set_name(self, name: str) -> None:
        """Rename the entry; an empty name is not taken."""
        if self._protocol is not None and not self.is_locked and name.strip():
            self._protocol = replace(self._protocol, name=name.strip())
            self._touch()

    def reset(self) -> None:
        """Back to how it was added."""
        original = self._original.get(self.item_id)
        if original is not None and not self.is_locked:
            self._protocol = original
            self._build_fields()
            self._touch()
            self.loaded.emit()

    @Slot()
    def commit(self) -> None:
        """Put accepted changes into the queue now."""
        self._timer.stop()
        if not self._is_dirty or self._protocol is None:
            return
        self._is_dirty = False
        try:
            self._service.update(self.item_id, self._protocol)
        except ConsoleError as error:
            self.message_raised.emit(MessageRaised(health=Health.WARNING, problem=error.problem, remedy=error.remedy))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _touch(self) -> None:
        self._is_dirty = True
        self._timer.start()
        self.check_changed.emit()

    def _build_fields(self) -> None:
        self._fields = {}
        if self._protocol is None:
            return
        for parameter in (*self._place, *self._service.parameters(self._protocol.sequence)):
            text = format_value(parameter, self._value(parameter))
            self._fields[parameter.name] = Field(parameter=parameter, text=text, is_changed=self._differs(parameter))

    def _value(self, parameter: Parameter, protocol: Protocol | None = None) -> float | int | str | bool:
        protocol = protocol or self._protocol
        assert protocol is not None  # fields exist only for a protocol
        if parameter.name.startswith(PREFIX):
            return prescription_value(protocol.prescription, parameter.name)
        return protocol.parameters.get(parameter.name, parameter.default)

    def _differs(self, parameter: Parameter) -> bool:
        original = self._original.get(self.item_id)
        return original is not None and self._value(parameter) != self._value(parameter, original)

    def _shown(self, parameter: Parameter) -> str:
        return f"{format_value(parameter, self._value(parameter))} {parameter.unit}".strip()

    @staticmethod
    def _with_value(protocol: Protocol, name: str, value: float | int | str | bool) -> Protocol:
        if name.startswith(PREFIX):
            return replace(protocol, prescription=with_prescription_value(protocol.prescription, name, value))
        return replace(protocol, parameters={**protocol.parameters, name: value})
