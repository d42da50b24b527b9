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


def test_bytes_that_are_no_text_do_not_stop_the_rest(tmp_path):
    (tmp_path / "server.log").write_bytes(b"ok \xff ok")
    assert collect_logs(tmp_path, [])["server.log"].count("ok") == 2
