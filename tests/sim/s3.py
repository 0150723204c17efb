"""An S3 server over a real socket: moto's, with one user whose key and signature it checks."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import botocore.session
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "pictures"
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    ],
}


class S3Station:
    """One bucket, and one user who may write to it and do nothing else."""

    def __init__(self) -> None:
        self.fault: str | None = None  # the code that every write is answered with
        app = DomainDispatcherApplication(create_backend_app)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request else
        self._server = make_server("127.0.0.1", 0, self._before(app), threaded=True)
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._control("reset", b"")
        self._control("reset-auth", b"1000000")  # so many calls without any check: ours
        self._s3, iam = self._admin("s3"), self._admin("iam")
        self._s3.create_bucket(Bucket=BUCKET)
        iam.create_user(UserName="line3")
        iam.put_user_policy(UserName="line3", PolicyName="put", PolicyDocument=json.dumps(_POLICY))
        key = iam.create_access_key(UserName="line3")["AccessKey"]
        self.key_id, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        self._control("reset-auth", b"0")

    def let_anybody_in(self) -> None:
        """Keys and signatures are not checked any more."""
        self._control("reset-auth", b"1000000")

    def put(self, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        content: bytes = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def delete(self, key: str) -> None:
        self._s3.delete_object(Bucket=BUCKET, Key=key)

    def objects(self) -> dict[str, bytes]:
        """What lies in the bucket, by key."""
        self.let_anybody_in()
        listed = self._s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        found = {each["Key"]: self.get(each["Key"]) for each in listed}
        self._control("reset-auth", b"0")
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _before(self, app: Any) -> Callable[..., Iterable[bytes]]:
        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            if self.fault is not None and environ["REQUEST_METHOD"] == "PUT":
                start("503 no", [("Content-Type", "application/xml")])
                return [f"<Error><Code>{self.fault}</Code></Error>".encode()]
            answered: Iterable[bytes] = app(environ, start)
            return answered

        return answer

    def _control(self, what: str, body: bytes) -> None:
        plain = {"Content-Type": "text/plain"}
        urlopen(Request(f"{self.endpoint}/moto-api/{what}", body, plain, method="POST")).close()

    def _admin(self, service: str) -> Any:
        return botocore.session.Session().create_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id="admin",
            aws_secret_access_key="admin",
        )


@contextmanager
def s3_station() -> Iterator[S3Station]:
    """A server that listens."""
    station = S3Station()
    try:
        yield station
    finally:
        station.close()
