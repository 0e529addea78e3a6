import pytest

from memo_core.model import precision
from memo_core.model.precision import emulation_note, has_bfloat16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx2": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"neon": True, "bf16": True}, True),
        ({"neon": True, "bf16": False}, False),
        ({"cpu_name": "unknown", "num_sockets": 1}, None),
        ({}, None),
    ],
)
def test_a_processor_has_bfloat16_where_one_of_its_instructions_is_for_it(capabilities, expected):
    assert has_bfloat16(capabilities) is expected


def test_a_version_of_pytorch_that_does_not_say_is_no_reason_to_warn(monkeypatch):
    monkeypatch.delattr("torch.cpu.get_capabilities", raising=False)
    assert has_bfloat16() is None
    assert emulation_note("bfloat16", "cpu") is None


@pytest.mark.parametrize(
    ("asked", "device", "native", "warns"),
    [
        ("bfloat16", "cpu", False, True),
        ("bfloat16", "cpu", True, False),
        ("bfloat16", "cuda", False, False),
        ("float32", "cpu", False, False),
    ],
)
def test_only_bfloat16_that_the_processor_emulates_is_warned_of(asked, device, native, warns, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: native)
    note = emulation_note(asked, device)
    assert (note is not None) == warns
    assert note is None or note.startswith("training.precision = bfloat16: this processor has no instructions for it")
