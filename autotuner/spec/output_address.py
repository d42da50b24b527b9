"""Where results may go besides a folder: what such an address must look like."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

__all__ = ["address_options", "address_problem", "is_address"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_OPTIONS = {"s3": ("region", "endpoint_override", "scheme"), "gs": ("endpoint_override", "scheme")}


def is_address(text: str) -> bool:
    """Whether it is no path, but something like ``s3://bucket/prefix``."""
    return _ADDRESS.match(text) is not None


def address_options(text: str) -> dict[str, str]:
    """The options behind the ``?``."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(text).query).items()}


def address_problem(text: str) -> str | None:
    """What is wrong with an address and what to write, without its secrets; None if nothing."""
    address = urlsplit(text)
    if "@" in address.netloc:
        return (
            "an address must not hold keys, which would be in every log; give them as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or as the machine's role"
        )
    if address.scheme == "file":
        if address.netloc not in ("", "localhost") or not address.path.strip("/"):
            return "write file:///FOLDER, with three slashes"
        return None
    if address.scheme not in _OPTIONS:
        return "write a path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
    if not address.netloc or not address.path.strip("/"):
        return f"name a bucket and a prefix, {address.scheme}://BUCKET/PREFIX"
    allowed = _OPTIONS[address.scheme]
    if unknown := sorted(address_options(text).keys() - set(allowed)):
        return f"unknown option {unknown[0]!r}; known: {', '.join(allowed)}"
    return None
