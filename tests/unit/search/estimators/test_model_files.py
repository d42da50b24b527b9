import json

import pytest
from model_facts import config_of

from autotuner.search.estimators.architecture import ArchitectureError
from autotuner.search.estimators.model_files import architecture_of

LLAMA_70B = config_of("llama-3.1-70b")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub"


def test_a_folder_is_read(tmp_path, write_model):
    assert architecture_of(str(write_model(tmp_path / "model", LLAMA_70B))).layers == 80


def test_a_hub_id_is_found_in_the_cache(hub_cache, write_model):
    write_model(hub_cache / "models--meta-llama--Llama-70B" / "snapshots" / "abc", LLAMA_70B)
    assert architecture_of("meta-llama/Llama-70B").layers == 80


def test_the_cache_is_where_its_variable_says(tmp_path, hub_cache, monkeypatch, write_model):
    write_model(tmp_path / "elsewhere" / "models--a--b" / "snapshots" / "abc", LLAMA_70B)
    with pytest.raises(ArchitectureError):
        architecture_of("a/b")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert architecture_of("a/b").layers == 80


def test_a_model_that_is_not_here_is_not_downloaded(hub_cache):
    with pytest.raises(ArchitectureError, match="meta-llama/Llama-70B is not in this machine's"):
        architecture_of("meta-llama/Llama-70B")


def test_a_folder_without_a_configuration_is_named(tmp_path):
    with pytest.raises(ArchitectureError, match=r"has no config\.json"):
        architecture_of(str(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_a_broken_configuration_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ArchitectureError, match=r"config\.json"):
        architecture_of(str(tmp_path))


@pytest.mark.parametrize(
    "content", [{"model_type": "clip"}, LLAMA_70B | {"num_attention_heads": 0}]
)
def test_a_model_of_another_kind_is_refused_with_its_type(tmp_path, content, write_model):
    if content["model_type"] == "llama":
        content = {name: value for name, value in content.items() if name != "head_dim"}
    folder = write_model(tmp_path, content)
    with pytest.raises(ArchitectureError, match=content["model_type"]):
        architecture_of(str(folder))


def test_the_optimizers_own_file_says_the_format(tmp_path, write_model):
    folder = write_model(tmp_path, LLAMA_70B)
    said = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}
    (folder / "hf_quant_config.json").write_text(json.dumps(said))
    assert architecture_of(str(folder)).weights == "fp4"


def test_the_size_of_the_weights_on_disk_is_known_where_they_are(tmp_path, write_model):
    folder = write_model(tmp_path, LLAMA_70B)
    assert architecture_of(str(folder)).stored_bytes == 0
    (folder / "model.safetensors").write_bytes(b"x" * 1000)
    assert architecture_of(str(folder)).stored_bytes == 1000
    index = {"metadata": {"total_size": 141e9}, "weight_map": {}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert architecture_of(str(folder)).stored_bytes == 141e9


@pytest.mark.parametrize(("said", "longest"), [(8192, 8192), (1e30, 131072), ("x", 131072)])
def test_the_tokenizers_word_counts_where_it_is_less(tmp_path, write_model, said, longest):
    folder = write_model(tmp_path, LLAMA_70B)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": said}))
    assert architecture_of(str(folder)).longest_context == longest
