#!/usr/bin/env python3
"""Writes runtime/text/jinja/unicode_tables.cpp from Python's unicodedata: str methods of templates follow Python's.

Run by hand when the Unicode version is to change: scripts/make_unicode_tables.py > runtime/text/jinja/unicode_tables.cpp
"""
import unicodedata

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(predicate):
    out = []
    for c in POINTS:
        if predicate(chr(c)):
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def mappings(convert):
    simple, special = {}, {}
    for c in POINTS:
        to = convert(chr(c))
        if to != chr(c):
            if len(to) == 1:
                simple[c] = ord(to)
            else:
                special[c] = to
    return simple, special


def compress(simple):
    """Runs {first, last, step, delta} of equal delta, step 1 or 2."""
    keys, out, i = sorted(simple), [], 0
    while i < len(keys):
        delta, best = simple[keys[i]] - keys[i], (i, 1)
        for step in (1, 2):
            j = i
            while j + 1 < len(keys) and keys[j + 1] - keys[j] == step and simple[keys[j + 1]] - keys[j + 1] == delta:
                j += 1
            if j > best[0]:
                best = (j, step)
        out.append((keys[i], keys[best[0]], best[1], delta))
        i = best[0] + 1
    return out


def table(kind, name, items):
    print(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 118:
            print(line)
            line = "   "
        line += " " + item + ","
    print(line)
    print("};\n")


def main():
    print("// Made by scripts/make_unicode_tables.py from Unicode", unicodedata.unidata_version, "(do not edit).")
    print('#include "runtime/text/jinja/unicode_tables.h"\n\nnamespace terrace::jinja::unicode {\nnamespace {\n')
    for name, predicate in (("kAlpha", str.isalpha), ("kDecimal", str.isdecimal), ("kDigit", str.isdigit),
                            ("kNumeric", str.isnumeric), ("kUnprintable", lambda c: not c.isprintable())):
        table("Range", name, [f"{{{a}, {b}}}" for a, b in ranges(predicate)])
    for name, convert in (("Upper", str.upper), ("Lower", str.lower), ("Title", str.title)):
        simple, special = mappings(convert)
        table("CaseRun", f"k{name}", ["{%d, %d, %d, %d}" % run for run in compress(simple)])
        quoted = ["{%d, \"%s\"}" % (c, "".join(f"\\x{b:02x}" for b in s.encode())) for c, s in special.items()]
        table("CaseSpecial", f"k{name}Special", quoted)
    print("}  // namespace\n")
    for name in ("Alpha", "Decimal", "Digit", "Numeric", "Unprintable"):
        print(f"const std::span<const Range> {name.lower()}_ranges = k{name};")
    for name in ("Upper", "Lower", "Title"):
        print(f"const CaseMap {name.lower()}_map = {{k{name}, k{name}Special}};")
    print("\n}  // namespace terrace::jinja::unicode")


main()
