"""Ends the process at a named point, once: loaded by every Python process that has this directory on its path.

``FAULTS_CRASH`` says where, as ``MODULE:FUNCTION:before|after:CALL:MARK``: at that call of the function the
process that is the first to make the file ``MARK`` ends as if killed. ``FAULTS_SET`` gives constants other
values, as ``MODULE:NAME:INTEGER,...``, so that what is rare comes sooner. The product knows nothing of it.
"""

import functools
import importlib.abc
import importlib.machinery
import inspect
import os
import sys


class _Finder(importlib.abc.MetaPathFinder):
    """Finds some modules as all others would, and changes them once they were executed."""

    def __init__(self):
        self.changes = {}

    def find_spec(self, name, path=None, target=None):
        if name not in self.changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            for change in self.changes[name]:
                change(module)

        spec.loader.exec_module = exec_module
        return spec


_finder = _Finder()
sys.meta_path.insert(0, _finder)


def _crash(mark):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os._exit(137)


def _armed(function, when, call, mark):
    calls = 0

    def due():
        nonlocal calls
        calls += 1
        return calls == call

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*arguments, **options):
            now = due()
            if now and when == "before":
                _crash(mark)
            result = await function(*arguments, **options)
            if now and when == "after":
                _crash(mark)
            return result

    else:

        @functools.wraps(function)
        def wrapper(*arguments, **options):
            now = due()
            if now and when == "before":
                _crash(mark)
            result = function(*arguments, **options)
            if now and when == "after":
                _crash(mark)
            return result

    return wrapper


def _install(where):
    module, function, when, call, mark = where.split(":", 4)
    *owner, name = function.split(".")

    def arm(loaded):
        holder = functools.reduce(getattr, owner, loaded)
        setattr(holder, name, _armed(getattr(holder, name), when, int(call), mark))

    _finder.changes.setdefault(module, []).append(arm)


if "FAULTS_CRASH" in os.environ:
    _install(os.environ["FAULTS_CRASH"])


def _set(where):
    module, name, value = where.split(":")
    _finder.changes.setdefault(module, []).append(lambda loaded: setattr(loaded, name, int(value)))


for each in filter(None, os.environ.get("FAULTS_SET", "").split(",")):
    _set(each)
