"""The timings: who takes part, what is written, and what happens when someone disagrees or fails."""

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner

from advcore import _cases
from advcore._bench import Campaign, Settings, geometric_means
from advcore._bench.campaign import Timing
from advcore._bench.flops import flops
from advcore._bench.limits import Limits, measure
from advcore._bench.peers import OURS, PARTICIPANTS, PEERS
from advcore._bench.remote import Remote
from advcore._bench.summary import markdown
from advcore._cases import CASES, Case, compare, run_reference, tolerance
from advcore.cli import main

torch = pytest.importorskip("torch")


LIMITS = Limits(flops=100.0, bandwidth=10.0)


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def test_quick_run_writes_what_it_prints(tmp_path):
    file = tmp_path / "new" / "timings.json"
    result = bench("--family", "linear", "--case", "square256", "--threads", "1", "--quick", "--json", file)
    assert result.exit_code == 0, result.output
    assert "matmul[square256]" in result.output
    found = json.loads(file.read_text())
    (timing,) = found["timings"]
    assert timing["flops"] == 2 * 256**3
    assert set(timing["seconds"]) == {"advcore", "torch"}
    assert all(len(rounds) == 3 and min(rounds) > 0 for rounds in timing["seconds"].values())
    assert timing["errors"]["advcore"] <= tolerance(np.float32, 256)
    assert timing["ratios"].keys() == {"torch"}
    assert found["versions"]["torch"] == torch.__version__
    assert found["machine"]["level"]
    assert timing["traffic"] == 3 * 4 * 256**2
    assert timing["bound"] == "arithmetic"
    (limits,) = found["limits"]
    best = timing["flops"] / timing["median_seconds"]["advcore"]
    assert timing["share_of_limit"] == pytest.approx(best / limits["flops"])
    (means,) = found["geometric_mean_ratios"]
    assert means["torch"] == pytest.approx(timing["ratios"]["torch"])


def test_page_and_picture(tmp_path):
    page, picture = tmp_path / "timings.md", tmp_path / "roofline.png"
    result = bench(
        "--family",
        "pooling",
        "--case",
        "max_pool2d[global7]",
        "--threads",
        "1,2",
        "--quick",
        "--markdown",
        page,
        "--plot",
        picture,
    )
    assert result.exit_code == 0, result.output
    lines = page.read_text().splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Overview", "## pooling, 1 thread", "## pooling, 2 threads"]
    header, _, row = lines[
        lines.index("| case | ms | rate | of limit | torch ms | ratio | torch channels_last ms | ratio |") :
    ][:3]
    assert row.startswith("| max_pool2d[global7] |")
    assert row.count("|") == header.count("|")
    assert "GB/s" in row
    from matplotlib.image import imread

    image = imread(picture)
    assert image.shape[1] > image.shape[0] > 300
    assert image[..., :3].std() > 0.05  # something is drawn


def test_limits_bound_time_by_arithmetic_or_memory():
    assert LIMITS.seconds(1000, 20) == 10
    assert LIMITS.bound(1000, 20) == "arithmetic"
    assert LIMITS.seconds(None, 20) == 2
    assert LIMITS.bound(None, 20) == "memory"


def test_measured_limits_are_those_of_a_computer():
    found = measure()
    assert 1e9 < found.flops < 1e13
    assert 1e9 < found.bandwidth < 1e12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "roofline.txt"], "must end in .png or .svg"),
        (["--family", "lineal"], "family must be one of"),
        (["--case", "no such case"], "no timed case"),
        (["--json", "/dev/null/x/timings.json"], "cannot write to the folder /dev/null/x"),
    ],
)
def test_wrong_input_is_one_clear_line(arguments, message):
    result = bench(*arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("threads", ["0", "1,x", ""])
def test_wrong_threads(threads):
    result = bench("--threads", threads)
    assert result.exit_code == 2
    assert "positive numbers" in result.output


def test_a_peer_that_is_not_installed_is_left_out_and_named(monkeypatch):
    campaign = Campaign(["linear"], [1], Settings())
    assert [peer.name for peer in campaign.peers] == ["torch"]
    absent = type(PEERS[0])("absent", ("no_such_package",), frozenset({"linear"}), PEERS[0].prepare)
    monkeypatch.setattr("advcore._bench.campaign.PEERS", [absent])
    campaign = Campaign(["linear"], [1], Settings())
    assert campaign.peers == []
    assert campaign.missing == {"absent": ["no_such_package"]}


def test_disagreement_stops_the_run(monkeypatch):
    monkeypatch.setattr("advcore._bench.campaign.PEER_TOLERANCE", 0.0)
    campaign = Campaign(["linear"], [1], Settings(rounds=1, seconds=1e-4), only="square256")
    with pytest.raises(ArithmeticError, match="torch disagrees with float64"):
        list(campaign.run())


def test_what_was_measured_stays_when_the_run_is_broken_off(tmp_path, monkeypatch):
    def broken_off(self):
        yield from itertools.islice(whole(self), 1)
        raise ChildProcessError("the process of advcore ended")

    whole = Campaign.run
    monkeypatch.setattr(Campaign, "run", broken_off)
    file, page = tmp_path / "timings.json", tmp_path / "timings.md"
    chosen = ["--family", "linear", "--case", "square", "--threads", "1", "--quick"]
    result = bench(*chosen, "--json", file, "--markdown", page)
    assert result.exit_code != 0
    assert "the process of advcore ended" in result.output
    assert [timing["case"] for timing in json.loads(file.read_text())["timings"]] == ["matmul[square256]"]
    assert "matmul[square256]" in page.read_text()
    assert "matmul[square256]" in result.output


def test_a_failing_or_dying_worker_is_named(tmp_path):
    with Remote(OURS, threads=1) as remote:
        with pytest.raises(ChildProcessError, match=r"advcore failed at .*no such case"):
            remote.save_result("no such case", tmp_path / "x.npz")
        remote._process.kill()
        remote._process.wait()
        with pytest.raises(ChildProcessError, match="advcore ended"):
            remote.measure(0.1)


def test_ratios_compare_neighbours_in_time():
    drifting = Timing("f", "c", "op", 1, None, 24, LIMITS, {"advcore": [1.0, 2.0, 4.0], "torch": [2.0, 4.0, 8.0]})
    slower = Timing("f", "c", "op", 1, None, 24, LIMITS, {"advcore": [1.0], "torch": [0.5], "faiss": [4.0]})
    assert drifting.ratio("torch") == 2.0
    assert geometric_means([drifting, slower]) == pytest.approx({"torch": 1.0, "faiss": 4.0, "best peer": 1.0})


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case("matmul", {"a": (5, 3, 4), "b": (4, 2)}), 2 * 5 * 3 * 4 * 2),
        (Case("linear", {"input": (7, 3), "weight": (5, 3)}), 2 * 7 * 3 * 5),
        (Case("linear_input_grad", {"grad_output": (7, 5), "weight": (5, 3)}), 2 * 7 * 3 * 5),
        (Case("linear_weight_grad", {"grad_output": (7, 5), "input": (7, 3)}), 2 * 7 * 3 * 5),
        (Case("conv2d", {"input": (2, 4, 9, 7), "weight": (6, 2, 3, 3)}, {"stride": 2, "padding": (1, 0), "groups": 2}),
         2 * 2 * 5 * 3 * 6 * 2 * 9),
        (Case("knn", {"queries": (3, 8), "reference": (5, 8)}, {"k": 2}), 2 * 3 * 5 * 8),
        (Case("relu", {"input": (3, 8)}), None),
    ],
    ids=lambda value: getattr(value, "op", None),
)  # fmt: skip
def test_flops(case, expected):
    assert flops(case) == expected


def small_cases():
    """The smallest case of every operation that any library can do; of some the peers take what is timed alone."""
    sizes = {}
    for case in CASES:
        size = sum(int(np.prod(shape)) for shape in case.arrays.values())
        odd = case.options.get("padding") in ("same", "valid") or case.options.get("reset") == "before"
        unbatched = "conv2d" in case.op and any(len(shape) == 3 for shape in case.arrays.values())
        as_timed = case.op.endswith(("_norm_grad", "_cell"))
        if (
            not size
            or bool(case.bench) != as_timed
            or odd
            or unbatched
            or "lengths" in case.label
            or "no-hx" in case.label
        ):
            continue
        if case.op not in sizes or size < sizes[case.op][0]:
            sizes[case.op] = size, case
    return [case for _, case in sizes.values()]


@pytest.mark.parametrize("case", small_cases(), ids=lambda case: case.op)
def test_every_participant_computes_the_operation(case):
    inputs = case.inputs(np.float32)
    expected = run_reference(case, inputs)
    for participant in PARTICIPANTS.values():
        if case.op not in participant.operations or participant.missing:
            continue
        call = participant.prepare(case, inputs)
        call.run()
        arrays = call.arrays(call.run())
        assert compare(arrays, expected[: len(arrays)]) <= 1e-4, participant.name


def test_every_timed_operation_has_a_peer():
    timed = {case.op for case in CASES if case.bench}
    assert timed <= set().union(*(peer.operations for peer in PEERS))
    assert len({case.name for case in CASES}) == len(CASES), "workers find cases by name"
    assert _cases.FAMILIES


def test_an_overview_names_the_worst_case_of_each_operation():
    def timing(case, torch, other):
        times = {"advcore": [1.0], "torch": [torch]} | ({"other": [other]} if other else {})
        return Timing("f", case, "op", 1, 24, 24, LIMITS, times)

    page = markdown([timing("op[a]", 4.0, None), timing("op[b]", 1.0, 0.5), timing("op[c]", 2.0, 8.0)])
    assert "| op | 1 | 3 | torch 2.00 (1.00), other 2.00 (0.50) | 1.59 | 0.50 | [b] |" in page
