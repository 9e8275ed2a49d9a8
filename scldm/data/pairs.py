"""Pairs of a clip and a face that share an identity, or an attribute where only that matches.

A batch is a pure function of (seed, step): the speakers in it are distinct, and the clip, its
augmentation and the face are drawn anew each time, so that no pairing that does not exist can be
memorised.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch.utils.data import DataLoader, Dataset

from scldm.core.artifact import staged
from scldm.core.config import Config
from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.core.seeding import numpy_generator
from scldm.data.augment import vary_recording, vary_voice
from scldm.data.manifest import read_manifest
from scldm.data.samples import Samples, load_faces, open_samples
from scldm.data.spectrogram import SAMPLES


class PairsConfig(Config):
    """Which clips meet which faces.

    Attributes:
        faces, speech: manifests; the same one twice when clips and faces are of the same people.
        match: the column that a clip and its face share: `person`, or `gender` where voices and
            faces belong to different people.
        image_size: side of the aligned faces, pixels.
        augment: vary the voice and the recording of a clip each time (see `scldm.data.augment`);
            off is the paper.
        variants: six-second windows of each clip, in other voices with `augment`, that are made
            once and kept as 16-bit PCM; with 0 each clip is read anew at every step, by the
            loader's workers.
        workers: processes that prepare batches.
    """

    faces: str
    speech: tuple[str, ...]
    match: Literal["person", "gender"] = "person"
    image_size: PositiveInt = 256
    augment: bool = False
    variants: NonNegativeInt = 0
    workers: NonNegativeInt = 1


@dataclass(frozen=True)
class PairBatch:
    """audio (B, 96000) float32; faces (B + extra, 3, S, S) uint8, the first B matched to the clips;
    labels (B,) and face_labels (B + extra,): equal where clip and face match, -1 matches nothing.
    """

    audio: torch.Tensor
    faces: torch.Tensor
    labels: torch.Tensor
    face_labels: torch.Tensor


class Clips:
    """The clips of several manifests as one list."""

    def __init__(self, config: PairsConfig, split: str, cache: Path) -> None:
        paths = config.speech
        here = [path for path in paths if (read_manifest(path)["split"] == split).any()]
        self.augment = config.augment
        self.stores = [open_samples(path, split, "audio") for path in here]
        if not self.stores:
            raise InputError(f"{', '.join(paths)}: no clip in split {split}")
        self.index = [(s, row) for s in self.stores for row in range(len(s.manifest))]
        self.kept = self._keep(config.variants, cache) if config.variants else None

    def column(self, name: str) -> np.ndarray:
        """Column `name` over all clips."""
        return np.concatenate([store.manifest[name] for store in self.stores])

    def plain(self, clip: int) -> np.ndarray:
        """The centred six seconds of a clip as they are, float32 (96000,)."""
        audio = self._read(clip)
        return fit_window(audio, max(0, len(audio) - SAMPLES) // 2)

    def drawn(self, clip: int, rng: np.random.Generator) -> np.ndarray:
        """Six seconds from anywhere in a clip, float32 (96000,); augmented if the data ask so."""
        if self.kept is None:
            audio = self._window(clip, rng)
        else:
            audio = self.kept[clip, rng.integers(self.kept.shape[1])].astype(np.float32) / 32767
        return vary_recording(audio, rng) if self.augment else audio

    def _read(self, clip: int) -> np.ndarray:
        store, row = self.index[clip]
        return store.speech(row)

    def _window(self, clip: int, rng: np.random.Generator) -> np.ndarray:
        audio = self._read(clip)
        window = fit_window(audio, int(rng.integers(max(1, len(audio) - SAMPLES + 1))))
        return fit_window(vary_voice(window, rng), 0) if self.augment else window

    def _keep(self, variants: int, cache: Path) -> np.ndarray:
        names = "-".join(store.manifest.digest[:8] for store in self.stores)
        kind = "voices" if self.augment else "windows"
        file = cache / f"speech-{names}-{variants}-{kind}.npy"
        if not file.is_file():
            kept = np.empty((len(self.index), variants, SAMPLES), dtype=np.int16)
            with Progress("preparing clips", len(self.index)) as bar:
                for clip in range(len(kept)):
                    rng = numpy_generator(0, "variants", clip)
                    for variant in range(variants):
                        audio = self._window(clip, rng).clip(-1, 1)
                        kept[clip, variant] = np.rint(audio * 32767)
                    bar.update()
            with staged(file) as part, part.open("wb") as out:
                np.save(out, kept, allow_pickle=False)
        return np.load(file, mmap_mode="r", allow_pickle=False)


def fit_window(audio: np.ndarray, start: int) -> np.ndarray:
    """(n,) -> (96000,): a shorter clip is repeated, a longer one cut at `start`."""
    if len(audio) < SAMPLES:
        return np.resize(audio, SAMPLES)
    return audio[start : start + SAMPLES]


class Pairs:
    """Matched clips and faces of one split."""

    def __init__(self, config: PairsConfig, cache: Path, split: str = "train") -> None:
        self.clips = Clips(config, split, cache)
        self.samples: Samples = open_samples(config.faces, split, "face")
        self.faces = load_faces(self.samples, config.image_size, cache, f"{split} faces")
        shared, people = self.clips.column(config.match), self.clips.column("person")
        pools = self.samples.manifest[config.match]
        self.match = config.match
        self.values = sorted(set(shared) & set(pools) - {""})
        if not self.values:
            raise InputError(f"{config.faces}: no clip and face share a {config.match}; see match")
        known = np.flatnonzero(np.isin(pools, self.values))
        self.pools = list(rows_by_value(pools[known], known))
        usable = np.flatnonzero(np.isin(shared, self.values))
        self.speakers = list(rows_by_value(people[usable], usable))
        number = {value: i for i, value in enumerate(self.values)}
        self.face_label = np.array([number.get(value, -1) for value in pools])
        self.label = np.array([number.get(value, -1) for value in shared])

    def batch(self, seed: int, step: int, count: int, extra: int = 0) -> PairBatch:
        """The batch of (seed, step): `count` pairs of distinct speakers, and `extra` faces behind.

        Raises InputError when there are fewer speakers than `count`.
        """
        if count > len(self.speakers):
            raise InputError(
                f"a batch of {count} needs as many speakers; there are {len(self.speakers)}"
            )
        rng = numpy_generator(seed, "pairs", step)
        speakers = rng.choice(len(self.speakers), count, replace=False)
        clips = [int(rng.choice(self.speakers[s])) for s in speakers]
        labels = self.label[clips]
        rows = [int(rng.choice(self.pools[label])) for label in labels]
        rows += rng.integers(len(self.faces), size=extra).tolist()
        faces = self._flipped(rows, rng)
        return PairBatch(
            torch.from_numpy(np.stack([self.clips.drawn(clip, rng) for clip in clips])),
            faces, torch.from_numpy(labels), torch.from_numpy(self.face_label[rows]),
        )

    def draw_faces(self, seed: int, step: int, count: int) -> torch.Tensor:
        """`count` faces of (seed, step), matched or not, half of them flipped, as in `batch`."""
        rng = numpy_generator(seed, "faces", step)
        return self._flipped(rng.integers(len(self.faces), size=count).tolist(), rng)

    def _flipped(self, rows: list[int], rng: np.random.Generator) -> torch.Tensor:
        flips = rng.random(len(rows)) < 0.5
        faces = [
            self.faces[row][:, ::-1] if flip else self.faces[row]
            for row, flip in zip(rows, flips, strict=True)
        ]
        return torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2)


def rows_by_value(column: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """For each value of `column`, in sorted order, those of `rows` (as long) that have it."""
    order = np.argsort(column, kind="stable")
    ends = np.flatnonzero(column[order][1:] != column[order][:-1]) + 1
    yield from np.split(rows[order], ends)


class _Steps(Dataset[PairBatch | InputError]):
    def __init__(self, pairs: Pairs, seed: int, count: int, extra: int, steps: int) -> None:
        self.pairs, self.args, self.steps = pairs, (seed, count, extra), steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> PairBatch | InputError:
        seed, count, extra = self.args
        try:
            return self.pairs.batch(seed, step, count, extra)
        except InputError as error:  # raised in a worker it would come with a traceback
            return error


def batches(
    pairs: Pairs, seed: int, steps: range, count: int, extra: int, workers: int
) -> Iterator[PairBatch]:
    """The batches of `steps`, in order, prepared ahead by `workers` processes (0: by this one).

    Raises InputError for too few speakers, and naming a file that cannot be used.
    """
    data = _Steps(pairs, seed, count, extra, steps.stop)
    loader = DataLoader(data, batch_size=None, sampler=steps, num_workers=workers,
                   worker_init_fn=_deaf if workers else None)
    iterator = iter(loader)
    try:
        for batch in iterator:
            if isinstance(batch, InputError):
                raise batch
            yield batch
    finally:  # not left to the exit, which ends workers by a signal that these do not hear
        getattr(iterator, "_shutdown_workers", lambda: None)()


def _deaf(worker: int) -> None:
    """The main process decides when to stop; a signal to the whole group ends no worker early."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
