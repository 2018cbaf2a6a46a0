"""`palimpsest bench`: what it prints and writes, and that PyTorch does the same work.

Started as SCRIPT PALIMPSEST. No time is asserted.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import unittest

PALIMPSEST = os.path.abspath(sys.argv.pop(1))
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
#: the tiniest measurement
TINY = ("bench", "--model", "nano", "--time", "1")


def run(*arguments, **environment):
    return subprocess.run([PALIMPSEST, *arguments], env={**os.environ, **environment},
                          cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)


class Bench(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.file = os.path.join(self.folder.name, "bench.json")

    def test_table_and_json(self):
        done = run(*TINY, "-t", "2", "-o", self.file)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for words in ("GFLOP/s", "attention backward", "gemm weights", "full length",
                      "sentences", "multiple choice"):
            self.assertIn(words, done.stdout)
        with open(self.file, encoding="utf-8") as file:
            found = json.load(file)
        self.assertGreater(found["machine"]["flops_of_core"], 0)
        self.assertEqual([(step["sequences"], step["threads"], step["width"])
                          for step in found["steps"]],
                         [("full length", 1, 64), ("full length", 2, 64),
                          ("sentences", 1, 64), ("sentences", 2, 64)])
        for step in found["steps"]:
            time = step["seconds_of_token"]
            self.assertLessEqual(time["least"], time["median"])
            self.assertAlmostEqual(step["tokens_per_second"] * time["median"], 1)
            self.assertNotIn("peer", step)
        self.assertEqual(len(found["choice"]), 2)
        self.assertIn("cross-entropy", {line["kernel"] for line in found["kernels"]})

    def test_only(self):
        done = run(*TINY, "--only", "choice", "-o", self.file)
        self.assertEqual(done.returncode, 0)
        self.assertNotIn("training steps", done.stdout)
        with open(self.file, encoding="utf-8") as file:
            found = json.load(file)
        self.assertEqual((found["kernels"], found["steps"]), ([], []))

    def test_refusals(self):
        for arguments, words in ((("-m", "nanno"), "nanno"), (("-t", "0"), "threads"),
                                 (("--only", "step"), "nearest is steps")):
            done = run("bench", *arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(words, done.stderr)

    def test_an_output_that_cannot_be_is_refused_at_once(self):
        for file, words in ((self.folder.name, "not a file but a folder"),
                            ("/dev/full", "not a file but a pipe or device"),
                            (os.path.join(self.file, "x"), "its folder does not exist")):
            done = run(*TINY, "-o", file)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertEqual(done.stderr.count("\n"), 1)
            self.assertTrue(done.stderr.startswith(f"palimpsest: {file}: "), done.stderr)
            self.assertIn(words, done.stderr)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_a_failed_write_leaves_the_old_file(self):
        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

        with open(self.file, "w", encoding="utf-8") as file:
            file.write("old")
        done = subprocess.run([PALIMPSEST, *TINY, "--only", "choice", "-o", self.file],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              check=False, preexec_fn=no_room)
        self.assertEqual((done.returncode, done.stderr),
                         (1, f"palimpsest: {self.file}: File too large\n"))
        with open(self.file, encoding="utf-8") as file:
            self.assertEqual(file.read(), "old")
        self.assertEqual(os.listdir(self.folder.name), ["bench.json"])

    def test_without_torch(self):
        with open(os.path.join(self.folder.name, "torch.py"), "w", encoding="utf-8") as file:
            file.write("raise ImportError('not here')\n")
        done = run(*TINY, "--only", "steps", "--peer", PYTHONPATH=self.folder.name)
        self.assertEqual(done.returncode, 2)
        self.assertIn("can import torch", done.stderr)

    def test_peer_starts_from_the_same_loss(self):
        done = run(*TINY, "--only", "steps", "--peer", "-o", self.file)
        if "can import torch" in done.stderr:
            self.skipTest("no torch")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        with open(self.file, encoding="utf-8") as file:
            steps = json.load(file)["steps"]
        self.assertEqual(len(steps), 2)
        for step in steps:
            for precision, tolerance in (("fp32", 1e-4), ("bf16", 2e-2)):
                peer = step["peer"][precision]
                self.assertAlmostEqual(peer["first_loss"], step["first_loss"],
                                       delta=tolerance)
                self.assertGreater(peer["ratio"]["least"], 0)


unittest.main()
