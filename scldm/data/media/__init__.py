"""Opening recordings and pictures that come from outside.

`read` speaks for the package and names every failure in one line. `client` keeps one child
process, `child`, in which `server` decodes within `limits`: recordings by `container`, `sound` and
`window`, pictures by `picture`. These four are imported in the child alone.
"""

from scldm.data.media.read import check_speech, read_audio, read_image

__all__ = ["check_speech", "read_audio", "read_image"]
