"""The parent's side of the child process in which files from outside are decoded.

The child is started at the first use, serves this process until it ends, and is replaced when it
crashes or takes too long.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from scldm.data.media.limits import CPU_SECONDS, MOST_PIXELS, WALL_SECONDS
from scldm.data.media.messages import HEAD, message

CHILD = Path(__file__).with_name("child.py")
MOST_BYTES = 3 * MOST_PIXELS  # of a reply


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
        if self._process and self._process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self._write(request)
                return
        self._end()
        self._start()
        self._write(request)

    def _start(self) -> None:
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", CHILD],
                stdin=pipe,
                stdout=pipe,
                bufsize=0,
                env={**os.environ, **one},
            )
            self._receive()
        except (OSError, EOFError, ValueError):
            self._end()
            needed = "check that av, numpy, Pillow and soxr are installed"
            raise DecoderFailed(f"the decoder does not start; {needed}") from None

    def _write(self, request: dict[str, Any]) -> None:
        assert self._process and self._process.stdin
        self._process.stdin.write(message(request))

    def _receive(self) -> tuple[dict[str, Any], bytearray]:
        deadline = time.monotonic() + WALL_SECONDS
        length, size = HEAD.unpack(self._read(HEAD.size, deadline))
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
        _close_pipes(process)
        if patience:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(patience)
        process.kill()
        return process.wait()

    def close(self) -> None:
        """End the child when this process ends."""
        with self._lock:
            self._end(patience=1.0)

    def forget(self) -> None:
        """In a forked process: leave the child to the process that started it."""
        if self._process:
            _close_pipes(self._process)
            self._process.returncode = 0


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def _cause(status: int) -> str:
    if status == -signal.SIGXCPU:
        return f"decoding took longer than {CPU_SECONDS} s of processor time"
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"the decoder crashed on it ({name})"


decoder = Decoder()  # this process's own


def _after_fork() -> None:
    global decoder
    decoder.forget()
    decoder = Decoder()


atexit.register(lambda: decoder.close())
os.register_at_fork(after_in_child=_after_fork)
