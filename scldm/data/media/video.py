"""Frames of a video at given times, upright."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from scldm.data.media.container import OPTIONS, unreadable
from scldm.data.media.limits import MOST_PIXELS, Refused
from scldm.data.media.sound import until_broken

CODECS = "av1,h263,h264,hevc,libdav1d,mjpeg,mpeg1video,mpeg2video,mpeg4,vp8,vp9"
PIXELS = 1280  # of the longer side of the frames that are handed on


def decode_frames(
    path: str, times: Sequence[float]
) -> tuple[list[float], float, np.ndarray]:
    """The frame shown at each of the rising `times`, in seconds from the beginning.

    Returns the frames' own times, how many pixels of the video a pixel of theirs is wide, and the
    frames, uint8 (n, height, width, 3). Where the data break off or end, there are fewer frames
    than times; `Refused` where there is none.
    """
    container = None
    with until_broken():
        options = {**OPTIONS, "codec_whitelist": CODECS}
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    if container is None:
        raise Refused(unreadable(path))
    with container:
        pictures = [s for s in container.streams.video
                    if not s.disposition & Disposition.attached_pic]  # fmt: skip
        if not pictures:
            raise Refused("has no picture")
        if pictures[0].codec_context is None:
            raise Refused("its picture has a coding that is not read here; convert it to mp4")
        shown = _shown(container, pictures[0], times)
    if not shown:
        raise Refused(f"shows nothing at {times[0]:.1f} s: it ends or is damaged there")
    scale = max(1.0, max(shown[0][1].width, shown[0][1].height) / PIXELS)
    return [time for time, _ in shown], scale, np.stack([_pixels(f, scale) for _, f in shown])


def _shown(
    container: InputContainer, stream: av.VideoStream, times: Sequence[float]
) -> list[tuple[float, av.VideoFrame]]:
    base = stream.time_base
    if base is None:
        return []
    origin = float((stream.start_time or 0) * base)
    shown: list[tuple[float, av.VideoFrame]] = []
    for time in times:
        with until_broken():
            container.seek(int((origin + time) / base), stream=stream)
            last = None
            for frame in container.decode(stream):
                if frame.width * frame.height > MOST_PIXELS:
                    most = f"at most {MOST_PIXELS / 1e6:.0f} are read"
                    raise Refused(f"has {frame.width * frame.height / 1e6:.1f} megapixels; {most}")
                if frame.time is None or frame.is_corrupt:
                    continue
                if last is not None and frame.time - origin > time:
                    break
                last = frame
            if last is not None and (not shown or last.time - origin > shown[-1][0]):
                shown.append((last.time - origin, last))
    size = {(f.width, f.height, f.rotation) for _, f in shown[:1]}
    return [(t, f) for t, f in shown if (f.width, f.height, f.rotation) in size]


def _pixels(frame: av.VideoFrame, scale: float) -> np.ndarray:
    width, height = round(frame.width / scale), round(frame.height / scale)
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))
