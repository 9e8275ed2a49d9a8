"""Configurations: YAML files read into typed, frozen models; unknown keys are errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from scldm.core.errors import InputError


class Config(BaseModel):
    """Base of every configuration: typed, frozen, finite, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


C = TypeVar("C", bound=Config)


def load_config(cls: type[C], path: str | Path, overrides: Iterable[str] = ()) -> C:
    """Read `path` (YAML), apply `key.sub=value` overrides, and check all of it against `cls`.

    A file may begin with `base: other.yaml` (relative to itself) and then holds only the
    difference. Raises InputError for a missing file, bad YAML, an unknown key (naming the
    nearest known one) or a value of the wrong type or out of its range.
    """
    return check_config(cls, override(_read(Path(path)), overrides), str(path))


def override(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """`values` with `key.sub=value` overrides set, in place; InputError for other text."""
    for text in overrides:
        key, sep, value = text.partition("=")
        if not sep:
            raise InputError(f"override '{text}': write it as key=value")
        try:
            set_key(values, key.strip().split("."), yaml.safe_load(value))
        except yaml.YAMLError:
            raise InputError(f"override '{text}': the value is not YAML") from None
    return values


def check_config(cls: type[C], values: dict[str, Any], name: str) -> C:
    """Build `cls` from plain values; InputError gives `name`, the key and the remedy."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = _nearest(cls, key)
            words = f"{name}: unknown key '{key}'; the nearest known is '{near}'"
            raise InputError(words) from None
        raise InputError(f"{name}: {key}: {first['msg'].lower()}") from None


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in above:
        raise InputError(f"{path}: is its own base")
    if not path.is_file():
        raise InputError(f"{path}: no such configuration file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a configuration is a mapping of keys to values")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise InputError(f"{path}: base: give the name of another configuration file")
    return merge(_read(path.parent / base, (*above, path.resolve())), values)


def merge(base: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `delta` in place of its own, mapping by mapping."""
    merged = dict(base)
    for key, value in delta.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def set_key(values: dict[str, Any], keys: list[str], value: Any) -> None:
    """Set a value within nested mappings; InputError where a key on the way is no mapping."""
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise InputError(f"override '{'.'.join(keys)}': '{key}' holds no further keys")
    values[keys[-1]] = value


def _known(cls: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in cls.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _known(field.annotation, f"{prefix}{name}.")
    return names


def _nearest(cls: type[BaseModel], key: str) -> str:
    known = _known(cls)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return close[0] if close else known[0]
