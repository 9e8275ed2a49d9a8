"""An ablation is a question and deltas: read from configs/ablations."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scldm.core.config import Config, load_config, set_key
from scldm.core.errors import InputError


class Delta(Config):
    """What a variant changes: of stage 1, of stage 2, and of sampling."""

    pretrain: dict[str, Any] = {}
    train: dict[str, Any] = {}
    sample: dict[str, Any] = {}


class Study(Config):
    """A question, and its variants: named ones, or one for each value of `axis`.

    Attributes:
        question: what is asked, in a sentence.
        variants: deltas by name.
        axis: key whose `values` are tried, as `train.beta`.
        series: further keys and their values; each is tried with each of `values`.
    """

    question: str
    variants: dict[str, Delta] = {}
    axis: str | None = None
    values: tuple[float, ...] = ()
    series: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True)
class Variant:
    """One of a study's: `value` of its axis and `line` of its series, where it has such."""

    name: str
    delta: Delta
    value: float | None = None
    line: str = ""


def read_study(name: str, config: Path, values: tuple[float, ...] = ()) -> Study:
    """The study `name` of the folder `ablations` beside a configuration; `values` replace its own.

    Raises InputError for an unknown study, or values without an axis.
    """
    folder = config.parent / "ablations"
    file = folder / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml"))) or "none"
        raise InputError(f"{file}: no such study; there are: {known}")
    study = load_config(Study, file)
    if bool(study.variants) == bool(study.axis):
        raise InputError(f"{file}: give variants, or axis and values")
    if values and not study.axis:
        raise InputError(f"--values: the study {name} has no axis")
    return study.model_copy(update={"values": values or study.values})


def variants(study: Study) -> list[Variant]:
    """All variants of a study, in order."""
    if not study.axis:
        return [Variant(name, delta) for name, delta in study.variants.items()]
    found = []
    for value in study.values:
        for combination in itertools.product(*study.series.values()):
            delta: dict[str, Any] = {}
            number = int(value) if value == int(value) else value
            set_key(delta, study.axis.split("."), number)
            for key, choice in zip(study.series, combination, strict=True):
                set_key(delta, key.split("."), choice)
            line = ", ".join(combination)
            name = f"{study.axis.rpartition('.')[2]} {number:g}"
            found.append(Variant(f"{name}, {line}" if line else name, Delta.model_validate(delta),
                                 value, line))
    return found


def slug(delta: dict[str, Any]) -> str:
    """A delta as the name of a folder: "beta=0,speech=scratch", sorted; "" for none."""
    return ",".join(f"{key}={value}" for key, value in sorted(_flat(delta)))


def _flat(delta: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in delta.items():
        name = f"{prefix}{key}"
        found += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found
