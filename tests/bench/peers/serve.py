"""A burst of requests for terrace's server, llama.cpp's and vLLM's, by turns; prints a Markdown table.

    LLAMA_BIN=FOLDER tests/bench/peers/serve.py [--rounds N] [--threads N] [--quick]

64 prompts of 200 tokens, of which 128 are shared, 64 tokens of answer each: all at once, and 16 at a time. `terrace bench serve` loads both, each time a fresh
process of a server that has answered one other request, with as many sequences (slots) as come at a time. llama.cpp is tried with flash attention and without.
run.sh builds llama-server too (LLAMA_BIN: where it lies; default the folder that run.sh builds in). vLLM, in bfloat16, where VLLM_FOLDER is set.
"""
import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

import vllm_environment

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
CACHE = os.environ.get("TERRACE_CACHE", os.path.expanduser("~/.cache/terrace"))
TERRACE = os.environ.get("TERRACE", os.path.join(ROOT, "build/cpu/terrace"))
LLAMA = os.path.join(os.environ.get("LLAMA_BIN", os.path.join(CACHE, "peers/llama.cpp/build/bin")), "llama-server")
MODEL = os.path.join(CACHE, "models/SmolLM2-135M-Instruct.Q4_1.gguf")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def terrace_command(slots, numerics):
    def command(port, threads):
        return [TERRACE, "serve", MODEL, "--progress", "none", "--set", f"server.port={port}", "--set", f"parallel.threads={threads}", "--set", f"numerics={numerics}",
                "--set", f"scheduler.max_sequences={slots}", "--set", "server.access_log=false"]
    return command


def llama_command(slots, flash):
    def command(port, threads):
        return [LLAMA, "-m", MODEL, "--port", str(port), "-t", str(threads), "-tb", str(threads), "-np", str(slots), "-c", str(slots * 320), "-b", "2048", "-ub", "512",
                "-fa", flash, "--no-webui", "--log-disable"]
    return command


def vllm_command(slots):
    def command(port, threads):
        return [vllm_environment.python(), "-m", "vllm.entrypoints.openai.api_server", "--model", vllm_environment.model(), "--served-model-name", "model", "--host", "127.0.0.1",
                "--port", str(port), "--dtype", "bfloat16", "--max-num-seqs", str(slots), "--max-model-len", "2048"]
    return command


def programs(slots):
    """As many slots as there are requests at a time, for all; flash attention is a choice of llama.cpp's."""
    all = {"terrace": terrace_command(slots, "auto"), "terrace fast": terrace_command(slots, "fast"), "llama.cpp, fa on": llama_command(slots, "on"), "llama.cpp, fa off": llama_command(slots, "off")}
    return {**all, "vLLM": vllm_command(slots)} if vllm_environment.folder() else all


def ask(port, concurrency, requests, seed):
    out = subprocess.run([TERRACE, "bench", "serve", f"http://127.0.0.1:{port}", "--concurrency", str(concurrency), "--requests", str(requests), "--input-tokens", "200",
                          "--shared-prefix", "128", "--output-tokens", "64", "--ignore-eos", "--seed", str(seed), "--json", "--progress", "none"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out)


def wait_until_ready(port, server):
    for _ in range(3000):  # vLLM compiles its kernels when it starts
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if server.poll() is not None:
            raise RuntimeError(f"the server left with {server.returncode}")
        time.sleep(0.1)
    raise RuntimeError("the server did not become ready")


def measure(command, threads, concurrency, requests):
    port = free_port()
    environment = vllm_environment.environment(threads) if vllm_environment.folder() else None
    server = subprocess.Popen(command(port, threads), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        wait_until_ready(port, server)
        ask(port, 1, 1, seed=99)  # another prefix
        report = ask(port, concurrency, requests, seed=1)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    if report["failed"]:
        raise RuntimeError(f"{report['failed']} requests failed: {report['errors']}")
    return report["output_tokens_per_second"], report["time_to_first_token_ms"]["p95"] / 1000, report["output_tokens"]


def spread(values, digits):
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="", help="programs whose name holds one of these, with commas between")
    parser.add_argument("--quick", action="store_true", help="8 requests: a proof that it runs, no result")
    arguments = parser.parse_args()
    requests = 8 if arguments.quick else 64
    parts = [part for part in arguments.only.split(",") if part] or [""]
    samples = {}
    for number in range(1, arguments.rounds + 1):
        for concurrency in (requests, max(2, requests // 4)):
            for name, command in programs(concurrency).items():
                if not any(part in name for part in parts):
                    continue
                try:
                    rate, first, tokens = measure(command, arguments.threads, concurrency, requests)
                except (RuntimeError, subprocess.SubprocessError) as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                samples.setdefault((concurrency, name), []).append((rate, first))
                print(f"round {number}, {concurrency} at a time, {name}: {rate:.0f} tok/s, first token p95 {first:.2f} s, {tokens} tokens", file=sys.stderr, flush=True)
    print("| at a time | server | output tok/s | first token, p95, s |\n|---:|---|---:|---:|")
    for (concurrency, name), values in sorted(samples.items(), key=lambda item: (-item[0][0], -statistics.median(v[0] for v in item[1]))):
        print(f"| {concurrency} | {name} | {spread([v[0] for v in values], 0)} | {spread([v[1] for v in values], 2)} |")


main()
