"""The foreign judges, with weights made here: which layer, which file, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scldm.core.errors import InputError
from scldm.encoders.foreign import VggFaceFc7, load_vggface_fc7
from scldm.evaluation.judges import VggFace2, open_judge

FACES = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_vggface2_gives_the_features_before_they_lose_their_length(tmp_path: Path) -> None:
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(0)
    network = InceptionResnetV1(classify=False).eval()
    torch.save({**network.state_dict(), "logits.weight": torch.zeros(1)}, tmp_path / "weights.pt")
    said = open_judge("vggface2", tmp_path / "weights.pt")(FACES)
    assert said.features.shape == (2, 512) and said.gender.shape == said.age.shape == (2,)
    grown = torch.nn.functional.interpolate(FACES, (160, 160), mode="bilinear", antialias=True)
    with torch.no_grad():
        wanted = network((grown + 1) * 127.5 / 128 - 127.5 / 128)
    found = torch.nn.functional.normalize(said.features, dim=1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert not torch.allclose(said.features.norm(dim=1), torch.ones(2), atol=1e-2)


def test_other_weights_are_told(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not InceptionResnetV1's weights"):
        VggFace2(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="layer conv1_1 is missing"):
        load_vggface_fc7(tmp_path / "a.safetensors", (0, 0, 0))


def test_vggface_is_read_layer_by_layer_up_to_fc7(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mean = (10.0, 20.0, 30.0)
    network = VggFaceFc7(mean).eval()
    convolutions = [x for x in network.trunk if isinstance(x, torch.nn.Conv2d)]
    names = [f"conv{b}_{i}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
    layers = dict(zip(names, convolutions, strict=True))
    layers |= {"fc6": network.dense[0], "fc7": network.dense[3]}
    state = {f"{k}.{n}": p.detach() for k, x in layers.items() for n, p in x.named_parameters()}
    save_file(state, tmp_path / "vgg.safetensors")
    loaded = load_vggface_fc7(tmp_path / "vgg.safetensors", mean)
    faces = torch.rand(1, 3, 224, 224) * 255
    with torch.no_grad():
        assert torch.equal(loaded(faces), network(faces))
    assert loaded(faces).shape == (1, 4096) and loaded(faces).min() == 0


def test_a_download_that_fails_names_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    with pytest.raises(InputError, match=r"place it at .*20180402-114759-vggface2.pt, or name it"):
        open_judge("vggface2")
