"""A token introspection service (RFC 7662) for Dovecot's oauth2 passdb."""

import http.server
import json
import threading
import urllib.parse


class Tokens:
    """t = Tokens(bench, {'token': 'ann'}); t.url"""

    def __init__(self, bench, tokens):
        self.asked = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                form = urllib.parse.parse_qs(self.rfile.read(size).decode())
                token = form.get("token", [""])[0]
                outer.asked.append(token)
                answer = {"active": token in tokens, "username": tokens.get(token, "")}
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        port = bench.port()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = "http://127.0.0.1:%d/introspect" % port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        bench.add(self)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
