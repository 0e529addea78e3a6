"""Published EDM snapshots, read safely, and EDM-named safetensors, written."""

from memo_core.interop.snapshot import Snapshot, load_snapshot, save_safetensors

__all__ = ["Snapshot", "load_snapshot", "save_safetensors"]
