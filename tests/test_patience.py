"""What can wait is done at low priority, and never outlives or holds up whoever asked for it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st

from pipeline.held import Held, Known
from pipeline.patience import LATER, PatientThreads
from pipeline.patient_process import PatientProcess


def nice_of(what: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, what)


def pid_and_nice(_: None) -> tuple[int, int]:
    return os.getpid(), nice_of(0)


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def die(_: None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_patient_process_is_one_and_behind_us() -> None:
    process: PatientProcess[None, tuple[int, int]] = PatientProcess(pid_and_nice)
    try:
        first, second = process.ask(None), process.ask(None)
    finally:
        process.close()
    assert first == second
    assert first[1] > nice_of(0)
    assert not psutil.pid_exists(first[0])


def test_a_process_that_died_is_told_and_another_takes_its_place() -> None:
    process: PatientProcess[None, None] = PatientProcess(die)
    try:
        for _ in range(2):
            with pytest.raises((EOFError, OSError)):
                process.ask(None)
    finally:
        process.close()


def test_a_process_at_work_is_not_waited_for() -> None:
    process: PatientProcess[float, float] = PatientProcess(sleep)
    process.ask(0.0)
    told: list[type[BaseException]] = []

    def ask() -> None:
        try:
            process.ask(1000.0)
        except (EOFError, OSError) as error:
            told.append(type(error))

    asking = threading.Thread(target=ask)
    asking.start()
    while not process.busy:
        time.sleep(0.01)
    process.close()
    asking.join(60)
    assert len(told) == 1


def test_a_process_ends_with_whoever_asks_however_that_ends() -> None:
    asking = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; sys.path.insert(0, 'tests')\n"
            "from test_patience import PatientProcess, pid_and_nice\n"
            "if __name__ == '__main__':\n"
            "    process = PatientProcess(pid_and_nice)\n"
            "    print(process.ask(None)[0], flush=True)\n"
            "    time.sleep(1000)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert asking.stdout is not None
    patient = psutil.Process(int(asking.stdout.readline()))
    asking.kill()
    asking.wait()
    asking.stdout.close()
    patient.wait(60)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux only")
def test_tasks_that_can_wait_run_on_threads_behind_the_others() -> None:
    async def run() -> tuple[int, int]:
        async with (
            LocalCluster(n_workers=1, processes=True, dashboard_address=None, asynchronous=True) as cluster,
            Client(cluster, asynchronous=True, set_as_default=False) as client,
        ):
            await client.register_plugin(PatientThreads())
            from dask.base import annotate

            def of_thread() -> int:
                return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

            at_once = client.submit(of_thread, pure=False)
            with annotate(executor=LATER):
                later = client.submit(of_thread, pure=False)
            return await at_once, await later

    at_once, later = asyncio.run(run())
    assert later > at_once


def test_a_closed_process_is_not_started_again() -> None:
    process: PatientProcess[None, tuple[int, int]] = PatientProcess(pid_and_nice)
    process.close()
    with pytest.raises(EOFError):
        process.ask(None)


def test_tables_are_held_until_they_are_taken_or_there_is_no_room() -> None:
    held: Held[str] = Held(max_bytes=10)
    held.keep(1, "one", 4)
    held.keep(2, "two", 4)
    assert held.take(1) == "one"
    assert held.take(1) is None
    held.keep(3, "three", 6)
    held.keep(3, "again", 6)
    assert held.take(2) == "two"
    held.keep(4, "four", 5)
    assert held.take(3) is None
    held.clear()
    assert held.take(4) is None


def test_what_is_looked_at_stays_held() -> None:
    held: Held[str] = Held(100)
    held.keep("a", "tables", 10)
    assert (held.look("a"), held.look("b")) == ("tables", None)
    assert (held.take("a"), held.look("a")) == ("tables", None)


@given(st.lists(st.lists(st.integers(0, 40), max_size=20), max_size=8))
def test_whoever_was_told_of_is_known(told: list[list[int]]) -> None:
    known, expected = Known(1000), set[int]()
    for some in told:
        known.add("run", np.unique(np.array(some, np.uint64)))
        expected |= set(some)
        everybody = np.arange(41, dtype=np.uint64)
        assert known.holds("run", everybody).tolist() == [number in expected for number in range(41)]
    assert not known.holds("another run", np.arange(41, dtype=np.uint64)).any()


def test_nobody_is_known_to_two_runs_or_beyond_the_bound() -> None:
    known = Known(3)
    known.add("first", np.array([1, 2], np.uint64))
    known.add("second", np.array([2, 3], np.uint64))
    assert known.holds("second", np.array([1, 2, 3], np.uint64)).tolist() == [False, True, True]
    known.add("second", np.array([4, 5], np.uint64))
    assert known.holds("second", np.array([2, 3, 4, 5], np.uint64)).tolist() == [False, False, True, True]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux has them")
def test_a_local_cluster_ends_with_whoever_started_it() -> None:
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline().startswith("tcp://127.0.0.1:")
        processes = psutil.Process(driver.pid).children(recursive=True)
        assert sum("--multiprocessing-fork" in process.cmdline() for process in processes) >= 1
        # As a terminal's Ctrl-C and `systemctl stop` would: it is for the driver to end it.
        for process in processes:
            if "pipeline.local_cluster" in process.cmdline():
                process.send_signal(signal.SIGINT)
                process.send_signal(signal.SIGTERM)
        driver.send_signal(signal.SIGUSR1)
        assert driver.stdout.readline().strip() == "1 worker"
        driver.kill()
        driver.wait()
        assert psutil.wait_procs(processes, timeout=30)[1] == []
    finally:
        driver.kill()
        driver.wait()


_DRIVER = """
import asyncio, signal
from pipeline import cluster
from pipeline.workspace import Cluster


async def main():
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    async with cluster.connect(Cluster(workers=1), "") as client:
        print(client.scheduler.address, flush=True)
        await asked.wait()
        print(len(await client.nthreads()), "worker", flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
"""
