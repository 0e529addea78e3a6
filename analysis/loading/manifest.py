"""`sweep.json`: what a sweep was asked for, read as far as it makes sense."""

import json
from collections.abc import Mapping
from typing import Any

MANIFEST_FILE = "sweep.json"


def parse_manifest(content: bytes | OSError) -> tuple[dict[str, Any], list[str]]:
    """What a `sweep.json` says, without its trials.

    Args:
        content: the file, or why it cannot be read.

    Returns:
        Its entries, without those that are not what they should be; and what could not be read, in words.
    """
    if isinstance(content, OSError):
        return {}, [f"{MANIFEST_FILE} cannot be read ({content})"]
    try:
        manifest = json.loads(content)
    except ValueError:
        return {}, [f"{MANIFEST_FILE} is cut short or no JSON, so what was run is not known"]
    if not isinstance(manifest, dict):
        return {}, [f"{MANIFEST_FILE} holds no settings, so what was run is not known"]
    problems = []
    if "trials" in manifest and not isinstance(manifest["trials"], list):
        problems.append(f"trials in {MANIFEST_FILE} are no list")
    if "resources" in manifest and not _are_amounts(manifest["resources"]):
        problems.append(f"resources in {MANIFEST_FILE} are no numbers")
        del manifest["resources"]
    return {key: value for key, value in manifest.items() if key != "trials"}, problems


def _are_amounts(resources: Any) -> bool:
    return isinstance(resources, Mapping) and all(
        isinstance(amount, int | float) and not isinstance(amount, bool) for amount in resources.values()
    )
