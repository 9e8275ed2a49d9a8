"""What the child process does: it limits itself, then decodes one file after the other."""

from __future__ import annotations

import contextlib
import json
import resource
from typing import Any, BinaryIO

from scldm.data.media.limits import CPU_SECONDS, MEMORY, Refused
from scldm.data.media.messages import HEAD, message
from scldm.data.media.picture import decode_image
from scldm.data.media.video import decode_frames
from scldm.data.media.window import decode_audio, decode_part


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Say that the child is ready, and answer requests until they end."""
    _limit_process()
    _send(replies, {"ready": True})
    while head := requests.read(HEAD.size):
        length, _ = HEAD.unpack(head)
        _renew_processor_time()
        _send(replies, *_answer(json.loads(requests.read(length))))


def _send(replies: BinaryIO, head: dict[str, Any], data: bytes = b"") -> None:
    replies.write(message(head, len(data)))
    replies.write(data)
    replies.flush()


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The head and the raw bytes of the reply; every failure is a reply too."""
    try:
        if request["kind"] == "audio":
            return {}, decode_audio(request["path"], request["window"]).tobytes()
        if request["kind"] == "part":
            part = decode_part(request["path"], request["start"], request["seconds"])
            return {}, part.tobytes()
        if request["kind"] == "frames":
            times, scale, frames = decode_frames(request["path"], request["times"])
            return {"times": times, "scale": scale, "shape": frames.shape}, frames.tobytes()
        image = decode_image(request["path"])
        return {"size": image.size}, image.tobytes()
    except Refused as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": "decoding it takes too much memory"}, b""
    except Exception as error:  # whatever a decoder makes of a damaged file
        reason = f"{type(error).__name__}: {error}".replace(request["path"], "it")
        return {"error": f"cannot be decoded ({' '.join(reason.split())[:200]})"}, b""


def _limit_process() -> None:
    """No memory beyond `MEMORY`, few open files, no writing, no core dump (where possible)."""
    limits = {"RLIMIT_AS": MEMORY, "RLIMIT_NOFILE": 32, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    for name, most in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _renew_processor_time() -> None:
    """Give the next request its own `CPU_SECONDS`; the system ends the process beyond them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
