"""Tiny SpeechT5, x-vector network and wav2vec 2.0 with random weights, and their processors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.", "How vexingly quick daft zebras jump!",
    "Pack my box, with five dozen jugs; sphinx of black quartz: judge my vow?",
)
SPEAKER, BINS = 8, 10  # widths of speaker embeddings and of a mel frame
CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": [8, 8], "conv_kernel": [40, 8], "conv_stride": [40, 8],
    "num_feat_extract_layers": 2,
}
TRANSFORMER: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "initializer_range": 0.3,
}


def tiny_tts(**more: Any) -> Any:
    """SpeechT5ForTextToSpeech that ends by its bound, and never by a token of its own."""
    from transformers import SpeechT5Config, SpeechT5ForTextToSpeech

    torch.manual_seed(0)
    config = SpeechT5Config(**{
        "vocab_size": 60, "hidden_size": 16, "encoder_layers": 1, "encoder_attention_heads": 2,
        "encoder_ffn_dim": 16, "decoder_layers": 1, "decoder_attention_heads": 2,
        "decoder_ffn_dim": 16, "num_mel_bins": BINS, "speaker_embedding_dim": SPEAKER,
        "speech_decoder_prenet_units": 8, "speech_decoder_postnet_units": 8,
        "speech_decoder_postnet_layers": 2, "max_text_positions": 60, "max_speech_positions": 40,
        "initializer_range": 0.3, **more,
    })
    model = SpeechT5ForTextToSpeech(config)
    torch.nn.init.constant_(model.speech_decoder_postnet.prob_out.bias, -20.0)
    return model


def tiny_vocoder(**more: Any) -> Any:
    """SpeechT5HifiGan of 256 samples a frame."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(1)
    return SpeechT5HifiGan(SpeechT5HifiGanConfig(**{
        "model_in_dim": BINS, "upsample_initial_channel": 8, "upsample_rates": [16, 16],
        "upsample_kernel_sizes": [32, 32], "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]], "initializer_range": 0.3, **more,
    }))


def tiny_processor(folder: Path, **more: Any) -> Any:
    """SpeechT5Processor of the characters of `SENTENCES`; its tokenizer's file lies in `folder`."""
    import sentencepiece
    from transformers import SpeechT5FeatureExtractor, SpeechT5Processor, SpeechT5Tokenizer

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, model_type="char", vocab_size=60,
        hard_vocab_limit=False, bos_id=0, pad_id=1, eos_id=2, unk_id=3, minloglevel=2,
    )
    (folder / "spm_char.model").write_bytes(model.getvalue())
    return SpeechT5Processor(
        SpeechT5FeatureExtractor(**{"num_mel_bins": BINS, **more}),
        SpeechT5Tokenizer(str(folder / "spm_char.model")),
    )


def tiny_xvector_network(width: int = 12) -> Any:
    """WavLMForXVector, `width` numbers wide."""
    from transformers import WavLMConfig, WavLMForXVector

    torch.manual_seed(2)
    config = WavLMConfig(**CONVOLUTIONS, **TRANSFORMER, tdnn_dim=[8] * 3, tdnn_kernel=[3, 2, 1],
                         tdnn_dilation=[1, 2, 1], xvector_output_dim=width)
    return WavLMForXVector(config)


def tiny_wav2vec_network() -> Any:
    """Wav2Vec2Model of 320 samples a frame."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(3)
    return Wav2Vec2Model(Wav2Vec2Config(**CONVOLUTIONS, **TRANSFORMER))


def save_hearing(network: Any, folder: Path, **extractor: Any) -> Path:
    """A network of WavLM or wav2vec 2.0 as a folder, with its feature extractor."""
    from transformers import Wav2Vec2FeatureExtractor

    network.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(**extractor).save_pretrained(folder)
    return folder


def save_speecht5(folder: Path, scratch: Path) -> Path:
    """`tts/` and `vocoder/` in `folder`."""
    tiny_tts().save_pretrained(folder / "tts")
    tiny_processor(scratch).save_pretrained(folder / "tts")
    tiny_vocoder().save_pretrained(folder / "vocoder")
    return folder
