"""Which flags are never shown."""

from __future__ import annotations

import pytest

from autotuner.spec.secret_flags import is_secret_flag


@pytest.mark.parametrize("name", ["api-key", "--api-key", "api_key", "admin-api-key", "hf_token"])
def test_a_key_is_a_secret_in_every_spelling(name: str) -> None:
    assert is_secret_flag(name)


@pytest.mark.parametrize("name", ["max-num-batched-tokens", "tokenizer", "ssl-keyfile", "key"])
def test_a_name_that_only_looks_like_one_is_none(name: str) -> None:
    assert not is_secret_flag(name)
