"""Every timed case, advcore and its peers side by side: pytest --benchmark-only benchmarks."""

import numpy as np
import pytest

from advcore._bench.campaign import PEER_TOLERANCE
from advcore._bench.peers import OURS, PEERS, YARDSTICK
from advcore._cases import CASES, compare, root_mean_square, tolerance

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
    yardstick = YARDSTICK.prepare(case, case.inputs(np.float32))
    expected = yardstick.arrays(yardstick.run())
    if case.rms:
        assert root_mean_square(arrays, expected) <= case.rms
    else:
        allowed = tolerance(np.float32, case.terms) if participant is OURS else PEER_TOLERANCE
        assert compare(arrays, expected[: len(arrays)]) <= allowed
    benchmark.group = case.name
    benchmark(call.run)
