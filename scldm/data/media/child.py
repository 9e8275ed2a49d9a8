"""The child process in which files from outside are decoded, started by `client` as a script.

Its standard input and output carry messages and nothing else. It has no torch, and what it can
import beside `scldm` is what Python itself finds: neither this folder nor the working folder.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, which nothing else can read or write any more."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return requests, replies


def _find_package() -> None:
    """Import the `scldm` of which this file is a part, wherever it lies."""
    sys.path.insert(0, str(Path(__file__).parents[3]))
    import scldm  # noqa: F401

    del sys.path[0]


def main() -> None:
    """Answer requests until the input ends."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent's affair; end of input ends us
        signal.signal(ignored, signal.SIG_IGN)
    requests, replies = _take_streams()
    _find_package()
    from scldm.data.media.server import serve

    serve(requests, replies)


if __name__ == "__main__":
    main()
