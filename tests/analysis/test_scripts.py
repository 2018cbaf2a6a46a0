"""Each script writes its file, also for a running sweep, and refuses what it cannot read."""

import csv
import os
import subprocess
import sys
import tempfile
import unittest

import h5py
import matplotlib.pyplot as plt
import numpy as np

import made

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "analysis")
sys.path.insert(0, FOLDER)
import choice
import coefficient
import figure
import output
import results

CALIBRATION = dict(taught=(0.0, 0.5, 1.0),
                   models=(("none", None), ("filtered", None), ("gd", 0.3)))
FIGURES = {"coefficient": {}, "calibration": CALIBRATION}
SCRIPTS = ("coefficient", "calibration", "scaling", "table")


def script(name, *arguments):
    return subprocess.run([sys.executable, os.path.join(FOLDER, f"{name}.py"), *arguments],
                          capture_output=True, text=True)


def is_picture(path):
    with open(path, "rb") as file:
        return file.read(8) == b"\x89PNG\r\n\x1a\n" and os.path.getsize(path) > 10000


class Scripts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = self.at("made.h5")

    def tearDown(self):
        self.folder.cleanup()

    def at(self, name):
        return os.path.join(self.folder.name, name)

    def assert_refused(self, name, says, *arguments):
        run = script(name, *arguments)
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertIn(says, run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)

    def test_figures(self):
        for name, kind in FIGURES.items():
            for state in (lambda i, row: 1, lambda i, row: (1, 1, 0, 1, 2, 3, 1)[i % 7]):
                made.make(self.path, state=state, **kind)
                out = self.at(f"{name}.png")
                run = script(name, self.path, "-o", out)
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.assertTrue(is_picture(out))
                os.remove(out)

    def test_coefficient_with_sizes(self):
        made.make(self.path, sizes=("nano", "micro"), seeds=(0,))
        run = script("coefficient", self.path, "-o", self.at("out.png"))
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertTrue(is_picture(self.at("out.png")))

    def assert_clear(self, drawn):
        """No words run into others, into the legend or out of the picture."""
        drawn.canvas.draw()
        texts = drawn.texts[:]  # the title and the headings
        for axes in drawn.axes:
            texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        texts = [text for text in texts if text.get_text()]
        boxes = [item.get_window_extent() for item in (*drawn.legends, *drawn.axes, *texts)]
        for i, box in enumerate(boxes):
            self.assertFalse(box.count_overlaps(boxes[:i]), i)
            self.assertGreater(min(box.x0, box.y0), 0)
            self.assertLess(box.x1, drawn.bbox.x1)
            self.assertLess(box.y1, drawn.bbox.y1)
        plt.close(drawn)
        return [text.get_text().replace("\n", " ") for text in texts]

    def test_labels_of_sections(self):
        """Each section is named once."""
        for models in (("gd", 0.3), ("rmu", 1.0)), (("gd", 0.3),):
            made.make(self.path, sizes=("nano", "llama-nano"), seeds=(0,), models=models,
                      attacks=("finetune", "lora"))
            found = results.Results(self.path)
            words = self.assert_clear(coefficient.draw(found))
            for section in found.sections():
                self.assertEqual(sum(section.label in word for word in words), 1, words)

    def test_only(self):
        made.make(self.path, sizes=("nano", "micro"), seeds=(0,), attacks=("finetune", "lora"))
        cells = [c for c in results.Results(self.path).cells if c.role == results.UNLEARNS]
        for only, accept in (
                (["model.size=nano"], lambda c: c.model == "nano"),
                (["size=nano", "attack=lora"],
                 lambda c: (c.model, c.attack) == ("nano", "lora")),
                (["method=gd", "coefficient=1", "method=ria", "attack.kind=finetune",
                  "unlearn.coefficient=3"],
                 lambda c: c.method in ("gd", "ria") and c.coefficient in (1, 3)
                 and c.attack == "finetune")):
            found = choice.narrow(cells, only)
            self.assertEqual(found, [cell for cell in cells if accept(cell)])
            self.assertIn(len(found), (3, 6, 7, 14))
        made.make(self.at("steps.h5"), seeds=(0,), unlearn_steps=(100, 200))
        two = [cell for cell in results.Results(self.at("steps.h5")).cells
               if cell.role == results.UNLEARNS]
        self.assertEqual(choice.narrow(two, ["steps=200"]),  # of those, what varies
                         [cell for cell in two if cell.unlearn_steps == 200])
        for only, says in (("size", "expected KEY=VALUE"), ("sizes=nano", "these vary: model."),
                           ("size=tiny", "there are model.size=nano model.size=micro"),
                           ("steps=1", "pretrain.steps or unlearn.steps or attack.steps")):
            self.assert_refused("coefficient", says, self.path, "-o", self.at("a.png"),
                                "--only", only)
        found = results.Results(self.path)
        for only, panels in (["attack=lora"], 6), (["method=rmu", "size=micro"], 2), ([], 12):
            drawn = coefficient.draw(found, only)
            self.assertEqual(len(drawn.axes), panels)
            plt.close(drawn)

    def test_too_many_panels(self):
        made.make(self.path, seeds=(0,), attacks=("finetune", "lora"), facts=100,
                  taught=np.round(np.linspace(0.5, 1, 17), 3).tolist())
        self.assert_refused("coefficient", "102 panels, more than 100: choose some with --only "
                            "KEY=VALUE, as --only pretrain.taught=0.5; these vary: "
                            "pretrain.taught (17 values), unlearn.method (3 values), "
                            "attack.kind (2 values)", self.path, "-o", self.at("a.png"))

        made.make(self.path, seeds=(0,), facts=100, taught=(0.5, 1), sizes=("nano", "micro"),
                  lr=(1e-3, 2e-3, 3e-3, 4e-3), attacks=("finetune", "lora"))
        self.assert_refused("calibration", "16 panels, more than 12: choose some with --only "
                            "KEY=VALUE, as --only pretrain.lr=0.001", self.path, "-o",
                            self.at("a.png"))
        run = script("calibration", self.path, "-o", self.at("a.png"), "--only", "pretrain.lr=0.001",
                     "--only", "method=rmu")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(len(run.stdout.splitlines()), 1 + 2 * 2 * 2 * 2)
        with self.assertRaisesRegex(results.ResultsError, "cannot write '.*a.png': Image"):
            figure.save(plt.figure(figsize=(1000, 1)), self.at("a.png"))
        self.assertTrue(is_picture(self.at("a.png")))

    def test_pages(self):
        """Of one row or many, with short words or long ones."""
        long = ", ".join(f"key{i}={'value' * (i % 4)}" for i in range(12))
        for rows, columns, words in ((1, 1, "a"), (1, 2, long), (7, 1, long), (12, 2, "a"),
                                     (24, 1, "a"), (2, 5, long)):
            drawn, grid = figure.page([figure.Row(words, [words] * columns)] * rows,
                                      f"a title\n{words}", coefficient.legend())
            self.assertEqual([len(row) for row in grid], [columns] * rows)
            for axes in drawn.axes:
                axes.set_xlabel("unlearning coefficient")
            self.assertEqual(self.assert_clear(drawn).count(words), rows * (columns + 1))

    def test_calibration_table(self):
        made.make(self.path, **CALIBRATION)
        run = script("calibration", self.path, "-o", self.at("out.png"), "--csv",
                     self.at("out.csv"))
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(len(run.stdout.splitlines()), 1 + 3 + 1 + 3)
        with open(self.at("out.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["model"] for row in rows],
                         ["original"] * 3 + ["never taught"] + ["gd 0.3"] * 3)
        for row in rows:
            fraction = float(row["fraction taught"])
            self.assertAlmostEqual(float(row["perfect ruler"]), 0.25 + 0.75 * fraction)
            self.assertAlmostEqual(fraction, float(row["asked"]), delta=0.1)

    def test_table(self):
        made.make(self.path)
        run = script("table", self.path, "-o", self.at("out.csv"))
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        with open(self.at("out.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), len(made.MODELS))
        gd = next(row for row in rows if row["method"] == "gd" and
                  row["coefficient"] == "0.3")
        self.assertEqual((gd["done"], gd["seeds"], gd["facts"]), ("12", "3", "120"))
        self.assertEqual((gd["attack_lr"], gd["repetitions"], gd["point_at_end"]),
                         ("0.0003", "6", "6"))
        self.assertEqual((gd["attack"], gd["attack_setting"].split()[0]),
                         ("finetune", "attack=finetune"))
        self.assertTrue(float(gd["corrected_recovery_low"])
                        < float(gd["corrected_recovery"])
                        < float(gd["corrected_recovery_high"]))

    def test_refusals(self):
        with open(self.at("text"), "w") as file:
            file.write("no HDF5")
        with h5py.File(self.at("foreign"), "w") as file:
            file["x"] = 1
        made.make(self.at("none_done"), state=lambda i, row: 0)
        made.make(self.path)
        with h5py.File(self.path, "a") as file:
            del file["trials/dev_after"]
        for name in SCRIPTS:
            out = ("-o", self.at("out"))
            self.assert_refused(name, "no such file", self.at("missing"), *out)
            self.assert_refused(name, "not a results file", self.at("text"), *out)
            self.assert_refused(name, "no index of palimpsest", self.at("foreign"), *out)
            self.assert_refused(name, "no trial is done yet", self.at("none_done"), *out)
            self.assert_refused(name, "no column 'dev_after'", self.path, *out)
            self.assertFalse(os.path.exists(self.at("out")))

    def test_what_cannot_be_drawn(self):
        made.make(self.path, models=(("none", None), ("filtered", None)))
        self.assert_refused("coefficient", "only controls", self.path, "-o", self.at("a.png"))
        self.assert_refused("calibration", "one value only", self.path, "-o",
                            self.at("a.png"))

    def test_what_cannot_be_written(self):
        made.make(self.path, **CALIBRATION)
        os.mkdir(self.at("a.png"))
        os.mkfifo(self.at("pipe.png"))
        os.symlink(self.path, self.at("link.png"))
        for name, says in (("", "an empty name"), ("/dev/full", "a pipe or device"),
                           (self.at("a.png"), "a folder"),
                           (self.at("pipe.png"), "a pipe or device"),
                           (self.at("link.png"), "the results file itself"),
                           (self.at("no/b.png"), f"no folder {self.at('no')} "),
                           (self.at("b"), "a picture's name ends with .png, "),
                           (self.at("b.doc"), "a picture's name ends with .png, ")):
            with self.assertRaises(results.ResultsError) as refused:
                output.check(name, self.path, output.PICTURES)
            self.assertIn(f"cannot write '{name}': {says}", str(refused.exception))
        before = sorted(os.listdir(self.folder.name))
        for name, *options in (("coefficient", "-o", self.at("b")),
                               ("calibration", "-o", self.at("b")),
                               ("calibration", "-o", self.at("b.png"), "--csv", ""),
                               ("table", "-o", "")):
            self.assert_refused(name, f"cannot write '{options[-1]}': a", self.path, *options)
        self.assertEqual(sorted(os.listdir(self.folder.name)), before)

    def test_written_whole_or_not_at_all(self):
        os.symlink(self.at("b.csv"), self.at("a.csv"))
        with output.writing(self.at("a.csv")) as file:
            file.write("before")
        with self.assertRaises(KeyboardInterrupt), output.writing(self.at("a.csv")) as file:
            file.write("half")
            raise KeyboardInterrupt
        with self.assertRaisesRegex(results.ResultsError, "cannot write '.*a.csv': No space"):
            with output.writing(self.at("a.csv")) as file, open("/dev/full", "w") as full:
                file.write("half")
                full.write("half")
        with open(self.at("b.csv"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "before")
        self.assertTrue(os.path.islink(self.at("a.csv")))
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["a.csv", "b.csv"])

    def test_missing_packages(self):
        alone = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        for name in SCRIPTS:
            run = subprocess.run([sys.executable, "-S", os.path.join(FOLDER, f"{name}.py")],
                                 capture_output=True, text=True, env=alone)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)
            self.assertRegex(run.stderr, f"^{name}.py: .* has no (numpy|matplotlib); ")

    def test_help(self):
        for name in SCRIPTS:
            run = script(name, "--help")
            self.assertEqual(run.returncode, 0)
            self.assertIn("--output", run.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
