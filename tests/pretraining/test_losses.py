"""Laws of stage 1's losses: L_cl against ClipLoss, L_r's perceptual parts against their meaning."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import lpips
import pytest
import torch
from open_clip.loss import ClipLoss
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from scldm.core.errors import InputError
from scldm.encoders.attributes import FaceAttributes
from scldm.encoders.face import FaceEncoder
from scldm.pretraining.losses import (
    LPIPS_TRUNK,
    FacePerceptual,
    Lpips,
    MatchLoss,
    PatchDiscriminator,
    hinge,
    perceptual_loss,
)

SCALE = torch.tensor(1 / 0.07)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_with_distinct_labels_it_is_clip_loss() -> None:
    speech, face = draw(12, 32), draw(12, 32, seed=1)
    wanted = ClipLoss()(F.normalize(speech), F.normalize(face), SCALE)
    for labels in (torch.arange(12), torch.randperm(12)):
        found = MatchLoss()(speech, face, SCALE, labels)
        assert abs(found.item() - wanted.item()) < 1e-6
    assert abs(MatchLoss()(100 * speech, face / 9, SCALE, labels).item() - wanted.item()) < 1e-5


def test_with_shared_labels_it_is_the_cross_entropy_to_an_even_spread() -> None:
    speech, face = draw(5, 8).double(), draw(5, 8, seed=1).double()
    labels = torch.tensor([0, 1, 0, 0, 2])
    cosine = F.normalize(speech) @ F.normalize(face).T
    total = 0.0
    for logits in (SCALE * cosine, SCALE * cosine.T):
        for row in range(5):
            matches = [k for k in range(5) if labels[k] == labels[row]]
            shares = logits[row].exp() / logits[row].exp().sum()
            total -= sum(math.log(shares[k]) for k in matches) / len(matches) / 10
    assert abs(MatchLoss()(speech, face, SCALE, labels).item() - total) < 1e-4


def test_nothing_goes_below_the_log_of_the_number_of_positives() -> None:
    labels = torch.tensor([0] * 3 + [1] * 5)
    floor = (3 * math.log(3) + 5 * math.log(5)) / 8
    perfect = F.one_hot(labels).float() * 2 - 1
    assert abs(MatchLoss()(perfect, 3 * perfect, torch.tensor(50.0), labels).item() - floor) < 1e-5
    for seed in range(20):
        made = MatchLoss()(draw(8, 4, seed=seed), draw(8, 4, seed=seed + 99), SCALE, labels)
        assert made.item() > floor
    free = perfect.clone().requires_grad_()
    MatchLoss()(free, perfect, torch.tensor(50.0), labels).backward()
    assert free.grad is not None and free.grad.abs().max() < 1e-4  # nothing better is near


def test_further_faces_are_more_matches_and_more_others() -> None:
    speech, face = draw(4, 8), draw(7, 8, seed=1)
    labels, face_labels = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 0, 1, 1, 0, -1])
    found = MatchLoss()(speech, face, SCALE, labels, face_labels)
    logits = SCALE * F.normalize(speech) @ F.normalize(face).T
    matched = (labels[:, None] == face_labels).float()
    to_face = -(matched / matched.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    to_speech = -(matched.T / matched.T.sum(1, keepdim=True).clamp(min=1)
                  * logits.T.log_softmax(1)).sum(1).mean()  # fmt: skip
    assert abs(found.item() - (to_face + to_speech).item() / 2) < 1e-5
    same = MatchLoss()(speech, face[:4], SCALE, labels, face_labels[:4])
    assert torch.equal(same, MatchLoss()(speech, face[:4], SCALE, labels))


def test_centring_takes_away_what_all_have_in_common() -> None:
    speech, face = draw(6, 8), draw(6, 8, seed=1)
    unit = torch.nn.functional.normalize
    labels = torch.arange(6)
    wanted = MatchLoss()(
        unit(speech, dim=1) - unit(speech, dim=1).mean(0),
        unit(face, dim=1) - unit(face, dim=1).mean(0), SCALE, labels,
    )
    assert torch.allclose(MatchLoss(centre=True)(speech, face, SCALE, labels), wanted, atol=1e-6)
    common = 100 * torch.ones(8)  # drowns the plain cosines: all pairs look alike
    assert MatchLoss()(common + speech, common + speech, SCALE, labels) > 1.7
    assert MatchLoss(centre=True)(common + speech, common + speech, SCALE, labels) < 0.7


RANK = """
import sys, torch
from torch import distributed
from safetensors.torch import load_file, save_file
from scldm.pretraining.losses import MatchLoss
rank, folder, centre = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
torch.set_num_threads(1)
store = f"file://{folder}/store"
distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
given = load_file(f"{folder}/given.safetensors")
speech = given["speech"][rank::2].clone().requires_grad_()
face = given["face"][rank::2].clone().requires_grad_()
scale = torch.tensor(9.0, requires_grad=True)
match = MatchLoss(centre, gather_with_grad=True, rank=rank, world_size=2)
labels, face_labels = given["labels"][rank::2], given["face_labels"][rank::2]
loss = match(speech, face, scale, labels.contiguous(), face_labels.contiguous())
loss.backward()
save_file({"loss": loss.detach(), "speech": speech.grad, "face": face.grad, "scale": scale.grad},
          f"{folder}/rank{rank}.safetensors")
"""


@pytest.mark.full
@pytest.mark.parametrize("centre", [False, True])
def test_two_processes_are_one(centre: bool, tmp_path: Path) -> None:
    given = {
        "speech": draw(8, 16), "face": draw(12, 16, seed=1),
        "labels": torch.tensor([0, 1, 0, 2, 2, 1, 3, 0]),
        "face_labels": torch.tensor([0, 1, 0, 2, 2, 1, 3, 0, 3, 3, -1, 1]),
    }  # fmt: skip
    save_file(given, tmp_path / "given.safetensors")
    command = [sys.executable, "-c", RANK]
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path), str(centre)]) for rank in (0, 1)]
    try:
        assert [rank.wait(300) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()

    speech, face = given["speech"].requires_grad_(), given["face"].requires_grad_()
    scale = torch.tensor(9.0, requires_grad=True)
    wanted = MatchLoss(centre)(speech, face, scale, given["labels"], given["face_labels"])
    wanted.backward()
    for rank in (0, 1):
        found = load_file(tmp_path / f"rank{rank}.safetensors")
        assert abs(found["loss"].item() - wanted.item()) < 1e-6
        # Data-parallel training averages gradients of parameters over the processes.
        for name, tensor in (("speech", speech), ("face", face)):
            assert tensor.grad is not None
            assert torch.allclose(found[name] / 2, tensor.grad[rank::2], atol=1e-6)
        assert scale.grad is not None and torch.allclose(found["scale"], scale.grad, atol=1e-6)


@pytest.fixture(scope="module")
def network(one_thread: None) -> FaceAttributes:
    torch.manual_seed(0)
    return FaceAttributes("vgg", (8, 16), 32)


def test_the_face_network_measures_a_distance(network: FaceAttributes) -> None:
    metric = FacePerceptual(network)
    a, b = draw(3, 3, 48, 48).clamp(-1, 1), draw(3, 3, 48, 48, seed=1).clamp(-1, 1)
    assert metric(a, a.clone()).item() == 0
    assert metric(a, b).item() > 0
    assert abs(metric(a, b).item() - metric(b, a).item()) < 1e-6
    near = metric(a + 0.02 * (b - a), a).item()
    assert 0 < near < metric(a + 0.2 * (b - a), a).item() < metric(a, b).item()
    made = b.clone().requires_grad_()
    metric(made, a).backward()
    assert made.grad is not None and made.grad.abs().max() > 0
    assert not metric.network.training
    assert all(p.grad is None and not p.requires_grad for p in metric.parameters())


def test_the_face_network_comes_from_its_folder(network: FaceAttributes, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path / "net")
    a, b = draw(2, 3, 32, 32), draw(2, 3, 32, 32, seed=1)
    metric = perceptual_loss("face", str(tmp_path / "net"))
    assert metric is not None and torch.equal(metric(a, b), FacePerceptual(network)(a, b))
    assert perceptual_loss("none", None) is None
    with pytest.raises(InputError, match="loss.perceptual=face needs loss.network"):
        perceptual_loss("face", None)
    with pytest.raises(InputError, match="no such network folder"):
        perceptual_loss("face", str(tmp_path / "none"))


def test_lpips_without_its_trunk_names_the_file_and_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for path in (None, str(tmp_path / "mine.pth")):
        with pytest.raises(InputError) as caught:
            perceptual_loss("lpips", path)
        told = str(caught.value)
        assert told.startswith(path or str(tmp_path / "checkpoints" / LPIPS_TRUNK))
        assert LPIPS_TRUNK in told and "loss.perceptual=face" in told and "\n" not in told


@pytest.fixture(scope="module")
def trunk() -> dict[str, torch.Tensor]:
    """Random weights under torchvision's names, a dense layer among them."""
    torch.manual_seed(1)
    state = FaceEncoder(batch_norm=False).trunk.state_dict()
    return {"classifier.0.bias": torch.zeros(4), **{f"features.{k}": v for k, v in state.items()}}


def no_dense_layers(**_: object) -> SimpleNamespace:
    """Stands for torchvision's `vgg16`, whose 120M dense weights LPIPS draws and drops."""
    return SimpleNamespace(features=FaceEncoder(batch_norm=False).trunk)


@pytest.mark.parametrize("name", [LPIPS_TRUNK, "trunk.safetensors"])
def test_lpips_takes_its_trunk_from_a_local_file(
    tmp_path: Path, trunk: dict[str, torch.Tensor], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoints" / name
    path.parent.mkdir()
    if name == LPIPS_TRUNK:
        torch.save(trunk, path)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        metric = Lpips()
    else:
        monkeypatch.setattr(lpips.pretrained_networks.tv, "vgg16", no_dense_layers)
        save_file(trunk, path)
        metric = Lpips(path)
    assert torch.equal(metric.metric.net.slice5[-2].weight, trunk["features.28.weight"])
    weights = Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth"
    learnt = torch.load(weights, "cpu", weights_only=True)["lin2.model.1.weight"]
    assert torch.equal(metric.metric.lin2.model[1].weight, learnt)
    a, b = draw(2, 3, 32, 32), draw(2, 3, 32, 32, seed=1).requires_grad_()
    assert metric(a, a).item() == 0 < metric(a, b).item()
    metric(b, a).backward()
    assert b.grad is not None and b.grad.abs().max() > 0
    assert not metric.metric.training
    assert not any(p.requires_grad for p in metric.parameters())


def test_lpips_refuses_another_trunk(
    tmp_path: Path, trunk: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lpips.pretrained_networks.tv, "vgg16", no_dense_layers)
    lacking = {k: v for k, v in trunk.items() if k != "features.0.bias"}
    foreign = {**trunk, "features.40.weight": torch.zeros(1)}
    for state in (lacking, foreign):
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(InputError, match="not torchvision's VGG16 weights"):
            Lpips(tmp_path / "w.safetensors")


def test_the_discriminator_sees_patches_and_the_hinge_has_its_margins() -> None:
    torch.manual_seed(0)
    assert PatchDiscriminator(4)(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 8, 8)
    one = torch.ones(2, 1, 4, 4)
    assert hinge(one, -one).item() == 0
    assert hinge(5 * one, -5 * one).item() == 0
    assert hinge(0 * one, 0 * one).item() == 1
    assert hinge(-one, one).item() == 2


def test_the_names_of_the_trunk_are_told_alike() -> None:
    """The file that a user is asked for is the one that torchvision publishes."""
    from torchvision.models import VGG16_Weights

    assert VGG16_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1] == LPIPS_TRUNK
