"""What a trial asks of the process that it runs in."""

import ctypes
import resource
from pathlib import Path

import pytest
import torch

from registry.dxa.training.compute import keep_freed_memory

BLOCK_BYTES = 192 * 2**20

glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")


def pages_taken(action):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    action()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def take_and_free():
    torch.ones(BLOCK_BYTES // 4)


@glibc
def test_what_a_step_frees_is_there_for_the_next_one():
    keep_freed_memory()
    for _ in range(5):  # where the heap cannot grow in place, it takes a block or two more until one fits
        take_and_free()
    assert pages_taken(take_and_free) < 0.01 * BLOCK_BYTES / resource.getpagesize()


@glibc
def test_what_a_trial_left_free_goes_back_to_the_system_before_the_next_one():
    keep_freed_memory()
    take_and_free()
    full = resident_bytes()
    keep_freed_memory()
    assert resident_bytes() < full - 0.9 * BLOCK_BYTES


def test_a_c_library_without_these_functions_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()
