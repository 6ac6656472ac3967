#!/usr/bin/env python3
"""Writes tests/golden/jinja.jsonl: templates rendered by the real jinja2, set up as transformers' apply_chat_template does.

Run by hand, with jinja2 3.1.6 or later installed: tests/golden/make_jinja_goldens.py
Each line: {"template", "request" (the template's variables), "now" (unix seconds), "expected" or "error": true}.
"""
import datetime
import json
import os

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1753456789  # 2025-07-25 15:19:49 UTC


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attrs = dict(*args, **kwargs)
        for name in attrs:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def environment(now=NOW):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(format):
        return datetime.datetime.fromtimestamp(now, datetime.timezone.utc).replace(tzinfo=None).strftime(format)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    env.globals["namespace"] = Namespace
    return env


def render(template, request, now=NOW):
    """The text, or None where jinja2 raises."""
    try:
        text = environment(now).from_string(template).render(**request)
        text.encode()
        return text
    except Exception:
        return None


VARIABLES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <there> & \"you\""},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [True, None, 2.5]}}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": "It is 42.", "reasoning_content": "hm"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {
        "type": "object", "properties": {"x": {"type": "integer"}, "b": {"type": "string", "enum": ["ä", "<b>"]}},
        "required": ["x"]}}}],
    "n": 7, "neg": -7, "x": 2.5, "s": "Hello World", "u": "Größe straße ǆ İ ΑΣ 日本", "empty": "", "nothing": None,
    "yes": True, "no": False, "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "d": {"b": 1, "a": {"k": [1, 2]}, "items": 5},
    "people": [{"n": "Ann", "a": 30, "t": {"x": 1}}, {"n": "bob", "a": 25, "t": {"x": 2}}, {"n": "Cy", "a": 30}],
    "big": 9007199254740993, "tiny": 1e-7, "huge": 1.5e300, "add_generation_prompt": True, "bos_token": "<s>",
    "lines": "one\ntwo\r\n\nthree", "code": "  x = 1\n\ty\n",
}

SNIPPETS = """
plain text
{{ s }}|{{ n }}|{{ x }}|{{ yes }}|{{ no }}|{{ nothing }}|{{ missing }}|
{{ l }} {{ d }} {{ words }} {{ (1,) }} {{ () }} {{ (1, 'a') }} {{ {} }} {{ [] }}
{{ 'it''s' }} {{ "a\\tb\\x41\\u00e9\\n" }} {{ 'q\\'q' }} {{ '\\é\\d' }} {{ "\\101\\0" | length }}
{{ ['it\\'s', 'say "x"', 'both \\' "', '\\n\\t\\\\', 'é\\x7f\\u200b'] }}
{{ 1_000 }} {{ 0x1F }} {{ 0o17 }} {{ 0b101 }} {{ 1.5e3 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-4 }} {{ 1e-5 }} {{ 1_0.5 }} {{ 0.1 + 0.2 }}
{{ tiny }} {{ huge }} {{ 100.0 }} {{ 123456789.123 }} {{ 1e22 }} {{ -0.0 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7 / 2 }} {{ 6 / 2 }}
{{ 2 ** 10 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 4 ** 0.5 }} {{ (-8) ** 3 }} {{ 2.0 ** 3 }}
{{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ 'a' * -1 }}| {{ (1, 2) + (3,) }} {{ [1] + [2] }} {{ 'a' + 'b' }}
{{ 'a' ~ 1 ~ none ~ true ~ 2.0 ~ missing ~ [1, 'x'] }}
{{ 1 + true }} {{ true + true }} {{ -true }} {{ +false }} {{ not 0 }} {{ not 'x' }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 != '1' }} {{ true == 1 }}
{{ 1 in [1, 2] }} {{ 'a' in 'cat' }} {{ 'z' not in 'cat' }} {{ 'b' in d }} {{ 1 in (2, 3) }} {{ none in [none] }}
{{ 'x' if yes else 'y' }} {{ 'x' if no }}| {{ 'a' if no else 'b' if no else 'c' }}
{{ yes and s }} {{ no and s }} {{ no or 'else' }} {{ empty or nothing or 0 }} {{ yes or missing.foo }}
{{ l[0] }} {{ l[-1] }} {{ l[5] }}| {{ s[0] }} {{ s[-1] }} {{ d['b'] }} {{ d.b }} {{ d.a.k[1] }} {{ d['zz'] }}|
{{ d.items() | list }} {{ d['items'] }} {{ d.keys() | list }} {{ d.values() | list }}
{{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 'dflt') }} {{ d.get('a').get('k') }}
{{ l[1:] }} {{ l[:2] }} {{ l[::-1] }} {{ s[::2] }} {{ s[::-1] }} {{ s[-5:-1] }} {{ s[10:2:-3] }} {{ l[5:] }} {{ (1,2,3)[1:] }}
{{ u[0:3] }} {{ u[::-1] }} {{ u|length }} {{ u[2] }} {{ u[-1] }} {{ u.find('日') }} {{ u.upper() }} {{ u.lower() }} {{ u|title }}
{{ u.title() }} {{ u.capitalize() }} {{ u.swapcase() }} {{ u|capitalize }} {{ 'ß'.upper() }} {{ 'ﬁ'.title() }} {{ 'ΟΔΟΣ ΣΑΣ'.lower() }}
{{ nothing.x }}| {{ n.foo }}| {{ s.foo }}| {{ none['x'] }}| {{ s.0 }} {{ l.1 }}
{% for i in l %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for i in [] %}x{% else %}nothing{% endfor %}
{% for i in l if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% else %}none{% endfor %}
{% for i in l if i > 10 %}x{% else %}none{% endfor %}
{% for i in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ i }};{% endfor %}
{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {{ loop.cycle('odd', 'even') }} {{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for i in [1, 1, 2, 2, 1] %}{% if loop.changed(i) %}{{ i }}{% endif %}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }};{% endfor %}
{% for (a, b), c in [((1, 2), 3)] %}{{ a + b + c }}{% endfor %}
{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }}{% endfor %}
{% for m in messages %}{{ m.role }}:{{ m['content'] }}{% if not loop.last %}|{% endif %}{% endfor %}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in range(3) %}{% for j in range(3) %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% for i in range(2, 9, 3) %}{{ i }} {% endfor %}{{ range(3) }} {{ range(1, 3) }} {{ range(0, 9, 2) }} {{ range(5)|list }} {{ range(5, 0, -2)|list }}
{% for t in [{'n': 1, 'c': [{'n': 2, 'c': [{'n': 3}]}, {'n': 4}]}] recursive %}{{ t.n }}@{{ loop.depth }}{% if t.c %}({{ loop(t.c) }}){% endif %}{% endfor %}
{% if n > 5 %}big{% elif n > 3 %}mid{% else %}small{% endif %} {% if missing %}a{% elif nothing %}b{% else %}c{% endif %}
{% if messages[0].role == 'system' and messages|length > 1 %}ok{% endif %}
{% set a = 1 %}{% set b, c = 2, 3 %}{{ a + b + c }} {% set t = 1, 2 %}{{ t }}
{% set a = 1 %}{% for i in l %}{% set a = i %}{{ a }}{% endfor %}{{ a }}
{% set a = 1 %}{% if yes %}{% set a = 2 %}{% endif %}{{ a }}
{% set ns = namespace(a=1, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}|
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}{% set ns.c = [ns.a] %}{{ ns.c }}{{ ns }}
{% set ns = namespace() %}{% set ns.a, b = 1, 2 %}{{ ns.a }}{{ b }}
{% set block %}<{{ s }}>{% endset %}{{ block|length }}{{ block }}
{% set block | upper | replace('L', '_') %}{{ s }}{% endset %}{{ block }}
{% macro f(a, b=2, c='z') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(c=1, a=2) }}{{ f() }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}
{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}{{ f() }}
{% macro f(x) %}{{ x }}{{ y }}{% endmacro %}{% set y = 5 %}{{ f(1) }}
{% macro outer(x) %}<{{ caller(x) }}>{% endmacro %}{% call(v) outer(3) %}got {{ v }}{% endcall %}
{% macro outer() %}{% if caller %}<{{ caller() }}>{% else %}none{% endif %}{% endmacro %}{{ outer() }}{% call outer() %}in {{ n }}{% endcall %}
{% macro fact(k) %}{% if k < 2 %}1{% else %}{{ k * fact(k - 1)|int }}{% endif %}{% endmacro %}{{ fact(6) }}
{% macro f(x) %}{% set y = x + 1 %}{{ y }}{% endmacro %}{{ f(1) }}{{ y }}| {{ f.name }} {{ f is callable }}
{% filter upper %}hello {{ s }}{% endfilter %} {% filter replace('a', 'b') | trim %}  banana  {% endfilter %}
{% with a = 1, b = n %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}|
{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a }}|
{% raw %}{{ not }} {% this %}{% endraw %} after
a{% raw -%}   x   {%- endraw %}  b
{# comment #}x{#- gone -#}  y {#+ kept +#} z
a   {%- if yes -%}   b   {%- endif -%}   c
a {%+ if yes %} b {%+ endif %} c
   {{- s -}}   |   {{ s }}   |
x {{ '{{' }} {{ "%}" }} {{ {'a': {'b': 1}}['a']['b'] }} {{ {'a': 1}}}
{{ "a" "b" 'c' }} {{ [1, 2, ] }} {{ {'a': 1, } }} {{ (1, 2,) }}
{{ 1, 2 }} {{ 'x', }}
{{ s.upper() }} {{ s.lower() }} {{ s.strip('Hd') }} {{ '  x '.strip() }}| {{ '  x '.lstrip() }}| {{ '  x '.rstrip() }}| {{ 'xxaxx'.strip('x') }}
{{ 'a,b,,c'.split(',') }} {{ 'a b  c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(None, 1) }} {{ ' a b c '.split(None, 1) }} {{ 'abc'.split('x') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a-b'.split(sep='-') }} {{ 'a-b-c'.split('-', maxsplit=1) }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'a\\x0bb\\u2028c'.splitlines() }}
{{ s.startswith('Hell') }} {{ s.startswith(('X', 'H')) }} {{ s.endswith('ld') }} {{ s.endswith(('a', 'b')) }} {{ s.startswith('ello', 1) }} {{ s.startswith('') }} {{ s.endswith('lo', 0, 5) }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'abc'.replace('', '-') }} {{ 'abc'.replace('', '-', 2) }} {{ s.replace('zz', 'y') }}
{{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('z') }} {{ s.find('o', 5) }} {{ s.find('o', -4, -1) }} {{ s.index('W') }} {{ s.rindex('l') }} {{ s.count('l') }} {{ s.count('') }} {{ s.count('l', 4) }} {{ s.find('', 20) }}
{{ '-'.join(['a', 'b']) }} {{ ','.join('abc') }} {{ ''.join([]) }}| {{ ', '.join(d) }}
{{ '{} {}'.format(1, 'a') }} {{ '{0} {1} {0}'.format('a', 'b') }} {{ '{x}'.format(x=5) }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:+d} {:x} {:#x} {:b} {:,}'.format(42, 42, 255, 255, 5, 1234567) }} {{ '{:.2f} {:8.3f} {:e} {:g} {:%}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.25) }} {{ '{{}}'.format() }} {{ '{0[a]} {0.b} {1[0]}'.format({'a': 1, 'b': 2}, [7]) }} {{ '{!r} {!s}'.format('a', 'b') }} {{ '{:{w}}|'.format('a', w=4) }}
{{ '12'.isdigit() }} {{ '1a'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ 'é'.isalpha() }} {{ 'a1'.isalnum() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ ' \\t'.isspace() }} {{ 'Ab'.islower() }} {{ 'ab'.islower() }} {{ 'AB1'.isupper() }} {{ 'Ab Cd'.istitle() }} {{ 'a'.isascii() }} {{ 'é'.isascii() }}
{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'x'.removeprefix('y') }}
{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }}
{{ 'ab'.center(7) }}|{{ 'abc'.center(6, '*') }}|{{ 'ab'.ljust(5, '.') }}|{{ 'ab'.rjust(5) }}|{{ '-42'.zfill(6) }}|{{ '7'.zfill(3) }}|{{ 'a\\tb'.expandtabs(4) }}
{{ [1, 2, 1].count(1) }} {{ [1, 2, 1].index(2) }} {{ (1, 2).count(2) }} {{ l.copy() }} {{ d.copy() }}
{{ l.append is defined }} {{ l.pop is defined }} {{ d.update is defined }} {{ d.get is defined }} {{ s.upper is defined }}
{{ l.append(1) }}
{{ d.update({}) }}
{{ d.pop('a') }}
{{ l|length }} {{ s|length }} {{ d|length }} {{ missing|length }} {{ l|count }} {{ range(4)|length }}
{{ l|sort }} {{ l|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ people|sort(attribute='a')|map(attribute='n')|list }} {{ people|sort(attribute='a,n', reverse=true)|map(attribute='n')|join(' ') }} {{ d|dictsort }} {{ {'x': 2, 'Y': 1}|dictsort }} {{ {'x': 2, 'Y': 1}|dictsort(true) }} {{ {'x': 2, 'Y': 1}|dictsort(by='value') }} {{ {'x': 2, 'Y': 1}|dictsort(false, 'key', true) }}
{{ l|first }} {{ l|last }} {{ s|first }} {{ s|last }} {{ []|first }}| {{ []|last }}| {{ d|first }} {{ missing|first }}|
{{ l|join(', ') }} {{ l|join }} {{ people|join('-', attribute='n') }} {{ s|join('.') }} {{ [1, none, true, missing]|join('|') }}
{{ l|reverse|list }} {{ s|reverse }} {{ d|reverse|list }} {{ l|max }} {{ l|min }} {{ words|max }} {{ words|min(case_sensitive=true) }} {{ people|max(attribute='a') }} {{ l|sum }} {{ people|sum(attribute='a') }} {{ l|sum(start=10) }} {{ []|max }}|
{{ words|unique|list }} {{ ['a', 'A', 'b']|unique|join }} {{ ['a', 'A']|unique(true)|join }} {{ people|unique(attribute='a')|map(attribute='n')|list }}
{{ people|map(attribute='n')|list }} {{ people|map(attribute='t.x', default='-')|list }} {{ words|map('upper')|list }} {{ l|map('string')|list }} {{ words|map('replace', 'a', 'z')|join }} {{ [1.5, 2.7]|map('int')|list }} {{ people|map(attribute='zz')|list }}
{{ l|select('odd')|list }} {{ l|reject('odd')|list }} {{ l|select('gt', 1)|list }} {{ l|select('equalto', 2)|list }} {{ [0, 1, none, 'a']|select|list }} {{ [0, 1, none]|reject|list }} {{ l|select('in', [1, 2])|list }}
{{ people|selectattr('a', 'equalto', 30)|map(attribute='n')|list }} {{ people|rejectattr('a', 'eq', 30)|list|length }} {{ people|selectattr('t')|list|length }} {{ people|selectattr('t', 'undefined')|map(attribute='n')|join }} {{ messages|selectattr('role', '==', 'user')|list }} {{ messages|rejectattr('role', 'in', ['user', 'tool'])|map(attribute='role')|join(',') }}
{{ people|groupby('a')|list }} {% for g in people|groupby('a') %}{{ g.grouper }}:{{ g.list|length }};{% endfor %}{% for k, v in words|groupby(0) %}{{ k }}{{ v }}{% endfor %}
{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5]|slice(2)|list }} {{ [1, 2, 3, 4]|slice(3, 'x')|list }}
{{ missing|default('d') }} {{ empty|default('d') }}| {{ empty|default('d', true) }} {{ nothing|d('z') }} {{ nothing|d('z', boolean=true) }} {{ missing|default }}|
{{ '  a b '|trim }}| {{ 'xxaxx'|trim('x') }} {{ 5|trim }} {{ nothing|trim }} {{ missing|trim }}|
{{ s|upper }} {{ s|lower }} {{ s|capitalize }} {{ 'hello wORLD-foo (bar) [baz'|title }} {{ s|replace('o', '0') }} {{ s|replace('o', '0', 1) }} {{ 1234|replace(2, 'x') }}
{{ lines|indent }}| {{ lines|indent(2, true) }}| {{ lines|indent('> ', blank=true) }}| {{ ''|indent }}|
{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '..', 0) }} {{ 'abc'|truncate(1, true, '') }}
{{ 42|string + 'x' }} {{ '3'|int + 1 }} {{ '3.7'|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ '0x1f'|int(base=16) }} {{ '1010'|int(0, 2) }} {{ 3.9|int }} {{ -3.9|int }} {{ nothing|int }} {{ true|int }} {{ ' 12 '|int }} {{ '1_000'|int }} {{ '1e3'|int }}
{{ '3.5'|float }} {{ 3|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 'inf'|float }} {{ '-nan'|float }} {{ '1e400'|float }} {{ '.5'|float }} {{ '5.'|float }}
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42.123|round(1, 'ceil') }} {{ 42.19|round(1, 'floor') }} {{ 5|round }} {{ 1234|round(-2) }} {{ 1250|round(-2) }} {{ 1350|round(-2) }} {{ -5|abs }} {{ -2.5|abs }} {{ 1e300|round(400) }} {{ 0.5|round }} {{ -0.5|round }}
{{ '%s is %d years and %.2f%%'|format('Bob', 5, 99.5) }} {{ '%(a)s-%(b)03d'|format(a='x', b=7) }} {{ '%5s|%-5s|%05d|%+d|%x|%o|%e|%g|%c|%r'|format('a', 'b', 42, 5, 255, 8, 12345.678, 0.00001, 'z', 'q') }} {{ 'no'|format }} {{ '%s' % 'x' }} {{ '%s %s' % (1, 2) }} {{ '%(a)s' % {'a': 1} }} {{ '%*d' % (5, 42) }} {{ '%.3s' % 'abcdef' }} {{ '%5.1f|' % 3.14159 }}
{{ d|tojson }} {{ 'é<>&\\'"\\u2028\\x7f'|tojson }} {{ 'é😀\\x7f'|tojson(ensure_ascii=true) }} {{ tools|tojson }}
{{ d|tojson(indent=2) }} {{ []|tojson(indent=2) }} {{ {}|tojson(indent=2) }} {{ [1, [2, {}]]|tojson(indent=4) }} {{ [1, 2]|tojson(indent=0) }} {{ [1, {'a': 2}]|tojson(indent='--') }}
{{ d|tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ {'b': 1, 'a': [2]}|tojson(indent=1, separators=(' ,', ' : '), sort_keys=true) }} {{ [1.0, 1e20, true, none, (1, 2), 'x']|tojson }} {{ {1: 'a', none: 2, true: 3, 1.5: 4}|tojson }} {{ '\\n\\t\\r\\b\\f\\x01'|tojson }}
{{ ('<a>'|e) + '<b>' }} {{ '<a>'|escape ~ '<b>' }} {{ '<a>'|safe }} {{ '<a> & "x"'|e }} {{ ('<i>'|safe) + '&' }} {{ [1, '<']|e }} {{ ('<'|e)|e }} {{ ('<'|e)|forceescape }}
{{ 'a b&c/d é'|urlencode }} {{ {'a': 1, 'b': 'x y'}|urlencode }} {{ [('k', 'v/w')]|urlencode }} {{ 'one two, three'|wordcount }} {{ 'é1 _x-y'|wordcount }} {{ {'class': 'x', 'id': none, 'n': 1}|xmlattr }} {{ 'ab'|center(6) }}| {{ 1000|filesizeformat }} {{ 1500000|filesizeformat }} {{ 1|filesizeformat }} {{ 2048|filesizeformat(true) }} {{ 0|filesizeformat }}
{{ 'abc'|list }} {{ d|list }} {{ missing|list }} {{ (1, 2)|list }} {{ d|items|list }} {{ missing|items|list }} {{ d|attr('b') }}| {{ s|attr('upper') is callable }}
{{ n is defined }} {{ missing is defined }} {{ missing is undefined }} {{ nothing is none }} {{ n is number }} {{ x is float }} {{ n is integer }} {{ yes is integer }} {{ yes is boolean }} {{ yes is true }} {{ no is false }} {{ 1 is true }} {{ s is string }} {{ d is mapping }} {{ l is sequence }} {{ s is sequence }} {{ d is sequence }} {{ n is sequence }} {{ l is iterable }} {{ n is iterable }} {{ missing is iterable }} {{ missing is sequence }} {{ yes is number }}
{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 2 is ge 2 }} {{ 1 is lt 2 }} {{ 1 is le 0 }} {{ 1 is lessthan 2 }} {{ 2 is greaterthan 3 }} {{ 'a' is in 'abc' }} {{ 1 is in [1] }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'A1' is upper }} {{ none is sameas none }} {{ 1 is sameas true }} {{ 'upper' is filter }} {{ 'zz' is filter }} {{ 'odd' is test }} {{ range is callable }} {{ ('a'|e) is escaped }} {{ 'a' is escaped }}
{{ n is not none }} {{ not n is none }} {{ n is not defined or yes }} {{ 1 is not odd }} {{ s is string and n is number }} {{ 'x' if n is defined else 'y' }}
{{ l|select('odd') is iterable }} {{ l|select('odd') is sequence }} {{ d.items() is sequence }} {{ d.items()|length }} {{ 'b' in d.keys() }} {{ ('b', 1) in d.items() }} {{ 1 in d.values() }} {{ d.keys() }} {{ d.values() }} {{ d.items() }}
{% set g = l|select('odd') %}{{ g|list }}{{ g|list }}{% if g %}true{% endif %}
{% set g = l|map('string') %}{{ g|first }}{{ g|join }}
{{ strftime_now('%Y-%m-%d %H:%M:%S') }} {{ strftime_now('%d %b %Y') }} {{ strftime_now('%A %B %j %U %w %y %p %I %% %a %c %x %X %e %F %T %D') }} {{ strftime_now('%z|%Z|%f') }}
{{ raise_exception('no') }}
{% if no %}{{ raise_exception('no') }}{% endif %}fine
{{ missing.x }}
{{ missing['x'] }}
{{ missing() }}
{{ missing + 1 }}
{{ 'a' + missing }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [] + () }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 0 ** -1 }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ 1 in 1 }}
{{ 1 in 'a' }}
{{ none|length }}
{{ 5|length }}
{{ -'a' }}
{{ {[]: 1} }}
{{ d[[]] }}|{{ l['a'] }}|{{ l[1.0] }}|{{ l[true] }}
{{ nothing[1:] }}
{{ d[1:2] }}
{{ l[::0] }}
{{ 'a'.split('') }}
{{ 'a'.index('z') }}
{{ [1].index(5) }}
{{ s|nosuchfilter }}
{{ s is nosuchtest }}
{{ s.nosuchmethod() }}
{{ s() }}
{{ range(200000) }}
{{ range() }}
{{ range(1, 2, 0) }}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for i in 5 %}{% endfor %}
{% for i in none %}{% endfor %}
{% set a, b = 1 %}
{% set x.y = 1 %}
{% set ns = namespace() %}{% set ns._a = 1 %}
{% set n.y = 1 %}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{% call f(1) %}{% endcall %}
{{ missing|tojson }}
{{ range(3)|tojson }}
{{ l|select('odd')|tojson }}
{{ [1, 'a']|sort }}
{{ [[1]]|unique|list }}
{{ 'x'|indent(first=1, zz=2) }}
{{ 'x'|replace('a') }}
{{ s.strip(1) }}
{{ s.replace(old='a', new='b') }}
{{ ','.join([1, 2]) }}
{{ missing|int }}
{{ missing|abs }}
{{ '%d' % 'x' }}
{{ '%s %s' % 1 }}
{{ '%s' % (1, 2) }}
{{ '{} {}'.format(1) }}
{{ '{x}'.format(1) }}
{% for i in l %}
{% if yes %}
{% endfor %}
{{ 1 +
{{ (1 }}
{{ 1) }}
{% unknown %}
{% endif %}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{{ 'a' is }}
{{ 'abc }}
{# open
{% raw %}open
{{ a b }}
{{ 1 is odd is even }}
{% break %}
{% set true = 1 %}
{% for loop in l %}{% endfor %}
{{ f(a=1, 2) }}
{{ x ! y }}
{{ '\\x4' }}
{% macro f(a=1, b) %}{% endmacro %}
{% set a %}x
{% block b %}in {{ n }}{% endblock %} {% block c scoped %}{% set q = 1 %}{{ q }}{% endblock c %}{{ q }}|
{% generation %}gen {{ s }}{% set q = 2 %}{% endgeneration %}{{ q }}|
{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<eos>{% endgeneration %}{% endif %}{% endfor %}
{% print 1, 'a' %} {% print s %}
{% if (yes) : %}colon{% endif %}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }} {{ dict({'a': 1}, a=2) }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'x', true: 'y', 1.0: 'z'} }} {{ {(1, 2): 3}[(1, 2)] }}
{{ {**d} if false else 'no' }}
{{ dict(**d)|length }} {{ range(*[1, 4])|list }} {{ '{a}{b}'.format(**{'a': 1, 'b': 2}) }} {{ '{}{}'.format(*[1, 2]) }}
{{ [1, 2, 3] == [1, 2, 3] }} {{ (1, 2) == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }} {{ missing == missing2 }} {{ missing == none }} {{ none == false }} {{ 'a' == 'a' }} {{ range(3) == range(0, 3) }}
{{ (l|length > 2) and (s is string) }} {{ l|length > 2 and 'b' }} {{ not yes or yes }} {{ 1 + 2 * 3 - 4 }} {{ 10 - 2 - 3 }} {{ 'a' ~ 'b' + 'c' }} {{ 2 * 3 ~ 4 }} {{ -3 | abs }} {{ -3 + 1 | abs }}
{{ messages[-1]['content'].strip() }} {{ messages[1:] | length }} {{ messages | map(attribute='role') | join(',') }} {{ messages[2].tool_calls[0].function.arguments | tojson }} {{ (messages | last).reasoning_content }} {{ messages[0].get('content', '') }} {{ messages[2].content is none }} {{ 'tool_calls' in messages[2] }}
{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'tool' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}
{% set content = messages[-1].content %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{ content }}
{%- macro render(t, depth=0) -%}{%- if t is mapping -%}{{ '{' }}{%- for k, v in t.items() -%}{{ k }}:{{ render(v, depth + 1) }}{%- if not loop.last -%},{%- endif -%}{%- endfor -%}{{ '}' }}{%- elif t is string -%}"{{ t }}"{%- elif t is iterable -%}[{%- for v in t -%}{{ render(v, depth + 1) }}{%- if not loop.last -%},{%- endif -%}{%- endfor -%}]{%- else -%}{{ t }}{%- endif -%}{%- endmacro -%}{{ render(tools) }}
{{ messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | first | default('none') }} {{ (messages | selectattr('role', 'equalto', 'zzz') | list | length) == 0 }}
{% for m in messages %}{{ loop.index0 % 2 == 0 }}{{ ' ' if not loop.last }}{% endfor %}
{% for a in l %}{% for b in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}
{% for a in l %}{% set outer = loop %}{% for b in l %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{{ code }}|{{ code|trim }}|{{ code|length }}|{{ code.splitlines() }}|{{ code|indent(4) }}
{{ big }} {{ big + 1 }} {{ big * 2 }} {{ big / 2 }} {{ 3 * 1.1 }} {{ 1e3 == 1000 }} {{ big == 9007199254740992.0 }}
{{ 9 % 4.5 }} {{ -9.5 // 2 }} {{ 1e308 * 10 }} {{ 3.0 }} {{ 1/3 }} {{ 2/3*3 }} {{ 100 * 1.1 }}
{{ '' if false }}
{{ s.split(' ')|map('lower')|map('capitalize')|join(' ') }} {{ s|list|unique|join }} {{ 'b,a'.split(',')|sort|first }}
{{ 'tab\\there' }} {{ 'null\\x00'|length }} {{ '\\U0001F600' }} {{ '\\q' }}
{{ true }} {{ True }} {{ false }} {{ False }} {{ none }} {{ None }} {{ [true, none, 1.0] }} {{ {'k': none, 't': true} }}
{{ loop }}|{{ loop is defined }}
{{ (1, 2)|first }} {{ [[1, 2], [3]]|sum(start=[]) }} {{ [(1, 'b'), (0, 'a')]|sort }} {{ [(2, 1), (1, 2)]|min }} {{ words|sort|join }} {{ ['B', 'a', 'C']|sort(reverse=true)|join }}
{{ d.a.k is sequence and d.a is mapping }} {{ d.a is mapping and d.a is not string }} {{ s is not mapping }} {{ (s is string) | string }}
{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ system_message }}|{{ loop_messages|length }}
{% if not date_string is defined %}{% if strftime_now is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% else %}{% set date_string = "26 Jul 2024" %}{% endif %}{% endif %}{{ date_string }}
{% if tools is defined and tools is not none %}{{ tools | map(attribute='function.name') | join(', ') }}{% endif %} {% for t in tools %}{{ t.function.parameters.properties | tojson(indent=4) }}{% endfor %}
"""

# Templates of several lines, and the same lines without the newline between: white space is half of the language.
BLOCKS = [
    """{%- for message in messages -%}
  {%- if message.role == 'user' -%}
    {{- '<|user|>' + message.content + '<|end|>' }}
  {%- elif message.role == 'assistant' and message.tool_calls -%}
    {%- for call in message.tool_calls -%}
      {{- '<call>' ~ (call.function | tojson) ~ '</call>' }}
    {%- endfor -%}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}""",
    "{{ \"line\\\ncontinued\" }}", "  {% if yes %}  \n  indented\n  {% endif %}  \ntail\n",
    "line one\n    {% set q = 1 %}\n    {%+ set q = 2 %}\n{{ q }}\n",
    "{% for m in messages %}\n<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}\n{% if add_generation_prompt %}\n<|assistant|>\n{% endif %}\n",
    "  {% for i in l %}\n    {{ i }}\n  {% endfor %}\n\n",
    "a\n\n{% if yes %}\n\nb\n\n{% endif %}\n\nc\n\n",
    "\t{%- set a = 1 %}\n\t{{ a }}\n\t{%- set b = 2 -%}\n\t{{ b }}\n",
    "{{ s }}\n{{ s }}\n\n", "\n", "\r\n", "x\r\ny\rz\n", "{{ '\r\n'|length }}", "", "{{ s }}\r\n", " {#- c -#} \n x",
    "  {# c #}  \n  x", "  {# c #}\n  x", "{% raw %}\n  {{ x }}\n{% endraw %}\n  y", "  {% raw %}  a  {% endraw %}  \n  b",
    "{%- if yes %}\n  a\n  {%- if no %}b{% endif %}\n{%- endif %}", "a\u00a0{%- if yes %}x{% endif %}", "a\u2003 {{- s }}",
    "{{ s -}}\n\n  x\n{{- s }}", "  {{ s }}  \n  {% set a = 1 %}  \n  {{ a }}", "\n\n{% set a = 1 %}\n\n{{ a }}",
    "x{% set a = 1 %}\ny\n  {% set b = 2 %}\nz", "{% if yes -%}\n  a\n{%- else -%}\n  b\n{%- endif %}\n",
    "<{%- raw -%}  {{ x }}  {%- endraw -%}  >", "{%if yes%}a{%else%}b{%endif%}", "{{s}}{{'}}'}}{{\"{%\"}}",
    "{% macro f(x) %}\n  <{{ x }}>\n{% endmacro %}\n{{ f(1) }}\n{{- f(2) -}}\n!", "{% set a %}\n  b\n{% endset %}[{{ a }}]",
    "{% call(x) f() %}{% endcall %}", "{% filter indent(2) %}\na\nb\n{% endfilter %}|", "{{ \n s \n }}", "{{ {\n'a': 1\n}.a }}",
]


def cases():
    yield from SNIPPETS.strip("\n").split("\n")
    yield from BLOCKS


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jinja.jsonl")
    count = errors = 0
    with open(path, "w", encoding="utf-8") as out:
        for template in cases():
            used = {k: v for k, v in VARIABLES.items() if k in template}
            expected = render(template, used)
            line = {"template": template, "request": used, "now": NOW}
            line.update({"error": True} if expected is None else {"expected": expected})
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
            errors += expected is None
    print(f"{path}: {count} templates, {errors} of them errors")


if __name__ == "__main__":
    main()
