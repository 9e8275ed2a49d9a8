"""Laws of configurations: what is typed, what is inherited, what is refused and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scldm.core.config import Config, load_config
from scldm.core.errors import InputError


class Part(Config):
    image_size: int = 64
    rate: float = 1.0


class Whole(Config):
    out: str
    part: Part = Part()
    names: tuple[str, ...] = ()


def write(folder: Path, text: str, name: str = "a.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(Whole, path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_are_typed_frozen_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    config = load_config(Whole, write(tmp_path, "out: x\nnames: [a, b]\npart: {rate: 1e-4}\n"))
    assert config == Whole(out="x", names=("a", "b"), part=Part(rate=1e-4))
    assert isinstance(config.part.rate, float)  # YAML 1.1 itself reads 1e-4 as text
    with pytest.raises(ValueError, match="frozen"):
        config.out = "y"  # type: ignore[misc]


def test_base_holds_what_the_delta_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path, "out: x\npart: {image_size: 8, rate: 2}\nnames: [a]\n", "base.yaml")
    middle = write(tmp_path, "base: ../base.yaml\npart: {rate: 3}\n", "sub/middle.yaml")
    top = write(tmp_path, "base: middle.yaml\nnames: []\n", "sub/top.yaml")
    assert load_config(Whole, middle) == Whole(out="x", part=Part(image_size=8, rate=3),
                                               names=("a",))
    assert load_config(Whole, top) == Whole(out="x", part=Part(image_size=8, rate=3))


def test_overrides_come_last(tmp_path: Path) -> None:
    path = write(tmp_path, "out: x\npart: {image_size: 8}\n")
    config = load_config(Whole, path, ["part.rate=1e-3", "out=runs/a=b", "names=[c, d]"])
    assert config == Whole(out="runs/a=b", part=Part(image_size=8, rate=1e-3), names=("c", "d"))


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("out: x\npart: {image_siz: 3}\n", "part.image_siz", "part.image_size"),
        ("out: x\nnam: 3\n", "nam", "names"),
    ],
)
def test_unknown_key_names_the_nearest(
    tmp_path: Path, text: str, unknown: str, nearest: str
) -> None:
    path = write(tmp_path, text)
    assert refusal(path) == f"{path}: unknown key '{unknown}'; the nearest known is '{nearest}'"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("out: x\npart: {image_size: big}\n", "part.image_size: input should be a valid integer"),
        ("out: x\npart: {image_size: 1.5}\n", "part.image_size: input should be a valid integer"),
        ("part: {}\n", "out: field required"),
        ("- a\n", "a configuration is a mapping"),
        ("out: [\n", "not YAML"),
        ("out: !!python/object/apply:os.getcwd []\n", "not YAML"),
        ("base: a.yaml\nout: x\n", "is its own base"),
        ("base: 5\n", "base: give the name"),
        ("base: none.yaml\n", "none.yaml: no such configuration file"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(write(tmp_path, text))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("part.rate", "write it as key=value"),
        ("part.rate=[", "the value is not YAML"),
        ("out.deep=1", "'out' holds no further keys"),
        ("part.rat=1", "the nearest known is 'part.rate'"),
    ],
)
def test_bad_overrides_are_one_line(tmp_path: Path, override: str, told: str) -> None:
    assert told in refusal(write(tmp_path, "out: x\n"), override)
