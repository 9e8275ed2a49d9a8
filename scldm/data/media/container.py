"""Opening the container of a recording: what may be opened, its sound, and the stated length."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.stream import Discard

from scldm.data.media.limits import Refused
from scldm.data.media.sound import Sound, check_shape, until_broken

SOUND_FORMATS = "wav, flac, ogg, opus, mp3, m4a, or the sound track of mp4, mkv or webm"
CODECS = (
    "aac,ac3,adpcm_ima_wav,adpcm_ms,alac,eac3,flac,libopus,mp2,mp2float,mp3,mp3float,opus,"
    "pcm_alaw,pcm_f32le,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,"
    "pcm_s32le,pcm_u8,vorbis"
)
OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "wav,mp3,flac,ogg,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm",
    "codec_whitelist": CODECS,
    "threads": "1",
}


@contextlib.contextmanager
def open_sound(path: str) -> Iterator[Sound]:
    """Open the sound of a file; `Refused` where it has none that is read here."""
    container = None
    with until_broken():
        container = av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    if container is None:
        raise Refused(unreadable(path))
    with container:
        if not container.streams.audio:
            raise Refused("has no audio stream")
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            raise Refused("is damaged: its sound has no valid sample rate or channels")
        codec = stream.codec_context
        if codec is None or codec.name not in CODECS.split(","):
            raise Refused("its sound has a coding that is not read here; convert it to wav or flac")
        check_shape(codec.sample_rate, codec.layout.nb_channels)
        codec = _decoder(codec)
        codec.thread_count = 1
        for other in container.streams:
            if stream.duration and other is not stream:  # else `stated` is the longest stream's
                other.discard = Discard.all
        early = _pre_skip(codec) if codec.name == "libopus" else 0.0
        yield Sound(container, stream, codec, _stated(container, stream, path), early)


def unreadable(path: str) -> str:
    """Why a file could not be opened, judged by its first bytes."""
    with open(path, "rb") as file:
        start = file.read(12)
    marks = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3")
    if start.startswith(marks) or start[4:8] == b"ftyp":
        return "is damaged or truncated: its beginning or its index cannot be read"
    return f"is not a recording that can be read ({SOUND_FORMATS})"


def _decoder(codec: av.AudioCodecContext) -> av.AudioCodecContext:
    """The stream's own decoder; for Opus the reference one, since ffmpeg's may overflow."""
    if codec.name != "opus" or "libopus" not in av.codecs_available:
        return codec
    reference = av.CodecContext.create("libopus", "r")
    reference.extradata, reference.sample_rate = codec.extradata, codec.sample_rate
    reference.layout = codec.layout
    return reference


def _pre_skip(codec: av.AudioCodecContext) -> float:
    """Seconds of Opus's run-in, at 48 kHz in its header, which libopus drops without a stamp."""
    return int.from_bytes((codec.extradata or b"")[10:12], "little") / 48_000


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
