"""``docker run`` as a script, and the same server as a Compose file."""

from __future__ import annotations

from autotuner.export.deployment import LOOPBACK, Deployment
from autotuner.export.shell import shell_lines, shell_top, shell_word
from autotuner.export.words import SecretRef, Word, secrets_of
from autotuner.export.yaml_text import yaml_text

__all__ = ["compose_file", "docker_script", "literal"]

_HOST_CACHE = "${HF_HOME:-$HOME/.cache/huggingface}"


def docker_script(deployment: Deployment) -> str:
    """``bash`` script that starts the container in the background."""
    program, *arguments = deployment.command_in_container
    options = [
        *_options(deployment),
        f"--entrypoint {shell_word(program)}",
        " ".join([shell_word(deployment.image), shell_lines(arguments)]),
    ]
    notes = [*deployment.container_notes, _published(deployment)]
    command = " \\\n  ".join(["exec docker run", *options])
    return "\n".join([shell_top(deployment, notes), command, ""])


def _options(deployment: Deployment) -> list[str]:
    port = deployment.options.port
    options = [
        "--detach",
        f"--name {shell_word(deployment.name)}",
        "--restart unless-stopped",
        *([f"--gpus {deployment.gpus}"] if deployment.gpus else []),
        f"--shm-size {_shm(deployment)}",
        f"--publish {LOOPBACK}:{port}:{port}",
    ]
    for name, word in deployment.environment.items():
        # Without a value docker takes the caller's, so that a secret is in no process list.
        value = name if isinstance(word, SecretRef) else f"{name}={word}"
        options.append(f"--env {shell_word(value)}")
    folder = deployment.model_folder
    if folder is None:
        options.append(f'--volume "{_HOST_CACHE}":{shell_word(deployment.hub_cache)}')
    else:
        options.append(f"--mount {shell_word(_mount(folder))}")
    return options


def _shm(deployment: Deployment) -> str:
    return f"{deployment.shm_gib:g}gb"


def _mount(folder: str) -> str:
    """The value of ``--mount``, which docker reads as a line of CSV."""
    fields = ["type=bind", f"src={folder}", f"dst={folder}", "readonly"]
    return ",".join(_csv_field(field) for field in fields)


def _csv_field(text: str) -> str:
    # Not by the csv module: with a line end of its own, it leaves line breaks unquoted.
    needs_quotes = any(sign in text for sign in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text


def compose_file(deployment: Deployment) -> str:
    """A file for ``docker compose`` (version 2)."""
    program, *arguments = deployment.command_in_container
    port = deployment.options.port
    service: dict[str, object] = {
        "image": literal(deployment.image),
        "entrypoint": [_reference_or_literal(program)],
        "command": [_reference_or_literal(word) for word in arguments],
        "environment": {
            name: _reference_or_literal(word) for name, word in deployment.environment.items()
        },
        "ports": [f"{LOOPBACK}:{port}:{port}"],
        "volumes": [_volume(deployment)],
        "shm_size": _shm(deployment),
        "restart": "unless-stopped",
    }
    if not service["environment"]:
        del service["environment"]
    if deployment.gpus:
        device = {"driver": "nvidia", "count": deployment.gpus, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    needed = secrets_of((*deployment.environment.values(), *deployment.command_in_container))
    notes = [*deployment.container_notes, _published(deployment)]
    if needed:
        notes.append(f"Set before `docker compose up`, or in a file .env: {', '.join(needed)}")
    return yaml_text(
        [*deployment.header, *notes], {"name": deployment.name, "services": {"server": service}}
    )


def _volume(deployment: Deployment) -> dict[str, object]:
    folder = deployment.model_folder
    if folder is None:
        source = "${HF_HOME:-${HOME}/.cache/huggingface}"
        return {"type": "bind", "source": source, "target": literal(deployment.hub_cache)}
    return {
        "type": "bind",
        "source": literal(folder),
        "target": literal(folder),
        "read_only": True,
        # A folder that is missing is a mistake, not a reason to make an empty one.
        "bind": {"create_host_path": False},
    }


def _reference_or_literal(word: Word) -> str:
    return f"${{{word.name}:?set it}}" if isinstance(word, SecretRef) else literal(word)


def literal(text: str) -> str:
    """Compose fills in variables in every value; a doubled dollar sign stands for one."""
    return text.replace("$", "$$")


def _published(deployment: Deployment) -> str:
    port = deployment.options.port
    return (
        f"Reachable from this machine only; publish {port}:{port} instead of "
        f"{LOOPBACK}:{port}:{port} to open it to the network."
    )
