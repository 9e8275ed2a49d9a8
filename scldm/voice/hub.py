"""Networks of `transformers`: safetensors only, from a folder, from what the hub left on this
machine, or from the hub."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from scldm.core.errors import InputError

SECONDS = 10  # waited for the hub's first word
EXTRA = 'pip install "scldm[speecht5]"'


def open_network(kind: str, place: str) -> Any:
    """transformers' network `kind`, float32, frozen, in evaluation mode, on the CPU.

    place: a folder with config.json and model.safetensors, or a name on the hub.
    Raises InputError in one line when it cannot be had or a weight is missing.
    """
    network, found = open_part(kind, place, use_safetensors=True, output_loading_info=True)
    # That one is drawn anew where a checkpoint lacks it, and serves training only.
    missing = sorted(k for k in found["missing_keys"] if not k.endswith("masked_spec_embed"))
    if missing:
        raise InputError(f"{place}: not a whole {kind}: the weight {missing[0]} is missing")
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone()  # a mapped file's odd addresses cost the last bits
    return network.float().eval().requires_grad_(False)


def open_part(kind: str, place: str, **options: Any) -> Any:
    """`kind.from_pretrained(place)` of transformers: a folder, the hub's cache, or the hub."""
    part = getattr(transformers_module(), kind)
    if Path(place).is_dir():
        return _opened(part, place, local_files_only=True, **options)
    with suppress(InputError):
        return _opened(part, place, local_files_only=True, **options)
    _reach_hub(place, kind)
    return _opened(part, place, **options)


def _opened(part: Any, place: str, **options: Any) -> Any:
    logging = transformers_module().utils.logging
    words = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # it tells in a table what is told here in a line
    logging.disable_progress_bar()
    try:
        return part.from_pretrained(place, **options)
    except Exception as error:  # hostile bytes raise anything at all
        why = " ".join(str(error).split())[:160]
        raise InputError(f"{place}: cannot be opened as {part.__name__} ({why}); place what "
                         f"save_pretrained wrote there, with model.safetensors") from None
    finally:
        logging.set_verbosity(words)


def _reach_hub(name: str, kind: str) -> None:
    """One short question: the hub's own client asks for half a minute before it gives up."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=SECONDS)
    except Exception as error:  # of the network, of the name, or that the hub is switched off
        raise InputError(f"{name}: not on this machine, and the hub cannot be asked "
                         f"({type(error).__name__}); place {kind} with model.safetensors in a "
                         "folder and name the folder instead") from None


def transformers_module(also: Sequence[str] = ()) -> Any:
    """The module transformers; InputError says how to get it, or what of `also`, when missing."""
    for name in ("transformers", *also):
        try:
            importlib.import_module(name)
        except ImportError:
            raise InputError(f"this needs {name}: {EXTRA}") from None
    return sys.modules["transformers"]
