"""Files that were overwritten: each command refuses them, names what is wrong, and leaves
them as they are. Usage: test_damage.py PALIMPSEST SWEEP_SIM
"""

import os
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "analysis"))
import made
import results as res


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


class Damage(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "made.h5")

    def tearDown(self):
        self.folder.cleanup()

    def change(self, column, row, value):
        before = read_bytes(self.path)
        with h5py.File(self.path, "r+") as file:
            file[column][row] = value
        self.assertNotEqual(read_bytes(self.path), before)

    def assert_refused(self, says, *arguments):
        before = read_bytes(self.path)
        run = subprocess.run([made.PALIMPSEST, *arguments], capture_output=True, text=True,
                             timeout=60, env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        self.assertEqual((run.returncode, run.stdout), (2, ""), run.stderr)
        self.assertIn(says, run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertEqual(read_bytes(self.path), before)

    def assert_not_read(self, says):
        with self.assertRaises(res.ResultsError) as caught:
            res.Results(self.path)
        self.assertIn(says, str(caught.exception))

    def test_columns_of_the_plan(self):
        for column, row, value in (("trials/coefficient", 3, 0.25), ("trials/seed", 0, 5),
                                   ("trials/method", 1, b"rmu"), ("facts/fold", 2, 4),
                                   ("unlearned/setting", 1, b"x"), ("base/seed", 0, 7)):
            made.make(self.path, seeds=(0,))
            self.change(column, row, value)
            for command in ("show", "status", "verify"):
                self.assert_refused(f"made.h5: damaged: the column /{column}", command,
                                    self.path)
            self.assert_not_read(f"made.h5: damaged: the column /{column}")
            self.assert_refused(f"made.h5: damaged: the column /{column}", "run",
                                f"{self.path}.yaml", "-o", self.path)

    def test_rows(self):
        for column, row, value in (("trials/v_after", 4, 0.5), ("trials/error", 3, b"x"),
                                   ("trials/bits", 0, np.uint8(0)), ("trials/crc", 7, 1),
                                   ("trials/state", 2, 3)):
            made.make(self.path, seeds=(0,))
            self.change(column, row, value)
            says = f"made.h5: damaged: row {row} of /trials has another checksum"
            self.assert_refused(says, "show", self.path)
            self.assert_refused(says, "show", "--json", self.path)
            self.assert_not_read(says)
            # The same command as ever mends it.
            said = made.simulate(self.path)
            self.assertIn("warning: 1 rows of", said)
            self.assertGreater(len(res.Results(self.path).cells), 0)

    def test_rows_of_models(self):
        made.make(self.path, seeds=(0,))
        self.change("unlearned/v_accuracy", 2, 0.125)
        self.assert_refused("damaged: row 2 of /unlearned has another checksum", "show",
                            self.path)

    def test_what_is_no_file(self):
        made.make(self.path, seeds=(0,))
        pipe = os.path.join(self.folder.name, "pipe")
        os.mkfifo(pipe)
        for other in (pipe, self.folder.name, "/dev/null"):
            says = f"{other}: not a file but a "
            self.assert_refused(says, "run", f"{self.path}.yaml", "-o", other)
            self.assert_refused(says, "show", other)
        self.assertEqual(sorted(os.listdir(self.folder.name)),
                         ["cache", "made.h5", "made.h5.yaml", "pipe"])

    def test_rows_that_do_not_count(self):
        """What a kill leaves of a row, and a failure, are no results."""
        made.make(self.path, seeds=(0,), state=lambda i, row: (1, 0, 2)[i % 3])
        for row in (1, 2):
            self.change("trials/v_after", row, 0.5)
        run = subprocess.run([made.PALIMPSEST, "show", self.path], capture_output=True)
        self.assertEqual(run.returncode, 0)
        self.assertEqual(res.Results(self.path).counts()["pending"], 12)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
