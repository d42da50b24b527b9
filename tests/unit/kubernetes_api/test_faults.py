import json

import pytest

from autotuner.kubernetes_api.faults import (
    ConflictError,
    DeniedError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    NotThereError,
    QuotaError,
    UnreachableError,
    error_of,
)


def status(message, reason=""):
    return json.dumps({"kind": "Status", "message": message, "reason": reason}).encode()


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (400, 'strict decoding error: unknown field "spec.x"', InvalidError),
        (401, "Unauthorized", ForbiddenError),
        (403, 'pods is forbidden: User "u" cannot create resource "pods"', ForbiddenError),
        (403, 'pods "p" is forbidden: exceeded quota: gpus, requested: 8, used: 8', QuotaError),
        (403, 'pods "p" is forbidden: violates PodSecurity "restricted:latest"', DeniedError),
        (400, 'admission webhook "x.ome.io" denied the request: no runtime', DeniedError),
        (403, 'admission webhook "gatekeeper" denied the request: no', DeniedError),
        (404, 'pods "p" not found', NotThereError),
        (409, "the object has been modified", ConflictError),
        (410, "too old resource version", ExpiredError),
        (422, "spec.containers: Required value", InvalidError),
        (429, "too many requests", UnreachableError),
        (500, "etcdserver: request timed out", UnreachableError),
        (500, "failed to create typed patch object (a/b): .spec.x: not declared", InvalidError),
        (503, "the server is currently unable to handle the request", UnreachableError),
    ],
)
def test_each_refusal_is_what_a_caller_has_to_do_about_it(code, message, kind):
    error = error_of(code, status(message))
    assert type(error) is kind
    assert message in str(error)


def test_credentials_that_are_not_accepted_are_told_from_rights_that_are_missing():
    assert "credentials" in str(error_of(401, status("Unauthorized")))
    assert "credentials" not in str(error_of(403, status("cannot create")))


def test_a_version_that_is_too_old_is_known_by_its_reason_too():
    assert type(error_of(400, status("gone", "Expired"))) is ExpiredError


def test_what_stands_between_us_and_the_server_need_not_speak_json():
    error = error_of(502, b"<html>\n<h1>Bad Gateway</h1></html>")
    assert str(error) == "HTTP status 502: <html> <h1>Bad Gateway</h1></html>"


@pytest.mark.parametrize(
    ("told", "wanted_s"), [("3", 3.0), (None, None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
)
def test_a_busy_server_says_when_to_come_again(told, wanted_s):
    error = error_of(429, b"", told)
    assert isinstance(error, UnreachableError)
    assert error.retry_after_s == wanted_s
