"""results.py: the attacker's choice, means, recoveries, intervals, cells that lack rows."""

import os
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "analysis"))
import made
import results as res


def bits(row, name="bits", facts=60):
    return np.unpackbits(row[name], bitorder="little")[:facts]


def counted(rows, method, coefficient):
    """The rows that count, by the rule and the long way round."""
    chosen = {}
    for row in rows:
        same = row["method"] == method and (row["coefficient"] == coefficient
                                            or np.isnan(row["coefficient"]))
        if same and row["state"] == 1:
            chosen.setdefault((row["seed"], row["holdout"]), []).append(row)
    return [min(same, key=lambda row: (-row["dev_after"], row["attack_lr"]))
            for same in chosen.values()]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "made.h5")

    def tearDown(self):
        self.folder.cleanup()

    def load(self, **kind):
        self.rows = made.make(self.path, **kind)
        return res.Results(self.path)

    def cell(self, results, method, coefficient=np.nan):
        return results.find(lambda c: c.method == method and (
            c.coefficient == coefficient or np.isnan(c.coefficient)))


class Finished(Case):
    def test_the_better_rate_on_dev_counts(self):
        results = self.load()
        cell = self.cell(results, "gd", 0.3)
        own = counted(self.rows, "gd", 0.3)
        self.assertEqual({row["attack_lr"] for row in own}, {made.RATES[0]})
        self.assertEqual(len(cell.chosen), 3 * 2)
        right = np.concatenate([bits(row) for row in own])
        self.assertEqual(cell.accuracy("bits").value, right.sum() / len(right))
        before = np.concatenate([bits(row, "bits_before") for row in own])
        self.assertEqual(cell.accuracy("bits_before").value, before.sum() / len(before))

    def test_the_smaller_of_equal_rates_counts(self):
        results = self.load()
        cell = self.cell(results, "rmu", 1.0)
        rates = {results.trials["attack_lr"][row] for row, _ in cell.chosen.values()}
        self.assertEqual(rates, {made.RATES[0]})

    def test_the_papers_choice_is_the_best_on_v(self):
        results = self.load()
        best = {}
        for row in self.rows:
            if row["method"] == "gd" and row["coefficient"] == 0.1:
                place = (row["seed"], row["holdout"])
                best[place] = max(best.get(place, 0), row["v_after_max"])
        value = self.cell(results, "gd", 0.1).accuracy("v_after_max").value
        self.assertAlmostEqual(value, np.mean(list(best.values())), places=12)

    def test_recovery_is_a_ratio_of_means(self):
        results = self.load()
        mean = {m: np.mean([bits(row).mean() for row in counted(self.rows, m, c)])
                for m, c in (("gd", 1.0), ("filtered", 0), ("none", 0))}
        cell = self.cell(results, "gd", 1.0)
        corrected, paper = cell.corrected(), cell.paper()
        self.assertAlmostEqual(corrected.value, (mean["gd"] - mean["filtered"])
                               / (mean["none"] - mean["filtered"]), places=12)
        self.assertAlmostEqual(paper.value, mean["gd"] / mean["none"], places=12)
        self.assertLess(corrected.low, corrected.value)
        self.assertLess(corrected.value, corrected.high)
        self.assertEqual((corrected.seeds, corrected.facts), (3, 120))

    def test_controls_recover_all_and_nothing(self):
        results = self.load()
        ceiling = self.cell(results, "none").corrected()
        self.assertEqual(ceiling[:3], (1, 1, 1))
        floor = self.cell(results, "filtered")
        self.assertEqual(floor.corrected().reason, "no ceiling")  # its base is another

    def test_damage_is_seen(self):
        """In every seed, or in one of three."""
        results = self.load()
        damaged = [(c.method, c.coefficient) for c in results.cells if c.damaged()]
        self.assertEqual(damaged, [("gd", 3.0), ("ria", 3.0)])
        self.assertGreater(self.cell(results, "ria", 3.0).retain().value, res.SMALLEST_RETAIN)

    def test_runs_that_a_budget_ended_are_counted(self):
        results = self.load(steps_done=made.early)
        ended = {(c.method, c.coefficient): c.ended_early() for c in results.cells
                 if c.ended_early()}
        self.assertEqual(ended, {("gd", 1.0): 2, ("gd", 3.0): 3})
        self.assertFalse(any(c.ended_early() for c in self.load().cells))

    def test_choices_at_an_end_are_counted(self):
        results = self.load()
        names = ("attack_lr", "rate_at_end", "rate_at_largest", "point_at_end", "gaining")
        for method, coefficient, expected in (
                ("gd", 0.3, (3e-4, 6, 0, 6, 6)),    # best at its last step
                ("gd", 0.1, (3e-4, 6, 0, 6, 0)),    # there all of dev is right
                ("ria", 3.0, (1e-3, 6, 4, 0, 4)),   # with the larger rate in two seeds
                ("rmu", 1.0, (3e-4, 6, 0, 0, 0))):
            tuning = self.cell(results, method, coefficient).tuning()
            self.assertEqual(tuple(tuning[name] for name in names), expected, method)
            self.assertEqual(tuning["repetitions"], 6)

    def test_a_rate_amid_others_is_at_no_end(self):
        tuning = self.cell(self.load(rates=(1e-4, 3e-4, 1e-3)), "gd", 0.3).tuning()
        self.assertEqual((tuning["attack_lr_smallest"], tuning["attack_lr"],
                          tuning["attack_lr_largest"]), (1e-4, 3e-4, 1e-3))
        self.assertEqual((tuning["rate_at_end"], tuning["rate_at_largest"]), (0, 0))

    def test_a_rate_without_others_is_at_no_end(self):
        tuning = self.cell(self.load(rates=(1e-3,)), "ria", 3.0).tuning()
        self.assertEqual((tuning["rate_at_end"], tuning["gaining"]), (0, 0))

    def test_one_seed_has_no_interval_over_seeds(self):
        cell = self.cell(self.load(seeds=(4,)), "gd", 0.3)
        self.assertTrue(np.isnan(cell.retain().low))
        v = cell.accuracy("bits")
        sigma = np.sqrt(v.value * (1 - v.value) / 120)
        self.assertAlmostEqual(v.high - v.low, 2 * 1.96 * sigma, delta=0.2 * 3.92 * sigma)

    def test_retain_has_students_interval(self):
        retain = self.cell(self.load(), "gd", 1.0).retain()  # 0.95, 0.94, 0.93
        self.assertAlmostEqual(retain.value, 0.94)
        self.assertAlmostEqual(retain.high - 0.94, 4.3026527 * 0.01 / np.sqrt(3), places=9)
        self.assertAlmostEqual(0.94 - retain.low, retain.high - 0.94)
        self.assertEqual(self.cell(self.load(), "none").retain().high, 1)

    def test_resamples_without_a_gap_widen(self):
        """As in ../eval/test_recovery.c: 100 / drawn facts of g; fewer than 5 are none."""
        ones, zeros = np.ones((1, 100)), np.zeros((1, 100))
        wide = res.recovery(ones, zeros, (np.arange(100) < 11)[None].astype(float))
        self.assertAlmostEqual(wide.high, 100 / 5)
        self.assertTrue(100 / 19 <= wide.low <= 100 / 17)
        wide = res.recovery(-ones, zeros, (np.arange(100) < 11)[None].astype(float))
        self.assertAlmostEqual(wide.low, -100 / 5)
        none = res.recovery(ones, zeros, (np.arange(100) < 9)[None].astype(float))
        self.assertAlmostEqual(none.value, 100 / 9)
        self.assertTrue(np.isnan(none.low) and np.isnan(none.high))

    def test_students_points_are_those_of_tables(self):
        for freedom, point in ((1, 12.7062047), (2, 4.3026527), (3, 3.1824463),
                               (10, 2.2281389), (30, 2.0422725), (31, 2.0395134),
                               (120, 1.9799304)):
            self.assertAlmostEqual(res.student_point(freedom), point, places=7)

    def test_intervals_repeat(self):
        self.assertEqual(self.cell(self.load(), "gd", 1.0).corrected(),
                         self.cell(res.Results(self.path), "gd", 1.0).corrected())


class Parts(Case):
    def test_sections_by_size(self):
        results = self.load(sizes=("nano", "micro"))
        sections = results.sections()
        self.assertEqual([s.label for s in sections], ["size=nano", "size=micro"])
        for section in sections:
            self.assertEqual({section.floor.model, section.ceiling.model}
                             | {c.model for c in section.cells}, {section.cells[0].model})

    def test_taught_has_its_own_ceiling_and_one_floor(self):
        models = (("none", None), ("filtered", None), ("gd", 0.3))
        results = self.load(taught=(0.0, 0.5, 1.0), models=models)
        sections = results.sections()
        self.assertEqual([s.label for s in sections], ["taught=0", "taught=0.5", "taught=1"])
        self.assertEqual(len({id(s.floor) for s in sections}), 1)
        self.assertEqual([s.ceiling.taught for s in sections], [0, 0.5, 1])
        nothing = sections[0].cells[0].corrected()
        self.assertTrue(np.isnan(nothing.value))
        self.assertEqual(nothing.reason, "ceiling too near floor")
        self.assertFalse(np.isnan(sections[0].cells[0].paper().value))
        fraction = np.nanmean(sections[1].cells[0].scores("taught"))
        self.assertAlmostEqual(fraction, 0.5, delta=0.1)

    def test_unfinished_rows_do_not_count(self):
        results = self.load(state=lambda i, row: (1, 0, 2, 3)[i % 4])
        counts = results.counts()
        self.assertEqual(counts["done"], sum(row["state"] == 1 for row in self.rows))
        for cell in results.cells:
            own = counted(self.rows, cell.method, cell.coefficient)
            self.assertEqual(len(cell.chosen), len(own))
            self.assertAlmostEqual(cell.accuracy("bits").value,
                                   np.mean([bits(row).mean() for row in own]), places=12)

    def test_recovery_pairs_seeds(self):
        results = self.load(state=lambda i, row:
                            0 if row["method"] == "filtered" and row["seed"] == 0 else 1)
        cell = self.cell(results, "gd", 1.0)
        self.assertEqual(cell.corrected().seeds, 2)
        self.assertEqual(cell.paper().seeds, 3)

    def test_no_floor(self):
        results = self.load(models=(("none", None), ("gd", 1.0)))
        cell = self.cell(results, "gd", 1.0)
        self.assertEqual(cell.corrected().reason, "no floor")
        self.assertFalse(np.isnan(cell.paper().value))

    def test_settings(self):
        self.assertEqual(res.fields("world.path=my facts.jsonl lr=1"),
                         {"world.path": "my facts.jsonl", "lr": "1"})
        self.assertEqual(res.without("attack=finetune lr=1 warmup=2 holdout=3", "lr",
                                     "holdout"), "attack=finetune warmup=2")
        parts = [{"a.lr": "1", "b.lr": "2", "c": "3"}, {"a.lr": "2", "b.lr": "3", "c": "3"}]
        self.assertEqual(res.label(parts[0], res.varying(parts)), "a.lr=1, b.lr=2")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
