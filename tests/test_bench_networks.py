"""Networks in the timings: participants agree, disagreement shows, and memory is what a process held."""

import numpy as np
import pytest

from advcore._bench import Campaign, Settings, markdown, memory, tables
from advcore._bench.campaign import Timing
from advcore._bench.flops import flops
from advcore._bench.limits import Limits
from advcore._bench.peers import OURS, PARTICIPANTS, PEERS, YARDSTICK
from advcore._cases import CASES, compare, root_mean_square
from advcore._cases.network import ADAM, OPERATIONS, RMS, SGD, network_case

torch = pytest.importorskip("torch")

DIGIT = (1, 16, 16)
PGD = {"eps": 0.1, "steps": 3, "step_size": 0.04}
SMALL = [
    network_case("logits", "carlini_mnist", DIGIT, 3),
    network_case("loss_gradient", "carlini_mnist", DIGIT, 3),
    network_case("training_step", "carlini_mnist", DIGIT, 5, build={"dropout": 0.0}, **ADAM),
    network_case("training_step", "gru_classifier", DIGIT, 3, **SGD),
    network_case("training_step", "lstm_classifier", DIGIT, 3, **ADAM),
    network_case("pgd", "carlini_mnist", DIGIT, 3, **PGD),
]


def results(participant, case):
    call = participant.prepare(case, case.inputs(np.float32))
    return call.arrays(call.run())


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # of what Foolbox imports
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_every_participant_agrees_with_float64(case):
    expected = results(YARDSTICK, case)
    assert all(np.any(array) for array in expected)
    able = [p for p in PARTICIPANTS.values() if case.op in p.operations and not p.missing]
    assert OURS in able
    for participant in able:
        assert root_mean_square(results(participant, case), expected) <= 1e-3, participant.name


def test_another_computation_is_a_disagreement():
    case, other = SMALL[2], network_case("training_step", "carlini_mnist", DIGIT, 5, build={"dropout": 0.0}, **SGD)
    assert root_mean_square(results(OURS, other), results(YARDSTICK, case)) > 10 * RMS
    attack = network_case("pgd", "carlini_mnist", DIGIT, 3, **PGD | {"eps": 0.02})
    assert root_mean_square(results(OURS, attack), results(YARDSTICK, SMALL[5])) > RMS
    assert root_mean_square([np.zeros(3)], [np.zeros(4)]) == compare([np.zeros(3)], [np.zeros(4)]) == np.inf
    assert root_mean_square([np.array([3.0, 4.5])], [np.array([3.0, 4.0])]) == pytest.approx(0.1)


def test_flops_count_passes_through_the_network():
    forward = flops(SMALL[0])
    network = SMALL[0].inputs(np.float32)["network"]
    assert forward == 3 * network.flops(DIGIT) > 0
    assert flops(SMALL[1]) == 2 * forward
    assert flops(SMALL[5]) == 6 * forward


def test_networks_are_timed_and_weighed_in_every_operation():
    cases = [case for case in CASES if case.op in OPERATIONS]
    assert {case.op for case in cases} == set(OPERATIONS)
    assert all(case.bench and case.weighed and case.rms for case in cases)


@pytest.mark.skipif(not memory.SUPPORTED, reason="the system has no /proc")
def test_peak_is_what_was_held_at_once():
    memory.forget_peak()
    before = memory.held()
    for _ in range(3):  # one after the other
        np.ones(2**25, np.uint8)
    assert 0.9 * 2**25 < memory.peak() - before < 1.9 * 2**25
    memory.forget_peak()
    assert memory.peak() - before < 0.5 * 2**25


@pytest.mark.skipif(not memory.SUPPORTED, reason="the system has no /proc")
def test_a_campaign_weighs_in_fresh_processes(monkeypatch):
    monkeypatch.setattr("advcore._bench.campaign.PEERS", [peer for peer in PEERS if peer.name == "torch"])
    campaign = Campaign(["network"], [1], Settings(rounds=1, seconds=1e-4), only="logits[carlini_mnist,1x28x28,b16]")
    (timing,) = campaign.run()
    parameters = 4 * 312_202
    assert timing.memory.keys() == {"advcore", "torch"}
    assert all(parameters < kept < 20 * parameters for kept, _ in timing.memory.values())
    assert all(kept <= peak < 50 * parameters for kept, peak in timing.memory.values())
    assert max(timing.errors.values()) < 1e-5


def test_tables_have_columns_of_memory_where_it_was_measured():
    limits = Limits(flops=100.0, bandwidth=10.0)
    seconds = {"advcore": [1.0], "torch": [2.0], "foolbox": [3.0]}
    memory = {"advcore": (1_200_000, 1_500_000), "torch": (2_300_000, 12_400_000)}
    timing = Timing("network", "c", "logits", 1, 50, 24, limits, seconds, {}, memory)
    lines = markdown([timing]).splitlines()
    heading = "| case | ms | rate | of limit | kept + call MB |"
    assert f"{heading} torch ms | ratio | kept + call MB | foolbox ms | ratio | kept + call MB |" in lines
    row, mean = lines[-2:]
    assert row.endswith("| 1.2 + 0.3 | 2e+03 | 2.00 | 2.3 + 10.1 | 3e+03 | 3.00 |  |")
    assert row.count("|") == mean.count("|")
    (table,) = tables([timing])
    assert [column.header for column in table.columns][4:8] == ["kept + call MB", "torch ms", "ratio", "kept + call MB"]
