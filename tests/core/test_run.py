"""Laws of the run folder: what was published can be resumed, whatever happened afterwards."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from scldm.core import artifact
from scldm.core import run as run_module
from scldm.core.artifact import check_hashes
from scldm.core.errors import InputError
from scldm.core.run import KEEP, RunFolder, per_process

CONFIG = {"rate": 1e-4, "widths": (3, 4)}


class Training:
    """A convolution (in both memory layouts that occur), a norm and AdamW."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 3, 1))
        self.model = self.model.to(memory_format=torch.channels_last)
        self.adam = torch.optim.AdamW(self.model.parameters(), 0.1, betas=(0.9, 0.95))
        self.run = RunFolder(folder, CONFIG, {"model": self.model, "adam": self.adam})

    def steps(self, first: int, last: int) -> None:
        for step in range(first, last):
            x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(step))
            self.adam.param_groups[0]["lr"] = 0.1 / (step + 3)
            self.adam.zero_grad()
            self.model(x).square().sum().backward()
            self.adam.step()

    def state(self) -> dict[str, torch.Tensor]:
        tensors = {k: v.clone() for k, v in self.model.state_dict().items()}
        for index, values in self.adam.state_dict()["state"].items():
            tensors |= {f"{index}/{k}": v.clone() for k, v in values.items()}
        return tensors


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "checkpoints"))


def test_an_empty_folder_starts_at_step_0(tmp_path: Path) -> None:
    training = Training(tmp_path)
    before = training.state()
    assert training.run.resume() == 0
    assert same(training.state(), before)


def test_resumed_training_has_the_bits_of_uninterrupted_training(tmp_path: Path) -> None:
    whole = Training(tmp_path / "whole")
    whole.steps(0, 9)
    for first, last in ((0, 1), (1, 4), (4, 5), (5, 9)):
        part = Training(tmp_path / "parts", seed=first)  # other weights, until they are restored
        assert part.run.resume() == first
        assert part.adam.param_groups[0]["betas"] == ((0.9, 0.95) if not first else [0.9, 0.95])
        part.steps(first, last)
        part.run.save(last)
    assert same(part.state(), whole.state())
    assert part.adam.param_groups[0]["lr"] == whole.adam.param_groups[0]["lr"]


def test_training_goes_on_without_touching_the_checkpoint_it_came_from(tmp_path: Path) -> None:
    first = Training(tmp_path)
    first.steps(0, 2)
    first.run.save(2)
    second = Training(tmp_path)
    second.steps(second.run.resume(), 5)
    check_hashes(tmp_path / "checkpoints" / "step-00000002")
    assert not same(second.state(), first.state())


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    training = Training(tmp_path)
    for step in (1, 2, 3, 10):
        training.run.save(step)
    assert KEEP == 2
    assert names(tmp_path) == ["step-00000003", "step-00000010"]
    assert Training(tmp_path).run.resume() == 10


def damaged(folder: Path) -> list[Callable[[], object]]:
    state = folder / "state.safetensors"
    return [
        lambda: state.write_bytes(state.read_bytes()[:-1]),
        lambda: state.write_bytes(b""),
        state.unlink,
        lambda: (folder / "state.json").write_text("{"),
        lambda: (folder / "hashes.json").write_text(""),
        (folder / "hashes.json").unlink,
        lambda: [file.unlink() for file in folder.iterdir()],
    ]


@pytest.mark.parametrize("harm", range(7))
def test_a_damaged_newest_gives_one_line_and_the_one_before(
    tmp_path: Path, harm: int, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training(tmp_path)
    training.steps(0, 1)
    training.run.save(4)
    wanted = training.state()
    training.steps(1, 2)
    training.run.save(8)
    damaged(tmp_path / "checkpoints" / "step-00000008")[harm]()
    again = Training(tmp_path, seed=1)
    assert again.run.resume() == 4
    assert same(again.state(), wanted)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "step-00000008" in said


def test_what_is_saved_after_a_damaged_one_stays(tmp_path: Path) -> None:
    training = Training(tmp_path)
    for step in (8, 10):
        training.run.save(step)
        (tmp_path / "checkpoints" / f"step-{step:08d}" / "state.safetensors").write_bytes(b"")
    assert training.run.resume() == 0
    training.run.save(1)
    assert Training(tmp_path).run.resume() == 1
    training.run.save(2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_a_copy_beside_the_checkpoints_is_left_alone(tmp_path: Path) -> None:
    training = Training(tmp_path)
    training.run.save(4)
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "step-00000004", folder / "step-00000004-mine")
    assert training.run.resume() == 4
    training.run.save(1)
    assert names(tmp_path) == ["step-00000001", "step-00000004-mine"]


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    Training(tmp_path).run.save(1)
    RunFolder(tmp_path, {"rate": 1e-4, "widths": [3, 4]}, {})  # the same, once written
    with pytest.raises(InputError, match="another configuration; use another folder"):
        RunFolder(tmp_path, {**CONFIG, "rate": 2e-4}, {})


def test_another_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training(tmp_path)
    training.run.save(1)
    monkeypatch.setattr(run_module, "_cpu", lambda: "ANOTHER")
    assert training.run.resume() == 1
    said = capsys.readouterr().err
    assert "ANOTHER" in said and "bits may differ" in said and said.count("\n") == 1


class Killed(BaseException):
    """Nothing in the package may catch this."""


@pytest.mark.parametrize("error", [Killed(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_failure_at_any_write_sync_or_rename_leaves_a_run_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    training = Training(tmp_path / "run")
    training.run.save(1)
    training.run.save(2)
    left, places = [10**9], []

    def counted(module: object, name: str) -> None:
        real = getattr(module, name)

        def call(*args: object, **more: object) -> object:
            places.append(name)
            if len(places) > left[0]:
                raise error
            return real(*args, **more)

        monkeypatch.setattr(module, name, call)

    counted(artifact.os, "fsync")
    counted(artifact.os, "replace")
    counted(run_module, "save_file")
    counted(run_module, "write_hashes")
    counted(Path, "write_text")
    shutil.copytree(tmp_path / "run", tmp_path / "trial")
    trial = RunFolder(tmp_path / "trial", CONFIG, training.run.parts)
    places.clear()
    trial.save(3)
    total = len(places)
    assert set(places) == {"fsync", "replace", "save_file", "write_hashes", "write_text"}

    for left[0] in range(total):
        shutil.rmtree(tmp_path / "trial")
        shutil.copytree(tmp_path / "run", tmp_path / "trial")
        places.clear()
        with pytest.raises(Killed if isinstance(error, Killed) else InputError):
            trial.save(3)
        assert trial.resume() in ((2, 3) if left[0] == total - 1 else (2,))
        assert all(name.startswith("step-") for name in names(tmp_path / "trial"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_stop_and_the_handlers_come_back(tmp_path: Path, number: int) -> None:
    training, before = Training(tmp_path), signal.getsignal(number)
    with training.run.interruptible():
        assert not training.run.stop
        os.kill(os.getpid(), number)
        assert training.run.stop
    assert signal.getsignal(number) is before


COUNTER = """
import sys, torch
from scldm.core.run import RunFolder
model = torch.nn.Linear(300, 300)
run = RunFolder(sys.argv[1], {}, {"model": model})
first = run.resume()
print('from', first, flush=True)
for step in range(first + 1, 10**9):
    with torch.no_grad():
        model.weight.fill_(step)
        model.bias.fill_(step)
    run.save(step)
"""


@pytest.mark.full
def test_a_kill_at_any_time_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    rng, reached = random.Random(0), 0
    for _ in range(8):
        command = [sys.executable, "-c", COUNTER, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout and process.stdout.readline() == f"from {reached}\n"
        time.sleep(0.3 + rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        model = nn.Linear(300, 300)
        step = RunFolder(tmp_path, {}, {"model": model}).resume()
        assert step > reached
        assert (model.weight == step).all() and (model.bias == step).all()
        reached = step
    run = RunFolder(tmp_path, {}, {"model": model})
    run.save(reached + 1)
    assert names(tmp_path)[-1] == f"step-{reached + 1:08d}"
    assert len(os.listdir(tmp_path / "checkpoints")) == KEEP  # no rests of the killed
    newest = tmp_path / "checkpoints" / f"step-{reached:08d}" / "state.safetensors"
    assert (load_file(newest)["model/bias"] == reached).all()


def test_every_process_gets_as_many() -> None:
    assert per_process("batch", 12, 4) == 3 and per_process("extra_faces", 0, 4) == 0
    with pytest.raises(InputError, match="batch 13: use a multiple of the 4 processes"):
        per_process("batch", 13, 4)
