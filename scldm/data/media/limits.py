"""What is read at most of a file from outside, and the refusal of a file that cannot be used."""

from __future__ import annotations

RATE = 16_000  # Hz, of every recording that leaves here

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz, of a recording that comes in
MOST_CHANNELS = 8
MOST_SECONDS = 600.0  # of a recording that is read whole, or of a window
PRESENT = 0.9  # share of the stated length, and of the packets, that must be decodable
LOUDEST = 8.0  # a floating-point file beyond this is not scaled to [-1, 1]
MOST_PIXELS = 25_000_000

MEMORY = 1_536 * 2**20  # bytes of address space; the libraries alone take a sixth of it
CPU_SECONDS = 60  # for one request
WALL_SECONDS = 60.0  # for one file, and for the child to start


class Refused(Exception):
    """The file cannot be used; the message completes "<name>: "."""
