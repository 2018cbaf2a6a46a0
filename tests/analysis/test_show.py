"""`palimpsest show FILE --json` and results.py say the same of the same file.

Values and Student's intervals agree to rounding; the others within the noise of 2,000
resamples, as the two draw different random numbers. What README.md shows with pandas
says the same too. Usage: test_show.py PALIMPSEST SWEEP_SIM
"""

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "analysis"))
import made
import results as res

README = os.path.join(os.path.dirname(res.__file__), "README.md")
ROLES = ("unlearns", "ceiling", "floor")
CALIBRATION = dict(taught=(0.0, 0.5, 1.0),
                   models=(("none", None), ("filtered", None), ("gd", 0.3)))
KINDS = {
    "finished": {},
    "running": dict(state=lambda i, row: (1, 1, 0, 1, 2, 3, 1)[i % 7]),
    "one seed": dict(seeds=(7,)),
    "two sizes": dict(sizes=("nano", "micro"), seeds=(0, 1)),
    "calibration": CALIBRATION,
    "no controls": dict(models=(("gd", 0.3), ("rmu", 1.0))),
    "pending": dict(state=lambda i, row: 0),
    "variants": dict(unlearn_steps=(100, 200), seeds=(0, 1),
                     models=(("none", None), ("filtered", None), ("gd", 0.3))),
    "adapters": dict(adapters=(0, 8), seeds=(0, 1),
                     models=(("none", None), ("filtered", None), ("gd", 0.3))),
    "attacks": dict(attacks=("finetune", "lora"), seeds=(0, 1)),
    "one rate": dict(rates=(1e-3,), seeds=(0, 1)),
    "three rates": dict(rates=(1e-4, 3e-4, 1e-3), seeds=(0, 1)),
    "budget": dict(steps_done=made.early),
}


def show(path, *options):
    return subprocess.run([made.PALIMPSEST, "show", path, *options], capture_output=True,
                          text=True)


class Show(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "made.h5")

    def tearDown(self):
        self.folder.cleanup()

    def assert_same(self, shown, estimate, where):
        self.assertEqual(shown["reason"], estimate.reason, where)
        self.assertEqual((shown["seeds"], shown["facts"]),
                         (estimate.seeds, estimate.facts), where)
        for key in ("value", "low", "high"):
            number = getattr(estimate, key)
            if np.isnan(number):
                self.assertIsNone(shown[key], f"{where} {key}")
                continue
            noise = 1e-12
            if key != "value" and estimate.facts == 1:  # retain
                noise = 1e-9
            elif key != "value":  # resamples differ, and means move in steps of facts
                noise = (0.1 * (estimate.high - estimate.low) + 0.004
                         + 2 / (estimate.seeds * estimate.facts))
            self.assertAlmostEqual(shown[key], number, delta=noise, msg=f"{where} {key}")

    def compare(self, shown, results):
        self.assertEqual(shown["sweep"], results.sweep)
        self.assertEqual(shown["trials"], results.counts())
        self.assertEqual(len(shown["cells"]), len(results.cells))
        for one, cell in zip(shown["cells"], results.cells):
            where = f"{cell.setting}:"
            self.assertEqual(one["setting"], cell.setting)
            self.assertEqual(one["attack_setting"], cell.attack_setting)
            self.assertEqual(one["role"], ROLES[cell.role])
            self.assertEqual(one["trials"], cell.states)
            self.assertEqual(one["damaged"], bool(cell.damaged()))
            self.assertEqual(one["ended_early"], cell.ended_early())
            for name, value in cell.tuning().items():
                self.assertEqual(one[name], None if np.isnan(value) else value, name)
            if one["mean_steps"] is None:
                self.assertTrue(np.isnan(cell.mean_steps()))
            else:
                self.assertAlmostEqual(one["mean_steps"], cell.mean_steps())
            for name, estimate in (
                    ("v_before", cell.accuracy("bits_before")),
                    ("v_after", cell.accuracy("bits")), ("retain_before", cell.retain()),
                    ("retain_after", cell.retain("retain_after")),
                    ("corrected_recovery", cell.corrected()),
                    ("paper_recovery", cell.paper())):
                self.assert_same(one[name], estimate, f"{where} {name}")
            v_max = cell.accuracy("v_after_max").value
            if np.isnan(v_max):
                self.assertIsNone(one["v_after_max_chosen_on_v"])
            else:
                self.assertAlmostEqual(one["v_after_max_chosen_on_v"], v_max, places=9)

    def test_json(self):
        for name, kind in KINDS.items():
            with self.subTest(name):
                made.make(self.path, **kind)
                run = show(self.path, "--json")
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.compare(json.loads(run.stdout), res.Results(self.path))

    def test_text(self):
        for name, kind in KINDS.items():
            with self.subTest(name):
                made.make(self.path, **kind)
                run = show(self.path)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                results = res.Results(self.path)
                lines = run.stdout.splitlines()
                self.assertEqual(lines[0], results.title())
                variant = {"variants": len("steps=100 "), "adapters": len("adapter=0 ")}
                self.assertLessEqual(max(map(len, lines)), 110 + variant.get(name, 0))
                if results.counts()["done"] == 0:
                    self.assertRegex(lines[1], "no trial done yet; .* base models, .*")
                    continue
                for section in results.sections():
                    self.assertIn(section.label, lines)
                self.assertEqual("The attack has one learning rate" in run.stdout,
                                 name == "one rate")
                for cell in results.cells:
                    value = cell.accuracy("bits").value
                    if not np.isnan(value):
                        self.assertIn(f"{value:.2f}", run.stdout)

    @unittest.skipUnless(importlib.util.find_spec("pandas"), "this Python has no pandas")
    def test_pandas(self):
        """What analysis/README.md shows, of a file with two attacks and two sizes."""
        made.make(self.path, sizes=("nano", "micro"), attacks=("finetune", "lora"))
        with open(README, encoding="utf-8") as file:
            snippet = file.read().split("```python\n")[1].split("```")[0]
        self.assertIn('"results/quickstart.h5"', snippet)
        shown = {}
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(snippet.replace('"results/quickstart.h5"', repr(self.path)), shown)
        self.assertIn("v_after", said.getvalue())
        cells = json.loads(show(self.path, "--json").stdout)["cells"]
        self.assertEqual(len(shown["table"]), len(cells))
        means = shown["chosen"].groupby(["setting", "cell"])
        for one in cells:
            for name in ("v_before", "retain_before", "v_after", "retain_after"):
                place = one["setting"], one["attack_setting"]
                self.assertAlmostEqual(means[name].mean()[place], one[name]["value"])

    def test_variants_are_named(self):
        for kind, labels in (("variants", ("steps=100", "steps=200")),
                             ("adapters", ("adapter=0", "adapter=8"))):
            made.make(self.path, **KINDS[kind])
            lines = show(self.path).stdout.splitlines()
            for label in labels:
                self.assertEqual(sum(line.startswith("^  gd ") and label in line
                                     for line in lines), 1, lines)

    def test_the_program_goes_on_with_it(self):
        """What is overwritten does not look damaged: the program takes it as its own."""
        made.make(self.path)
        said = made.simulate(self.path)
        self.assertIn("all 108 trials are done; nothing to compute", said)
        self.assertNotIn("checksum", said)

    def test_it_repeats(self):
        made.make(self.path)
        self.assertEqual(show(self.path).stdout, show(self.path).stdout)
        self.assertEqual(show(self.path, "--json").stdout, show(self.path, "--json").stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
