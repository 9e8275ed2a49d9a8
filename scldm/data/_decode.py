"""The child process in which files from outside are decoded.

Started by `scldm.data.media` as a plain script: it imports nothing of the package and no torch.
It answers one request at a time over its standard input and output. A message is a head of
12 bytes (two big-endian lengths), a JSON object, and raw bytes: float32 samples or RGB pixels.
It ends with its input, and limits its own memory, processor time, open files and writing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.container import InputContainer
    from PIL import Image

RATE = 16_000  # Hz, of every recording that leaves here
LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz, of a recording that comes in
MOST_CHANNELS = 8
MOST_SECONDS = 600.0  # of a recording that is read whole, or of a window
SHORT_SECONDS = 60.0  # up to here a recording is decoded whole, then cropped
PRESENT = 0.9  # share of the stated length, and of the packets, that must be decodable
LOUDEST = 8.0  # a floating-point file beyond this is not scaled to [-1, 1]
MOST_PIXELS = 25_000_000
MEMORY = 1_536 * 2**20  # bytes of address space; the libraries alone take a sixth of it
CPU_SECONDS = 60  # for one request

SOUND_FORMATS = "wav, flac, ogg, opus, mp3, m4a, or the sound track of mp4, mkv or webm"
OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "wav,mp3,flac,ogg,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
    "codec_whitelist": "aac,ac3,adpcm_ima_wav,adpcm_ms,alac,eac3,flac,libopus,mp2,mp2float,mp3,"
    "mp3float,opus,pcm_alaw,pcm_f32le,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,"
    "pcm_s24le,pcm_s32be,pcm_s32le,pcm_u8,vorbis",
    "threads": "1",
}
HEAD = struct.Struct(">IQ")


class Refused(Exception):
    """The file cannot be used; the message completes "<name>: "."""


def message(head: dict[str, Any], size: int = 0) -> bytes:
    """The beginning of a message: lengths and JSON; `size` raw bytes follow."""
    text = json.dumps(head).encode()
    return HEAD.pack(len(text), size) + text


# --- sound ---------------------------------------------------------------------------------


@dataclass
class Sound:
    """An open recording and what was found in it so far; times are in seconds."""

    container: InputContainer
    stream: av.AudioStream
    decoder: av.AudioCodecContext
    stated: float | None  # length that the container states, None where it only guesses
    early: float = 0.0  # by how much the decoder's time stamps precede the sound
    rate: int = 0  # Hz, of the decoded frames
    reached: float = 0.0  # latest time that any packet covers
    heard: float = 0.0  # the same for the sound alone, from its beginning
    packets: int = 0
    lost: int = 0  # packets that could not be decoded

    @cached_property
    def origin(self) -> float:
        """Time stamp of the first sample."""
        return float((self.stream.start_time or 0) * (self.stream.time_base or 0))

    def read_packets(self) -> Iterator[av.Packet[Any]]:
        """The packets of the sound, up to where the data end or break off."""
        ticks = [float(stream.time_base or 0) for stream in self.container.streams]
        with _until_broken():
            for packet in self.container.demux():
                index = packet.stream_index
                sound = index == self.stream.index
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * ticks[index]
                    self.reached = max(self.reached, end)
                    self.heard = max(self.heard, end - self.origin) if sound else self.heard
                if sound:
                    yield packet

    def blocks(self) -> Iterator[tuple[float | None, np.ndarray]]:
        """(time of the first sample, (n,) float32 mono samples at `rate`) of each frame."""
        for packet in self.read_packets():
            self.packets += bool(packet.size)
            frames: list[av.AudioFrame] | None = None
            with _until_broken():
                frames = self.decoder.decode(packet)
            self.lost += frames is None
            for frame in frames or ():
                _check_shape(frame.sample_rate, frame.layout.nb_channels, self.rate)
                self.rate = frame.sample_rate
                yield None if frame.time is None else frame.time + self.early, _mono(frame)

    def seek(self, seconds: float) -> bool:
        """Go to the last packet at or before a time stamp; False where that does not work."""
        base = self.stream.time_base
        with contextlib.suppress(OSError, ValueError, OverflowError):
            self.container.seek(int(max(seconds, 0) / base) if base else 0, stream=self.stream)
            return True
        return False

    def check_present(self) -> None:
        """Refuse a recording of which more than a tenth is missing, after reading all of it."""
        if self.stated and self.reached < PRESENT * self.stated:
            there = f"{self.reached:.1f} of {self.stated:.1f} seconds are there"
            raise Refused(f"is truncated: {there}")
        if self.damaged:
            raise Refused(f"is damaged: {self.lost} of {self.packets} packets cannot be decoded")

    @property
    def damaged(self) -> bool:
        """More than a tenth of the packets could not be decoded."""
        return self.lost > (1 - PRESENT) * self.packets


@contextlib.contextmanager
def _until_broken() -> Iterator[None]:
    """Leave the block quietly where the data are broken; lack of memory is not quiet."""
    try:
        yield
    except (OSError, ValueError, EOFError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError from error


@contextlib.contextmanager
def _open(path: str) -> Iterator[Sound]:
    import av
    from av.stream import Discard

    try:
        container = av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    except (OSError, ValueError, EOFError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError from error
        raise Refused(_unreadable(path)) from error
    with container:
        if not container.streams.audio:
            raise Refused("has no audio stream")
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            raise Refused("is damaged: its sound has no valid sample rate or channels")
        codec = stream.codec_context
        if codec is None or codec.name not in OPTIONS["codec_whitelist"].split(","):
            raise Refused("its sound has a coding that is not read here; convert it to wav or flac")
        _check_shape(codec.sample_rate, codec.layout.nb_channels)
        codec = _decoder(codec)
        codec.thread_count = 1
        for other in container.streams:
            if stream.duration and other is not stream:  # else `stated` is the longest stream's
                other.discard = Discard.all
        early = _pre_skip(codec) if codec.name == "libopus" else 0.0
        yield Sound(container, stream, codec, _stated(container, stream, path), early)


def _decoder(codec: av.AudioCodecContext) -> av.AudioCodecContext:
    """The stream's own decoder; for Opus the reference one, since ffmpeg's may overflow."""
    import av

    if codec.name != "opus" or "libopus" not in av.codecs_available:
        return codec
    reference = av.CodecContext.create("libopus", "r")
    reference.extradata, reference.sample_rate = codec.extradata, codec.sample_rate
    reference.layout = codec.layout
    return reference


def _pre_skip(codec: av.AudioCodecContext) -> float:
    """Seconds of Opus's run-in, at 48 kHz in its header, which libopus drops without a stamp."""
    return int.from_bytes((codec.extradata or b"")[10:12], "little") / 48_000


def _unreadable(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(12)
    marks = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3")
    if start.startswith(marks) or start[4:8] == b"ftyp":
        return "is damaged or truncated: its beginning or its index cannot be read"
    return f"is not a recording that can be read ({SOUND_FORMATS})"


def _check_shape(rate: int, channels: int, before: int = 0) -> None:
    if channels > MOST_CHANNELS:
        raise Refused(f"has {channels} channels; at most {MOST_CHANNELS} are read")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        allowed = f"{LOWEST_RATE} to {HIGHEST_RATE} Hz are read"
        raise Refused(f"has a sample rate of {rate} Hz; {allowed}")
    if before not in (0, rate):
        raise Refused(f"changes its sample rate from {before} to {rate} Hz midway")


def _stated(container: InputContainer, stream: av.AudioStream, path: str) -> float | None:
    """Seconds that the container says it holds. mp3 and aac have no container, only a guess."""
    if container.format.name in ("mp3", "aac"):
        return None
    if stream.duration:
        seconds = float(stream.duration * (stream.time_base or 0))
    else:
        seconds = (container.duration or 0) / 1e6
    if container.format.name == "wav":  # ffmpeg corrects the length by the size of the file
        seconds *= _claimed_share(path)
    return seconds if seconds > 0 else None


def _claimed_share(path: str) -> float:
    """Size in a WAV header over the file's (streamed files state none, or 2 GB and more)."""
    with open(path, "rb") as file:
        claimed = int.from_bytes(file.read(8)[4:], "little") + 8
        size = os.fstat(file.fileno()).st_size
    return claimed / size if size < claimed < 0x7FFF0000 else 1.0


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """(n,) float32: the mean of the channels, full scale 1."""
    import numpy as np

    samples = frame.to_ndarray()
    if samples.shape[0] == 1:  # one channel, or several interleaved
        samples = samples.reshape(frame.samples, -1).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        full_scale = 2.0 ** (8 * samples.itemsize - 1)
        samples = samples.astype(np.float32) / full_scale
    with np.errstate(over="ignore", invalid="ignore"):
        mono = samples[0] if len(samples) == 1 else samples.mean(axis=0)
        return mono.astype(np.float32, copy=False)


def _at_16k(sound: Sound, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Resample (band-limited, 16 bits and better) in steps of about a second."""
    import soxr

    resampler = None
    waiting: list[np.ndarray] = []
    size = 0
    for block in blocks:
        resampler = resampler or soxr.ResampleStream(sound.rate, RATE, 1, dtype="float32")
        waiting.append(block)
        size += len(block)
        if size >= sound.rate:
            yield resampler.resample_chunk(_finite(waiting))
            waiting, size = [], 0
    if resampler is not None:
        yield resampler.resample_chunk(_finite(waiting), last=True)


def _finite(blocks: list[np.ndarray]) -> np.ndarray:
    import numpy as np

    samples = np.concatenate([np.zeros(0, np.float32), *blocks])
    if not np.isfinite(samples).all():
        raise Refused("holds samples that are not numbers (NaN or infinity)")
    return samples


def _whole(sound: Sound, seconds: float) -> np.ndarray | None:
    """The whole recording, None where it is longer (a coder's padding of 1 s is forgiven)."""
    import numpy as np

    parts, total = [np.zeros(0, "f4")], 0
    for part in _at_16k(sound, (block for _, block in sound.blocks())):
        parts.append(part)
        total += len(part)
        if total > (seconds + 1) * RATE:
            return None
    sound.check_present()
    return np.concatenate(parts)


def _between(sound: Sound, first: int, last: int, sought: bool) -> Iterator[np.ndarray]:
    """Blocks of the seconds [first, last), by time stamps after seeking, otherwise by counting."""
    position: int | None = None
    for time, block in sound.blocks():
        if position is None and sought and time is None:
            return
        if position is None:
            position = round(((time or 0.0) - sound.origin) * sound.rate) if sought else 0
            if position > first * sound.rate:
                return
        start, stop = first * sound.rate - position, last * sound.rate - position
        if start < len(block):
            yield block[max(start, 0) : stop]
        position += len(block)
        if stop <= len(block):
            return


def _cut(path: str, length: float, size: int, seek: bool) -> np.ndarray | None:
    """The `size` samples in the middle of `length` seconds; None where they are not found.

    Decoding starts on a whole second, at least one before the window: there the sample grids of
    every rate meet, so that the result equals the same stretch of the whole recording.
    """
    import numpy as np

    begin = max(0, round(length * RATE) - size) // 2
    first, last = max(0, begin // RATE - 1), (begin + size) // RATE + 2
    with _open(path) as sound:
        if seek and not sound.seek(sound.origin + first - 0.5):
            return None
        parts = list(_at_16k(sound, _between(sound, first, last, seek)))
        whole = sum(map(len, parts)) >= begin - first * RATE + size and not sound.damaged
    return np.concatenate(parts)[begin - first * RATE :][:size] if whole else None


def _reaches(path: str, seconds: float) -> bool:
    """Whether seeking to a time finds data there."""
    with _open(path) as sound:
        return sound.seek(sound.origin + seconds) and any(
            sound.reached >= seconds for _ in sound.read_packets()
        )


def _middle(path: str, size: int, stated: float | None) -> np.ndarray | None:
    """The centred window of a long recording, in memory that does not grow with its length."""
    if stated and _reaches(path, PRESENT * stated):
        audio = _cut(path, stated, size, seek=True)
        if audio is not None:
            return audio
    with _open(path) as sound:
        for _ in sound.read_packets():
            pass
        sound.check_present()
    if sound.heard <= max(SHORT_SECONDS, size / RATE):
        with _open(path) as again:
            return _whole(again, MOST_SECONDS)
    audio = _cut(path, sound.heard, size, seek=True)
    return audio if audio is not None else _cut(path, sound.heard, size, seek=False)


def decode_audio(path: str, window: float | None) -> np.ndarray:
    """(n,) float32 in [-1, 1] at 16 kHz; with `window` seconds, at most the middle so long."""
    import numpy as np

    limit = MOST_SECONDS if window is None else max(window, SHORT_SECONDS)
    with _open(path) as sound:
        audio = None if sound.stated and sound.stated > limit + 1 else _whole(sound, limit)
    if window is None and audio is None:
        minutes = f"{MOST_SECONDS / 60:.0f} minutes"
        raise Refused(f"is longer than {minutes}; give a window (in seconds) to read its middle")
    if window is not None:
        size = round(window * RATE)
        audio = _middle(path, size, sound.stated) if audio is None else audio
        if audio is not None:
            audio = audio[max(0, len(audio) - size) // 2 :][:size]
    if audio is None:
        raise Refused("is damaged: its middle cannot be decoded")
    if not len(audio):
        raise Refused("holds no samples")
    peak = float(np.abs(audio).max())
    if peak > LOUDEST:
        raise Refused(f"has samples up to {peak:.0f}: it is damaged, or to be scaled to [-1, 1]")
    return np.clip(audio, -1.0, 1.0)


# --- pictures ------------------------------------------------------------------------------


def _picture_format(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(12)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"RIFF") and start[8:] == b"WEBP":
        return "WEBP"
    raise Refused("is not a PNG, JPEG or WebP picture")


def decode_image(path: str) -> Image.Image:
    """The picture upright and in RGB; what is transparent becomes white."""
    from PIL import Image, ImageOps

    kind = _picture_format(path)
    with Image.open(path, formats=[kind]) as image:
        pixels, frames = image.width * image.height, getattr(image, "n_frames", 1)
        if pixels > MOST_PIXELS:
            most = f"at most {MOST_PIXELS / 1e6:.0f} are read"
            raise Refused(f"has {pixels / 1e6:.1f} megapixels; {most}")
        if frames > 1 and kind != "JPEG":  # telephones append previews to a JPEG
            raise Refused(f"is an animation of {frames} frames; give one picture")
        upright = ImageOps.exif_transpose(image)
    return _rgb(upright)


def _rgb(image: Image.Image) -> Image.Image:
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


# --- the process ---------------------------------------------------------------------------


def _limit_process() -> None:
    """No memory beyond `MEMORY`, few open files, no writing, no core dump (where possible)."""
    import resource

    limits = {"RLIMIT_AS": MEMORY, "RLIMIT_NOFILE": 32, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    for name, most in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _renew_processor_time() -> None:
    """Give the next request its own `CPU_SECONDS`; the system ends the process beyond them."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The head and the raw bytes of the reply; every failure is a reply too."""
    try:
        if request["kind"] == "audio":
            return {}, decode_audio(request["path"], request["window"]).tobytes()
        image = decode_image(request["path"])
        return {"size": image.size}, image.tobytes()
    except Refused as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": "decoding it takes too much memory"}, b""
    except Exception as error:  # whatever a decoder makes of a damaged file
        reason = f"{type(error).__name__}: {error}".replace(request["path"], "it")
        return {"error": f"cannot be decoded ({' '.join(reason.split())[:200]})"}, b""


def _serve(requests: BinaryIO, replies: BinaryIO) -> None:
    while head := requests.read(HEAD.size):
        length, _ = HEAD.unpack(head)
        _renew_processor_time()
        reply, data = _answer(json.loads(requests.read(length)))
        replies.write(message(reply, len(data)))
        replies.write(data)
        replies.flush()


def main() -> None:
    """Answer requests until the input ends; nothing else can write into the replies."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent's affair; end of input ends us
        signal.signal(ignored, signal.SIG_IGN)
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    import av  # noqa: F401
    import soxr  # noqa: F401
    from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

    Image.MAX_IMAGE_PIXELS = None  # `decode_image` checks the size itself
    _limit_process()
    replies.write(message({"ready": True}))
    replies.flush()
    _serve(requests, replies)


if __name__ == "__main__":
    main()
