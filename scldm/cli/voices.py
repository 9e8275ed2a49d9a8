"""`scldm` voice, train-voice, evaluate-voice, dcts, round-trip: the other mapping."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from scldm.cli.measures import told
from scldm.cli.parser import BUNDLED, BUNDLED_VOICE
from scldm.cli.paths import require_data, require_file, require_writable
from scldm.core.errors import InputError


def run_voice(args: argparse.Namespace) -> int:
    """`scldm voice`."""
    there = [face for face in args.faces if os.path.isfile(face)]
    if not there and args.faces:
        raise InputError("; ".join(f"{face}: no such file" for face in args.faces))
    if bool(args.faces) == bool(args.manifest):
        raise InputError("give pictures of faces, or --manifest")
    if args.manifest:
        require_data(args.manifest)
    if not args.checkpoint.is_dir():
        raise InputError(f"{args.checkpoint}: no such checkpoint folder")
    require_writable(args.out)
    from scldm.data.samples import open_samples
    from scldm.encoders.bundle import pick_device
    from scldm.voice.checkpoint import load_voice, speaker_of
    from scldm.voice.pictures import of_files, of_samples
    from scldm.voice.synthesis import open_synthesiser
    from scldm.voice.voices import Speaking, VoiceWish, voice

    device = pick_device(args.device)
    model = load_voice(args.checkpoint).to(device)
    tts = open_synthesiser(args.tts or model.facts["tts"]["name"], model)
    largest = args.face == "largest"
    if args.manifest:
        pictures = of_samples(open_samples(args.manifest, args.split, "face"))
    else:
        pictures = of_files(args.faces, largest)
    wish = VoiceWish(args.text, args.voices, args.seed, args.spread, args.pitch, args.rate,
                     args.share if args.mix else 0.0, args.control)
    other = of_files([args.mix], largest)[0] if args.mix else None
    speaker = None
    if args.control == "true-voice":
        own = str(BUNDLED) if args.checkpoint == BUNDLED_VOICE else None
        speaker = speaker_of(model, args.speaker or own, device)
    made, bad = voice(Speaking(model, tts, wish, other, speaker), pictures, args.out)
    if made:
        print(f"{len(made)} voices in {args.out}")
    return 2 if bad else 0


def run_train_voice(args: argparse.Namespace) -> int:
    """`scldm train-voice`."""
    from scldm.core.config import load_config

    require_file(args.config)
    from scldm.voice.config import VoiceConfig

    config = load_config(VoiceConfig, args.config, args.overrides)
    require_data(Path(config.data.faces), *map(Path, config.data.speech))
    from scldm.voice.training import train_voice

    print(f"checkpoint in {train_voice(config)}")
    return 0


def run_evaluate_voice(args: argparse.Namespace) -> int:
    """`scldm evaluate-voice`."""
    require_data(args.truth, *(args.speech,) if args.speech else ())
    require_writable(args.out)
    from scldm.evaluation.voice_command import VoiceQuestion, evaluate_voices

    question = VoiceQuestion(args.voices, args.truth, args.judge, args.speech, args.reference,
                             args.words == "yes", args.k)
    return told(*evaluate_voices(question, args.out), args.out)


def run_dcts(args: argparse.Namespace) -> int:
    """`scldm dcts`."""
    require_file(args.embeddings)
    import json

    from scldm.evaluation.dcts import as_json, dcts, read_embeddings, report

    found = dcts(*read_embeddings(args.embeddings), args.k, args.estimator)
    print(json.dumps(as_json(found), indent=2) if args.json else report(found))
    return 0


def run_round_trip(args: argparse.Namespace) -> int:
    """`scldm round-trip`."""
    faces = args.faces or args.clips
    require_data(args.clips, faces)
    require_writable(args.out)
    from scldm.data.samples import open_samples
    from scldm.encoders.bundle import pick_device
    from scldm.evaluation.command import Question
    from scldm.evaluation.voice_command import VoiceQuestion
    from scldm.generation.sources import open_source
    from scldm.studies.round_trip import Trip, face_voice_face, voice_face_voice
    from scldm.voice.checkpoint import load_voice
    from scldm.voice.synthesis import open_synthesiser
    from scldm.voice.voices import Speaking, VoiceWish

    device = pick_device(args.device)
    model = load_voice(args.voice_checkpoint).to(device)
    tts = open_synthesiser(args.tts or model.facts["tts"]["name"], model)
    speaking = Speaking(model, tts, VoiceWish(args.text, 1))
    trip = Trip(open_source(args.checkpoint, device), speaking, args.batch)
    there, back = args.out / "voice-face-voice", args.out / "face-voice-face"
    clips, seen = open_samples(args.clips, args.split), open_samples(faces, args.split)
    voices = VoiceQuestion([], args.clips, args.voice_judge, words=False)
    status = told(*voice_face_voice(trip, clips, voices, there), there)
    portraits = Question([], faces, args.judge)
    return max(status, told(*face_voice_face(trip, seen, portraits, back), back))
