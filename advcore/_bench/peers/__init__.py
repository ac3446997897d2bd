"""Who takes part in the timings, in the order of the columns; each file prepares the calls of one library."""

from advcore._bench.peers import foolbox_attacks, neighbours, onnx_runtime, ours, pytorch
from advcore._bench.peers.participant import Call, Participant

OURS = ours.PARTICIPANT
YARDSTICK = pytorch.YARDSTICK
PEERS: list[Participant] = [
    *(pytorch.PLAIN, pytorch.CHANNELS_LAST, onnx_runtime.PARTICIPANT),
    *neighbours.PARTICIPANTS,
    foolbox_attacks.PARTICIPANT,
]
PARTICIPANTS = {participant.name: participant for participant in (OURS, YARDSTICK, *PEERS)}

__all__ = ["OURS", "PARTICIPANTS", "PEERS", "YARDSTICK", "Call", "Participant"]
