"""SpeechT5: text and an x-vector to speech, and to speech that gradients pass."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scldm.core.errors import InputError
from scldm.voice.hub import open_network, open_part, transformers_module

TTS, VOCODER = "microsoft/speecht5_tts", "microsoft/speecht5_hifigan"
WORDS, TOKENS = 1000, 600  # at most, of a text and of what is spoken at once
PAUSE = 0.15  # seconds between two pieces of a text
FRAMES_A_TOKEN = 20.0  # at most; people speak about four
PITCHES, RATES = (-24.0, 24.0), (0.25, 4.0)

Settings = dict[str, int | float | str | bool]


class SpeechT5(nn.Module):
    """A `Synthesiser`, and a `DifferentiableTts` of frozen weights.

    SpeechT5's decoder drops values while speaking too; here which ones follows from `seed` alone,
    so the same call gives the same bits.

    Args:
        tts, vocoder, processor: transformers' SpeechT5ForTextToSpeech, SpeechT5HifiGan and
            SpeechT5Processor.

    Attributes:
        settings: of the mel spectrogram between TTS and vocoder; embeddings that were trained
            through one SpeechT5 belong to those of the same settings.
        width: of its speaker embeddings.

    Raises InputError when the three do not agree on the mel spectrogram.
    """

    name = "speecht5"

    def __init__(self, tts: nn.Module, vocoder: nn.Module, processor: Any) -> None:
        super().__init__()
        self.tts, self.vocoder = (n.eval().requires_grad_(False) for n in (tts, vocoder))
        self.tokenizer, self.config = processor.tokenizer, _config(tts)
        self.settings = mel_settings(self.config, _config(vocoder), processor.feature_extractor)
        self.rate = int(self.settings["sampling_rate"])
        self.width: int = self.config.speaker_embedding_dim
        self.limit = min(TOKENS, self.config.max_text_positions)

    @torch.no_grad()
    def speak(
        self, text: str, embedding: Tensor, pitch: float = 0.0, rate: float = 1.0
    ) -> np.ndarray:
        """`text` as the speaker of `embedding` (D,): float32 (n,) in [-1, 1] at `rate` Hz.

        What is longer than 600 tokens is spoken in pieces, cut between sentences or else words.
        Raises InputError for no text, for more than 1000 words and for unknown characters.
        """
        _check_wish("pitch", pitch, PITCHES)
        _check_wish("rate", rate, RATES)
        if not embedding.isfinite().all():
            raise InputError("the speaker embedding is not finite")
        pause = np.zeros(round(PAUSE * self.rate), np.float32)
        sounds: list[np.ndarray] = []
        for piece in self.pieces(text):
            mel = self.mel_of(piece, embedding)
            sounds += [self.vocoder(mel).float().cpu().numpy(), pause]
        return _moved(np.concatenate(sounds[:-1]), self.rate, pitch, rate)

    @torch.no_grad()
    def mel_of(self, text: str, embedding: Tensor, seed: int = 0) -> Tensor:
        """The mel spectrogram (T, bins) of `text`, at most 600 tokens, as `embedding` (D,) says it.

        T is bounded by 20 frames a token and by the length that the decoder knows.
        """
        tokens = self._tokens([text])
        length = tokens["input_ids"].shape[1]
        longest = self.config.max_speech_positions * self.config.reduction_factor / length
        with _drawn(seed, self._device):
            return self.tts.generate_speech(  # type: ignore[operator]
                **tokens, speaker_embeddings=self._speakers(embedding[None]),
                maxlenratio=min(FRAMES_A_TOKEN, longest),
            )

    def forced(
        self, texts: Sequence[str], mels: Tensor, embeddings: Tensor, seed: int = 0
    ) -> Tensor:
        """Speech that follows given mels: texts (B), mels (B, T, bins), embeddings (B, D) ->
        waveforms (B, n), differentiable in the embeddings.

        The decoder sees the frames before each frame of `mels`, so outputs of several embeddings on
        one mel align in time. T is cut to whole steps of the decoder (two frames of the public
        model); n = T * hop.
        """
        if not len(texts) == len(mels) == len(embeddings):
            raise InputError(f"{len(texts)} texts, {len(mels)} mels and {len(embeddings)} speaker "
                             "embeddings: as many of each")
        mels = mels[:, : mels.shape[1] - mels.shape[1] % self.config.reduction_factor]
        with _drawn(seed, self._device):
            said = self.tts(  # labels: it shifts and thins them itself
                **self._tokens(texts), labels=mels.to(self._device),
                speaker_embeddings=self._speakers(embeddings),
            )
        return self.vocoder(said.spectrogram)

    def pieces(self, text: str) -> list[str]:
        """`text` in pieces that the model can speak at once; InputError as `speak` raises."""
        words = text.split()
        if not words:
            raise InputError("the text is empty: give a sentence to say")
        if len(words) > WORDS:
            raise InputError(f"the text has {len(words)} words: at most {WORDS}, split it")
        unknown = [c for c in sorted(set("".join(words))) if not self._knows(c)]
        if unknown:
            raise InputError(f"the text has characters that SpeechT5 does not know: "
                             f"{' '.join(unknown)}; write them out as words")
        costs = {word: len(self._ids(word)) - 1 for word in set(words)}
        for word, cost in costs.items():
            if cost >= self.limit:
                raise InputError(f"the word {word[:20]}... has {cost} tokens: fewer than "
                                 f"{self.limit} can be said at once")
        return _packed(words, costs, self.limit - 1)  # one is for the end of the text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, split_special_tokens=True)["input_ids"]
        return ids

    def _knows(self, character: str) -> bool:
        return self.tokenizer.unk_token_id not in self._ids(character)

    def _tokens(self, texts: Sequence[str]) -> dict[str, Tensor]:
        given = self.tokenizer(list(texts), padding=True, split_special_tokens=True)
        tokens = {k: torch.tensor(given[k], device=self._device)
                  for k in ("input_ids", "attention_mask")}  # fmt: skip
        length = tokens["input_ids"].shape[1]
        if length > self.limit:
            raise InputError(f"a text of {length} tokens: at most {self.limit} at once")
        return tokens

    def _speakers(self, embeddings: Tensor) -> Tensor:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.width:
            raise InputError(f"speaker embeddings {tuple(embeddings.shape)}: this SpeechT5 takes "
                             f"{self.width} numbers a voice; train the voice with a speaker "
                             "encoder of that width")
        return F.normalize(embeddings.float().to(self._device), dim=1)

    @property
    def _device(self) -> torch.device:
        return next(self.tts.parameters()).device


def open_speecht5(place: str | Path = "speecht5", device: str | torch.device = "cpu") -> SpeechT5:
    """SpeechT5 from a folder, or "speecht5": the hub's microsoft/speecht5_tts and its HiFi-GAN.

    The folder holds `tts/` (config.json, model.safetensors and the processor's files, of which
    spm_char.model is the tokenizer) and `vocoder/` (config.json, model.safetensors), each as
    `save_pretrained` writes it. Raises InputError naming what is missing or does not agree.
    """
    transformers_module(("sentencepiece",))
    tts, vocoder = _places(place)
    return SpeechT5(
        open_network("SpeechT5ForTextToSpeech", tts), open_network("SpeechT5HifiGan", vocoder),
        open_part("SpeechT5Processor", tts),
    ).to(device)


def _places(place: str | Path) -> tuple[str, str]:
    """Where TTS and vocoder are: two folders, or two names on the hub."""
    if str(place) == "speecht5" and not Path(place).is_dir():
        return TTS, VOCODER
    tts, vocoder = (Path(place) / part for part in ("tts", "vocoder"))
    for part in (tts, vocoder):
        if not part.is_dir():
            raise InputError(f"{part}: no such folder; a folder of SpeechT5 holds tts/ and "
                             "vocoder/, each as save_pretrained writes it")
    return str(tts), str(vocoder)


def mel_settings(tts: Any, vocoder: Any, features: Any) -> Settings:
    """What TTS, vocoder and processor say of the mel spectrogram between them.

    Raises InputError naming the first setting on which they differ.
    """
    hop = features.hop_length * features.sampling_rate // 1000
    for what, ours, theirs in (
        ("mel bins", tts.num_mel_bins, vocoder.model_in_dim),
        ("mel bins", features.num_mel_bins, vocoder.model_in_dim),
        ("Hz", features.sampling_rate, vocoder.sampling_rate),
        ("samples a frame", hop, math.prod(vocoder.upsample_rates)),
    ):
        if ours != theirs:
            raise InputError(f"SpeechT5 and its vocoder do not belong together: {ours} and "
                             f"{theirs} {what}")
    return {
        "num_mel_bins": tts.num_mel_bins, "sampling_rate": vocoder.sampling_rate, "hop": hop,
        "win_length": features.win_length, "win_function": features.win_function,
        "fmin": features.fmin, "fmax": features.fmax, "reduction_factor": tts.reduction_factor,
        "normalize_before": vocoder.normalize_before,
        "speaker_embedding_dim": tts.speaker_embedding_dim,
    }


def _config(network: nn.Module) -> Any:
    return network.config


def _packed(words: Iterable[str], costs: dict[str, int], limit: int) -> list[str]:
    """Pieces of at most `limit` tokens: whole sentences, and words of a sentence that is longer."""
    pieces: list[list[str]] = [[]]
    room = limit
    for unit in _units(words, costs, limit):
        cost = sum(costs[word] for word in unit)
        if cost > room:
            pieces.append([])
            room = limit
        pieces[-1] += unit
        room -= cost
    return [" ".join(piece) for piece in pieces if piece]


def _units(words: Iterable[str], costs: dict[str, int], limit: int) -> Iterator[list[str]]:
    """What is not to be cut: sentences, or the single words of one that is longer than `limit`."""
    sentence: list[str] = []
    for word in (*words, ""):
        sentence += [word] if word else []
        if not word or re.search(r"[.!?;:]\W*$", word):
            long = sum(costs[w] for w in sentence) > limit
            yield from ([w] for w in sentence) if long else [sentence]
            sentence = []


def _moved(sound: np.ndarray, hz: int, pitch: float, rate: float) -> np.ndarray:
    """float32 (n,), its pitch moved by semitones and its speed by a factor."""
    if not pitch and rate == 1:
        return sound
    from librosa.effects import pitch_shift, time_stretch

    sound = pitch_shift(sound, sr=hz, n_steps=pitch) if pitch else sound
    sound = time_stretch(sound, rate=rate) if rate != 1 else sound
    return np.clip(sound, -1, 1).astype(np.float32)


def _check_wish(what: str, value: float, bounds: tuple[float, float]) -> None:
    if not bounds[0] <= value <= bounds[1]:
        raise InputError(f"{what} {value}: between {bounds[0]} and {bounds[1]}")


@contextmanager
def _drawn(seed: int, device: torch.device) -> Iterator[None]:
    """The device's own random numbers start at `seed`, and go on after as if nothing had been."""
    cuda = device.type == "cuda"
    generator = torch.cuda.default_generators[device.index] if cuda else torch.default_generator
    state = generator.get_state()
    try:
        generator.manual_seed(seed)
        yield
    finally:
        generator.set_state(state)
