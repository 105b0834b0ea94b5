"""Stands before the operator API and breaks `GET /api/v1/groups` on purpose, in one way.

    badproxy.py URL HOW      prints its own URL on the first line, then serves until it is killed
"""

import http.client
import http.server
import json
import os
import sys
import urllib.parse

UPSTREAM, HOW = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
KEPT = ("content-type", "x-request-id", "allow", "www-authenticate")


class Broken(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "authorization")}
        hit = self.command == "GET" and self.path.partition("?")[0] == "/api/v1/groups"
        path = self.path
        if hit and HOW == "accepts-all":
            path = path.partition("?")[0]
        if hit and HOW == "no-token":
            headers["Authorization"] = "Bearer " + os.environ["DOORWARD_TOKEN"]
        upstream = http.client.HTTPConnection(UPSTREAM.hostname, UPSTREAM.port, timeout=30)
        upstream.request(self.command, path, body or None, headers)
        answer = upstream.getresponse()
        status, text = answer.status, answer.read()
        told = {name.lower(): value for name, value in answer.headers.items() if name.lower() in KEPT}
        if hit and status == 200:
            status, text = self.break_it(status, text, told)
        self.send_response(status)
        for name, value in told.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def break_it(self, status: int, text: bytes, told: dict) -> tuple[int, bytes]:
        answer = json.loads(text)
        match HOW:
            case "member-missing":
                del answer["total"]
            case "member-more":
                answer["secret"] = 1
            case "server-error":
                status = 500
            case "status":
                status = 206
            case "form":
                told["content-type"] = "text/html"
            case "refuses-all":
                status = 400
        return status, json.dumps(answer).encode()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = forward

    def log_message(self, *_) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
