"""configs/deploy/grafana-dashboard.json and configs/deploy/alerts.yaml ask for what a real server's /metrics prints, labels included."""
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

SOURCE = os.environ["TERRACE_SOURCE_DIR"]
sys.path.insert(0, os.path.join(SOURCE, "tests/support/serve"))
from terrace_server import Server, skip_without_model  # noqa: E402

BY_PROMETHEUS = {"le", "instance", "job"}


def expressions(node):
    """Every value of a key `expr` below."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "expr" else expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def wanted(expression):
    """(metrics, labels) that it names."""
    labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression))
    for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",")}
    return set(re.findall(r"\bterrace_\w+", expression)), labels - BY_PROMETHEUS


class DashboardsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.samples, cls.labels = set(), set()
        with Server("cache.host=64MiB") as server:
            server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 2})
            for line in server.get("/metrics")[1].decode().splitlines():
                if not line.startswith("#"):
                    cls.samples.add(re.match(r"\w+", line)[0])
                    cls.labels |= set(re.findall(r'(\w+)="', line))
        with open(os.path.join(SOURCE, "configs/deploy/grafana-dashboard.json")) as file:
            cls.dashboard = json.load(file)
        with open(os.path.join(SOURCE, "configs/deploy/alerts.yaml")) as file:
            cls.alerts = file.read()

    def check(self, expression):
        metrics, labels = wanted(expression)
        self.assertEqual(metrics - self.samples, set(), expression)
        self.assertEqual(labels - self.labels, set(), expression)
        self.assertEqual([expression.count(c) for c in "({["], [expression.count(c) for c in ")}]"], expression)

    def test_the_dashboard(self):
        found = list(expressions(self.dashboard))
        self.assertGreater(len(found), 20)
        for expression in found:
            self.check(expression)
        for panel in self.dashboard["panels"]:
            self.assertTrue(panel["title"] and panel["targets"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
        shown = {re.sub(r"_(bucket|sum|count)$", "", name) for expression in found for name in wanted(expression)[0]}
        printed = {re.sub(r"_(bucket|sum|count)$", "", name) for name in self.samples}
        self.assertEqual(printed - shown, set(), "metrics that the dashboard does not show")

    def test_the_alerts(self):
        found = re.findall(r"^        expr: (.*)$", self.alerts, re.M)
        self.assertEqual(len(found), self.alerts.count("- alert:"))
        for expression in found:
            self.check(expression)
        try:
            import yaml
        except ImportError:
            return
        for rule in yaml.safe_load(self.alerts)["groups"][0]["rules"]:
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
            self.assertTrue(rule["annotations"]["summary"])
            self.assertIn(rule["expr"], found)
        if shutil.which("promtool"):
            subprocess.run(["promtool", "check", "rules", os.path.join(SOURCE, "configs/deploy/alerts.yaml")], check=True)

    def test_a_wrong_name_would_be_seen(self):
        with self.assertRaises(AssertionError):
            self.check("rate(terrace_tokens_total[5m])")
        with self.assertRaises(AssertionError):
            self.check('terrace_kv_usage_ratio{level="host"}')


if __name__ == "__main__":
    skip_without_model()
    unittest.main(verbosity=1)
