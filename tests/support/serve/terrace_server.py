"""A `terrace serve` for tests: started on a free port of loopback, ended with the block. Only Python's own library."""
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

TERRACE = os.environ["TERRACE"]
MODEL = os.environ.get("TERRACE_TEST_MODEL", "")
START_SECONDS = 60


class Server:
    def __init__(self, *settings, ranks=1, prefix=()):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="terrace_serve.", suffix=".log")
        command = [*prefix, *(["mpirun", "-n", str(ranks)] if ranks > 1 else []), TERRACE, "serve", MODEL, "--progress", "none"]
        for setting in ("server.port=0", "cache.device=256MiB", *settings):
            command += ["--set", setting]
        self.process = subprocess.Popen(command, stderr=self.log, stdout=subprocess.DEVNULL, start_new_session=True)
        self.port = None

    def wait(self):
        """Until it serves."""
        self.wait_for_line(r"serving on https?://[^:]+:(\d+)")
        self.port = int(re.search(r"serving on https?://[^:]+:(\d+)", self.text())[1])
        return self

    def wait_for_line(self, pattern, seconds=START_SECONDS):
        until = time.monotonic() + seconds
        while not re.search(pattern, self.text()):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no line like {pattern}; exit {self.process.poll()}:\n{self.text()}")
            time.sleep(0.02)

    def text(self):
        with open(self.log.name) as log:
            return log.read()

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, body, headers); a dict is sent as JSON."""
        connection = self.connect(timeout)
        if isinstance(body, dict):
            body = json.dumps(body)
        connection.request(method, path, body, {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data, dict(response.getheaders())

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        status, data, _ = self.request("POST", path, body, **more)
        return status, json.loads(data)

    def stats(self):
        return json.loads(self.get("/stats")[1])

    def wait_until(self, condition, what, seconds=30):
        """Until condition(stats) holds."""
        until = time.monotonic() + seconds
        while not condition(self.stats()):
            if time.monotonic() > until:
                raise RuntimeError(f"after {seconds} s still not {what}: {self.stats()}")
            time.sleep(0.02)

    @contextlib.contextmanager
    def stream(self, path, body, timeout=60):
        """The open connection of a streamed answer."""
        connection = self.connect(timeout)
        connection.request("POST", path, json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
        try:
            yield connection.getresponse()
        finally:
            connection.close()

    def end(self, how=signal.SIGTERM, seconds=60):
        """The exit status."""
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def __enter__(self):
        return self.wait()

    def __exit__(self, *_):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def events(response):
    """The JSON of each server-sent event, to [DONE] or the end of the stream."""
    for line in response:
        line = line.decode().rstrip("\n")
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line[len("data: "):])


def rank_pids(server):
    """Of a server under mpirun: the processes of its ranks, by rank."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/environ", "rb") as environ:
                values = dict(pair.split(b"=", 1) for pair in environ.read().split(b"\0") if b"=" in pair)
            with open(f"/proc/{entry}/stat") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            if parent == server.process.pid and b"OMPI_COMM_WORLD_RANK" in values:
                found[int(values[b"OMPI_COMM_WORLD_RANK"])] = int(entry)
    return found


def skip_without_model():
    if not MODEL or not os.path.exists(MODEL):
        print("skipped: the demo model is not here (scripts/setup.sh fetches it)")
        sys.exit(77)
