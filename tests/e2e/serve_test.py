"""`terrace serve` as its clients see it: answers, streams, errors, limits."""
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.environ["TERRACE_SOURCE_DIR"], "tests/support/serve"))
from terrace_server import Server, events, skip_without_model  # noqa: E402

CHAT = {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 12, "temperature": 0}
COMPLETION = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("server.model_name=tiny", "server.max_body=1MiB").wait()

    @classmethod
    def tearDownClass(cls):
        status = cls.server.end()
        cls.server.__exit__()
        assert status == 0, f"exit {status}: {cls.server.text()}"

    def refused(self, status, path, body, param=None):
        got, answer = self.server.post(path, body)
        self.assertEqual(got, status, answer)
        self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
        self.assertEqual(answer["error"]["param"], param)
        return answer["error"]

    def test_embeds(self):
        for body in ({"input": "Hello there"}, {"input": [[1, 2, 3]], "model": "tiny", "timeout": 50}):
            status, answer = self.server.post("/v1/embeddings", body)
            self.assertEqual(status, 200, answer)
            self.assertEqual((answer["object"], answer["model"], len(answer["data"])), ("list", "tiny", 1))
            self.assertAlmostEqual(sum(value * value for value in answer["data"][0]["embedding"]), 1, places=5)
        self.refused(400, "/v1/embeddings", {}, "input")
        self.refused(400, "/v1/embeddings", {"input": ""}, "input")
        self.assertIn("2048", self.refused(400, "/v1/embeddings", {"input": ["a"] * 2049}, "input")["message"])
        self.assertIn("8193 tokens", self.refused(400, "/v1/embeddings", {"input": ["a", [1] * 8193]}, "input")["message"])
        self.assertIn("576", self.refused(400, "/v1/embeddings", {"input": "a", "dimensions": 577}, "dimensions")["message"])
        self.refused(400, "/v1/embeddings", {"input": "a", "pooling": "cls"}, "pooling")
        self.refused(400, "/v1/embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format")
        self.refused(400, "/v1/embeddings", {"input": "a", "max_tokens": 1}, "max_tokens")
        self.refused(404, "/v1/embeddings", {"input": "a", "model": "other"}, "model")
        self.refused(408, "/v1/embeddings", {"input": [[1] * 8000] * 4, "timeout": 0.01}, "timeout")

    def test_answers_a_chat(self):
        status, answer = self.server.post("/v1/chat/completions", CHAT)
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["object"], "chat.completion")
        self.assertEqual(answer["choices"][0]["message"]["role"], "assistant")
        self.assertEqual(answer["usage"]["completion_tokens"], 12)

    def test_a_stream_says_the_same_as_a_whole_answer(self):
        for path, body, text_of in (
            ("/v1/chat/completions", CHAT, lambda c: c["delta"].get("content", "")),
            ("/v1/completions", {**COMPLETION, "n": 2, "logprobs": 1, "echo": True}, lambda c: c["text"]),
        ):
            _, whole = self.server.post(path, body)
            texts, ends, logprobs = {}, {}, {}
            with self.server.stream(path, {**body, "stream_options": {"include_usage": True}}) as response:
                self.assertEqual(response.getheader("Content-Type"), "text/event-stream")
                chunks = list(events(response))
            self.assertEqual(chunks[-1]["choices"], [])
            self.assertEqual(chunks[-1]["usage"]["completion_tokens"], whole["usage"]["completion_tokens"])
            for chunk in chunks[:-1]:
                for choice in chunk["choices"]:
                    texts[choice["index"]] = texts.get(choice["index"], "") + text_of(choice)
                    ends[choice["index"]] = choice["finish_reason"]
                    if choice["logprobs"] and "tokens" in choice["logprobs"]:
                        logprobs.setdefault(choice["index"], []).extend(zip(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"]))
            for choice in whole["choices"]:
                expected = choice["message"]["content"] if "message" in choice else choice["text"]
                self.assertEqual(texts[choice["index"]], expected)
                self.assertEqual(ends[choice["index"]], choice["finish_reason"])
                if choice["logprobs"]:
                    self.assertEqual(logprobs[choice["index"]], list(zip(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"])))

    def test_stop_strings_end_a_stream(self):
        body = {"prompt": "1 2 3 4 5 6", "max_tokens": 60, "temperature": 0, "stop": [" 9"]}
        with self.server.stream("/v1/completions", body) as response:
            chunks = list(events(response))
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "stop")
        self.assertNotIn("9", "".join(chunk["choices"][0]["text"] for chunk in chunks))
        self.server.wait_until(lambda stats: stats["running"] == 0, "idle")
        # What it computed counts, though it was ended from outside the engine.
        line = next(line for line in self.server.text().splitlines() if f'"id":"{response.headers["X-Request-Id"]}"' in line)
        self.assertGreater(sum(json.loads(line)["by_source"].values()), 6)

    def test_a_stream_that_fails_says_so_and_ends(self):
        dead_end = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string", "pattern": "^ab[^\\s\\S]$"}}}
        with self.server.stream("/v1/chat/completions", {**CHAT, "n": 2, "response_format": dead_end}, timeout=10) as response:
            chunks = list(events(response))  # to the end of the body
        self.assertEqual(chunks[-1]["error"]["param"], "messages", chunks)
        self.assertTrue(any("choices" in chunk for chunk in chunks))
        self.server.wait_until(lambda stats: stats["running"] == 0, "idle")

    def test_says_what_is_wrong(self):
        self.refused(400, "/v1/completions", {"promt": "x"}, "prompt")
        self.refused(400, "/v1/completions", {"prompt": "x", "temperature": -1}, "temperature")
        self.refused(400, "/v1/chat/completions", {"messages": []}, "messages")
        error = self.refused(400, "/v1/completions", {"prompt": "x", "max_tokens": 100000}, "prompt")
        self.assertEqual(error["code"], "context_length_exceeded")
        self.assertIn("maximum context length is 8192 tokens", error["message"])
        self.assertEqual(self.refused(404, "/v1/completions", {"prompt": "x", "model": "gpt-5"}, "model")["code"], "model_not_found")
        self.assertEqual(self.server.request("POST", "/v1/completions", "{")[0], 400)
        self.assertEqual(self.server.request("POST", "/v1/completions", "[" * 100000)[0], 400)
        self.assertEqual(self.server.request("POST", "/v1/completions", b'{"prompt": "\xff\xfe"}')[0], 400)
        self.assertEqual(self.server.get("/v1/nothing")[0], 404)
        status, _, headers = self.server.request("DELETE", "/v1/models")
        self.assertEqual((status, headers["Allow"]), (405, "GET"))
        status, _, _ = self.server.request("POST", "/v1/completions", json.dumps(COMPLETION), {"Content-Type": "text/plain"})
        self.assertEqual(status, 415)

    def test_refuses_what_is_too_large(self):
        status, answer, _ = self.server.request("POST", "/v1/completions", '{"prompt": "' + "a" * (2 << 20) + '"}')
        self.assertEqual(status, 413, answer)
        self.assertEqual(self.server.get("/health", headers={"X-Long": "a" * 40000})[0], 431)

    def test_counts_tokens(self):
        _, answer = self.server.post("/tokenize", {"prompt": "Hello world"})
        self.assertEqual(answer["tokens"], [19556, 905])
        self.assertEqual(answer["count"], 2)
        self.assertEqual(self.server.post("/detokenize", {"tokens": answer["tokens"]})[1], {"prompt": "Hello world"})
        _, chat = self.server.post("/tokenize", {"messages": CHAT["messages"]})
        self.assertGreater(chat["count"], 10)
        self.refused(400, "/detokenize", {"tokens": [1 << 30]}, "tokens")

    def test_names_its_model(self):
        status, data, _ = self.server.get("/v1/models")
        self.assertEqual((status, json.loads(data)["data"][0]["id"]), (200, "tiny"))
        status, one, _ = self.server.get("/v1/models/tiny")
        self.assertEqual((status, json.loads(one)), (200, json.loads(data)["data"][0]))
        self.assertEqual(self.server.get("/v1/models/a/b%20c")[0], 404)

    def test_metrics_count_what_was_done(self):
        def value(name):
            return sum(float(line.split()[-1]) for line in self.server.get("/metrics")[1].decode().splitlines() if line.startswith(name))
        before = value("terrace_generation_tokens_total"), value("terrace_request_success_total"), value("terrace_time_to_first_token_seconds_count")
        self.server.post("/v1/completions", COMPLETION)
        after = value("terrace_generation_tokens_total"), value("terrace_request_success_total"), value("terrace_time_to_first_token_seconds_count")
        self.assertEqual([b - a for a, b in zip(before, after)], [8, 1, 1])

    def test_a_connection_serves_one_request_after_another(self):
        connection = self.server.connect()
        for _ in range(3):
            connection.request("POST", "/v1/completions", json.dumps({**COMPLETION, "max_tokens": 1}), {"Content-Type": "application/json"})
            self.assertEqual(json.loads(connection.getresponse().read())["usage"]["completion_tokens"], 1)
        connection.close()

    def test_pipelined_requests_are_answered_in_order(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as client:
            client.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            data = b""
            while part := client.recv(4096):
                data += part
        self.assertLess(data.index(b"200 OK"), data.index(b"404 Not Found"))

    def test_a_timeout_ends_a_request(self):
        status, answer = self.server.post("/v1/completions", {**COMPLETION, "max_tokens": 4000, "ignore_eos": True, "timeout": 0.2})
        self.assertEqual((status, answer["error"]["code"]), (408, "deadline_exceeded"))
        self.server.wait_until(lambda stats: stats["running"] == 0, "idle")


class SettingsTest(unittest.TestCase):
    def test_a_models_name_may_have_blanks_and_slashes(self):
        with Server("server.model_name=org/a model") as server:
            for path in ("/v1/models/org/a%20model", "/v1/models/org%2Fa%20model"):
                status, data, _ = server.get(path)
                self.assertEqual((status, json.loads(data)["id"]), (200, "org/a model"))

    def test_other_sites_pages_may_call_where_they_are_let(self):
        with Server("server.cors_origin=https://a.example") as server:
            asked = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization, x-stainless-os<>"}
            status, _, headers = server.request("OPTIONS", "/v1/files/file-0", headers=asked)
            self.assertEqual((status, headers["Access-Control-Allow-Headers"]), (204, "authorization, x-stainless-os"))
            self.assertIn("DELETE", headers["Access-Control-Allow-Methods"])
            self.assertIn("Access-Control-Max-Age", headers)
            headers = server.get("/version")[2]
            self.assertEqual((headers["Access-Control-Allow-Origin"], headers["Access-Control-Expose-Headers"]), ("https://a.example", "X-Request-Id, Retry-After"))

    def test_lists_come_in_pages(self):
        with tempfile.TemporaryDirectory() as folder, Server(f"server.files={folder}") as server:
            ids = []
            for _ in range(3):
                form = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\r\n--b--\r\n'
                file = json.loads(server.request("POST", "/v1/files", form, {"Content-Type": "multipart/form-data; boundary=b"})[1])
                ids.append(server.post("/v1/batches", {"input_file_id": file["id"], "endpoint": "/v1/completions"})[1]["id"])
            for path, purpose in (("/v1/batches", ""), ("/v1/files", "&purpose=batch")):
                first = json.loads(server.get(f"{path}?limit=2{purpose}")[1])
                second = json.loads(server.get(f"{path}?after={first['last_id']}{purpose}")[1])
                self.assertEqual(([len(page["data"]) for page in (first, second)], first["has_more"], second["has_more"]), ([2, 1], True, False))
                self.assertEqual(len({record["id"] for record in first["data"] + second["data"]}), 3)
                self.assertEqual((server.get(f"{path}?limit=0")[0], server.get(f"{path}?limit=2x")[0], server.get(f"{path}?after=x")[0]), (400, 400, 400))
            self.assertEqual(json.loads(server.get("/v1/files?purpose=other")[1])["data"], [])


class KeysTest(unittest.TestCase):
    def test_keys_are_asked_for_and_limited(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("# who may ask\nalice sk-alice\nbob sk-bob per_minute=2\n")
            keys.flush()
            with Server(f"server.api_keys={keys.name}") as server:
                def ask(key, path="/v1/completions"):
                    return server.request("POST", path, {**COMPLETION, "max_tokens": 1}, {"Authorization": f"Bearer {key}"} if key else {})[0]
                self.assertEqual([ask(None), ask("sk-nobody"), ask("sk-alice"), ask("sk-bob"), ask("sk-bob"), ask("sk-bob")], [401, 401, 200, 200, 200, 429])
                self.assertEqual(server.get("/health")[0], 200)
                self.assertEqual(server.get("/metrics")[0], 401)
                self.assertNotIn("sk-", server.text())
                self.assertEqual(server.end(), 0)


@unittest.skipUnless(shutil.which("openssl"), "no openssl to make a certificate with")
class TlsTest(unittest.TestCase):
    @staticmethod
    def make_certificate(folder):
        certificate, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return certificate, (f"server.certificate={certificate}", f"server.private_key={key}")

    def test_a_handshake_that_does_not_come_takes_a_connection(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, settings = self.make_certificate(folder)
            with Server(*settings, "server.max_connections=1") as server, socket.create_connection(("127.0.0.1", server.port), timeout=30):
                with self.assertRaises(OSError):
                    http.client.HTTPSConnection("localhost", server.port, timeout=5, context=ssl.create_default_context(cafile=certificate)).connect()

    def test_a_handshake_that_does_not_come_is_not_waited_for(self):
        with tempfile.TemporaryDirectory() as folder:
            _, settings = self.make_certificate(folder)
            with Server(*settings, "server.idle_seconds=1", "server.max_connections=1") as server, socket.create_connection(("127.0.0.1", server.port), timeout=9) as silent:
                self.assertEqual(silent.recv(1), b"")  # closed, long before the socket's own limit

    def test_speaks_tls_where_it_has_a_certificate(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, settings = self.make_certificate(folder)
            with Server(*settings) as server:
                connection = http.client.HTTPSConnection("localhost", server.port, timeout=30, context=ssl.create_default_context(cafile=certificate))
                for _ in range(2):
                    connection.request("POST", "/v1/completions", json.dumps({**COMPLETION, "stream": True}), {"Content-Type": "application/json"})
                    text = "".join(chunk["choices"][0]["text"] for chunk in events(connection.getresponse()))
                    self.assertIn("Paris", text)
                    connection.close()
                connection.request("GET", "/assets/highlight.js")  # without gzip: more than one TLS record, beside its head
                self.assertGreater(len(connection.getresponse().read()), 100_000)
                connection.close()
                with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:  # is closed on
                    plain.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
                    self.assertNotIn(b"200", plain.recv(100))
                self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    skip_without_model()
    unittest.main(verbosity=1)
