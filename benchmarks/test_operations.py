"""Every timed case, advcore and its peers side by side: pytest --benchmark-only benchmarks."""

import numpy as np
import pytest

from advcore._bench.campaign import PEER_TOLERANCE
from advcore._bench.peers import OURS, PEERS
from advcore._cases import CASES, compare, run_reference, tolerance

PAIRS = [
    pytest.param(case, participant, id=f"{case.name}-{participant.name}")
    for case in CASES
    if case.bench
    for participant in (OURS, *PEERS)
    if case.op in participant.operations
]


@pytest.mark.parametrize(("case", "participant"), PAIRS)
def test_operation(benchmark, case, participant):
    if participant.missing:
        pytest.skip(f"{', '.join(participant.missing)} is not installed")
    inputs = case.inputs(np.float32)
    call = participant.prepare(case, inputs)
    arrays = call.arrays(call.run())
    allowed = tolerance(np.float32, case.terms) if participant is OURS else PEER_TOLERANCE
    assert compare(arrays, run_reference(case, inputs)[: len(arrays)]) <= allowed
    benchmark.group = case.name
    benchmark(call.run)
