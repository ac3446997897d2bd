"""Runs that are not the usual ones: an eps as wide as the box, grids, L1, models that raise, options that clash."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import advcore
from advcore import _core, models
from advcore.evaluation import checks, detection, grid, handle, probes, work
from advcore.evaluation.campaign import Campaign
from advcore.evaluation.plan import EFFORTS, Planned, chosen
from advcore.evaluation.rows import Row
from advcore.evaluation.steps import attack_steps, not_run
from advcore.evaluation.work import Setup, Task
from advcore.nn import serialization

_SPEC = importlib.util.spec_from_file_location("evaluation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_conftest)
Sides, sides = _conftest.Sides, _conftest.sides

ABOUT = {"has_gradients": True, "surrogates": (), "detector": False}


def evaluate(model, x, y, norm="linf", eps=0.05, **options):
    options = {"attacks": [("pgd", {"steps": 5})], "checks": "quick"} | options
    return advcore.evaluate(model, x, y, norm=norm, eps=eps, **options)


def verdict(report, name):
    return next(check for check in report.checks if check.name == name)


def planned(attacks):
    return chosen(attacks)[1]


class BySum:
    """An alarm where the sum of the features is large."""

    def __init__(self, threshold=100.0):
        self.threshold = threshold

    def decision_function(self, x):
        return x.sum(axis=1) - self.threshold


class BySumWithGradient(BySum):
    def score_gradient(self, x):
        return self.decision_function(x), np.ones_like(x)


class Silent:
    """Never an alarm."""

    def decision_function(self, x):
        return np.full(len(x), -1.0)


class TestAnEpsAsWideAsTheBox:
    def test_it_has_the_steps_of_any_other(self):
        plan = planned([("pgd", {}), ("square", {})])
        steps = attack_steps(plan, (0.3, 1.0), EFFORTS["quick"], "linf", 1.0, **ABOUT)
        labels = {eps: [step.label for step in steps[eps]] for eps in steps}
        assert [label for label in labels[1.0] if not label.startswith(probes.UNBOUNDED)] == [
            label for label in labels[0.3] if label != probes.TREND
        ] + [probes.TREND]
        last = steps[1.0][-1]
        rows = [Row(s, probes.CLEAN, 0.0, False, "failed") for s in range(3)]
        rows += [Row(s, "pgd", 1.0, True, "success", linf=1.0) for s in range(3)]
        setup = SimpleNamespace(norm="linf", seed=0)
        table = SimpleNamespace(rows={row.key: row for row in rows})
        campaign = Campaign(np.zeros((3, 2)), np.zeros(3, np.int64), setup, table, chunk=3)
        assert campaign.participants(last, steps[1.0][:-1], np.arange(3)).tolist() == [0, 1, 2]

    def test_its_attacks_run(self):
        report = evaluate(Sides(), *sides(), eps=[0.02, 1.0])
        assert {row.eps for row in report.rows if row.attack == "pgd"} == {0.02, 1.0}
        assert report.robust_accuracy[1.0] == 0
        assert verdict(report, "unbounded attacks break everything").verdict == checks.PASS


class TestGrids:
    @pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 16 / 255)])
    def test_rounding_takes_no_success_of_the_whole_budget_away(self, norm, eps):
        """Seven steps of 255 a feature leave the class, eight do not, and measure 8/255 but for the last bit."""
        options = {"quantize": 255, "early_stop": False, "random_start": False}
        report = evaluate(Sides(), *sides(), norm, eps, attacks=[("pgd", options)], checks=False)
        assert report.robust_accuracy[eps] == 0
        assert max(getattr(row, norm) for row in report.rows) <= eps

    def test_what_is_forgiven(self):
        row = Row(0, "pgd", 8 / 255, True, "success", l0=4, l2=16 / 255, linf=8 / 255 + 1e-7)
        same = ((0.0, 1.0), 255, np.dtype(np.float32))
        assert grid.without_rounding(row, "linf", *same).linf == 8 / 255
        assert grid.without_rounding(replace(row, eps=np.inf), "linf", *same).linf == 8 / 255
        for other in (replace(row, linf=8 / 255 + 1e-5), replace(row, success=False)):
            assert grid.without_rounding(other, "linf", *same) == other
        assert grid.without_rounding(replace(row, l2=8 / 255 + 2e-7), "l2", *same).l2 == 8 / 255  # of four features

    def test_data_off_the_grid_have_no_steps_on_it(self):
        x, y = sides()
        x = x + np.float32(0.3 / 255)
        report = evaluate(Sides(), x, y)
        assert report.results["errors"] == []
        assert not [row for row in report.rows if row.attack.startswith(probes.ROUNDED)]
        with pytest.raises(ValueError, match="pgd can be given quantize=255 only where x lies on the grid"):
            evaluate(Sides(), x, y, attacks=[("pgd", {"quantize": 255})])
        steps = attack_steps(planned(["pgd"]), (0.1,), EFFORTS["quick"], "linf", 1.0, **ABOUT, on_grid=True)[0.1]
        assert any(step.rounded_away for step in steps)


def test_a_box_too_wide_for_distances_is_refused():
    with pytest.raises(ValueError, match=r"bounds must be near enough for finite distances .* got \(-1e\+308, 1e\+308"):
        evaluate(Sides(), *sides(), bounds=(-1e308, 1e308))


class TestOptions:
    @pytest.mark.parametrize(
        ("name", "value", "instead"),
        [
            ("seed", 3, "--seed"),
            ("bounds", (0, 1), "--bounds"),
            ("output", "logits", "--answers"),
            ("randomised", True, "randomised"),
            ("max_seconds", 1.0, "--max-seconds"),
            ("sample_ids", np.arange(3), "place in x"),
            ("targets", np.arange(3), "any wrong class"),
            ("starting_points", np.zeros((24, 4)), "chunks"),
        ],
    )
    def test_what_the_run_sets_is_refused(self, name, value, instead):
        for entry in (("pgd", {name: value}), Planned("pgd", "pgd", {name: value})):
            with pytest.raises(ValueError, match=f"pgd cannot be given {name} by itself: .*{instead}"):
                evaluate(Sides(), *sides(), attacks=[entry])

    @pytest.mark.parametrize(("own", "all_of_them"), [(7, 20), (20, 7), (7, None)])
    def test_the_smaller_limit_of_queries_holds(self, own, all_of_them):
        attacks = [("square", {"steps": 50, "max_queries": own})]
        report = evaluate(Sides(), *sides(), eps=1e-3, attacks=attacks, max_queries=all_of_them, checks=False)
        assert report.results["errors"] == []
        assert {row.queries for row in report.rows if row.attack == "square"} == {7}
        with pytest.raises(ValueError, match="max_queries of square must be at least 1"):
            planned([("square", {"max_queries": 0})])

    @pytest.mark.parametrize("limit", [1, 3, 10])
    def test_what_its_queries_did_not_pay_for_judges_nothing(self, plain, x, y, limit):
        """Neither a failure of the model's, nor proof of an attack's strength."""
        report = advcore.evaluate(
            plain, x, y, norm="linf", eps=(0.02, 0.05), attacks="quick", max_queries=limit, detector=Silent()
        )
        verdicts = {check.name: check.verdict for check in report.checks}
        names = [
            "white-box attacks beat black-box ones",
            checks.LONGER,
            checks.TRANSFER,
            checks.RANDOM,
            checks.DETECTOR,
        ]
        if limit == 1:
            names += [checks.ITERATIVE, checks.UNBOUNDED, checks.TREND]  # what is broken with more is broken
        assert [name for name in names if verdicts[name] != checks.NOT_RUN] == []
        assert report.failures == []
        (first, *_) = report.results["attacks"]
        assert first["unfinished"] == first["tried"] - first["broken"]

    @pytest.mark.parametrize(
        ("attack", "options", "enough"),
        [
            ("pgd", {"steps": 5}, 50),
            ("square", {"steps": 50}, 50),
            ("uniform_noise", {"draws": 20}, 21),
            ("nes", {"steps": 2, "pairs": 10}, 100),
        ],
    )
    def test_an_attack_that_came_to_its_end_was_not_cut(self, plain, x, y, attack, options, enough):
        for limit, cut in ((enough, False), (4, True)):
            report = advcore.evaluate(
                plain, x, y, norm="linf", eps=1e-3, attacks=[(attack, options)], max_queries=limit, checks=False
            )
            rows = [row for row in report.rows if row.attack == attack and not row.success]
            assert {row.tells for row in rows} == {not cut}

    def test_a_nearest_example_of_a_search_that_was_cut(self, plain, x, y):
        """It may lie too far away: another example may not."""
        attacks = [("carlini_wagner", {"steps": 100})]
        for limit, cut in ((6, True), (100_000, False)):
            report = advcore.evaluate(
                plain, x[:20], y[:20], norm="l2", eps=0.01, attacks=attacks, max_queries=limit, checks=False
            )
            found = report.found.outcomes(["carlini_wagner"], 0.01)
            assert set(found.values()) == ({None} if cut else {False})

    def test_the_longer_attack_has_only_what_there_is(self):
        def longer(attack, **options):
            steps = attack_steps(planned([(attack, options)]), (0.1,), EFFORTS["standard"], "linf", 1.0, **ABOUT)[0.1]
            found = [dict(step.planned.options) for step in steps if step.label == probes.LONGER]
            return {key: found[0][key] for key in sorted(found[0].keys() & {"steps", "restarts"})} if found else None

        assert longer("fgsm") is None
        assert longer("bim") == {"steps": 520}
        assert longer("autoattack") == {"steps": 200}
        assert longer("pgd") == {"restarts": 3, "steps": 200}
        assert longer("pgd", random_start=False) == {"steps": 200}  # restarts would be refused
        assert longer("pgd", steps=500, restarts=4) == {"restarts": 8, "steps": 1000}  # never fewer

    def test_an_attack_of_one_step_cannot_be_made_longer(self):
        report = evaluate(Sides(), *sides(), attacks=["fgsm"])
        assert report.results["errors"] == []
        check = verdict(report, checks.LONGER)
        assert (check.verdict, check.evidence) == (checks.NOT_RUN, "fgsm has neither steps nor restarts")

    def test_without_probes_their_checks_say_nothing(self):
        left_out = {checks.LONGER, checks.RANDOM, checks.UNBOUNDED, checks.TRANSFER, checks.ITERATIVE, checks.TREND}
        assert set(not_run(planned(["pgd"]), None, "linf", has_gradients=True, detector=False)) == left_out
        report = evaluate(Sides(), *sides(), eps=1e-3, checks=False, detector=BySum())
        for name in (*left_out, checks.DETECTOR):
            assert verdict(report, name).verdict == checks.NOT_RUN
            assert "left out" in verdict(report, name).evidence


class OnTheGrid:
    """An alarm where a feature is between 8-bit values: it has no gradient, and steps from value to value pass it."""

    def decision_function(self, x):
        return np.abs(x * 255 - np.rint(x * 255)).max(axis=1) - 1e-2


def test_a_detector_attacked_by_scores_alone_does_not_pass():
    x, y = sides()
    found = advcore.attacks.pgd(Sides(), x, y, eps=0.05, quantize=255, early_stop=False)
    assert (found.success & (OnTheGrid().decision_function(found.examples) <= 0)).all()
    check = verdict(evaluate(Sides(), x, y, detector=OnTheGrid()), checks.DETECTOR)
    assert check.verdict == checks.NOT_RUN
    assert "had scores alone" in check.evidence
    check = verdict(evaluate(Sides(), x, y, eps=0.2, detector=BySum()), checks.DETECTOR)  # never an alarm
    assert check.verdict == checks.FAIL


class TestL1:
    def test_the_budget_is_one_in_l1(self):
        report = evaluate(Sides(), *sides(), "l1", 0.1, detector=BySumWithGradient())
        assert report.results["errors"] == []
        labels = (probes.TREND, f"{probes.TRANSFER} model > model", detection.UNAWARE, detection.AWARE)
        for label in labels:
            found = [row.l1 for row in report.rows if row.attack == label]
            assert len(found) == 24
            assert 0.05 < max(found) <= 0.1
        assert verdict(report, checks.DETECTOR).verdict == checks.PASS  # no example is so near

    def test_a_detector_without_gradients_has_no_attack_there(self):
        report = evaluate(Sides(), *sides(), "l1", 0.1, detector=BySum())
        assert report.results["errors"] == []
        check = verdict(report, checks.DETECTOR)
        assert check.verdict == checks.NOT_RUN
        assert "no attack by scores works in l1" in check.evidence

    def test_examples_are_tried_with_more_margin_in_l1(self, monkeypatch):
        found = []
        monkeypatch.setattr(advcore.attacks, "pgd", lambda *args, **options: found.append(options) or 1 / 0)
        task = Task("pgd", 0.1, np.arange(2), sides()[0][:2], sides()[1][:2])
        with pytest.raises(ZeroDivisionError):
            work._rounded_with_more_margin(_setup(Sides(), "l1"), task, None)
        assert found[0]["norm"] == "l1"


def _setup(model, norm="linf", **options):
    return Setup(handle.of(model), norm, (0.0, 1.0), 0, None, False, 2, 1, _core.level(), **options)


class Counted(Sides):
    """Counts the images that it is asked about."""

    def __init__(self):
        super().__init__()
        self.forward = self.backward = 0

    def logits(self, x):
        self.forward += len(x)
        return super().logits(x)

    def vjp(self, x, cotangent):
        self.forward += len(x)
        self.backward += len(x)
        return super().vjp(x, cotangent)


class TestWhatItCosts:
    def test_looking_at_examples_again(self):
        x, y = sides()
        model = Counted()
        task = Task("pgd", 0.1, np.arange(len(x)), x, y, Planned("pgd", "pgd", {"steps": 5}))
        rows = work.attack_rows(_setup(model), task)
        assert any(row.success for row in rows)
        assert all(row.rounded for row in rows if row.success)  # else a gradient attack tries again
        self.told(rows, model)

    def told(self, rows, model):
        forward = sum(row.queries + row.verification for row in rows)
        assert (forward, sum(row.gradients for row in rows)) == (model.forward, model.backward)

    @pytest.mark.parametrize("randomised", [False, True])
    @pytest.mark.parametrize("probe", [probes.clean, probes.gradients])
    def test_of_looking_at_the_inputs(self, probe, randomised):
        model, (x, y) = Counted(), sides()
        task = Task("clean", 0.0, np.arange(len(x)), x, y)
        self.told(probe(replace(_setup(model), randomised=randomised), task), model)

    @pytest.mark.parametrize("randomised", [False, True])
    def test_of_transfer(self, randomised):
        model, (x, y) = Counted(), sides()
        surrogate = serialization.to_bytes(models.mlp((4,), 2, hidden=(3,)))
        setup = replace(_setup(model, surrogates=(("mlp", surrogate),)), randomised=randomised)
        rows = probes.transfer(setup, Task(probes.TRANSFER, 0.02, np.arange(4), x[:4], y[:4]))
        self.told(rows, model)


def test_a_probe_that_raises_leaves_a_report_and_a_run_that_goes_on(tmp_path, monkeypatch):
    def raising(setup, task):
        raise RuntimeError("no such weather")

    monkeypatch.setattr(probes, "transfer", raising)
    for _ in range(2):
        report = evaluate(Sides(), *sides(), output=tmp_path)
        assert "no such weather" in report.html(pictures=False)
        assert [error["attack"] for error in report.results["errors"]] == [probes.TRANSFER] * 24  # once an image
        assert verdict(report, checks.TRANSFER).verdict == checks.NOT_RUN
        assert report.results["transfer"] == []
    # Rows of earlier versions, which knew no source and no target.
    rows = [row for row in report.rows if not row.attack.startswith(probes.TRANSFER)]
    rows += [Row(s, probes.TRANSFER, 0.05, False, "error", note="no such weather") for s in range(3)]
    again = type(report).of(report.found.about, rows, True, report.x, report.setup)
    assert "no such weather" in again.html(pictures=False)


def test_the_adaptive_budget_is_of_examples_that_fool():
    """An attack that gives back most images as they are is not a small one."""

    class Model:
        def logits(self, x):
            return np.stack([0.5 - x.mean(axis=1), x.mean(axis=1) - 0.5], axis=1)

    class Detector:
        def fit(self, X, y):  # noqa: N803
            return self

        def score_samples(self, X):  # noqa: N803
            return X[:, 0]

    x = np.random.default_rng(0).uniform(0.35, 0.45, (40, 4))
    few = x.copy()
    few[::3] += 0.2
    report = advcore.evaluation.evaluate_detector(
        Detector(),
        Model(),
        x,
        np.zeros(40, np.int64),
        {"strong": x + 0.3, "few": few},
        adaptive=advcore.evaluation.Adaptive(queries=5, images=4),
    )
    assert report.adaptive.eps == pytest.approx(0.2)
