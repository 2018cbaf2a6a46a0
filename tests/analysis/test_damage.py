"""Files that were overwritten: each command refuses them, names what is wrong, and leaves
them as they are. Usage: test_damage.py PALIMPSEST SWEEP_SIM
"""

import os
import subprocess
import sys
import tempfile
import unittest

import h5py

import made


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
        with h5py.File(self.path, "r+") as file:
            self.assertNotEqual(file[column][row], value)
            file[column][row] = value

    def assert_refused(self, says, *arguments):
        before = read_bytes(self.path)
        run = subprocess.run([made.PALIMPSEST, *arguments], capture_output=True, text=True,
                             timeout=60, env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        self.assertEqual((run.returncode, run.stdout), (2, ""), run.stderr)
        self.assertIn(says, run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertEqual(read_bytes(self.path), before)

    def test_columns_of_the_plan(self):
        for column, row, value in (("trials/coefficient", 3, 0.25), ("trials/seed", 0, 5),
                                   ("trials/method", 1, b"rmu"), ("facts/fold", 2, 4),
                                   ("unlearned/setting", 1, b"x"), ("base/seed", 0, 7)):
            made.make(self.path, seeds=(0,))
            self.change(column, row, value)
            for command in ("show", "status", "verify"):
                self.assert_refused(f"made.h5: damaged: the column /{column}", command,
                                    self.path)
            self.assert_refused(f"made.h5: damaged: the column /{column}", "run",
                                f"{self.path}.yaml", "-o", self.path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
