"""Finds a model's ``config.json`` on this machine: in its folder, or in the Hugging Face cache."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotuner.search.estimators.architecture import Architecture, ArchitectureError
from autotuner.search.estimators.config_json import read_architecture

__all__ = ["architecture_of", "folder_of"]

_CONFIG, _MODELOPT = "config.json", "hf_quant_config.json"
_TOKENIZER = "tokenizer_config.json"
_INDEX, _WHOLE = "model.safetensors.index.json", "model.safetensors"


def architecture_of(model: str) -> Architecture:
    """The sizes of a model that lies on this machine; nothing is downloaded.

    Args:
        model: A folder, or an id of the Hugging Face hub.

    Raises:
        ArchitectureError: there is no config.json to be found, or it cannot be used.
    """
    if (folder := folder_of(model)) is not None:
        return _read(folder / _CONFIG)
    if Path(model).is_absolute():
        raise ArchitectureError(f"{model} has no {_CONFIG} on this machine")
    raise ArchitectureError(
        f"{model} is not in this machine's Hugging Face cache; "
        f"`hf download {model} {_CONFIG}` puts there what is needed"
    )


def folder_of(model: str) -> Path | None:
    """The folder on this machine that holds the model's config.json; None: there is none."""
    return next((folder for folder in _folders(model) if (folder / _CONFIG).is_file()), None)


def _folders(model: str) -> Iterator[Path]:
    folder = Path(model).expanduser()
    yield folder
    if folder.is_absolute() or model.count("/") > 1:
        return
    snapshots = _cache() / f"models--{model.replace('/', '--')}" / "snapshots"
    if snapshots.is_dir():
        yield from sorted(snapshots.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)


def _cache() -> Path:
    """Where the hub's client keeps what it has downloaded, by its own variables."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "huggingface" / "hub"


def _read(path: Path) -> Architecture:
    config = _json_object(path)
    if "quantization_config" not in config and (path.parent / _MODELOPT).is_file():
        config["quantization_config"] = _modelopt(_json_object(path.parent / _MODELOPT))
    try:
        model = read_architecture(config)
        return replace(
            model,
            stored_bytes=_stored_bytes(path.parent),
            longest_context=_longest_context(model.longest_context, path.parent),
        )
    except (ArchitectureError, ArithmeticError) as error:
        kind = config.get("model_type", "unknown type")
        raise ArchitectureError(f"{path} ({kind}) does not say its sizes: {error}") from error


def _longest_context(of_the_model: int, folder: Path) -> int:
    """Servers take the tokenizer's word for it where that is less."""
    path = folder / _TOKENIZER
    said = _json_object(path).get("model_max_length") if path.is_file() else None
    if isinstance(said, int | float) and 0 < said < of_the_model:
        return int(said)
    return of_the_model


def _stored_bytes(folder: Path) -> float:
    """Bytes of the weights in a folder; 0: they are not there, or not all of them."""
    index = folder / _INDEX
    if not index.is_file():
        whole = folder / _WHOLE
        return float(whole.stat().st_size) if whole.is_file() else 0.0
    metadata = _json_object(index).get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    return float(size) if isinstance(size, int | float) else 0.0


def _modelopt(content: Mapping[str, Any]) -> dict[str, Any]:
    """What TensorRT Model Optimizer says beside the configuration, in the latter's words."""
    said = content.get("quantization")
    said = said if isinstance(said, Mapping) else {}
    return {"quant_algo": said.get("quant_algo", ""), "ignore": said.get("exclude_modules") or ()}


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArchitectureError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ArchitectureError(f"{path} holds no JSON object")
    return content
