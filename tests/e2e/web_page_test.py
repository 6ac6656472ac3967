"""The web page of `terrace serve`: its files as they are sent, and the page in a real browser."""
import gzip
import os
import re
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["TERRACE_SOURCE_DIR"], "tests/support/serve"))
from browser import ENTER, ESCAPE, Browser  # noqa: E402
from terrace_server import Server, skip_without_model  # noqa: E402

PICTURES = os.environ.get("TERRACE_SCREENSHOTS")
HOSTILE = """<img src=x onerror="window.hacked = 1"><script>window.hacked = 2</script><b onclick="window.hacked = 3">b</b>
[link](javascript:window.hacked=4) <iframe src="/"></iframe><form action="/"><input></form><svg onload="window.hacked = 5"></svg>
<a href="https://example.org/" style="position:fixed" id="prompt">good</a> ![i](https://example.org/i.png) `code` **bold**"""


class FilesTest(unittest.TestCase):
    def test_files_are_sent_compressed_named_and_guarded(self):
        with Server() as server:
            status, page, headers = server.get("/")
            self.assertEqual((status, headers["Content-Type"], headers["X-Content-Type-Options"]), (200, "text/html; charset=utf-8", "nosniff"))
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'; script-src 'self'", policy)
            self.assertNotIn("unsafe", policy)
            names = set(re.findall(r'(?:src|href)="(assets/[^"]+)"', page.decode()))
            names |= {"assets/highlight.js", *(f"assets/{name}.js" for name in ("api", "chat", "charts", "format", "live", "markdown", "tiers"))}
            self.assertGreater(len(names), 12)
            for name in names:
                status, plain, headers = server.get(f"/{name}")
                self.assertEqual(status, 200, name)
                status, packed, packed_headers = server.get(f"/{name}", headers={"Accept-Encoding": "gzip, br"})
                self.assertEqual(packed_headers["Content-Encoding"], "gzip")
                self.assertEqual(gzip.decompress(packed), plain, name)
                status, body, _ = server.get(f"/{name}", headers={"If-None-Match": headers["ETag"]})
                self.assertEqual((status, body), (304, b""), name)
            self.assertEqual(server.get("/assets/../configs/smollm2.yaml")[0], 404)
            self.assertEqual(server.get("/assets/")[0], 404)
            self.assertEqual(server.get("/", headers={"Host": "example.org"})[0], 403)  # DNS rebinding
            self.assertEqual(server.get("/", headers={"Host": "localhost:1"})[0], 200)
            self.assertEqual(server.request("POST", "/", "{}")[0], 405)


class BrowserTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("cache.device=24MiB", "cache.host=64MiB", "parallel.ranks=2", "parallel.threads=1", "server.model_name=SmolLM2-135M-Instruct").wait()
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()
        cls.server.end()
        cls.server.__exit__()

    def setUp(self):
        self.browser.look()
        self.browser.open(f"http://127.0.0.1:{self.server.port}/")
        self.browser.wait("return document.querySelector('.dot').dataset.state === 'ok'", "connected")

    def tearDown(self):
        self.assertEqual(self.browser.complaints(), [])

    def picture(self, name, **look):
        if not PICTURES:
            return
        self.browser.look(**look)
        time.sleep(1.5)
        self.browser.picture(os.path.join(PICTURES, f"{name}.png"))

    def ask(self, text):
        self.browser.type("#prompt", text + ENTER)

    def answered(self, turns=1):
        self.browser.wait(f"return document.querySelectorAll('.turn.model .note').length === {turns}", "the answer's end")

    def test_a_chat_streams_and_is_drawn(self):
        self.picture("empty")
        self.browser.run("for (const [id, value] of [['max-tokens', 200], ['temperature', 0]]) document.getElementById(id).value = value")
        self.ask("Write a Python function that reverses a string.")
        self.browser.wait("return document.querySelector('.turn.model .said').textContent.length > 10 && document.querySelector('.turn.going')", "text before the end")
        self.assertEqual(self.browser.text("#send"), "Stop")
        self.answered()
        self.assertEqual(self.browser.text("#send"), "Send")
        self.assertRegex(self.browser.text(".turn.model .note"), r"\d+ tokens · [\d.]+ a second · first after")
        self.assertTrue(self.browser.run("return document.querySelector('.turn.model pre code') !== null"))
        self.browser.wait("return document.querySelector('.turn.model pre code.hljs') !== null", "code in colours")
        self.ask("And in C?")
        self.answered(2)
        self.assertIn("from the cache", self.browser.text(".turn.model:last-child .note"))
        self.picture("light")
        self.picture("dark", scheme="dark")
        self.picture("narrow", width=390, height=844)
        self.browser.run("document.getElementById('show-live').click()")
        self.picture("narrow-live", width=390, height=844)
        self.picture("narrow-live-dark", width=390, height=844, scheme="dark")

    def test_stop_ends_the_request(self):
        self.browser.run("document.getElementById('temperature').value = 0")
        for stop in (lambda: self.browser.click("#send"), lambda: self.browser.type("#prompt", ESCAPE)):
            self.browser.click("#clear")
            self.ask("Write a long story about a dragon and a lighthouse.")
            self.browser.wait("return document.querySelector('.turn.model .said')?.textContent.length > 30", "text")
            stop()
            self.answered()
            self.assertIn("stopped", self.browser.text(".turn.model .note"))
            self.server.wait_until(lambda stats: stats["running"] == 0, "idle", seconds=5)

    def test_the_live_view_shows_the_servers_figures(self):
        with self.server.stream("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 1500, "ignore_eos": True}):  # outlasts the waits: an answer may be short
            self.browser.wait("return parseFloat(document.getElementById('tokens-rate').textContent) > 0", "a rate")
            self.browser.wait("return document.querySelectorAll('.cells i[data-age=held]').length > 0", "pages in use")
            self.browser.wait("return document.querySelectorAll('.rank').length === 2", "two ranks")
            self.browser.wait("return !document.getElementById('skew').textContent.startsWith('–')", "skew")
            self.assertEqual(self.browser.run("return document.querySelectorAll('.tier .cells').length"), 2)
            self.assertIn("cache.disk", self.browser.text(".tier.absent"))
            self.assertRegex(self.browser.run("return document.querySelector('.cells').getAttribute('aria-label')"), r"Device: \d+ in use")
        self.server.wait_until(lambda stats: stats["running"] == 0, "idle", seconds=5)
        self.browser.wait("return document.querySelector(\".cells i[data-age='0']\") !== null", "pages let go")

    def test_what_a_model_says_cannot_act(self):
        html = self.browser.run("""const { showMarkdown } = await import('/assets/markdown.js');
            const place = document.createElement('div'); document.body.append(place);
            showMarkdown(place, arguments[0]); await new Promise(done => setTimeout(done, 300));
            const html = place.innerHTML; place.remove(); return html;""", HOSTILE)
        self.browser.complaints()  # what the policy, the second guard, refused in marked's own document
        self.assertIsNone(self.browser.run("return window.hacked ?? null"))
        for word in ("img", "script", "onclick", "iframe", "form", "svg", "style", "javascript", "id="):
            self.assertNotIn(word, html)
        for word in ('<a href="https://example.org/" target="_blank" rel="noopener noreferrer">', "<code>code</code>", "<strong>bold</strong>"):
            self.assertIn(word, html)

    def test_nothing_is_wider_than_the_screen(self):
        for width in (320, 390, 768, 1000, 1600):
            self.browser.look(width=width)
            for view in ("chat", "live"):
                self.browser.run(f"document.getElementById('show-{view}').click()")
                self.assertLessEqual(self.browser.run("return document.documentElement.scrollWidth"), width, f"{view} at {width}")

    def test_an_error_is_said(self):
        self.browser.run("document.getElementById('max-tokens').value = 1000000")
        self.ask("Hi")
        self.answered()
        self.assertIn("tokens", self.browser.text(".turn.model .note.wrong"))
        self.browser.complaints()  # the browser's own note of the 400


class KeyTest(unittest.TestCase):
    def test_a_key_is_asked_for_and_kept_for_the_tab(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("alice sk-alice\n")
            keys.flush()
            with Server(f"server.api_keys={keys.name}") as server, Browser() as browser:
                browser.open(f"http://127.0.0.1:{server.port}/")
                for key, state in (("sk-wrong", "does not know"), ("sk-alice", "")):
                    browser.wait("return document.getElementById('key-dialog').open", "asked for a key")
                    browser.type("#key", key + ENTER)
                    browser.wait(f"return document.getElementById('key-note').textContent.includes('{state}')", state)
                browser.wait("return document.querySelector('.dot').dataset.state === 'ok'", "connected")
                self.assertEqual(browser.run("return [sessionStorage.getItem('terrace-api-key'), localStorage.length, document.cookie]"), ["sk-alice", 0, ""])
                browser.run("document.getElementById('max-tokens').value = 8")
                browser.type("#prompt", "Hi" + ENTER)
                browser.wait("return document.querySelector('.turn.model .note') !== null", "an answer")
                self.assertRegex(browser.text(".turn.model .note"), r"\d+ tokens")


if __name__ == "__main__":
    skip_without_model()
    unittest.main(verbosity=1)
