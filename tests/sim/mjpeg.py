"""An HTTP camera (MJPEG) that a test can unplug."""

from __future__ import annotations

import contextlib
import socket
import threading

import cv2
import numpy as np

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
PICTURES = 40


class MjpegCamera:
    """Plays a short scene for ever, `fps` pictures a second, to whoever connects."""

    def __init__(self, fps: float = 30.0) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/video"
        self._fps = fps
        self._pictures = [_picture(number) for number in range(PICTURES)]
        self._is_plugged = threading.Event()
        self._is_plugged.set()
        self._closing = threading.Event()
        self._watching: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def unplug(self) -> None:
        """Every stream ends, and nobody is let in."""
        self._is_plugged.clear()
        for sock in tuple(self._watching):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def plug(self) -> None:
        self._is_plugged.set()

    def close(self) -> None:
        self._closing.set()
        self.unplug()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                if not self._is_plugged.is_set():
                    sock.close()
                    continue
                self._watching.append(sock)
                threading.Thread(target=self._play, args=(sock,), daemon=True).start()

    def _play(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.recv(4096)
            sock.sendall(HEAD)
            number = 0
            while not self._closing.wait(1 / self._fps) and self._is_plugged.is_set():
                picture = self._pictures[number % PICTURES]
                head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                sock.sendall(head.encode() + picture + b"\r\n")
                number += 1
        self._watching.remove(sock)


def _picture(number: int) -> bytes:
    pixels = np.full((120, 160, 3), 60, np.uint8)
    pixels[:, number * 4 : number * 4 + 8] = 220
    done, jpeg = cv2.imencode(".jpg", pixels)
    assert done
    return bytes(jpeg)
