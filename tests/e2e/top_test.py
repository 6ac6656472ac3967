"""`terrace top`: lines into a pipe, a screen on a terminal, and every way that it ends."""
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["TERRACE_SOURCE_DIR"], "tests/support/serve"))
from terrace_server import TERRACE, Server, skip_without_model  # noqa: E402


class TopTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.NamedTemporaryFile("w")
        cls.keys.write("alice sk-alice\n")
        cls.keys.flush()
        cls.server = Server(f"server.api_keys={cls.keys.name}").wait()
        cls.url = f"http://127.0.0.1:{cls.server.port}"
        cls.env = {**os.environ, "TERRACE_API_KEY": "sk-alice"}

    @classmethod
    def tearDownClass(cls):
        cls.server.end()
        cls.server.__exit__()

    def run_top(self, *arguments, **more):
        return subprocess.run([TERRACE, "top", *arguments], capture_output=True, text=True, timeout=30, **more)

    def test_lines_into_a_pipe(self):
        done = self.run_top(self.url, "--count", "2", "--interval", "0.2", env=self.env)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r"^tokens/s 0\.0  running 0  waiting 0  first token -  next token -  device 0 %$")
        self.assertNotIn("\x1b", done.stdout)

    def test_says_what_is_wrong(self):
        for arguments, env, status, text in (
            ([self.url], None, 2, "TERRACE_API_KEY"),
            ([self.url, "--api-key", "sk-wrong"], None, 2, "TERRACE_API_KEY"),
            (["http://127.0.0.1:1"], None, 5, "refused"),
            (["ftp://127.0.0.1"], None, 2, "http"),
            ([f"{self.url}/v1"], self.env, 2, "not a terrace server"),
        ):
            done = self.run_top(*arguments, env=env)
            self.assertEqual((done.returncode, text in done.stderr), (status, True), done.stderr)

    def on_terminal(self, end):
        master, slave = pty.openpty()
        top = subprocess.Popen([TERRACE, "top", self.url, "--interval", "0.2"], stdin=slave, stdout=slave, stderr=slave, env=self.env, start_new_session=True)
        os.close(slave)
        text, until = b"", time.monotonic() + 30
        def read():
            nonlocal text
            while select.select([master], [], [], 0.1)[0]:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    piece = b""
                if not piece:
                    return
                text += piece
        while text.count(b"\x1b[H") < 3 and time.monotonic() < until:
            read()
        end(master, top)
        status = top.wait(10)
        read()
        os.close(master)
        return status, text.decode(errors="replace")

    def test_a_screen_on_a_terminal(self):
        for end, expected in ((lambda master, _: os.write(master, b"q"), 0), (lambda _, top: top.send_signal(signal.SIGINT), 130)):
            status, text = self.on_terminal(end)
            self.assertEqual(status, expected)
            self.assertIn("first token", text)
            self.assertIn("device", text)
            self.assertTrue(text.startswith("\x1b[?1049h"), "the alternate screen")
            self.assertTrue(text.rstrip().endswith("\x1b[?25h\x1b[?1049l"), "and back")

    def test_waits_for_a_server_that_goes_away(self):
        with Server() as other:
            top = subprocess.Popen([TERRACE, "top", f"http://127.0.0.1:{other.port}", "--interval", "0.1"], stdout=subprocess.PIPE, text=True)
            self.assertIn("tokens/s", top.stdout.readline())
            other.end()
            while "does not answer" not in top.stdout.readline():
                self.assertIsNone(top.poll())
            top.send_signal(signal.SIGTERM)
            top.stdout.close()
            self.assertEqual(top.wait(10), 143)


if __name__ == "__main__":
    skip_without_model()
    unittest.main(verbosity=1)
