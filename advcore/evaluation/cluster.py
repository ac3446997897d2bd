"""Workers elsewhere: Dask's, on this machine or on many."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

AHEAD = 4  # tasks a worker has in hand or in its queue: it never waits, and little is lost with it
SECONDS_TO_CONNECT = 20.0
RETRIES = 5
ANY_PORT = "127.0.0.1:0"  # of the dashboard: Dask warns where its usual one is taken, and has no way to leave it out


@contextmanager
def connected(workers: int | None = None, scheduler: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield evaluate's arguments ``executor`` and ``ahead`` for a Dask cluster; none where none is asked for.

    Parameters
    ----------
    workers : int, optional
        Processes of a cluster on this machine that lives as long as the context.
    scheduler : str, optional
        Address of one that is there: tcp://host:8786. Workers may come and go.

    Raises
    ------
    ImportError
        If Dask is missing.
    OSError
        If the scheduler cannot be reached, or no worker comes.
    """
    if workers is None and scheduler is None:
        yield {}
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError("--workers and --scheduler need Dask: pip install 'advcore[dask]'") from error
    with _quiet():
        if scheduler is not None:
            with _client(scheduler) as client:
                yield _engine(client)
            return
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=ANY_PORT,
                silence_logs=logging.CRITICAL,
            ) as local,
            Client(local) as client,
        ):
            yield _engine(client)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log off the terminal: of a worker or scheduler that dies it shows tracebacks, the run says a line."""
    handlers = [(handler, handler.level) for handler in logging.getLogger("distributed").handlers]
    for handler, _ in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in handlers:
            handler.setLevel(level)


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    from distributed import Client

    _greet(scheduler)
    try:
        client = Client(scheduler, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise OSError(f"the scheduler {scheduler} cannot be reached: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
        except TimeoutError as error:
            raise OSError(f"the scheduler {scheduler} has no workers: start some with dask worker") from error
        yield client


def _greet(scheduler: str) -> None:
    """Connect once: Client's timeout does not end the wait for the answer of what is no scheduler."""
    from distributed.comm.core import connect
    from distributed.security import Security

    async def answer() -> None:
        options = Security().get_connection_args("client")
        comm = await asyncio.wait_for(connect(scheduler, **options), SECONDS_TO_CONNECT)
        comm.abort()

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
            thread.submit(asyncio.run, answer()).result()
    except TimeoutError as error:
        seconds = f"{SECONDS_TO_CONNECT:g} seconds"
        raise OSError(f"the scheduler {scheduler} cannot be reached: no answer of Dask within {seconds}") from error
    except Exception as error:  # whatever reading other answers as Dask's raises
        raise OSError(f"the scheduler {scheduler} cannot be reached: {error}") from error


def _engine(client: Any) -> dict[str, Any]:
    count = len(client.scheduler_info(n_workers=-1)["workers"])
    return {"executor": DaskExecutor(client), "ahead": AHEAD * max(count, 1)}


class DaskExecutor:
    """Dask's executor, and a place for what all tasks share: it is sent to each worker once."""

    def __init__(self, client: Any) -> None:
        self._client, self._executor = client, client.get_executor(retries=RETRIES, pure=False)

    def share(self, value: Any) -> Any:
        """Return what stands for a value in the arguments of tasks; made again where the worker that had it dies."""
        return self._client.submit(_same, value, pure=False, retries=RETRIES)

    def submit(self, function: Any, *arguments: Any) -> Any:
        """Return the concurrent.futures.Future of a task."""
        return self._executor.submit(function, *arguments)


def _same(value: Any) -> Any:
    return value
