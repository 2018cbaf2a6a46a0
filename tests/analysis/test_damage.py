"""Files that were overwritten: each command refuses them, names what is wrong, and leaves
them as they are. Usage: test_damage.py PALIMPSEST SWEEP_SIM
"""

import os
import subprocess
import sys
import tempfile
import unittest
import zlib

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
            for command in ("show", "status", "verify"):
                self.assert_refused(says, command, self.path)
            self.assert_refused(says, "show", "--json", self.path)
            self.assert_not_read(says)
            # The same command as ever mends it.
            said = made.simulate(self.path)
            self.assertIn("warning: 1 rows of", said)
            self.assertGreater(len(res.Results(self.path).cells), 0)

    def test_rows_of_models(self):
        for table, column, row, value, says in (
                ("unlearned", "v_accuracy", 2, 0.125, "another checksum"),
                ("base", "bits", 0, np.uint8(0), "another checksum"),
                ("base", "state", 0, 9, "a state that does not exist"),
                ("trials", "state", 5, 4, "a state that does not exist")):
            made.make(self.path, seeds=(0,))
            self.change(f"{table}/{column}", row, value)
            says = f"damaged: row {row} of /{table} has {says}"
            for command in ("show", "status", "verify"):
                self.assert_refused(says, command, self.path)
            self.assert_not_read(says)

    def test_index(self):
        made.make(self.path, seeds=(0,))
        whole = read_bytes(self.path)
        for old, new, says in (
                (b"/trials/method ", b"/trials/methoD ", "its index has another checksum"),
                (b"schema 2,", b"schema 3,", "written with schema 3; this reads 2"),
                (b"bytes, crc ", b"bytes, crx ", "no index of palimpsest"),
                (b"palimpsest", b"palimpsesT", "no index of palimpsest")):
            with open(self.path, "wb") as file:
                file.write(whole.replace(old, new, 1))
            self.assert_not_read(says)
        # With the right checksum, as a hostile hand would.
        head, body = whole[:res.INDEX_HEAD_BYTES], whole[res.INDEX_HEAD_BYTES:]
        size = int(head.split()[4])
        for old, new, says in (
                (b"/trials/method ", b"/trials/methoD ", "methoD"),
                (b"column /trials/method ", b"dolumn /trials/method ",
                 "its index has no column /trials/method"),
                (b"column /trials/seed 1", b"column /trials/seed 2", "/trials/seed")):
            index = body[:size].replace(old, new, 1)
            sealed = head.split(b"crc")[0] + b"crc %08x\n" % zlib.crc32(index)
            with open(self.path, "wb") as file:
                file.write(sealed.ljust(res.INDEX_HEAD_BYTES, b"\0") + index + body[size:])
            self.assert_not_read(says)

    def test_any_byte(self):
        """What HDF5 reads: one line, whatever it meets there."""
        made.make(self.path, seeds=(0,), facts=60, models=(("none", None), ("gd", 0.1)))
        whole, rng, refused = read_bytes(self.path), np.random.default_rng(3), 0
        start = whole.index(b"\x89HDF")
        for _ in range(150):
            changed = bytearray(whole)
            for place in start + rng.integers(0, min(8000, len(whole) - start), 4):
                changed[place] ^= rng.integers(1, 256)
            with open(self.path, "wb") as file:
                file.write(changed)
            try:
                res.Results(self.path)
            except res.ResultsError as error:
                self.assertNotIn("\n", str(error))
                refused += 1
        self.assertGreater(refused, 75)

    def test_a_script_says_one_line(self):
        made.make(self.path, seeds=(0,))
        with open(self.path, "r+b") as file:
            file.truncate(30000)
        script = os.path.join(os.path.dirname(res.__file__), "table.py")
        run = subprocess.run([sys.executable, script, self.path, "-o", self.path + ".csv"],
                             capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout, run.stderr.count("\n")), (2, "", 1),
                         run.stderr)

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
