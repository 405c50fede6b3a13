"""A proxy with faults on order: what stands in its list happens to the next requests, one after the other."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP = {"connection", "transfer-encoding", "keep-alive"}


class FaultyProxy:
    """Passes requests on to `url`.

    `faults` takes: an int, the status of an answer of its own with `retry-after-ms`; "lost", the server does what it is asked and its
    answer is thrown away; "cut:N", the connection breaks after N bytes of the answer's body; "flipped", its first byte is another.
    """

    def __init__(self, url: str, retry_after_ms: int = 150) -> None:
        self.faults: list[int | str] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        host, port = url.removeprefix("http://").split(":")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                proxy.requests.append((self.command, self.path, headers))
                body = (
                    self.rfile.read(int(headers.get("content-length", 0)))
                    if "content-length" in headers
                    else self.chunks(headers)
                )
                fault = proxy.faults.pop(0) if proxy.faults else None
                if isinstance(fault, int):
                    self.send_response(fault)
                    self.send_header("retry-after-ms", str(retry_after_ms))
                    self.end_headers()
                    return
                with closing(http.client.HTTPConnection(host, int(port))) as server:
                    server.request(self.command, self.path, body, {k: v for k, v in headers.items() if k not in HOP})
                    answer = server.getresponse()
                    if fault == "lost":
                        answer.read()
                        self.connection.shutdown(socket.SHUT_RDWR)
                    else:
                        self.relay(answer, int(fault[4:]) if fault and fault != "flipped" else None, fault == "flipped")

            do_GET = do_POST = do_DELETE = do

            def chunks(self, headers: dict[str, str]) -> bytes:
                body = b""
                while "transfer-encoding" in headers and (size := int(self.rfile.readline(), 16)):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                return body

            def relay(self, answer: http.client.HTTPResponse, left: int | None, flipped: bool) -> None:
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.end_headers()
                while piece := answer.read1(65536):
                    if flipped:
                        piece, flipped = bytes([piece[0] ^ 1]) + piece[1:], False
                    try:
                        self.wfile.write(piece if left is None else piece[:left])
                        self.wfile.flush()
                    except OSError:
                        return
                    left = None if left is None else left - len(piece)
                    if left is not None and left <= 0:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
