"""Where the Kubernetes API is and who we are there: a kubeconfig, or the account of our own pod."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


class Access:
    """Which API, and which namespace of it.

    Args:
        kubeconfig: File; None, where no context is named either: the account of our own pod, and
            outside of a cluster KUBECONFIG, else ``~/.kube/config``.
        context: Of the kubeconfig; None: its current one.
        namespace: None: that of the context, in a cluster that of our own pod.
    """

    def __init__(
        self,
        kubeconfig: str | None = None,
        context: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self.kubeconfig, self.context, self.namespace = kubeconfig, context, namespace

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

    def load(self) -> tuple[Any, str]:
        """Configuration of a client, and the namespace.

        Raises:
            UnreachableError: there is no access to be found.
        """
        configuration = Configuration()
        try:
            if self.in_cluster:
                namespace = self._load_account(configuration)
            else:
                namespace = self._load_config(configuration)
        except UnreachableError:
            raise
        except Exception as error:  # of YAML, of files, of credential plugins
            raise UnreachableError(self._no_access(error)) from error
        host = str(configuration.host)
        if self.in_cluster or any(f"//{name}" in host for name in _LOOPBACK):
            configuration.proxy = None  # one of the environment is for the way out
        elif configuration.proxy is None:
            configuration.proxy = _proxy(host)
        configuration.no_proxy = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
        return configuration, self.namespace or namespace

    def _load_account(self, configuration: Any) -> str:
        _incluster_config.InClusterConfigLoader(
            token_filename=str(_ACCOUNT / "token"), cert_filename=str(_ACCOUNT / "ca.crt")
        ).load_and_set(configuration)
        return (_ACCOUNT / "namespace").read_text().strip() or _DEFAULT_NAMESPACE

    def _load_config(self, configuration: Any) -> str:
        files = self.config_files
        if not any(Path(path).is_file() for path in files.split(os.pathsep)):
            raise UnreachableError(
                f"no access to a Kubernetes cluster: there is no kubeconfig at {files}, and this "
                "node is no pod with an account; set `kubeconfig`"
            )
        contexts, current = _kube_config.list_kube_config_contexts(config_file=files)
        known = {context["name"]: context for context in contexts}
        if self.context is not None and self.context not in known:
            raise UnreachableError(
                f"context = {self.context}: {files} has none of this name, but "
                f"{', '.join(sorted(known)) or 'none at all'}"
            )
        _kube_config.load_kube_config(
            config_file=files,
            context=self.context,
            client_configuration=configuration,
            persist_config=False,
        )
        chosen = known[self.context] if self.context is not None else current
        return str(chosen["context"].get("namespace") or _DEFAULT_NAMESPACE)

    def _no_access(self, error: Exception) -> str:
        place = "the account of this pod" if self.in_cluster else self.config_files
        return f"no access to a Kubernetes cluster by {place}: {' '.join(str(error).split())}"


def _proxy(host: str) -> str | None:
    """The proxy that the environment has for the API, as kubectl takes it."""
    scheme = host.partition("://")[0].lower()
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((value for name in names if (value := os.environ.get(name))), None)


@contextmanager
def connected(access: Access, *, patience_s: float = 30.0) -> Iterator[Cluster]:
    """A client of the cluster; nothing has been asked yet.

    Args:
        patience_s: For how long a request is repeated while the API cannot be reached.

    Raises:
        UnreachableError: there is no access to be found.
    """
    configuration, namespace = access.load()
    wire = Wire(configuration, patience_s=patience_s)
    try:
        yield Cluster(wire, namespace)
    finally:
        wire.close()
