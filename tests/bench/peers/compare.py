"""Runs terrace and its peers by turns and prints how they compare, as a Markdown table. Called by run.sh, which installs the peers.

Every row of every round is measured by a fresh process of each program, one after another, so that a slow minute of the machine meets all of
them; a figure is the median over the rounds, with the smallest and the largest behind it. Progress goes to stderr.
"""
import argparse
import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys

import vllm_environment

LLAMA = os.environ["LLAMA_BIN"]
TERRACE = os.environ["TERRACE"]
HERE = os.path.dirname(os.path.abspath(__file__))
OPENVINO = os.path.join(HERE, "openvino_bench.py")
VLLM = os.path.join(HERE, "vllm_bench.py")
PROGRAMS = ["terrace", "terrace, fast", "llama.cpp", "llama.cpp, fa off", "OpenVINO GenAI", "vLLM"]


@dataclasses.dataclass
class Row:
    key: str
    title: str
    runs: dict  # program -> function that measures once and returns a number
    bar: float  # what terrace / the best llama.cpp must be at least; for rank and load rows see `judge`
    judge: str = "peer"  # peer, bandwidth (or that share of the machine's bound), ratio, seconds
    samples: dict = dataclasses.field(default_factory=dict)
    of_bound: list = dataclasses.field(default_factory=list)  # terrace's figure / the machine's bound, each round


def run_json(command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nexit {result.returncode}: {result.stderr[-2000:]}")
    return result.stdout


class Bench:
    def __init__(self, model, threads):
        self.model = model
        self.threads = threads
        self.last_share = None  # of_bound of the last terrace figure

    def terrace(self, arguments, rate, ranks=1, numerics="auto"):
        mpirun = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
        report = json.loads(run_json(
            mpirun + [TERRACE, "bench", self.model, "--repeat", "1", "--format", "json", "--progress", "none",
                      "--set", f"parallel.threads={max(1, self.threads // ranks)}", "--set", f"numerics={numerics}", *arguments]))
        if rate == "load":
            return report["load"]["first_token_s"]
        result = report["results"][0]
        if "skipped" in result:
            raise RuntimeError(f"{result['name']}: {result['skipped']}")
        figure = next(f for f in result["tokens_per_s"] if f["rate"] == rate)
        self.last_share = figure.get("of_bound")
        return figure["median"]

    def terrace_decode(self, depth, tokens, ranks=1):
        return self.terrace(["--prompt", "none", "--batch", "none", "--depth", str(depth), "--decode", str(tokens)],
                            "generated after the prompts", ranks)

    def terrace_prefill(self, tokens, numerics="auto"):
        return self.terrace(["--prompt", str(tokens), "--batch", "none", "--depth", "none"], "prompt", numerics=numerics)

    def terrace_batch(self, sequences, prompt, generated, ranks=1, numerics="auto"):
        return self.terrace(["--prompt", "none", "--depth", "none", "--batch", str(sequences), "--batch-shape", f"{prompt}+{generated}"],
                            "generated", ranks, numerics)

    def llama(self, prompt, generated, depth=0, flash="auto"):
        out = run_json([f"{LLAMA}/llama-bench", "-m", self.model, "-t", str(self.threads), "-p", str(prompt), "-n", str(generated), "-d", str(depth),
                        "-fa", flash, "-r", "1", "-o", "json"])
        return json.loads(out)[0]["avg_ts"]

    def llama_batch(self, sequences, prompt, generated, flash="auto"):
        out = run_json([f"{LLAMA}/llama-batched-bench", "-m", self.model, "-t", str(self.threads), "-tb", str(self.threads),
                        "-c", str(sequences * (prompt + generated)), "-b", "2048", "-ub", "512", "-npp", str(prompt), "-ntg", str(generated),
                        "-npl", str(sequences), "-fa", flash, "--output-format", "jsonl"])
        line = next(line for line in out.splitlines() if line.startswith("{"))
        return sequences * generated / json.loads(line)["t"]

    def openvino(self, sequences, prompt, generated, figure):
        if not os.environ.get("OPENVINO_FOLDER"):
            return None
        out = run_json([sys.executable, OPENVINO, self.model, *map(str, (self.threads, sequences, prompt, generated))])
        return json.loads(out.splitlines()[-1])[figure]

    def vllm(self, sequences, prompt, generated, figure):
        if vllm_environment.folder() is None:
            return None
        out = run_json([vllm_environment.python(), VLLM, vllm_environment.model(), *map(str, (sequences, prompt, generated))], **vllm_environment.environment(self.threads))
        return json.loads(out.splitlines()[-1])[figure]


def make_rows(bench, quick):
    """What users of such programs ask first; with `quick` the same rows over small numbers, to prove that everything runs."""
    deep = 600 if quick else 8000
    depth = 300 if quick else 2048
    long = 700 if quick else 8191  # the context less the token that ends a prefill
    count = 16 if quick else 128
    deep_count = 8 if quick else 32  # of llama.cpp at depth, whose steps take a quarter of a second there
    sequences, shape = (4, (16, 16)) if quick else (32, (128, 128))
    both_ranks = max(2, bench.threads)

    def decode(at, llama_count):
        return {"terrace": lambda: bench.terrace_decode(at, count),
                "llama.cpp": lambda: bench.llama(0, llama_count, at),
                "llama.cpp, fa off": lambda: bench.llama(0, llama_count, at, "off"),
                "OpenVINO GenAI": lambda: bench.openvino(1, max(at, 1), count, "decode_per_s"),
                "vLLM": lambda: bench.vllm(1, max(at, 1), count, "decode_per_s")}

    def prefill(length):
        return {"terrace": lambda: bench.terrace_prefill(length),
                "terrace, fast": lambda: bench.terrace_prefill(length, "fast"),
                "llama.cpp": lambda: bench.llama(length, 0),
                "llama.cpp, fa off": lambda: bench.llama(length, 0, 0, "off"),
                "OpenVINO GenAI": lambda: bench.openvino(1, length, 1, "prompt_per_s"),
                "vLLM": lambda: bench.vllm(1, length, 1, "prompt_per_s")}

    def ranks(measure):
        return {"terrace": lambda: measure(both_ranks), "1 rank": lambda: measure(1)}

    batch = f"{sequences} sequences, {shape[0]} + {shape[1]}"
    return [
        Row("decode0", "decode at depth 0, tok/s", decode(0, count), 1.5, "bandwidth"),
        Row("decode2k", f"decode at depth {depth:,}, tok/s", decode(depth, count), 2.0),
        Row("decode8k", f"decode at depth {deep:,}, tok/s", decode(deep, deep_count), 2.5),
        Row("prefill512", f"prefill of {512 if not quick else 128}, tok/s", prefill(512 if not quick else 128), 3.6),
        Row("prefill8k", f"prefill of {long:,}, tok/s", prefill(long), 6.0),
        Row("batch", f"{batch}, generated tok/s of the whole job",
            {"terrace": lambda: bench.terrace_batch(sequences, *shape),
             "terrace, fast": lambda: bench.terrace_batch(sequences, *shape, numerics="fast"),
             "llama.cpp": lambda: bench.llama_batch(sequences, *shape),
             "llama.cpp, fa off": lambda: bench.llama_batch(sequences, *shape, "off"),
             "OpenVINO GenAI": lambda: bench.openvino(sequences, *shape, "generated_per_s"),
             "vLLM": lambda: bench.vllm(sequences, *shape, "generated_per_s")}, 3.3),
        Row("ranks_decode", f"{both_ranks} ranks of 1 thread / 1 rank, decode at depth 0", ranks(lambda n: bench.terrace_decode(0, count, n)), 0.92,
            "ratio"),
        Row("ranks_batch", f"{both_ranks} ranks of 1 thread / 1 rank, {batch}", ranks(lambda n: bench.terrace_batch(sequences, *shape, n)), 0.92,
            "ratio"),
        Row("load", f"load: mpirun of {both_ranks} ranks to the first token, s",
            {"terrace": lambda: bench.terrace(["--prompt", "none", "--depth", "none", "--batch", "none"], "load", both_ranks)}, 0.7, "seconds"),
    ]


def measure(rows, bench, rounds):
    for number in range(1, rounds + 1):
        for row in rows:
            for program, run in row.runs.items():
                try:
                    value = run()
                except (RuntimeError, ValueError, StopIteration) as error:
                    print(f"peers: {row.key}, {program}: {error}", file=sys.stderr)
                    continue
                if value is None:
                    continue
                print(f"peers: round {number} of {rounds}, {row.key}, {program}: {value:.4g}", file=sys.stderr, flush=True)
                row.samples.setdefault(program, []).append(value)
                if program == "terrace" and bench.last_share is not None:
                    row.of_bound.append(bench.last_share)


def short(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(samples):
    if not samples:
        return "-"
    text = short(statistics.median(samples))
    return text if len(samples) == 1 else f"{text} ({short(min(samples))}-{short(max(samples))})"


def verdict(row):
    """(ratio, bar, met) as texts."""
    middle = {program: statistics.median(samples) for program, samples in row.samples.items()}
    if "terrace" not in middle:
        return "-", "-", "not measured"
    own = middle["terrace"]
    if row.judge == "seconds":
        return "-", f"<= {row.bar} s", "yes" if own <= row.bar else "NO"
    if row.judge == "ratio":
        ratio = own / middle["1 rank"]
        return f"{ratio:.2f}", f">= {row.bar}", "yes" if ratio >= row.bar else "NO"
    llama = [value for program, value in middle.items() if program.startswith("llama.cpp")]
    if not llama:
        return "-", f">= {row.bar}x", "not measured"
    ratio = own / max(llama)
    if row.judge == "bandwidth":
        share = statistics.median(row.of_bound) if row.of_bound else 0
        met = ratio >= row.bar or share >= 0.85
        return f"{ratio:.2f}x, {100 * share:.0f} % of bound", f">= {row.bar}x or 85 % of the read bandwidth", "yes" if met else "NO"
    return f"{ratio:.2f}x", f">= {row.bar}x", "yes" if ratio >= row.bar else "NO"


def print_table(rows, arguments):
    processor = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(f"{datetime.date.today()}, {processor}, {arguments.threads} threads, {os.path.basename(arguments.model)}, "
          f"{arguments.rounds} interleaved round{'s' if arguments.rounds > 1 else ''}"
          f"{', small numbers (--quick): a proof that it runs, no result' if arguments.quick else ''}\n")
    print(f"| | {' | '.join(PROGRAMS)} | terrace / best llama.cpp | bar | met |")
    print(f"|---|{'---:|' * (len(PROGRAMS) + 3)}")
    for row in rows:
        cells = [cell(row.samples.get(program)) for program in PROGRAMS]
        if row.judge == "ratio":
            cells[0] = f"{cells[0]} / {cell(row.samples.get('1 rank'))}"
        print(f"| {row.title} | {' | '.join(cells)} | {' | '.join(verdict(row))} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rows", default="", help="keys with commas between; all without")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    bench = Bench(arguments.model, arguments.threads)
    rows = make_rows(bench, arguments.quick)
    wanted = [key for key in arguments.rows.split(",") if key]
    unknown = set(wanted) - {row.key for row in rows}
    if unknown:
        parser.error(f"--rows: unknown {', '.join(sorted(unknown))}; known: {', '.join(row.key for row in rows)}")
    rows = [row for row in rows if not wanted or row.key in wanted]
    measure(rows, bench, arguments.rounds)
    print_table(rows, arguments)


main()
