#!/usr/bin/env python3
"""What ptxas made of every kernel, held against a checked-in budget; needs no device.

usage: check_kernels.py [--update] [--table] PTX_FOLDER    (which holds sm_80/*.ptx, sm_90/*.ptx)

For each kernel and architecture: registers, static shared memory, spills (none allowed), blocks that fit on a multiprocessor, and the
instructions of its main loop (the innermost loop with the most matrix instructions, or else with the most loads). kernels.json holds
registers and occupancy as last accepted, and what the main loop must have. A change for the worse, a spill, a kernel that is not in the
budget or a missing instruction fails. --update writes the measured figures (keeping what was expected by hand); --table prints Markdown.

Occupancy is arithmetic on the architecture's limits (CUDA C++ Programming Guide, table of compute capabilities), not a measurement.
"""
import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BUDGET = Path(__file__).with_name("kernels.json")
LIMITS = {  # per multiprocessor: threads, blocks, registers, shared bytes; and shared bytes that a block costs beyond its own
    "sm_80": {"threads": 2048, "blocks": 32, "registers": 65536, "shared": 164 << 10, "reserved": 1 << 10},
    "sm_90": {"threads": 2048, "blocks": 32, "registers": 65536, "shared": 228 << 10, "reserved": 1 << 10},
}
REGISTER_SLACK = 8  # registers over budget that are let pass as long as occupancy holds
ADDRESS_OPS = {"IMAD", "IADD3", "IADD", "VIADD", "LEA", "LOP3", "SHF", "ISETP", "MOV", "SEL", "PRMT", "UIADD3", "ULEA", "UMOV", "R2UR"}


def tool(name):
    cache = Path(os.environ.get("TERRACE_CACHE", Path.home() / ".cache/terrace"))
    for path in (shutil.which(name), f"/usr/local/cuda/bin/{name}", cache / "cuda/bin" / name):
        if path and Path(path).exists():
            return str(path)
    print(f"skipped: no {name} (scripts/setup.sh --with-cuda)")
    sys.exit(77)


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{result.stderr}")
    return result.stdout + result.stderr


def short_names(mangled):
    names = subprocess.run(["c++filt", *mangled], capture_output=True, text=True, check=True).stdout.splitlines()
    plain = [re.sub(r"\((\w+::)*\w+\)(?=-?\d)", "", re.sub(r"^void ", "", n)) for n in names]  # (enum)3 as 3
    return {m: n.split("(")[0].replace("terrace::", "") for m, n in zip(mangled, plain)}


def read_resources(log):
    """{mangled: {registers, shared, spills}} from `ptxas -v`."""
    kernels, current = {}, None
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            current = kernels.setdefault(match[1], {"registers": 0, "shared": 0, "spills": 0})
        elif current is not None:
            if match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
                current["spills"] = int(match[1]) + int(match[2])
            if match := re.search(r"Used (\d+) registers", line):
                current["registers"] = int(match[1])
            if match := re.search(r"(\d+) bytes smem", line):
                current["shared"] = int(match[1])
    return kernels


def read_threads(ptx):
    """{mangled: threads of a block} from the launch bounds."""
    return {m[1]: int(m[2]) for m in re.finditer(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)", ptx)}


def blocks_per_multiprocessor(limits, threads, registers, shared):
    per_warp = -(-registers * 32 // 256) * 256  # registers are dealt to warps by 256
    warps = -(-threads // 32)
    fits = [limits["blocks"], limits["threads"] // (warps * 32), limits["registers"] // (per_warp * warps)]
    return min(fits + [limits["shared"] // (shared + limits["reserved"])])


def read_instructions(listing):
    """{mangled: [(opcode, branch target or None, labels before it)]} from nvdisasm."""
    kernels, current, labels = {}, None, []
    for line in listing.splitlines():
        if match := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            current, labels = kernels.setdefault(match[1], []), []
        elif match := re.match(r"\s*(\.L_x_\d+):", line):
            labels.append(match[1])
        elif current is not None and (match := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*)", line)):
            target = re.search(r"(\.L_x_\d+)", match[2])
            current.append((match[1], target[1] if target and match[1].startswith("BRA") else None, labels))
            labels = []
    return kernels


def main_loop(instructions):
    at = {label: i for i, (_, _, labels) in enumerate(instructions) for label in labels}
    best, best_score = [], (0, 0, 0)
    for i, (_, target, _) in enumerate(instructions):
        begin = at.get(target, i + 1)
        if begin > i:
            continue
        names = [opcode for opcode, _, _ in instructions[begin:i + 1]]
        matrix = sum(name.startswith(("HMMA", "IMMA")) for name in names)
        loads = sum(name.startswith(("LDG", "LDS", "LDGSTS")) for name in names)
        score = (matrix, 0 if matrix else loads, -len(names))
        if score > best_score:
            best, best_score = names, score
    return best


def summarise_loop(names):
    by_base = collections.Counter(name.split(".")[0] for name in names)
    wide = sum(".128" in name for name in names if name.startswith(("LDG", "STG", "LDGSTS", "LDS", "STS")))
    address = sum(by_base[op] for op in ADDRESS_OPS)
    return {"instructions": len(names), "by_base": dict(by_base), "wide": wide,
            "address_percent": round(100 * address / max(1, len(names)))}


def measure(folder):
    """{architecture: {kernel: figures}}"""
    ptxas, nvdisasm = tool("ptxas"), tool("nvdisasm")
    result = {}
    for architecture in sorted(p.name for p in folder.iterdir() if p.name in LIMITS):
        found = result[architecture] = {}
        for ptx in sorted((folder / architecture).glob("*.ptx")):
            with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
                resources = read_resources(run(ptxas, f"-arch={architecture}", "-v", str(ptx), "-o", cubin.name))
                instructions = read_instructions(run(nvdisasm, "-c", cubin.name))
            threads = read_threads(ptx.read_text())
            names = short_names(list(resources)) if resources else {}
            for mangled, figures in resources.items():
                figures["threads"] = threads.get(mangled, 1024)
                figures["loop"] = summarise_loop(main_loop(instructions.get(mangled, [])))
                found[names[mangled]] = figures
    return result


def check(measured, budget):
    for architecture, kernels in measured.items():
        accepted = budget["architectures"].get(architecture, {})
        for name, figures in kernels.items():
            where = f"{architecture} {name}"
            if figures["spills"]:
                yield f"{where}: {figures['spills']} bytes of registers are spilled to memory"
            if name not in accepted:
                yield f"{where}: not in {BUDGET.name}; look at it (--table), then --update"
                continue
            if figures["blocks"] < accepted[name]["blocks"]:
                yield f"{where}: {figures['blocks']} blocks fit on a multiprocessor, {accepted[name]['blocks']} did"
            if figures["registers"] > accepted[name]["registers"] + REGISTER_SLACK:
                yield f"{where}: {figures['registers']} registers, {accepted[name]['registers']} before"
        for name in accepted.keys() - kernels.keys():
            yield f"{architecture} {name}: in {BUDGET.name}, but there is no such kernel: --update"
        for rule in budget["main_loops"]:
            matching = [(n, f["loop"]) for n, f in kernels.items() if re.match(rule["kernel"], n)]
            if not matching:
                yield f"{architecture}: no kernel is called {rule['kernel']}, of which the main loop is to be checked"
            for name, loop in matching:
                missing = [op for op in rule.get("has", []) if op not in loop["by_base"]]
                if missing:
                    yield f"{architecture} {name}: its main loop has no {', '.join(missing)}"
                if loop["address_percent"] > rule.get("most_address_percent", 100):
                    yield f"{architecture} {name}: {loop['address_percent']} % of its main loop is address arithmetic, over {rule['most_address_percent']} %"


def add_occupancy(measured, budget):
    for architecture, kernels in measured.items():
        for name, figures in kernels.items():
            rule = next((bytes for pattern, bytes in budget["dynamic_shared"].items() if re.match(pattern, name)), 0)
            figures["dynamic_shared"] = rule
            figures["blocks"] = blocks_per_multiprocessor(LIMITS[architecture], figures["threads"], figures["registers"], figures["shared"] + rule)


def print_table(measured):
    print("| kernel | arch | registers | shared, KiB | threads | blocks per SM | main loop | matrix / loads by 128 bits | address |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for architecture, kernels in measured.items():
        for name, f in sorted(kernels.items()):
            loop = f["loop"]
            matrix = loop["by_base"].get("HMMA", 0) + loop["by_base"].get("IMMA", 0)
            shared = (f["shared"] + f["dynamic_shared"]) / 1024
            print(f"| `{name}` | {architecture} | {f['registers']} | {shared:.1f} | {f['threads']} | {f['blocks']} | {loop['instructions']} | {matrix} / {loop['wide']} | {loop['address_percent']} % |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("ptx_folder", type=Path)
    options = parser.parse_args()
    budget = json.loads(BUDGET.read_text())
    measured = measure(options.ptx_folder)
    add_occupancy(measured, budget)
    if options.table:
        print_table(measured)
    if options.update:
        budget["architectures"] = {a: {n: {"registers": f["registers"], "blocks": f["blocks"]} for n, f in sorted(k.items())} for a, k in measured.items()}
        BUDGET.write_text(json.dumps(budget, indent=1) + "\n")
    offences = list(check(measured, budget))
    for offence in offences:
        print(offence)
    count = sum(len(kernels) for kernels in measured.values())
    print(f"{count} kernels looked at, {len(offences)} offences")
    sys.exit(bool(offences) or count == 0)


if __name__ == "__main__":
    main()
