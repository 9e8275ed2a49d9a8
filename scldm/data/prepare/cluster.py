"""Preparation beyond one machine: joblib's Dask backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scldm.core.errors import InputError


@contextmanager
def backend(scheduler: str | None) -> Iterator[None]:
    """Within: joblib's work goes to the workers of a Dask scheduler ("tcp://host:8786"), or
    without one to processes of this machine.

    Raises InputError where `distributed` is missing, or the scheduler does not answer.
    """
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        words = "--dask needs the package distributed: pip install 'scldm[cluster]'"
        raise InputError(words) from None
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout=20, set_as_default=True)
    except (OSError, ValueError) as error:
        raise InputError(f"--dask {scheduler}: no answer ({error}); start it by `dask scheduler` "
                         "and `dask worker` on each machine") from None
    with client, parallel_config(backend="dask"):
        yield
