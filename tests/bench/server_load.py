"""What a server of several ranks costs under many clients, and idle. Starts it, loads it by `terrace bench serve`, and watches it through /proc.

    tests/bench/server_load.py load [--clients 256] [--seconds 120] [--ranks 2]
    tests/bench/server_load.py idle [--ranks 2]

load: errors, growth of each rank's memory (medians, since a step's buffers come and go), the most and the least served client, /health meanwhile, and the share of the
processor that the threads named "http" take (HTTP, JSON, tokenising and text) beside all others of rank 0, which compute the steps. All clients are
streamed to at once, and the pool of pages is no larger than that needs, so that it is full (and its memory touched) before the first quarter has passed.
idle: the processor's time of all ranks over 20 s without requests, and the time to the first token after a pause beside that without one.
Needs a quiet machine. TERRACE: the executable; TERRACE_CACHE: where the model lies. Prints one line a figure, with its bar; exit 1 where one is missed.
"""
import argparse
import glob
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
TERRACE = os.environ.get("TERRACE", os.path.join(ROOT, "build/cpu/terrace"))
MODEL = os.path.join(os.environ.get("TERRACE_CACHE", os.path.expanduser("~/.cache/terrace")), "models/SmolLM2-135M-Instruct.Q4_1.gguf")
TICK = os.sysconf("SC_CLK_TCK")
missed = False


def say(name, value, bar, met):
    global missed
    missed = missed or not met
    print(f"{name}: {value} (bar {bar}: {'met' if met else 'MISSED'})", flush=True)


class Server:
    """mpirun of so many ranks, on a port that the system chose."""

    def __init__(self, ranks, settings):
        command = ["bash", "-c", f"source {ROOT}/scripts/mpi_env.sh && exec mpirun -n {ranks} \"$@\"", "mpirun", TERRACE, "serve", MODEL, "--progress", "none",
                   "--set", "server.port=0", "--set", "server.access_log=false"]
        for setting in settings:
            command += ["--set", setting]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for line in self.process.stderr:
            found = re.search(r"serving on http://127.0.0.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        else:
            sys.exit("the server did not start")
        threading.Thread(target=lambda: [sys.stderr.write(line) for line in self.process.stderr], daemon=True).start()
        self.ranks = [pid for pid in descendants(self.process.pid) if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(TERRACE)]
        assert len(self.ranks) == ranks, self.ranks
        self.first = next(pid for pid in self.ranks if any(name == "http" for name, _ in threads(pid)))

    def stop(self):
        os.kill(self.first, signal.SIGTERM)
        return self.process.wait(60)


def descendants(pid):
    children = [int(p) for file in glob.glob(f"/proc/{pid}/task/*/children") for p in open(file).read().split()]
    return [pid] + [p for child in children for p in descendants(child)]


def threads(pid):
    """(name, seconds of the processor) of each thread."""
    result = []
    for file in glob.glob(f"/proc/{pid}/task/*/stat"):
        try:
            text = open(file).read()
        except FileNotFoundError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        result.append((name, (int(rest[11]) + int(rest[12])) / TICK))
    return result


def cpu_seconds(pids, pick=lambda name: True):
    return sum(seconds for pid in pids for name, seconds in threads(pid) if pick(name))


def resident(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def percentile(values, share):
    return sorted(values)[round(share * (len(values) - 1))]


def watch(server, done, memory, health):
    while not done.wait(0.25):
        memory.append((time.monotonic(), [resident(pid) for pid in server.ranks]))
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/health")
        status = connection.getresponse().status
        connection.close()
        health.append((status, time.monotonic() - began))


def load(arguments):
    tokens = arguments.clients * 110  # 96 and what ends in the middle of a page
    server = Server(arguments.ranks, [f"scheduler.max_sequences={arguments.clients}", f"cache.device={tokens * 23 // arguments.ranks}KiB", *arguments.set])
    done, memory, health = threading.Event(), [], []
    watcher = threading.Thread(target=watch, args=(server, done, memory, health))
    watcher.start()
    web = lambda name: name == "http"
    before = cpu_seconds([server.first], web), cpu_seconds([server.first], lambda name: not web(name))
    report = json.loads(subprocess.run(
        [TERRACE, "bench", "serve", f"http://127.0.0.1:{server.port}", "--concurrency", str(arguments.clients), "--duration", str(arguments.seconds),
         "--input-tokens", "64", "--shared-prefix", "32", "--output-tokens", "32", "--ignore-eos", "--json", "--progress", "none"],
        stdout=subprocess.PIPE, check=True, text=True).stdout)
    after = cpu_seconds([server.first], web), cpu_seconds([server.first], lambda name: not web(name))
    done.set()
    watcher.join()
    print(json.dumps(report))
    say("mpirun leaves with", server.stop(), "0", server.process.returncode == 0)
    say("requests failed", f"{report['failed']} of {report['failed'] + report['completed']}, {report['errors']}", "0", report["failed"] == 0)
    quarter = len(memory) // 4
    for rank in range(arguments.ranks):
        sizes = [sizes[rank] for _, sizes in memory]
        print(f"memory of rank {rank}, MiB:", *(size >> 20 for size in sizes[::max(1, len(sizes) // 20)]))
        growth = statistics.median(sizes[-quarter:]) / statistics.median(sizes[quarter:2 * quarter]) - 1
        peak = max(sizes) / statistics.median(sizes[-quarter:]) - 1
        say(f"memory of rank {rank} grew from the second quarter to the last by", f"{100 * growth:.2f} %, single peaks {100 * peak:.1f} % above", "2 %", growth <= 0.02)
    unfair = report.get("most_to_least_served_client", float("inf"))
    say("most / least served client", f"{unfair:.2f}", "1.5", unfair <= 1.5)
    times = [seconds for _, seconds in health]
    p99 = percentile(times, 0.99)
    say("/health, 99th percentile", f"{1000 * p99:.1f} ms of {len(times)}, median {1000 * statistics.median(times):.1f}, max {1000 * max(times):.1f}", "20 ms",
        p99 < 0.02 and all(status == 200 for status, _ in health))
    spent = [b - a for a, b in zip(before, after)]
    say("processor's time of HTTP and text / of rank 0's steps", f"{100 * spent[0] / spent[1]:.2f} % ({spent[0]:.2f} s of {spent[1]:.2f} s)", "3 %", spent[0] <= 0.03 * spent[1])


def first_token(port, number):
    """Seconds to the first piece of text of a short answer, on a connection that is open already."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    body = json.dumps({"prompt": f"{number} is", "max_tokens": 3, "stream": True, "temperature": 0, "ignore_eos": True})
    began = time.monotonic()
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    while b'"text"' not in response.readline():
        pass
    seconds = time.monotonic() - began
    response.read()
    connection.close()
    return seconds


def idle(arguments):
    server = Server(arguments.ranks, arguments.set)
    for number in range(20):
        first_token(server.port, number)
    time.sleep(2)
    before = cpu_seconds(server.ranks)
    time.sleep(20)
    share = (cpu_seconds(server.ranks) - before) / 20
    say(f"{arguments.ranks} idle ranks together", f"{100 * share:.2f} % of a core", "3 %", share < 0.03)
    after_pause, at_once = [], []
    for number in range(40):  # by turns, so that a slow minute meets both
        time.sleep(0.5)
        after_pause.append(first_token(server.port, number))
        at_once.append(first_token(server.port, 1000 + number))
    added = statistics.median(after_pause) - statistics.median(at_once)
    say("first token after half a second's pause, beside one at once",
        f"{1000 * statistics.median(after_pause):.2f} and {1000 * statistics.median(at_once):.2f} ms: {1000 * added:+.2f}", "+2 ms", added < 0.002)
    server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["load", "idle"])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--set", action="append", default=[], help="a configuration key of the server")
    arguments = parser.parse_args()
    {"load": load, "idle": idle}[arguments.what](arguments)
    sys.exit(1 if missed else 0)


main()
