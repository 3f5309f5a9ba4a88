"""A stand-in for the Python interpreter that has imported what is slow to import.

Snakemake, pandas, torch and transformers take up to ten seconds of processor time to import, in
each process of a run, and none of it is of ours. `interpreter()` starts one process that imports
them once and then runs `-m MODULE`, `-c PROGRAM` or a script in forks of itself; it gives a
program that is called like Python and has this done. Our own package is imported anew each time.

What it does not show: that a job starts in a fresh process. The run of `finished`, and the tests
of kills, of other packages on the path and of Slurm start Python itself.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import types
from importlib import import_module
from pathlib import Path

IMPORTED = [
    *("snakemake.cli", "pandas", "pyarrow.parquet", "pydantic", "numba", "soundfile", "jinja2"),
    *("scipy.optimize", "scipy.stats", "sklearn.linear_model", "sklearn.svm", "sklearn.metrics"),
    *("matplotlib.figure", "torch._dynamo", "transformers.modeling_utils"),
    *("transformers.models.auto.modeling_auto", "transformers.models.bert.modeling_bert"),
]
CLIENT = """#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
socket.send_fds(connection, [b"."], [0, 1, 2])
request = [sys.argv[1:], os.getcwd(), dict(os.environ)]
connection.sendall(json.dumps(request).encode() + b"\\n")
sys.exit(int(connection.makefile().readline()))
"""


@functools.cache
def interpreter() -> str:
    """The path of a program like Python; its server ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    # One thread until a job asks for more: threads that are there already survive no fork.
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, __file__, str(folder)],
        env=os.environ | one_thread | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
    )
    assert server.stdout.readline() == b"ready\n"
    return str(folder / "python")


class _Request(socketserver.BaseRequestHandler):
    """What one call of the program asks for, in a fork of the server."""

    def handle(self) -> None:
        _, streams, *_ = socket.recv_fds(self.request, 1, 3)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        arguments, folder, environment = json.loads(self.request.makefile().readline())
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        code = _exit_code(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        self.request.sendall(f"{code}\n".encode())


def _exit_code(arguments: list[str]) -> int:
    try:
        _run(*arguments)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _run(first: str, *others: str) -> None:
    if first == "-m":
        # What it starts in its turn is started here, too.
        sys.executable = str(Path(_Server.folder, "python"))
        sys.path.insert(0, os.getcwd())
        sys.argv = list(others)
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
        return
    is_program = first == "-c"
    name, source = ("<string>", others[0]) if is_program else (first, Path(first).read_text())
    sys.argv = ["-c", *others[1:]] if is_program else [first, *others]
    sys.path.insert(0, "" if is_program else os.path.dirname(first))
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = name
    from threadpoolctl import threadpool_limits

    with threadpool_limits(int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))):
        exec(compile(source, name, "exec"), vars(module))


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 1000
    folder = ""
    parent = os.getppid()

    def service_actions(self) -> None:
        """Called again and again."""
        super().service_actions()
        if os.getppid() != self.parent:
            shutil.rmtree(self.folder)
            sys.exit()


def _serve(folder: str) -> None:
    del sys.path[0]  # the folder of this file
    for name in IMPORTED:
        import_module(name)
    _Server.folder = folder
    address = f"{folder}/socket"
    client = Path(folder, "python")
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    with _Server(address, _Request) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
