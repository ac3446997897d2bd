"""Runs with a time budget: tasks end when it is over, wherever they are done, and keep what they have."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

import advcore
from advcore import _core
from advcore.evaluation import handle, work
from advcore.evaluation.given import LOOKED_AT, PROBED, Given
from advcore.evaluation.plan import Planned
from advcore.evaluation.work import Setup, Task


@pytest.fixture
def task(x, y):
    square = Planned("square", "square", {"steps": 10**6})
    return Task("square", 1e-4, np.arange(8), x[:8], y[:8], square, until=time.time() + 0.2)


def setup_of(model):
    return Setup(handle.of(model), "linf", (0.0, 1.0), 0, None, False, 10, 1, _core.level())


def test_a_task_that_is_cut_returns_what_it_has(plain, x, y, task):
    """It raises nothing: an executor that tries failed tasks again would spend the budget once more."""
    y = np.where(np.arange(8) < 2, (y[:8] + 1) % 10, y[:8])  # which the model has wrong: finished at once
    done = work.perform(setup_of(plain), replace(task, y=y))
    assert done.cut
    assert [row.sample for row in done.rows] == [0, 1]
    assert all(row.seconds > 0 for row in done.rows)


def test_a_task_that_had_to_wait_for_a_worker_has_what_is_left(plain, task):
    model = CountedCalls(plain)
    assert work.perform(setup_of(model), replace(task, until=time.time() - 1)) == work.Done([], cut=True)
    assert model.calls == 0


def test_a_probe_of_several_attacks_has_one_budget(plain, task):
    def probe(setup, task):
        seconds.append(work.options(setup, task)["max_seconds"])
        time.sleep(0.01)
        seconds.append(work.options(setup, task)["max_seconds"])
        return []

    seconds = []
    assert not work.perform(setup_of(plain), replace(task, run=probe, until=time.time() + 60)).cut
    assert seconds[1] <= seconds[0] - 0.01


def test_what_was_finished_is_kept_where_the_rest_is_cut(plain, task):
    """A sample that the model raises for sends its chunk through in halves."""

    def probe(setup, task):
        if len(task.samples) > 4:
            raise RuntimeError("no such weather")
        rows = [work.Row(int(sample), "probe", 0.0, False, "failed") for sample in task.samples]
        if task.samples[0]:
            raise work.OutOfTime(rows[:1])
        return rows

    done = work.perform(setup_of(plain), replace(task, run=probe, until=None))
    assert done.cut
    assert [row.sample for row in done.rows] == [0, 1, 2, 3, 4]


class CountedCalls:
    def __init__(self, network):
        self.network, self.calls = network, 0

    def logits(self, x):
        self.calls += 1
        return self.network.logits(x)


class CountedImages:
    """A callable, which is known by its answers."""

    def __init__(self, network, seconds=0.0):
        self.network, self.images, self.seconds = network, 0, seconds

    def __call__(self, x):
        self.images += len(x)
        time.sleep(self.seconds)
        return self.network.logits(x)


def evaluate(model, x, y, **options):
    attacks = [("square", {"steps": 2})]
    return advcore.evaluate(
        model, x, y, norm="linf", eps=0.1, attacks=attacks, checks=False, answers="logits", **options
    )


def test_a_slow_model_has_its_first_report_after_few_images(plain, x, y, tmp_path):
    model, asked = CountedImages(plain), []
    evaluate(model, x, y, output=tmp_path, progress=lambda done, known: asked.append(model.images))
    assert asked[0] == 2 * PROBED + 3 * LOOKED_AT < len(x) * 3
    before = model.images
    evaluate(model, x, y, output=tmp_path)  # goes on, and sees that it is the same model
    assert model.images - before == 2 * PROBED + len(x)


def test_the_start_counts(plain, x, y):
    report = evaluate(CountedImages(plain, seconds=0.1), x, y, max_seconds=0.1)
    assert (report.rows, report.complete) == ([], False)
    assert report.robust_accuracy == {0.1: 1.0}


def test_a_slow_model_has_something_to_say_for_what_it_spent(plain, x, y, tmp_path):
    """Its first images alone take longer than the budget: those that it answered are kept, and a next run goes on."""
    model = CountedImages(plain, seconds=0.05)
    report = evaluate(model, x, y, max_seconds=1.5, output=tmp_path)
    looked_at = report.results["accuracy"]["asked"]
    assert not report.complete
    assert 0 < looked_at < len(x)
    before = model.images
    again = evaluate(model, x, y, output=tmp_path)
    assert again.results["accuracy"]["asked"] == len(x)
    assert model.images > before


@pytest.mark.parametrize(
    ("seconds", "left", "samples"),
    [(0.1, 25.0, 2), (0.1, 1.0, 1), (1e-4, 25.0, 80), (1e-3, 2.0, 20), (1e-4, math.inf, 80), (0.0, 5.0, 80)],
)
def test_chunks_of_slow_models_are_so_small_that_some_of_them_end(plain, x, y, seconds, left, samples):
    """What is cut begins anew when the run goes on: a chunk that no run can end would never get on."""
    given = Given.checked(
        plain, x, y, norm="linf", eps=0.1, attacks="quick", output=None, seed=0, bounds=(0, 1), checks="quick",
        answers=None, randomised=None, detector=None, source=None, max_queries=None, chunk_size=80,
    )  # fmt: skip
    assert replace(given, seconds=seconds).chunk_within(left) == samples
