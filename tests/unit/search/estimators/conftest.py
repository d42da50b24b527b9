"""Models by their config.json, from the bench's public facts."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))


@pytest.fixture
def write_model():
    """Writes a model's folder, without its weights."""

    def write(folder, config):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write
