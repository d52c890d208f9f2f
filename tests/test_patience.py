"""What can wait is done at low priority, and never outlives or holds up whoever asked for it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from distributed import Client, LocalCluster

from pipeline.held import Held
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
