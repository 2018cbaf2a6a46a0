"""What scaling.py draws: which panels, which cell of a method at a size, and where.
Usage: test_scaling.py PALIMPSEST SWEEP_SIM
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

import matplotlib.pyplot as plt

import made

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "analysis")
sys.path.insert(0, FOLDER)
import results as res
import scaling

SMALL = dict(seeds=(0, 1), facts=100)


class Scaling(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        plt.close("all")
        self.folder.cleanup()

    def made(self, name, **kind):
        path = os.path.join(self.folder.name, f"{name}.h5")
        made.make(path, **{**SMALL, **kind})
        return res.Results(path)

    def script(self, *arguments):
        return subprocess.run([sys.executable, os.path.join(FOLDER, "scaling.py"), *arguments],
                              capture_output=True, text=True)

    def panels(self, *files):
        return scaling.panels([cell for file in files for cell in file.cells
                               if cell.role == res.UNLEARNS])

    def test_blocks(self):
        """The sizes and numbers are those of `palimpsest list models`."""
        said = subprocess.run([made.PALIMPSEST, "list", "models"], capture_output=True,
                              text=True).stdout
        rows = re.findall(r"^  (\S+) +\d+ +\d+ +[\d/]+ +\d+ +(\d+\.\d\d) ", said, re.M)
        self.assertEqual({name: float(number) for name, number in rows}, scaling.BLOCKS)

    def test_panels(self):
        """A rate for each size makes no panel; two of one size do, and another world."""
        nano, micro = self.made("nano"), self.made("micro", sizes=("micro",), lr=(0.001,))
        self.assertEqual(list(self.panels(nano, micro)), ["finetune"])
        two = self.made("two", sizes=("micro",), lr=(0.001, 0.002),
                        attacks=("finetune", "lora"))
        self.assertEqual(list(self.panels(two)), [
            "finetune, lr=0.001", "lora, lr=0.001", "finetune, lr=0.002", "lora, lr=0.002"])
        other = self.made("other", sizes=("micro",), facts=120)
        self.assertEqual(list(self.panels(nano, other)),
                         ["finetune, facts=100", "finetune, facts=120"])

    def test_least(self):
        """gd 3 recovers least and is damaged; of damaged ones alone, the most retain."""
        cells = [cell for cell in self.made("nano").cells if cell.method == "gd"]
        recovery = {cell.coefficient: cell.corrected().value for cell in cells}
        self.assertEqual(min(recovery, key=recovery.get), 3)
        del recovery[3]
        self.assertEqual(scaling.least(cells).coefficient, min(recovery, key=recovery.get))
        self.assertEqual(scaling.least(cells[3:]).coefficient, 3)
        self.assertIsNone(scaling.least([]))
        alone = self.made("alone", models=(("gd", 0.3), ("none", None)))
        self.assertIsNone(scaling.least(alone.cells))

    def test_picture(self):
        files = [self.made("two", sizes=("micro", "nano", "llama-nano")),
                 self.made("small", sizes=("small",), lr=(0.001,))]
        drawn = scaling.draw(files)
        recovery, accuracy = drawn.axes
        self.assertEqual([axes.get_title() for axes in drawn.axes], ["finetune", "finetune"])
        found = scaling.lines([c for file in files for c in file.cells
                               if c.role == res.UNLEARNS])
        self.assertEqual([c.model for c in found["rmu", ""]], ["nano", "micro", "small"])
        self.assertEqual([c.model for c in found["rmu", "llama"]], ["llama-nano"])
        of_recovery, of_accuracy = ([list(line.get_ydata()) for line in axes.lines]
                                    for axes in (recovery, accuracy))
        for cells in found.values():
            self.assertIn([c.corrected().value for c in cells], of_recovery)
            for level, column in ((res.Cell.floor, "bits"), (res.Cell.ceiling, "bits"),
                                  (lambda c: c, "bits"), (lambda c: c, "bits_before")):
                self.assertIn([level(c).accuracy(column).value for c in cells], of_accuracy)
        for cell in (cell for cells in found.values() for cell in cells):
            blocks = scaling.BLOCKS[cell.model]
            near = [x for line in recovery.lines for x, y in zip(*line.get_data())
                    if y == cell.corrected().value]
            self.assertTrue(any(abs(x / blocks - 1) < 0.1 for x in near))

    def test_script(self):
        nano, micro = self.made("nano"), self.made("micro", sizes=("micro",))
        out = os.path.join(self.folder.name, "out.png")
        run = self.script(nano.path, micro.path, "-o", out, "--only", "method=gd")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        with open(out, "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
        link = os.path.join(self.folder.name, "link.png")
        os.symlink(micro.path, link)
        for arguments, says in (((nano.path, "-o", out), "unlearned models of one size only"),
                                ((nano.path, micro.path, "-o", link), "the results file itself"),
                                ((nano.path, micro.path, "-o", out, "--only", "size=micro"),
                                 "unlearned models of one size only")):
            run = self.script(*arguments)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)
            self.assertIn(says, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
