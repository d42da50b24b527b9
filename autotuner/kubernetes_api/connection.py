"""Where the Kubernetes API is and who we are there: a kubeconfig, or the account of our own pod."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubernetes.client import Configuration
from kubernetes.config import incluster_config, kube_config

from autotuner.kubernetes_api.cluster import Cluster
from autotuner.kubernetes_api.faults import UnreachableError
from autotuner.kubernetes_api.wire import Wire

__all__ = ["ACCESS_VARIABLES", "Access", "connected"]

_incluster_config: Any = incluster_config  # some releases have types, others none
_kube_config: Any = kube_config

ACCESS_VARIABLES = (
    *("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "PATH", "HOME"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
    *("NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME"),
    # What clouds' credential plugins go by; none of these is a secret, they say where those lie.
    *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_ROLE_ARN"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_STS_REGIONAL_ENDPOINTS"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "CLOUDSDK_CORE_PROJECT"),
    *("USE_GKE_GCLOUD_AUTH_PLUGIN", "AZURE_CONFIG_DIR", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"),
    *("AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "OCI_CLI_CONFIG_FILE"),
    *("OCI_CLI_PROFILE", "OCI_CLI_AUTH"),
)
"""Variables that decide which API is meant, and as whom."""

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT_CONFIG = "~/.kube/config"
_DEFAULT_NAMESPACE = "default"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Access:
    """Which API, as whom, and which namespace of it."""

    kubeconfig: str | None = None
    """File; None, where no context is named either: the account of our own pod, and outside of a
    cluster KUBECONFIG, else ``~/.kube/config``."""
    context: str | None = None
    """Of the kubeconfig; None: its current one."""
    namespace: str | None = None
    """None: that of the context, in a cluster that of our own pod."""

    @property
    def in_cluster(self) -> bool:
        """Whether we are a pod with an account, and nothing else was asked for."""
        chosen = self.kubeconfig is not None or self.context is not None
        given = os.environ.get("KUBERNETES_SERVICE_HOST")
        return not chosen and bool(given) and (_ACCOUNT / "token").is_file()

    @property
    def config_files(self) -> str:
        """Path of the kubeconfig, or several, as KUBECONFIG spells them."""
        chosen = self.kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT_CONFIG
        return os.pathsep.join(
            str(Path(path).expanduser()) for path in chosen.split(os.pathsep) if path
        )

    def pinned(self) -> Access:
        """The same with everything spelled out: what others change of the defaults is not ours.

        Raises:
            UnreachableError: there is no access to be found.
        """
        with _spoken(self):
            if self.in_cluster:
                namespace = (_ACCOUNT / "namespace").read_text().strip()
                return replace(self, namespace=self.namespace or namespace or _DEFAULT_NAMESPACE)
            chosen = self._context()
            namespace = chosen["context"].get("namespace") or _DEFAULT_NAMESPACE
            return Access(self.config_files, str(chosen["name"]), self.namespace or str(namespace))

    def load(self) -> Any:
        """Configuration of a client.

        Raises:
            UnreachableError: there is no access to be found.
        """
        configuration = Configuration()
        with _spoken(self):
            if self.in_cluster:
                _incluster_config.InClusterConfigLoader(
                    token_filename=str(_ACCOUNT / "token"), cert_filename=str(_ACCOUNT / "ca.crt")
                ).load_and_set(configuration)
            else:
                _kube_config.load_kube_config(
                    config_file=self.config_files,
                    context=self._context()["name"],
                    client_configuration=configuration,
                    persist_config=False,
                )
        host = str(configuration.host)
        if self.in_cluster or any(f"//{name}" in host for name in _LOOPBACK):
            configuration.proxy = None  # one of the environment is for the way out
        elif configuration.proxy is None:
            configuration.proxy = _proxy(host)
        configuration.no_proxy = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
        return configuration

    def _context(self) -> dict[str, Any]:
        """The chosen context of the kubeconfig."""
        files = self.config_files
        if not any(Path(path).is_file() for path in files.split(os.pathsep)):
            raise UnreachableError(
                f"no access to a Kubernetes cluster: there is no kubeconfig at {files}, and this "
                "node is no pod with an account; set `kubeconfig`"
            )
        contexts, current = _kube_config.list_kube_config_contexts(config_file=files)
        if self.context is None:
            return dict(current)
        known = {context["name"]: context for context in contexts}
        if self.context not in known:
            raise UnreachableError(
                f"context = {self.context}: {files} has none of this name, but "
                f"{', '.join(sorted(known)) or 'none at all'}"
            )
        return dict(known[self.context])


@contextmanager
def _spoken(access: Access) -> Iterator[None]:
    """Turns whatever is wrong with the access into one sentence."""
    try:
        yield
    except UnreachableError:
        raise
    except Exception as error:  # of YAML, of files, of credential plugins
        place = "the account of this pod" if access.in_cluster else access.config_files
        said = " ".join(str(error).split())
        raise UnreachableError(f"no access to a Kubernetes cluster by {place}: {said}") from error


def _proxy(host: str) -> str | None:
    """The proxy that the environment has for the API, as kubectl takes it."""
    scheme = host.partition("://")[0].lower()
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((value for name in names if (value := os.environ.get(name))), None)


@contextmanager
def connected(
    access: Access, *, patience_s: float = 30.0, give_up: Callable[[], bool] = lambda: False
) -> Iterator[Cluster]:
    """A client of the cluster; nothing has been asked yet.

    Args:
        patience_s: For how long a request is repeated while the API cannot be reached.
        give_up: Whether it is not to be repeated any more.

    Raises:
        UnreachableError: there is no access to be found.
    """
    pinned = access.pinned()
    configuration = pinned.load()
    wire = Wire(configuration, patience_s=patience_s, give_up=give_up)
    try:
        yield Cluster(wire, str(pinned.namespace))
    finally:
        wire.close()
