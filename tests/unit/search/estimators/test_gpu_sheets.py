import pytest

from autotuner.search.estimators.gpu_sheets import find_sheet, known_gpus


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIE"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("H100", "H100"),
        ("h100_sxm", "H100"),
        ("NVIDIA H200", "H200"),
        ("nvidia-h200-sxm5", "H200"),
        ("NVIDIA H20", "H20"),
        ("NVIDIA H20-3e", "H20-3E"),
        ("NVIDIA A100-SXM4-40GB", "A100-40"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-PCIE-40GB", "A100-40-PCIE"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIE"),
        ("A100-40G", "A100-40"),
        ("A100-80G", "A100"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("RTX4090", "RTX-4090"),
        ("NVIDIA GeForce RTX 5090", "RTX-5090"),
        ("NVIDIA RTX 6000 Ada Generation", "6000-ADA"),
        ("NVIDIA RTX A6000", "A6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "PRO-6000"),
        ("NVIDIA B200", "B200"),
        ("b300_sxm", "B300"),
        ("NVIDIA GB200", "GB200"),
        ("gb300", "GB300"),
        ("NVIDIA GH200 480GB", "GH200-480"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100-16"),
        ("AMD-Instinct-MI300X-OAM", "MI300X"),
    ],
)
def test_a_gpu_is_found_by_every_name_that_it_goes_by(written, meant):
    assert find_sheet(written).name == meant


@pytest.mark.parametrize("written", ["NVIDIA A1000", "H1000", "TPU-V5e", ""])
def test_a_gpu_without_a_sheet_is_not_taken_for_another(written):
    assert find_sheet(written) is None


@pytest.mark.parametrize("name", known_gpus())
def test_each_sheet_is_found_by_its_own_name_and_has_plausible_numbers(name):
    sheet = find_sheet(name)
    assert sheet.name == name
    assert 16 <= sheet.memory_gib <= 288
    assert 300 <= sheet.bandwidth_gb_s <= 8000
    assert sheet.flops("bf16") <= sheet.flops("fp8") <= 2.1 * sheet.flops("bf16")


def test_what_a_gpu_cannot_multiply_is_widened_to_16_bit():
    sheet = find_sheet("H100")
    assert sheet.flops("fp4") == sheet.flops("int4") == sheet.flops("bf16")
