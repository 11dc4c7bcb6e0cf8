"""OTLP's JSON encoding of attributes and fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any


def filled(fields: dict[str, Json]) -> dict[str, Json]:
    """The fields without those at their default, which OTLP's JSON encoding leaves out."""
    return {key: value for key, value in fields.items() if value not in ("", 0, [])}


def attributes(values: Mapping[str, Any]) -> list[Json]:
    """OTLP's list of key and typed value."""
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def any_value(value: Any) -> Json:
    """OTLP's AnyValue for what OpenTelemetry allows in an attribute."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
    return {"arrayValue": {"values": [any_value(item) for item in value]}}
