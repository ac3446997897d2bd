"""The same bits from one process or several, with a worker killed and one that joins late."""

import json
import os
import signal
import socket
import threading
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
from click.testing import CliRunner

import advcore
from advcore.cli import main
from advcore.evaluation import cluster, document
from advcore.evaluation.rows import TIMES

OPTIONS = {"attacks": [("pgd", {"steps": 5}), ("square", {"steps": 20})], "chunk_size": 4, "checks": False}


def evaluate(model, x, y, **options):
    return advcore.evaluate(model, x[:24], y[:24], norm="linf", eps=[0.05, 0.1], **OPTIONS, **options)


def results(report):
    """Everything but times."""
    rows = [{k: v for k, v in vars(row).items() if k not in TIMES} for row in report.rows]
    return json.dumps([rows, document.without_times(report.results)])


@pytest.fixture(scope="module")
def alone(plain, x, y):
    return results(evaluate(plain, x, y))


def test_threads_of_an_executor(plain, x, y, alone):
    with ThreadPoolExecutor(2) as executor:
        assert results(evaluate(plain, x, y, executor=executor, ahead=3)) == alone


def test_processes(plain, x, y, alone):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert results(evaluate(plain, x, y, executor=executor)) == alone


def test_an_object_does_not_travel(x, y):
    options = OPTIONS | {"attacks": [("square", {"steps": 20})]}
    with ThreadPoolExecutor(1) as executor, pytest.raises(TypeError, match="to be run by an executor"):
        advcore.evaluate(
            lambda x: x.reshape(len(x), -1)[:, :10], x, y, norm="linf", eps=0.1, answers="logits", executor=executor,
            **options,
        )  # fmt: skip


@pytest.fixture(scope="module")
def local():
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_dask_with_a_worker_killed_and_a_late_joiner(plain, x, y, alone, local):
    with cluster.connected(scheduler=local.scheduler_address) as engine:
        tasks = []

        def disturb(done, known):
            tasks.append(done)
            if len(tasks) == 10:
                local.scale(2)
            if len(tasks) == 20:
                worker = next(iter(local.workers.values()))
                os.kill(worker.pid, signal.SIGKILL)

        report = evaluate(plain, x, y, progress=disturb, **engine)
        assert results(report) == alone
        assert len(tasks) > 20


@pytest.mark.filterwarnings("ignore")
def test_dask_by_the_command(plain, x, y, tmp_path, local):
    import numpy as np

    plain.save(tmp_path / "model.safetensors")
    np.savez(tmp_path / "data.npz", x=x[:8], y=y[:8])
    arguments = ("evaluate", tmp_path / "model.safetensors", "--data", tmp_path / "data.npz", "--eps", "0.1")
    more = (
        "--attacks",
        "pgd:steps=2",
        "--checks",
        "none",
        "--output",
        tmp_path / "out",
        "--scheduler",
        local.scheduler_address,
    )
    result = CliRunner().invoke(main, [str(argument) for argument in (*arguments, *more)])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "results.json").read_text())["complete"]


class KilledWorker(Exception):  # noqa: N818 - Dask's name
    pass


class Broken(ThreadPoolExecutor):
    """Does the tasks but the 14th, which fails in a way that is not the model's."""

    def __init__(self, error):
        super().__init__(1)
        self.error, self.tasks = error, 0

    def submit(self, function, *arguments):
        self.tasks += 1
        return super().submit(self._fail) if self.tasks == 14 else super().submit(function, *arguments)

    def _fail(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KilledWorker("a page of advice"), "every one that tried died: does the model end its process"),
        (CancelledError(), "the scheduler is gone"),
        (RuntimeError("this worker\nhas few instruction sets"), "RuntimeError: this worker has few instruction sets"),
    ],
)
def test_what_workers_fail_at_is_named_and_the_run_goes_on(plain, x, y, alone, tmp_path, error, reason):
    with (
        Broken(error) as executor,
        pytest.raises(
            OSError, match=rf"the workers did not do pgd at eps 0\.05 on samples [0-9]+ to 7: {reason}.*goes on"
        ),
    ):
        evaluate(plain, x, y, executor=executor, ahead=1, output=tmp_path)
    assert results(evaluate(plain, x, y, output=tmp_path)) == alone


def test_a_scheduler_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 0.5)
    with (
        pytest.raises(OSError, match=r"scheduler tcp://127\.0\.0\.1:1 cannot be reached"),
        cluster.connected(scheduler="tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n" * 10])
def test_an_address_that_is_not_dasks(monkeypatch, answer):
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 0.5)
    asked = []

    def serve():
        asked.append(server.accept()[0])
        asked[0].sendall(answer)  # and stays open, silent

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=serve).start()
        with pytest.raises(OSError, match=rf"scheduler {address} cannot be reached"):
            cluster.connected(scheduler=address).__enter__()
    asked[0].close()


def test_a_worker_of_another_level_is_capped_or_refused(plain, x, y, monkeypatch):
    from advcore import _core
    from advcore.evaluation import work

    monkeypatch.setattr(_core, "level", lambda: "avx512")
    monkeypatch.setattr(_core, "available_levels", lambda: ["baseline", "avx2", "avx512"])
    capped = []
    monkeypatch.setattr(_core, "_set_level", capped.append)
    setup = work.Setup(None, "linf", (0.0, 1.0), 0, None, False, 10, 1, "avx2")
    work._prepare(setup)
    assert capped == ["avx2"]
    with pytest.raises(RuntimeError, match="ADVCORE_ISA=avx512"):
        work._prepare(work.Setup(None, "linf", (0.0, 1.0), 0, None, False, 10, 1, "neon"))
