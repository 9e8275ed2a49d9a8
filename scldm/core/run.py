"""Run folder: training state that is published whole and resumes to the same bits.

`accelerate.save_state` pickles and writes in place, so the state here is our own: one safetensors
file, one JSON file and their hashes, staged in a folder, synced, and renamed. The batch order and
the noise are functions of (seed, step) and need no saving.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from scldm.core.artifact import check_hashes, read_json, staged, write_hashes, write_json
from scldm.core.errors import InputError

KEEP = 2


class RunFolder:
    """Checkpoints of one training run below `path`, with the configuration that made them.

    Args:
        path: the run's folder; made if missing.
        config: plain values; a run folder of another configuration is refused.
        parts: modules, EMA modules and optimizers by name; saved and restored together.
    """

    def __init__(
        self, path: str | Path, config: Mapping[str, Any],
        parts: Mapping[str, Any],
    ) -> None:
        self.path, self.parts = Path(path), dict(parts)
        self.stop = False
        self.checkpoints = self.path / "checkpoints"
        known = self.path / "config.json"
        if known.is_file() and read_json(known) != json.loads(json.dumps(config)):
            raise InputError(
                f"{self.path}: holds a run of another configuration; use another folder"
            )
        if not known.is_file():
            write_json(known, config)

    def save(self, step: int) -> None:
        """Publish the state after `step` steps; the last two are kept."""
        now = self.checkpoints / f"step-{step:08d}"
        with staged(now) as part:
            part.mkdir()
            tensors, scalars = _collect(self.parts)
            save_file(tensors, part / "state.safetensors")
            machine = {"threads": torch.get_num_threads(), "cpu": _cpu()}
            state = {"step": step, "scalars": scalars, "machine": machine}
            (part / "state.json").write_text(json.dumps(state))
            write_hashes(part)
        kept = [folder for folder in self._all() if folder <= now][-KEEP:]  # later ones are damaged
        rests = self.checkpoints.glob(".step-*.part")  # of a killed process
        for old in {*self._all(), *rests} - {*kept}:
            shutil.rmtree(old, ignore_errors=True)

    def resume(self) -> int:
        """Load the newest whole checkpoint; returns its step, 0 when there is none.

        A damaged one is named in one line and the one before it is used.
        """
        for folder in reversed(self._all()):
            try:
                check_hashes(folder)
            except InputError as error:
                print(f"{error} (the checkpoint before it is used)", file=sys.stderr)
                continue
            state = read_json(folder / "state.json")
            machine = {"threads": torch.get_num_threads(), "cpu": _cpu()}
            if state["machine"] != machine:
                print(f"resumed under {machine}, was {state['machine']}: bits may differ",
                      file=sys.stderr)
            _restore(self.parts, load_file(folder / "state.safetensors"), state["scalars"])
            return int(state["step"])
        return 0

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within: SIGTERM and SIGINT set `stop`; the loop then saves and leaves within one step."""
        def handle(number: int, frame: object) -> None:
            self.stop = True

        old = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _all(self) -> list[Path]:
        return sorted(self.checkpoints.glob("step-" + 8 * "[0-9]"))


def _cpu() -> str:
    return torch.backends.cpu.get_cpu_capability()


def _collect(parts: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for name, part in parts.items():
        if hasattr(part, "shadow_params"):  # diffusers' EMAModel keeps a list
            state = part.state_dict()
            shadow = state.pop("shadow_params")
            tensors |= {f"{name}/{i}": t.detach().cpu().contiguous() for i, t in enumerate(shadow)}
            scalars[name] = state
        elif isinstance(part, Optimizer):
            state = part.state_dict()
            scalars[name] = state["param_groups"]
            for index, values in state["state"].items():
                for key, value in values.items():
                    tensors[f"{name}/{index}/{key}"] = value.detach().cpu().contiguous()
        else:
            for key, value in part.state_dict().items():
                tensors[f"{name}/{key}"] = value.detach().cpu().contiguous()
    return tensors, scalars


def _restore(
    parts: Mapping[str, Any], tensors: dict[str, Tensor], scalars: dict[str, Any]
) -> None:
    for name, part in parts.items():
        mine = {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{name}/")}
        if hasattr(part, "shadow_params"):
            for i, shadow in enumerate(part.shadow_params):
                shadow.data.copy_(mine[str(i)])
            part.optimization_step = scalars[name]["optimization_step"]
        elif isinstance(part, Optimizer):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in mine.items():
                index, _, field = key.partition("/")
                state.setdefault(int(index), {})[field] = value
            part.load_state_dict({"state": state, "param_groups": scalars[name]})
        else:
            part.load_state_dict(mine)


def require_finite(loss: Tensor, step: int) -> None:
    """Stop a run whose loss is no number, before it reaches the weights; raises InputError."""
    if not torch.isfinite(loss):
        raise InputError(
            f"the loss is not finite at step {step}; lower the learning rate or set precision=no"
        )


def per_process(key: str, count: int, world: int) -> int:
    """This process's share of `count` samples a step; InputError unless all get as many."""
    if count % world:
        raise InputError(f"{key} {count}: use a multiple of the {world} processes")
    return count // world


def any_process(flag: bool, accelerator: Accelerator) -> bool:
    """Whether `flag` is true in any process: all of them then leave at the same step."""
    if accelerator.num_processes == 1:
        return flag
    count = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(count).item() > 0)  # type: ignore[union-attr]


def device_name() -> str:
    """What this process trains on, for the record: a GPU's name, or the CPU and its threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, {_cpu()}"
