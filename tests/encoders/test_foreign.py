"""Laws of foreign weights: tensors are read, code never runs, and what does not fit is named."""

from __future__ import annotations

import collections
import os
import pickle
import random
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scldm.core.errors import InputError
from scldm.encoders.attributes import FaceAttributes
from scldm.encoders.face import FaceEncoder
from scldm.encoders.foreign import load_vggface, read_foreign, start_face_encoder

NAMES = [f"conv{b + 1}_{i + 1}" for b, n in enumerate((2, 2, 3, 3, 3)) for i in range(n)]


class Payload:
    """Unpickling this makes a file: it must never be made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.path}'",)


def refusal(path: Path) -> str:
    with warnings.catch_warnings(), pytest.raises(InputError) as caught:
        warnings.simplefilter("ignore")  # torch's own words on odd pickles
        read_foreign(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy", "ordered"])
def test_tensors_by_name_are_read(tmp_path: Path, form: str) -> None:
    state = {"a": torch.randn(3, 4), "b": torch.arange(5)}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(state, path)
    elif form == "ordered":
        torch.save(collections.OrderedDict(state), path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    found = read_foreign(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy", "inside"])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, form: str) -> None:
    path, evil = tmp_path / "w.pth", Payload(tmp_path / "it ran")
    if form == "pickle":
        path.write_bytes(pickle.dumps({"a": torch.zeros(2), "b": evil}))
    elif form == "inside":
        torch.save({"state_dict": {"a": evil}}, path)
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=form == "zip")
    assert "damaged, or holds more than plain tensors" in refusal(path)
    assert not (tmp_path / "it ran").exists()
    pickle.loads(pickle.dumps(evil))  # the payload is a live one
    assert (tmp_path / "it ran").exists()


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    assert "no such weight file" in refusal(tmp_path / "none.pth")
    assert "no such weight file" in refusal(tmp_path)
    for value in (torch.zeros(3), [torch.zeros(3)], {"a": {"b": torch.zeros(3)}}, {"a": 1.0}):
        torch.save(value, tmp_path / "w.pth")
        assert "not a plain file of tensors by name" in refusal(tmp_path / "w.pth")


def test_damaged_files_never_give_another_error(tmp_path: Path) -> None:
    rng, files = random.Random(0), []
    for new in (True, False):
        torch.save({"a": torch.zeros(20)}, tmp_path / "w", _use_new_zipfile_serialization=new)
        files.append((tmp_path / "w").read_bytes())
    path = tmp_path / "w.pth"
    for data in (b"", b"\x80", b"PK\x03\x04", *(f[: len(f) // 2] for f in files)):
        path.write_bytes(data)
        assert "damaged" in refusal(path)
    for _ in range(150):
        data = bytearray(rng.choice(files))
        for _ in range(rng.randrange(1, 9)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_foreign(path)
            except InputError:
                continue
    bad = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(20)}, bad)
    bad.write_bytes(bad.read_bytes()[:-1])
    assert "damaged" in refusal(bad)


@pytest.fixture(scope="module")
def vggface() -> dict[str, torch.Tensor]:
    """Random weights in the shapes and under the names of VGG-Face; the dense layers shortened."""
    torch.manual_seed(0)
    convolutions = [m for m in FaceEncoder(batch_norm=False).trunk if isinstance(m, nn.Conv2d)]
    state = {"fc6.weight": torch.zeros(4, 4), "fc8.bias": torch.zeros(2622)}
    for name, layer in zip(NAMES, convolutions, strict=True):
        state[f"{name}.weight"] = layer.weight.data
        state[f"{name}.bias"] = torch.randn(layer.out_channels)
    return state


def test_vggface_fills_every_convolution_in_order(
    tmp_path: Path, vggface: dict[str, torch.Tensor]
) -> None:
    torch.save(vggface, tmp_path / "vgg_face_dag.pth")
    encoder = FaceEncoder(batch_norm=False)
    head = encoder.to_latent.weight.clone()
    load_vggface(encoder, tmp_path / "vgg_face_dag.pth")
    layers = [m for m in encoder.trunk if isinstance(m, nn.Conv2d)]
    for name, layer in zip(NAMES, layers, strict=True):
        assert torch.equal(layer.weight, vggface[f"{name}.weight"])
        assert layer.bias is not None and torch.equal(layer.bias, vggface[f"{name}.bias"])
        assert layer.weight.requires_grad
    assert torch.equal(encoder.to_latent.weight, head)


@pytest.mark.parametrize("key", ["conv1_1.weight", "conv3_3.bias", "conv5_3.weight"])
def test_a_missing_or_misshapen_layer_is_named(
    tmp_path: Path, vggface: dict[str, torch.Tensor], key: str
) -> None:
    encoder, path = FaceEncoder(batch_norm=False), tmp_path / "w.safetensors"
    for state in ({k: v for k, v in vggface.items() if k != key}, {**vggface, key: torch.zeros(1)}):
        save_file(state, path)
        layer = key.split(".")[0]
        with pytest.raises(InputError, match=f"layer {layer} is missing or has another"):
            load_vggface(encoder, path)


def test_only_vgg16_without_norms_takes_them(
    tmp_path: Path, vggface: dict[str, torch.Tensor]
) -> None:
    save_file(vggface, tmp_path / "w.safetensors")
    for encoder in (FaceEncoder(((8,), (8,))), FaceEncoder(((8,) * 13,), batch_norm=True)):
        with pytest.raises(InputError, match="face.batch_norm=false"):
            load_vggface(encoder, tmp_path / "w.safetensors")


def test_a_face_network_of_the_same_layers_starts_the_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FaceAttributes("vgg", (4, 8), 16)
    network.save_pretrained(tmp_path / "net")
    encoder = FaceEncoder(((4, 4), (8, 8)), 6)
    head = encoder.to_latent.weight.clone()
    start_face_encoder(encoder, tmp_path / "net")
    wanted = network.trunk.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in encoder.trunk.state_dict().items())
    assert torch.equal(encoder.to_latent.weight, head)
    assert all(p.requires_grad for p in encoder.parameters())
    for other in (FaceEncoder(((4, 4), (9, 9)), 6), FaceEncoder(((4, 4), (8, 8)), 6, False)):
        with pytest.raises(InputError, match="its layers are not those of face.stages"):
            start_face_encoder(other, tmp_path / "net")


def test_a_file_starts_the_encoder_as_vggface(
    tmp_path: Path, vggface: dict[str, torch.Tensor]
) -> None:
    save_file(vggface, tmp_path / "w.safetensors")
    encoder = FaceEncoder(batch_norm=False)
    start_face_encoder(encoder, tmp_path / "w.safetensors")
    assert torch.equal(encoder.trunk[0].weight, vggface["conv1_1.weight"])
    with pytest.raises(InputError, match="no such weight file"):
        start_face_encoder(encoder, tmp_path / "none.pth")
