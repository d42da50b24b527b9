from pathlib import Path

import pytest

from autotuner.errors import OutputError
from autotuner.results.job_copy import refuse_job_copy
from autotuner.study import run

COPY = Path("session_x/runtime_resources/working_dir_files/_ray_pkg_1")


@pytest.mark.parametrize("below", ["", "results/mine"])
def test_results_inside_rays_copy_of_a_working_directory_are_refused(tmp_path, below):
    with pytest.raises(OutputError, match=r"Set `output:` in the study file to an absolute path"):
        refuse_job_copy(tmp_path / COPY / below)


def test_a_relative_folder_is_seen_where_it_lies(tmp_path, monkeypatch):
    (tmp_path / COPY).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / COPY)
    with pytest.raises(OutputError, match="removes again"):
        refuse_job_copy(Path("results/mine"))


def test_a_link_to_a_disk_that_stays_is_no_copy(tmp_path):
    (tmp_path / COPY).mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (tmp_path / COPY / "results").symlink_to(tmp_path / "disk")
    refuse_job_copy(tmp_path / COPY / "results" / "mine")


@pytest.mark.parametrize("folder", ["results", "runtime_resources/mine", "working_dir_files"])
def test_other_folders_are_nobodys_business(tmp_path, folder):
    refuse_job_copy(tmp_path / folder)


def test_nothing_is_measured_that_would_be_lost(make_spec, tmp_path):
    with pytest.raises(OutputError, match="results would be lost"):
        run(make_spec(), output=tmp_path / COPY / "results")
    assert not (tmp_path / COPY).exists()
