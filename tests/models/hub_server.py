"""A server of this machine that speaks enough of the hub's protocol."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Files of one repository at one commit, and their list."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        server = self.server
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.requests.append((self.command, self.path, headers))
        content = server.files.get(self.path.removeprefix(f"/me/mine/resolve/{COMMIT}/"))
        if self.path.startswith("/api/models/me/mine/revision/main"):
            content = self.listing()
        if content is None or server.status != 200:
            self.send_response(404 if content is None else server.status)
            self.send_header("X-Error-Code", "EntryNotFound" if content is None else "")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        sent = content[start:]
        if body and server.short:
            sent = sent[: len(sent) // 2]
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if body and server.cuts:
            server.cuts -= 1
            self.wfile.write(sent[: len(sent) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(sent)

    def listing(self):
        """The hub's answer about the repository: hashes of large files only, perhaps wrong ones."""
        siblings: list[dict] = []
        for name, content in self.server.files.items():
            announced = getattr(content, "announced", None) or git_hash(content)
            known = {"rfilename": name, "size": len(content), "blobId": announced}
            if not name.endswith((".json", ".txt")):
                digest = self.server.announced.get(name) or hashlib.sha256(content).hexdigest()
                known["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 134}
            siblings.append(known)
        facts = {"id": "me/mine", "modelId": "me/mine", "sha": COMMIT, "siblings": siblings}
        return json.dumps(facts).encode()


@contextmanager
def hub_server(files):
    """A server of this machine; what it is asked, and how it fails, are its attributes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.announced = dict(files), [], {}
    server.status, server.short, server.cuts = 200, False, 0
    server.url = f"http://127.0.0.1:{server.server_port}"
    # a quick poll: the server is asked to stop after each test
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
