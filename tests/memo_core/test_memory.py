import subprocess
import sys

import numpy as np
import pytest
import torch

from memo_core.errors import ExhaustedError, MemoryExhaustedError
from memo_core.memory import memory_errors


def exhaust_torch():
    torch.empty(10**16)


def exhaust_numpy():
    np.empty(10**16)


def exhaust_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 2 GiB")


def exhaust_library():
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize(
    ("exhaust", "needed"),
    [
        (exhaust_torch, " (40000000000000000 bytes more needed)"),
        (exhaust_numpy, " (71.1 PiB more needed)"),
        (exhaust_gpu, " (1.50 GiB more needed)"),
        (exhaust_library, ""),
    ],
)
def test_every_way_to_run_out_of_memory_is_one_line(exhaust, needed):
    with pytest.raises(MemoryExhaustedError) as caught, memory_errors("in a test", "ask for less"):
        exhaust()
    assert str(caught.value) == f"out of memory in a test{needed}: ask for less"
    assert isinstance(caught.value, ExhaustedError)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), KeyError(1)])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, memory_errors("in a test", "ask for less"):
        raise error
    assert caught.value is error


FAULTS_OF_STEPS = """
import resource, sys
import torch
from memo_core.memory import keep_freed_memory, return_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def steps():
    before = faults()
    for _ in range(10):
        torch.ones(64, 1 << 18)
    return faults() - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

assert keep_freed_memory()
steps()
kept = resident()
print(steps(), kept)
return_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' memory is left alone")
def test_steps_find_the_memory_of_the_step_before_until_it_is_returned():
    done = subprocess.run([sys.executable, "-c", FAULTS_OF_STEPS], capture_output=True, text=True, check=True)
    faults, _, returned = map(int, done.stdout.split())
    pages = 64 * (1 << 18) * 4 // 4096
    assert faults < pages / 10
    assert returned > 0.9 * pages
