"""A collective library in fifty lines: an all-reduce over TCP, for docs/gate.md. longhaul sets RANK, WORLD_SIZE and LONGHAUL_PEERS."""

import os
import socket
import time
from array import array

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
PEERS = os.environ["LONGHAUL_PEERS"].split(",")
PORT, ELEMENTS, ROUNDS = 5000, 120_000, 5


def neighbours():
    """A connection to the next rank and one from the rank before."""
    server = socket.create_server(("0.0.0.0", PORT))
    while True:
        try:
            ahead = socket.create_connection((PEERS[(RANK + 1) % WORLD], PORT))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    behind, _ = server.accept()
    for connection in (ahead, behind):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ahead, behind


def receive(behind, count):
    data = bytearray()
    while len(data) < count:
        data += behind.recv(count - len(data))
    return array("q", bytes(data))


def all_reduce(values, ahead, behind):
    """Ring: every part goes round once to be summed up, and once to be handed out."""
    size = len(values) // WORLD
    for step in range(2 * (WORLD - 1)):
        out, into = (RANK - step) % WORLD, (RANK - step - 1) % WORLD
        ahead.sendall(values[out * size:(out + 1) * size].tobytes())
        part = receive(behind, 8 * size)
        for index in range(size):
            at = into * size + index
            values[at] = values[at] + part[index] if step < WORLD - 1 else part[index]


ahead, behind = neighbours()
for _ in range(ROUNDS):
    values = array("q", [RANK + 1]) * ELEMENTS
    all_reduce(values, ahead, behind)
    assert set(values) == {WORLD * (WORLD + 1) // 2}
