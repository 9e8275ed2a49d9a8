"""Samples of a packed store, behind the interface of `scldm.data.samples`."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from scldm.core.errors import InputError
from scldm.data.faces import align, find_landmarks
from scldm.data.manifest import POINTS, Manifest
from scldm.data.media import check_speech
from scldm.data.spectrogram import RATE
from scldm.data.store import shard_file


@dataclass(frozen=True)
class Packed:
    """Samples of a store: the interface of `scldm.data.samples`."""

    manifest: Manifest
    _open: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)

    def face(self, row: int, size: int) -> np.ndarray:
        name = self._name(row, "face")
        data = self._cell(row, "face_bytes") or b""
        try:
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as file:
                image = file.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{name}: damaged: {error}") from None
        told = [str(self._cell(row, point)) for point in POINTS]
        if all(told):
            points = np.array(told, dtype=float).reshape(-1, 2)
        else:
            points = find_landmarks(image, name)
        return align(image, points, size, name)

    def speech(self, row: int) -> np.ndarray:
        import soundfile

        name = self._name(row, "audio")
        try:
            data = io.BytesIO(self._cell(row, "audio_bytes") or b"")
            audio, rate = soundfile.read(data, dtype="float32")
        except soundfile.LibsndfileError as error:
            raise InputError(f"{name}: damaged: {error}") from None
        if rate != RATE or audio.ndim != 1:
            raise InputError(f"{name}: damaged: {rate} Hz, {audio.ndim} channels")
        check_speech(audio, name)
        return np.asarray(audio)

    def _name(self, row: int, column: str) -> str:
        return str(self.manifest.file(row, column))

    def _cell(self, row: int, column: str) -> Any:
        import pyarrow as pa

        number = int(self.manifest["shard"][row])
        path = shard_file(self.manifest.path.parent, number, ".arrow")
        try:
            if number not in self._open:
                self._open[number] = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
            return self._open[number].column(column)[int(self.manifest["row"][row])].as_py()
        except (OSError, pa.ArrowException, KeyError, IndexError) as error:
            raise InputError(f"{path}: missing or damaged: {str(error)[:100]}") from None

    def __getstate__(self) -> dict[str, Any]:  # another process maps the files itself
        return {"manifest": self.manifest, "_open": {}}
