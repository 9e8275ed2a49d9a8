"""Opening recordings and pictures that come from outside.

Decoding runs in one child process (`scldm.data._decode`) that is started at the first use, serves
this process until it ends, and is replaced when it crashes or takes too long. Every failure is an
`InputError` of one line that begins with the name of the file.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scldm.core.errors import InputError
from scldm.data import _decode

if TYPE_CHECKING:
    from PIL import Image

RATE = _decode.RATE  # Hz
WALL_SECONDS = 60.0  # for one file, and for the child to start
SHORTEST_SECONDS = 0.5  # of speech
QUIETEST_PEAK = -60.0  # dB of full scale: what stays below is silence
MOST_BYTES = 3 * _decode.MOST_PIXELS  # of a reply


def read_audio(path: str | Path, *, window: float | None = None) -> np.ndarray:
    """Read a recording as (n,) float32 mono samples in [-1, 1] at 16 kHz.

    Wav (integer and floating point), flac, ogg, opus, mp3, m4a and the sound track of mp4, mkv
    and webm are read, from 8 to 192 kHz and with up to 8 channels, which are averaged.

    Args:
        path: a regular file.
        window: seconds in (0, 600]. Of a longer recording only the middle is returned, exactly
            round(window * 16000) samples, in memory that does not grow with its length; a
            shorter one is returned as it is. None: the whole, of at most 10 minutes.

    Raises:
        InputError: the file is missing, empty, of another kind, truncated or damaged (more than a
            tenth of it is missing or cannot be decoded), without sound, outside of the limits
            above, or holds NaN or infinity; or decoding crashed, took 60 seconds or 1.5 GB.
        ValueError: the window is not in (0, 600] seconds.
    """
    if window is not None and not 0 < window <= _decode.MOST_SECONDS:
        raise ValueError(f"window must be above 0, at most {_decode.MOST_SECONDS} s: {window}")
    _, data = _ask("audio", path, window=window)
    return np.frombuffer(data, dtype=np.float32)


def read_image(path: str | Path) -> Image.Image:
    """Read a PNG, JPEG or WebP picture as RGB, turned upright as its EXIF orientation says.

    At most 25 megapixels (checked before any is decoded) and one frame; transparent parts become
    white, 16 bits become 8.

    Raises:
        InputError: the file is missing, empty, of another kind, damaged, too large or an
            animation; or decoding crashed, took 60 seconds or 1.5 GB.
    """
    from PIL import Image

    head, data = _ask("image", path)
    return Image.frombytes("RGB", tuple(head["size"]), data)


def check_speech(audio: np.ndarray, path: str | Path) -> None:
    """Refuse what cannot be speech: a clip under 0.5 s, or a peak below -60 dB of full scale.

    Args:
        audio: (n,) samples in [-1, 1] at 16 kHz.
        path: named in the message.

    Raises:
        InputError: with the length or the level found.
    """
    seconds = len(audio) / RATE
    if seconds < SHORTEST_SECONDS:
        need = f"at least {SHORTEST_SECONDS:g} s of speech are needed"
        raise InputError(f"{_name(path)}: only {seconds:.2f} s long; {need}")
    peak = float(np.abs(audio).max())
    level = 20 * np.log10(peak) if peak > 0 else -np.inf
    if level < QUIETEST_PEAK:
        found = f"its peak is {level:.0f} dBFS" if peak > 0 else "all samples are zero"
        raise InputError(f"{_name(path)}: silent: {found}; speech reaches {QUIETEST_PEAK:g} dBFS")


def _name(path: str | Path) -> str:
    """The path in one printable line."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def _ask(kind: str, path: str | Path, **details: Any) -> tuple[dict[str, Any], bytearray]:
    _check_file(path)
    request = {"kind": kind, "path": os.path.abspath(path), **details}
    try:
        head, data = _decoder.ask(request)
    except DecoderFailed as error:
        raise InputError(f"{_name(path)}: {error}") from None
    if "error" in head:
        raise InputError(f"{_name(path)}: {head['error']}")
    return head, data


def _check_file(path: str | Path) -> None:
    try:
        found = os.stat(path)
        with open(path, "rb") if stat.S_ISREG(found.st_mode) else contextlib.nullcontext():
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{_name(path)}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{_name(path)}: cannot be opened ({reason})") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{_name(path)}: is a directory, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{_name(path)}: is not a regular file")
    if not found.st_size:
        raise InputError(f"{_name(path)}: is an empty file")


class DecoderFailed(Exception):
    """The child ended, or was ended, over a file."""


class Decoder:
    """The child process; one exchange at a time, by whichever thread holds the lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return self._process.pid if self._process else None

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """Send a request and wait for the reply: its JSON object and its raw bytes."""
        with self._lock:
            try:
                self._send(request)
                return self._receive()
            except TimeoutError:
                self._end()
                raise DecoderFailed(f"decoding took longer than {WALL_SECONDS:g} s") from None
            except (OSError, EOFError, ValueError):
                raise DecoderFailed(_cause(self._end(patience=1.0))) from None
            except BaseException:  # an interrupt must not leave half a reply in the pipe
                self._end()
                raise

    def _send(self, request: dict[str, Any]) -> None:
        if self._process and self._process.poll() is not None:
            self._end()
        if self._process:
            with contextlib.suppress(BrokenPipeError):
                self._write(request)
                return
            self._end()
        self._start()
        self._write(request)

    def _start(self) -> None:
        script = [sys.executable, "-P", _decode.__file__]
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                script, stdin=pipe, stdout=pipe, bufsize=0, env={**os.environ, **one}
            )
            self._receive()
        except (OSError, EOFError, ValueError):
            self._end()
            needed = "check that av, numpy, Pillow and soxr are installed"
            raise DecoderFailed(f"the decoder does not start; {needed}") from None

    def _write(self, request: dict[str, Any]) -> None:
        assert self._process and self._process.stdin
        self._process.stdin.write(_decode.message(request))

    def _receive(self) -> tuple[dict[str, Any], bytearray]:
        deadline = time.monotonic() + WALL_SECONDS
        length, size = _decode.HEAD.unpack(self._read(_decode.HEAD.size, deadline))
        if length > 2**16 or size > MOST_BYTES:
            raise ValueError("not a reply")
        return json.loads(self._read(length, deadline)), self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytearray:
        assert self._process and self._process.stdout
        pipe = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        data = bytearray(size)
        left = memoryview(data)
        while left:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            count = os.readv(pipe, [left])
            if not count:
                raise EOFError
            left = left[count:]
        return data

    def _end(self, patience: float = 0.0) -> int:
        """End the child, after waiting for it to end by itself; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        self._close(process)
        if patience:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(patience)
        process.kill()
        return process.wait()

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def close(self) -> None:
        """End the child when this process ends."""
        with self._lock:
            self._end(patience=1.0)

    def forget(self) -> None:
        """In a forked process: leave the child to the process that started it."""
        if self._process:
            self._close(self._process)
            self._process.returncode = 0


def _cause(status: int) -> str:
    if status == -signal.SIGXCPU:
        return f"decoding took longer than {_decode.CPU_SECONDS} s of processor time"
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"the decoder crashed on it ({name})"


def _after_fork() -> None:
    global _decoder
    _decoder.forget()
    _decoder = Decoder()


_decoder = Decoder()
atexit.register(lambda: _decoder.close())
os.register_at_fork(after_in_child=_after_fork)
