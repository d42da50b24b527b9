import pytest

from autotuner.node import logs
from autotuner.node.logs import collect_logs


def test_only_log_files_with_content_are_kept(tmp_path):
    (tmp_path / "server.log").write_text("hello")
    (tmp_path / "empty.log").touch()
    (tmp_path / "server.status.json").write_text("{}")
    assert collect_logs(tmp_path, []) == {"server.log": "hello"}


def test_secrets_are_masked(tmp_path):
    (tmp_path / "server.log").write_text("token=sesame")
    assert collect_logs(tmp_path, iter(["sesame"])) == {"server.log": "token=***"}


def test_a_long_log_loses_its_middle_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_KEPT_BYTES", 10)
    (tmp_path / "a.log").write_text("start" + "x" * 90 + "enden")
    (tmp_path / "b.log").write_text("0123456789")
    kept = collect_logs(tmp_path, [])
    assert kept["a.log"] == "start\n[... 90 bytes left out ...]\nenden"
    assert kept["b.log"] == "0123456789"


@pytest.mark.parametrize("place", range(20, 40))
def test_no_part_of_a_secret_shows_where_a_long_log_is_cut(tmp_path, monkeypatch, place):
    monkeypatch.setattr(logs, "_KEPT_BYTES", 60)
    text = "." * place + "sesame" + "." * (94 - 2 * place) + "sesame" + "." * place
    (tmp_path / "server.log").write_text(text)
    (kept,) = collect_logs(tmp_path, ["sesame"]).values()
    head, said, tail = kept.split("\n")
    assert set(head + tail) <= {".", "*"}
    assert 30 <= len(head + tail) <= 60
    assert said.startswith("[...")


def test_bytes_that_are_no_text_do_not_stop_the_rest(tmp_path):
    (tmp_path / "server.log").write_bytes(b"ok \xff ok")
    assert collect_logs(tmp_path, [])["server.log"].count("ok") == 2
