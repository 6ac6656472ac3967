"""`terrace serve` when things go wrong: clients that vanish, signals under load, a killed rank, pages found again after a restart."""
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["TERRACE_SOURCE_DIR"], "tests/support/serve"))
from terrace_server import Server, events, rank_pids, skip_without_model  # noqa: E402

LONG = {"prompt": "Once upon a time", "max_tokens": 4000, "ignore_eos": True}
SHORT = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}


def idle(stats):
    return stats["running"] == 0 and stats["waiting"] == 0


class VanishingClientsTest(unittest.TestCase):
    def test_what_they_asked_for_ends_and_nothing_else(self):
        with Server("scheduler.max_sequences=2") as server:
            _, expected = server.post("/v1/completions", {**SHORT, "max_tokens": 200})
            other = {}
            thread = threading.Thread(target=lambda: other.update(server.post("/v1/completions", {**SHORT, "max_tokens": 200})[1]))
            thread.start()
            long_prompt = {"prompt": list(range(100, 3000)), "max_tokens": 100}
            for body, read in ((LONG, 3), (LONG, 0), (long_prompt, 0), (LONG, 1)):  # streaming, just asked, in prefill or queued
                with server.stream("/v1/completions", body) if read else raw_request(server, body) as response:
                    for _ in range(read):
                        response.readline()
            thread.join()
            self.assertEqual(other["choices"], expected["choices"])
            server.wait_until(idle, "idle")
            self.assertEqual(server.end(), 0)

    def test_texts_to_embed_go_with_their_client(self):
        with Server("scheduler.max_sequences=2") as server:
            body = {"input": [list(range(100 + n, 3000 + n)) for n in range(40)]}
            with raw_request(server, body, "/v1/embeddings"):
                server.wait_until(lambda stats: stats["running"] > 0, "busy")
            server.wait_until(idle, "idle", 20)  # 5 s, and four times that on a busy machine
            self.assertLess(server.stats()["prompt_tokens"], 40 * 2900 / 2)

    def test_a_queued_request_goes_with_its_client(self):
        with Server("scheduler.max_sequences=1") as server:
            with server.stream("/v1/completions", LONG) as first:
                first.readline()
                waiting = [raw_request(server, LONG) for _ in range(20)]
                server.wait_until(lambda stats: stats["waiting"] >= 20, "queued")
                for client in waiting:
                    client.__exit__()
                server.wait_until(lambda stats: stats["waiting"] == 0 and stats["running"] == 1, "alone")
                self.assertTrue(first.readline() or first.readline())
            server.wait_until(idle, "idle")


class SignalsTest(unittest.TestCase):
    def test_sigterm_loses_no_accepted_request(self):
        with Server("scheduler.max_sequences=4", "server.drain_seconds=150") as server:  # also enough on a busy machine
            answers = []

            def ask():
                answers.append(server.post("/v1/completions", {**SHORT, "max_tokens": 300, "ignore_eos": True}, timeout=200))

            clients = [threading.Thread(target=ask) for _ in range(12)]
            for client in clients:
                client.start()
            server.wait_until(lambda stats: stats["running"] + stats["waiting"] == 12, "busy with 12")
            server.process.send_signal(signal.SIGTERM)
            for client in clients:
                client.join()
            self.assertEqual([(status, answer["usage"]["completion_tokens"]) for status, answer in answers], [(200, 300)] * 12)
            self.assertEqual(server.process.wait(30), 0)

    def test_it_ends_when_the_time_to_drain_is_up(self):
        with Server("server.drain_seconds=1") as server:
            with server.stream("/v1/completions", LONG) as stream:
                stream.readline()
                server.process.send_signal(signal.SIGTERM)
                chunks = list(events(stream))
            self.assertEqual(chunks[-1]["error"]["code"], "overloaded")
            self.assertEqual(server.process.wait(30), 0)

    def test_a_second_signal_ends_it_at_once(self):
        with Server() as server:
            with server.stream("/v1/completions", LONG) as stream:
                stream.readline()
                server.process.send_signal(signal.SIGTERM)
                time.sleep(0.3)
                self.assertIsNone(server.process.poll())
                self.assertEqual(server.end(signal.SIGTERM, 10), -signal.SIGTERM)


class RanksTest(unittest.TestCase):
    def test_clients_hear_of_a_killed_rank_and_pages_outlive_it(self):
        with tempfile.TemporaryDirectory() as folder:
            settings = ("cache.host=256MiB", f"cache.disk.path={folder}/pages", "cache.disk.size=256MiB", "cache.fetch=always")
            document = {"prompt": list(range(1000, 2200)), "max_tokens": 4, "temperature": 0}
            with Server(*settings, ranks=2) as server:
                _, first = server.post("/v1/completions", document)
                server.wait_until(lambda stats: stats["tiers"][2]["used"] >= 70, "on disk")
                with server.stream("/v1/completions", LONG) as stream:
                    stream.readline()
                    os.kill(rank_pids(server)[1], signal.SIGKILL)
                    chunks = list(events(stream))
                self.assertEqual(chunks[-1]["error"]["code"], "rank_lost")
                self.assertNotEqual(server.process.wait(30), 0)
                self.assertIn("rank 1 (pid", server.text())
            with Server(*settings, ranks=2) as server:  # as a supervisor would
                _, again = server.post("/v1/completions", document)
                self.assertEqual(again["choices"], first["choices"])
                self.assertGreater(again["usage"]["prompt_tokens_details"]["cached_tokens"], 1000)
                server.end()


class BatchesTest(unittest.TestCase):
    def test_batches_are_cancelled_running_or_waiting(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = "\n".join(json.dumps({"custom_id": f"n{n}", "method": "POST", "url": "/v1/completions", "body": {**LONG, "max_tokens": 2000}}) for n in range(8))
            with Server(f"server.files={folder}") as server:
                first, second = self.begin(server, lines), self.begin(server, lines)
                server.wait_until(lambda stats: stats["running"] > 0, "at the first batch")
                self.assertEqual(server.post(f"/v1/batches/{second['id']}/cancel", {})[1]["status"], "cancelled")
                self.assertEqual(server.post(f"/v1/batches/{first['id']}/cancel", {})[1]["status"], "cancelling")
                until = time.monotonic() + 30
                while (status := json.loads(server.get(f"/v1/batches/{first['id']}")[1])["status"]) == "cancelling" and time.monotonic() < until:
                    time.sleep(0.05)
                self.assertEqual(status, "cancelled")
                server.wait_until(idle, "idle")
                self.assertEqual(server.post(f"/v1/batches/{first['id']}/cancel", {})[1]["status"], "cancelled")
                self.assertEqual(server.request("POST", "/v1/batches/batch-0/cancel")[0], 404)

    def begin(self, server, lines):
        form = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="in"\r\n\r\n' + lines.encode() + b"\r\n--b--\r\n"
        status, data, _ = server.request("POST", "/v1/files", form, {"Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual(status, 200, data)
        status, batch = server.post("/v1/batches", {"input_file_id": json.loads(data)["id"], "endpoint": "/v1/completions"})
        self.assertEqual(status, 200, batch)
        return batch

    def test_a_batch_goes_on_with_the_next_server(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = "\n".join(json.dumps({"custom_id": f"n{n}", "method": "POST", "url": "/v1/completions",
                                           "body": {"prompt": f"{n} bottles", "max_tokens": 60, "ignore_eos": True, "temperature": 0}}) for n in range(40))
            settings = (f"server.files={folder}", "scheduler.max_sequences=4")
            with Server(*settings) as server:
                batch = self.begin(server, lines)
                self.done(server, batch, lambda counts: counts["completed"] >= 3)
                status, answer = server.post("/v1/completions", SHORT)  # others go first
                self.assertEqual(status, 200, answer)
                server.process.kill()
                server.process.wait()
            with Server(*settings) as server:
                ended = self.done(server, batch, lambda counts: counts["completed"] == 40)
                data = server.get(f"/v1/files/{ended['output_file_id']}/content")[1]
                self.assertEqual(sorted(json.loads(line)["custom_id"] for line in data.splitlines()), sorted(f"n{n}" for n in range(40)))
                self.assertEqual(server.get("/v1/files/..%2f..%2fetc")[0], 404)
                self.assertEqual(server.get("/v1/files/../batches")[0], 404)

    def done(self, server, batch, enough):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = json.loads(server.get(f"/v1/batches/{batch['id']}")[1])
            if enough(found["request_counts"]) and (found["status"] == "completed" or found["request_counts"]["completed"] < 40):
                return found
            time.sleep(0.05)
        self.fail(f"after 60 s: {found}")


class raw_request:
    """A request whose answer nobody waits for: the connection is closed at the end of the block."""

    def __init__(self, server, body, path="/v1/completions"):
        data = json.dumps(body).encode()
        self.client = socket.create_connection(("127.0.0.1", server.port))
        self.client.sendall(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data)

    def __enter__(self):
        time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.client.close()


if __name__ == "__main__":
    skip_without_model()
    unittest.main(verbosity=1)
