"""Published EDM snapshots, read safely, and EDM-named safetensors, written."""

from memo_core.interop.snapshot import FineTunedError, Snapshot, load_snapshot, save_safetensors

__all__ = ["FineTunedError", "Snapshot", "load_snapshot", "save_safetensors"]
