"""What passes between this process and the child, over the child's standard input and output.

A message is a head of 12 bytes (two big-endian lengths), a JSON object, and raw bytes: float32
samples or RGB pixels. A request has no raw bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

HEAD = struct.Struct(">IQ")


def message(head: dict[str, Any], size: int = 0) -> bytes:
    """The beginning of a message: lengths and JSON; `size` raw bytes follow."""
    text = json.dumps(head).encode()
    return HEAD.pack(len(text), size) + text
