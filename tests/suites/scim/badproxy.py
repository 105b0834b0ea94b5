"""Stands before a SCIM server and is broken on purpose: PATCH is answered and does nothing.

    badproxy.py URL       prints its own URL on the first line, then serves until it is killed
"""

import http.server
import sys
import urllib.error
import urllib.request

UPSTREAM = sys.argv[1].rstrip("/")
KEPT = ("content-type", "authorization", "if-match", "if-none-match")


class Broken(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        method = self.command
        if method == "PATCH":
            method, body = "GET", b""
        headers = {name: value for name, value in self.headers.items() if name.lower() in KEPT}
        request = urllib.request.Request(UPSTREAM + self.path, data=body or None, headers=headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Location", "ETag"):
                if answer.headers.get(name):
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def log_message(self, *_) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
