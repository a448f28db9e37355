"""Names that people, clouds and nvidia-smi use for cards."""

import csv
from pathlib import Path

import pytest

import pricing
from pricing.gpus import Gpu, UnknownGpu, all_gpus, by_name, canonical, match


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("a10g", {"A10G"}),
        ("NVIDIA A10G", {"A10G"}),
        ("a10", {"A10"}),
        ("l4", {"L4"}),
        ("rtx 4090", {"RTX4090"}),
        ("NVIDIA GeForce RTX 4090", {"RTX4090"}),
        ("4090", {"RTX4090"}),
        ("a6000", {"RTX-A6000"}),
        ("a100", {"A100-40", "A100-80"}),
        ("a100-80gb", {"A100-80"}),
        ("A100 80", {"A100-80"}),
        ("h100", {"H100-PCIe", "H100-SXM", "H100-NVL"}),
        ("h100-sxm", {"H100-SXM"}),
        ("NVIDIA A100-SXM4-80GB", {"A100-80"}),
        ("NVIDIA H100 NVL", {"H100-NVL"}),
        ("NVIDIA RTX A5000", {"RTX-A5000"}),
        ("NVIDIA RTX 6000 Ada Generation", None),
    ],
)
def test_a_name_means_that_model_in_every_size_unless_it_says_which(said: str, meant: set[str] | None) -> None:
    if meant is None:
        with pytest.raises(UnknownGpu):
            match(said)
        return
    assert {gpu.name for gpu in match(said)} == meant


@pytest.mark.parametrize(
    ("label", "memory_gb", "name"),
    [
        ("A10 (24 GB PCIe)", None, "A10"),
        ("A100 (80 GB SXM4)", None, "A100-80"),
        ("H100 (80 GB SXM5)", None, "H100-SXM"),
        ("H100 (80 GB PCIe)", None, "H100-PCIe"),
        ("GH200 (96 GB)", None, "GH200"),
        ("B200 (180 GB SXM6)", None, "B200"),
        ("B200 (SXM6)", None, "B200"),
        ("NVIDIA B200", 180, "B200"),
        ("NVIDIA H200", 141, "H200"),
        ("NVIDIA GeForce RTX 5090", 32, "RTX5090"),
        ("NVIDIA L40S", 48, "L40S"),
        ("NVIDIA A100 80GB PCIe", 80, "A100-80"),
        ("Tesla V100-SXM2-16GB", 16, "V100-16"),
        ("Quadro RTX 6000", 24, None),
        ("A100 (SXM4)", None, None),
    ],
)
def test_the_names_of_the_clouds_mean_the_same_cards(label: str, memory_gb: int | None, name: str | None) -> None:
    found = canonical(label, None if memory_gb is None else memory_gb * 1024)
    assert (found and found.name) == name


def test_every_canonical_name_means_itself() -> None:
    for gpu in all_gpus():
        assert match(gpu.name) == (gpu,)
        assert by_name(gpu.name) is gpu


@pytest.mark.parametrize(
    ("label", "memory_mib", "name"),
    [
        ("A10G", 22888, "A10G"),
        ("NVIDIA A10G", 23028, "A10G"),
        ("A100", 40960, "A100-40"),
        ("NVIDIA A100-SXM4-80GB", 81920, "A100-80"),
        ("H100", 81920, "H100-SXM"),
        ("NVIDIA H100 80GB HBM3", 81559, "H100-SXM"),
        ("NVIDIA H100 PCIe", 81559, "H100-PCIe"),
        ("A100 (40 GB SXM4)", None, "A100-40"),
        ("NVIDIA GH200 480GB", 97871, "GH200"),
        ("B200", 183359, "B200"),
        ("L4", 2861, None),
        ("NVIDIA GeForce RTX 3090 Ti", 24564, None),
        ("RTX PRO Server 6000", 98304, None),
        ("A100", None, None),
    ],
)
def test_what_a_cloud_reports_is_one_card_or_unknown(label: str, memory_mib: int | None, name: str | None) -> None:
    found = canonical(label, memory_mib)
    assert (found and found.name) == name


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownGpu) as caught:
        match("a10gg")
    assert caught.value.nearest[0] == "A10G"
    with pytest.raises(UnknownGpu):
        match("a100-64gb")
    with pytest.raises(UnknownGpu):
        by_name("a10g")


def test_the_a10g_has_what_torch_sees_and_not_what_the_box_says() -> None:
    assert by_name("A10G").usable_mib == 22_515
    assert by_name("A10G").bf16_tflops == 70
    assert by_name("A10").bf16_tflops == 125


def test_no_card_is_given_more_memory_than_its_name_says_and_every_row_has_a_source() -> None:
    text = (Path(pricing.__file__).parent / "gpus.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        assert 0.9 <= int(row["usable_mib"]) / (int(row["nominal_gib"]) * 1024) < 1
        assert row["source"]
        if float(row["spread"]) > 1.6:
            assert "efficiency" in row["source"]


def test_cards_without_bf16_or_cuda_say_so() -> None:
    assert {gpu.name for gpu in all_gpus() if not gpu.bf16} == {"T4", "V100-16", "V100-32"}
    assert {gpu.name for gpu in all_gpus() if not gpu.cuda} == {"MI300X"}


def test_a_card_with_no_memory_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Gpu(
            name="x",
            architecture="x",
            usable_mib=0,
            bandwidth_gb_s=1,
            bf16_tflops=1,
            efficiency=1,
            bf16=True,
        )
