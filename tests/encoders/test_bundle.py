"""Laws of the encoders' folder: whole, checked, in half precision, under a stable fingerprint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scldm.core.errors import InputError
from scldm.encoders.attributes import FaceAttributes
from scldm.encoders.bundle import (
    Encoders,
    encoder_facts,
    load_encoders,
    load_network,
    pick_device,
    save_encoders,
)
from scldm.encoders.face import FaceDecoder, FaceEncoder
from scldm.encoders.speech import SpeechEncoder

WEIGHTS = "diffusion_pytorch_model.safetensors"
STAGES = ((8,), (16,))


def make(seed: int = 0) -> Encoders:
    torch.manual_seed(seed)
    return Encoders(
        SpeechEncoder(8 * 4 * 4, (4,) * 9, 8, 2, 2), FaceEncoder(STAGES, 8), FaceDecoder(STAGES, 8)
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> tuple[Encoders, Path]:
    folder = tmp_path_factory.mktemp("bundle") / "encoders"
    encoders = make()
    save_encoders(encoders, folder, {"stage": "pretraining"})
    return encoders, folder


@pytest.fixture
def folder(saved: tuple[Encoders, Path], tmp_path: Path) -> Path:
    shutil.copytree(saved[1], tmp_path / "encoders")
    return tmp_path / "encoders"


def test_what_is_loaded_is_what_was_saved(saved: tuple[Encoders, Path]) -> None:
    encoders, folder = saved
    again = load_encoders(folder)
    for name, network in vars(encoders).items():
        loaded = getattr(again, name)
        assert type(loaded) is type(network) and not loaded.training
        state = loaded.state_dict()
        assert state.keys() == network.state_dict().keys()
        for key, value in network.state_dict().items():
            assert torch.equal(state[key], value), key
            assert value.dtype in (torch.float32, torch.int64)
        assert not any(p.requires_grad for p in loaded.parameters())


def test_files_are_half_precision_of_the_trained_weights(saved: tuple[Encoders, Path]) -> None:
    encoders, folder = saved
    trained = make().face_encoder.state_dict()
    for name, value in load_file(folder / "face_encoder" / WEIGHTS).items():
        if value.is_floating_point():
            assert value.dtype == torch.float16
            assert torch.equal(value, trained[name].half())
    size = sum(p.numel() for n in vars(encoders).values() for p in n.parameters())
    assert sum(f.stat().st_size for f in folder.rglob("*.safetensors")) < 2 * size + 40_000


def test_the_fingerprint_is_that_of_the_released_weights(
    saved: tuple[Encoders, Path], tmp_path: Path
) -> None:
    encoders, folder = saved
    assert encoder_facts(folder)["stage"] == "pretraining"
    named = encoder_facts(folder)["face_encoder"]
    again = load_encoders(folder)
    assert encoders.face_fingerprint == again.face_fingerprint == named
    save_encoders(again, tmp_path / "copy", {"stage": "pretraining"})  # rounded once, for good
    for file in folder.rglob(WEIGHTS):
        assert (tmp_path / "copy" / file.relative_to(folder)).read_bytes() == file.read_bytes()
    assert make(1).face_fingerprint != make(0).face_fingerprint != named


@pytest.mark.parametrize("part", ["speech_encoder", "face_encoder", "face_decoder"])
def test_an_altered_or_missing_file_is_named(folder: Path, part: str) -> None:
    file = folder / part / WEIGHTS
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=f"{part}/{WEIGHTS} was altered"):
        load_encoders(folder)
    file.unlink()
    with pytest.raises(InputError, match=f"{part}/{WEIGHTS} is missing"):
        load_encoders(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint folder"):
        load_encoders(tmp_path / "none")
    with pytest.raises(InputError, match="not a checkpoint of this project"):
        load_encoders(tmp_path)


def test_an_exception_while_saving_leaves_the_old_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FaceDecoder, "save_pretrained", fail)
    with pytest.raises(KeyboardInterrupt):
        save_encoders(make(1), folder, {})
    monkeypatch.undo()
    load_encoders(folder)
    assert [f.name for f in folder.parent.iterdir()] == ["encoders"]


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def without_a_weight(file: Path) -> None:
    state = {k: v.clone() for k, v in load_file(file).items() if k != "gender.weight"}
    save_file(state, file, metadata={"format": "pt"})


def of_other_widths(file: Path) -> None:
    config = file.with_name("config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "widths": [4, 12]}))


def not_json(file: Path) -> None:
    file.with_name("config.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (truncate, "cannot be loaded"),
        (Path.unlink, "cannot be loaded"),
        (without_a_weight, "the weight gender.weight is missing"),
        (of_other_widths, "cannot be loaded"),
        (not_json, "cannot be loaded"),
        (lambda file: shutil.rmtree(file.parent), "no such network folder"),
    ],
)
def test_a_damaged_network_is_one_line(
    tmp_path: Path, harm: Callable[[Path], object], told: str
) -> None:
    FaceAttributes("vgg", (4, 8), 16).save_pretrained(tmp_path / "net")
    harm(tmp_path / "net" / WEIGHTS)
    with pytest.raises(InputError) as caught:
        load_network(FaceAttributes, tmp_path / "net")
    assert str(caught.value).startswith(f"{tmp_path / 'net'}: {told}")
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_loaded_in_place_of_safetensors(tmp_path: Path) -> None:
    network = FaceAttributes("vgg", (4, 8), 16)
    network.save_pretrained(tmp_path / "net", safe_serialization=False)
    assert (tmp_path / "net" / "diffusion_pytorch_model.bin").is_file()
    with pytest.raises(InputError, match="cannot be loaded"):
        load_network(FaceAttributes, tmp_path / "net")


def test_devices_are_named_or_refused() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(InputError, match=f"device '{name}' is not available"):
            pick_device(name)
