"""Opening recordings and pictures that come from outside.

`read` speaks for the package and names every failure in one line. `client` keeps one child
process, `child`, in which `server` decodes within `limits`: recordings by `container`, `sound` and
`window`, pictures by `picture`, frames by `video`. These five are imported in the child alone.
"""

from scldm.data.media.read import (
    Frames,
    check_speech,
    read_audio,
    read_frames,
    read_image,
    read_part,
)

__all__ = ["Frames", "check_speech", "read_audio", "read_frames", "read_image", "read_part"]
