"""A look at a protobuf message before it is parsed: parsing takes memory that a few bytes of a file can multiply."""

from __future__ import annotations

from typing import Any

DEEPEST = 64  # messages within messages; an ONNX model without control flow needs 8
MOST_FIELDS = 2**19  # ResNet-152 has 20,000

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def scan(data: bytes, descriptor: Any) -> None:
    """Refuse bytes that are no message of this kind, or have too many fields or too deep a nesting.

    Raises
    ------
    ValueError
        Says what is wrong, and where.
    """
    waiting = [(0, len(data), descriptor, 0)]
    kinds: dict[str, tuple[dict[int, Any], frozenset[int]]] = {}
    fields = 0
    while waiting:
        at, end, message, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"not a readable ONNX file: messages are nested more than {DEEPEST} deep")
        if message.full_name not in kinds:
            kinds[message.full_name] = _kinds(message)
        messages, strings = kinds[message.full_name]
        while at < end:
            fields += 1
            if fields > MOST_FIELDS:
                raise ValueError(f"not a readable ONNX file: it has more than {MOST_FIELDS} fields")
            tag, at = _varint(data, at, end)
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                _, at = _varint(data, at, end)
            elif wire == _LENGTH:
                size, at = _varint(data, at, end)
                if size > end - at:
                    raise _cut_off(at)
                if number in messages:
                    waiting.append((at, at + size, messages[number], depth + 1))
                elif number in strings:
                    _text(data[at : at + size], at)
                at += size
            elif wire in (_FIXED32, _FIXED64):
                at += 4 if wire == _FIXED32 else 8
            else:
                raise ValueError(f"not a readable ONNX file: unknown wire type {wire} at byte {at}")
            if at > end:
                raise _cut_off(end)


def _kinds(message: Any) -> tuple[dict[int, Any], frozenset[int]]:
    """Return the fields of a message that are messages, and those that are text."""
    messages = {field.number: field.message_type for field in message.fields if field.message_type is not None}
    return messages, frozenset(field.number for field in message.fields if field.type == field.TYPE_STRING)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _cut_off(at)
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(f"not a readable ONNX file: a number of more than 64 bits at byte {at}")


def _text(data: bytes, at: int) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"not a readable ONNX file: text that is not UTF-8 at byte {at}") from None


def _cut_off(at: int) -> ValueError:
    return ValueError(f"not a readable ONNX file: it is cut off at byte {at}")
