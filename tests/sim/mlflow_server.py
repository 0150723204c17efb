"""MLflow's own server, from a Python that has it: EDGE_DAEMON_MLFLOW_PYTHON names one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PYTHON = os.environ.get("EDGE_DAEMON_MLFLOW_PYTHON", "")
MODEL = "bottle-model"

_REGISTER = """
import sys, mlflow
from mlflow.entities import Dataset, DatasetInput
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_artifacts(sys.argv[2], "bundle")
    client.log_inputs(run.info.run_id, [DatasetInput(Dataset("line3-2026-10", "9f", "local", "."))])
try:
    client.create_registered_model(sys.argv[3])
except mlflow.exceptions.MlflowException:
    pass  # it is there
source = f"{run.info.artifact_uri}/bundle"
made = client.create_model_version(sys.argv[3], source, run.info.run_id)
client.set_registered_model_alias(sys.argv[3], "champion", made.version)
print(run.info.artifact_uri)
"""


def is_installed() -> bool:
    return bool(PYTHON and shutil.which(PYTHON))


@dataclass(frozen=True)
class MlflowServer:
    """A server that works in `folder`."""

    url: str
    folder: Path

    def register(self, bundle: Path) -> str:
        """Log a bundle with MLflow's own client, and move the alias `champion` to it; where below
        its artifacts the server keeps the bundle's files."""
        command = [PYTHON, "-c", _REGISTER, self.url, str(bundle), MODEL]
        made = subprocess.run(
            command, check=True, env=_environment(), cwd=self.folder, stdout=subprocess.PIPE
        )
        uri = made.stdout.decode().split()[-1]
        return f"{uri.removeprefix('mlflow-artifacts:/').lstrip('/')}/bundle"


@contextmanager
def running(folder: Path, kept: str, **environment: str) -> Iterator[MlflowServer]:
    """The server; `kept` is the folder or the address of a bucket where it has its artifacts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    command = [PYTHON, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", kept]
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={**_environment(), **environment},
            cwd=folder,
            start_new_session=True,
        )
    try:
        _await(f"http://127.0.0.1:{port}/health")
        yield MlflowServer(f"http://127.0.0.1:{port}", folder)
    finally:
        os.killpg(server.pid, 15)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # it waits for whoever was killed in the middle
            os.killpg(server.pid, 9)
            server.wait(20)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def _await(url: str) -> None:
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        with suppress(URLError, ConnectionError), urlopen(url):
            return
        time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer")
