"""A live page of runs, on this machine alone: it is built from the files of the runs whenever the
browser asks for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.report.live import live
from jepa_lab.report.templates import render

HERE = "127.0.0.1"
NAMES = (HERE, "localhost")  # in a request's Host: no other site may ask by a name of its own


def server(folders: Sequence[Path], port: int) -> ThreadingHTTPServer:
    """Returns a server of the page on a port of this machine, 0 for any free one. Raises UserError
    if a folder does not exist or the port is taken."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; pass one that contains runs, e.g. runs/")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Host", "").rpartition(":")[0] not in NAMES:
                self.send_error(403)
            elif self.path == "/":
                title = ", ".join(map(str, folders))
                self._send("text/html", render("live.html", title=title, tone="note", verdict=""))
            elif self.path == "/runs.json":
                content = finite_or_null(live(folders).to_dict())
                self._send("application/json", json.dumps(content, allow_nan=False))
            else:
                self.send_error(404)

        def _send(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Writes no line for every request."""

    try:
        return ThreadingHTTPServer((HERE, port), Handler)
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror or error}") from None


def serve(folders: Sequence[Path], port: int) -> None:
    """Serves the page until Ctrl-C."""
    with server(folders, port) as running:
        print(f"http://{HERE}:{running.server_address[1]}/  (Ctrl-C ends it)", flush=True)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
