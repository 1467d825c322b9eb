"""A receiver of Alertmanager's webhooks for one machine: prints each notification as a line of JSON.

python3 deploy/local/webhook_sink.py [PORT]    on 127.0.0.1; without a port, a free one. The first line names the address.
"""

import http.server
import json
import sys


class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        print(json.dumps({"path": self.path, "notification": json.loads(body)}), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Sink)
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
