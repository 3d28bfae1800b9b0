"""Weights from a hub: cached, reachable, or an error within seconds.

The hub's own client retries an unreachable server for half a minute and prints each failure;
here one short request decides.
"""

from __future__ import annotations

import urllib.error
import urllib.request

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

CONNECT_SECONDS = 3.0
FILES = ("model.safetensors", "pytorch_model.bin")


def problem(repository: str, revision: str | None = None) -> str | None:
    """Why the weights of a repository cannot be loaded, and what to do; None if they can be."""
    if _cached(repository, revision) is not None:
        return None
    reason = unreachable(constants.ENDPOINT)
    if reason is None:
        return None
    return (
        f"{repository!r} is not in the cache ({constants.HF_HUB_CACHE}) and the hub cannot be "
        f"reached ({reason}). Set HF_HOME to a cache that contains it, or run once with internet "
        "access"
    )


def weights_file(repository: str) -> str:
    """Path of the weights of a repository, downloaded if they are not cached.

    Raises:
        ValueError: the weights do not exist, or are neither cached nor reachable.
    """
    cached = _cached(repository, None)
    if cached is not None:
        return cached
    trouble = problem(repository)
    if trouble is not None:
        raise ValueError(trouble)
    try:
        return hf_hub_download(repository, FILES[0])
    except Exception as error:
        raise ValueError(f"{repository!r} has no {FILES[0]} on the hub: {error}") from None


def unreachable(address: str) -> str | None:
    """Why a web address does not respond within `CONNECT_SECONDS`; None if it does."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    request = urllib.request.Request(address, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        return None
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None


def _cached(repository: str, revision: str | None) -> str | None:
    for filename in FILES:
        path = try_to_load_from_cache(repository, filename, constants.HF_HUB_CACHE, revision)
        if isinstance(path, str):
            return path
    return None
