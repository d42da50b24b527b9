"""What vendors' data sheets say of their GPUs, found by any of the names that a GPU goes by.

Source: the public data sheets and product pages of NVIDIA and AMD. Bandwidths are peaks, compute
is dense (no sparsity) with 32-bit accumulation where the sheet says so, and an interconnect is the
total of both directions: NVLink or Infinity Fabric where the board has it, else PCIe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["GpuSheet", "find_sheet", "known_gpus", "nearest_gpu"]


@dataclass(frozen=True, slots=True)
class GpuSheet:
    """One GPU model."""

    name: str
    memory_gib: float
    bandwidth_gb_s: float
    tflops: Mapping[str, float]
    """Dense, by number format: bf16 (fp16 where there is no bf16), fp8, fp4, int8."""
    interconnect_gb_s: float
    """To all its neighbours together, both directions added up."""

    def flops(self, number_format: str) -> float:
        """Operations per second in a format; what the GPU cannot multiply is widened to 16 bit."""
        return 1e12 * self.tflops.get(number_format, self.tflops["bf16"])


# Words of the name, memory GiB, bandwidth GB/s, bf16, fp8, fp4, int8 TFLOPS, interconnect GB/s.
# Of several rows whose words are all in a name, the one with most words is meant, then the first.
_TABLE = """
B300            270   8000   2250    4500   13500      307    1800
GB300           279   8000   2500    5000   15000      333    1800
B200            180   8000   2250    4500    9000     4500    1800
GB200           186   8000   2500    5000   10000     5000    1800
H200            141   4800    989    1979       0     1979     900
H200-NVL        141   4800    835    1671       0     1671     900
GH200           144   4900    989    1979       0     1979     900
GH200-480        96   4000    989    1979       0     1979     900
H100             80   3350    989    1979       0     1979     900
H100-PCIE        80   2000    756    1513       0     1513     128
H100-NVL         94   3900    835    1671       0     1671     600
H800             80   3350    989    1979       0     1979     400
H20              96   4000    148     296       0      296     900
H20-3E          141   4800    148     296       0      296     900
A100             80   2039    312       0       0      624     600
A100-40          40   1555    312       0       0      624     600
A100-PCIE        80   1935    312       0       0      624      64
A100-40-PCIE     40   1555    312       0       0      624      64
A800             80   2039    312       0       0      624     400
A40              48    696    150       0       0      299      64
A30              24    933    165       0       0      330      64
A10              24    600    125       0       0      250      64
A10G             24    600     70       0       0      140      64
A6000            48    768    155       0       0      310      64
L40S             48    864    362     733       0      733      64
L40              48    864    181     362       0      362      64
L20              48    864    119     239       0      239      64
L4               24    300    121     242       0      242      64
6000-ADA         48    960    364     728       0      728      64
PRO-6000         96   1792    500    1000    2000     1000     128
RTX-5090         32   1792    209     419    1676      838     128
RTX-5080         16    960    113     225     900      450     128
RTX-4090         24   1008    165     330       0      661      64
RTX-4080         16    717     98     195       0      390      64
RTX-3090         24    936     71       0       0      284      64
V100             32    900    125       0       0        0     300
V100-16          16    900    125       0       0        0     300
T4               16    320     65       0       0      130      32
MI355X          288   8000   2500    5000   10000     5000    1075
MI350X          288   8000   2300    4600    9200     4600    1075
MI325X          256   6000   1307    2615       0     2615     896
MI300X          192   5300   1307    2615       0     2615     896
MI250X          128   3277    383       0       0      383     800
"""


def known_gpus() -> tuple[str, ...]:
    """Names of all GPUs that have a sheet."""
    return tuple(_SHEETS)


def nearest_gpu(name: str) -> str | None:
    """The known GPU that a name without a sheet is most like; None: like none."""
    words = re.findall(r"[A-Z0-9]+", name.upper())
    close = (get_close_matches(word, _SHEETS, n=1, cutoff=0.7) for word in words)
    return next((found[0] for found in close if found), None)


def find_sheet(name: str) -> GpuSheet | None:
    """The sheet of a GPU, by a name as a driver library, Ray or a user writes it; None: none.

    ``NVIDIA H100 80GB HBM3``, ``H100``, ``h100_sxm`` and ``NVIDIA-H100-SXM5`` are the same. Where
    a name leaves several models open, the one with the most memory and bandwidth is taken.
    """
    words = _words(name)
    fitting = [known for known in _SHEETS if set(known.split("-")) <= words]
    if not fitting:
        return None
    return _SHEETS[max(fitting, key=lambda known: len(known.split("-")))]


def _words(name: str) -> frozenset[str]:
    parts = re.findall(r"[A-Z0-9]+", name.upper())
    words = {_word(part) for part in parts}
    # "RTX4090" and "GEFORCERTX4090" are written without a gap, too.
    glued = (re.fullmatch(r"(?:GEFORCE)?(RTX|TESLA)([A-Z]?\d\w*)", part) for part in parts)
    return frozenset(words.union(*(match.groups() for match in glued if match)))


def _word(part: str) -> str:
    """Sizes without their unit: ``40GB`` and ``40G`` are ``40``."""
    size = re.fullmatch(r"(\d{2,3})G(?:I?B)?", part)
    return size[1] if size else part


def _sheet(line: str) -> GpuSheet:
    name, *cells = line.split()
    memory, bandwidth, *compute, interconnect = map(float, cells)
    formats = zip(("bf16", "fp8", "fp4", "int8"), compute, strict=True)
    return GpuSheet(name, memory, bandwidth, {f: t for f, t in formats if t}, interconnect)


_SHEETS = {sheet.name: sheet for sheet in map(_sheet, _TABLE.strip().splitlines())}
