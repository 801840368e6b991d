"""A network with nothing but a loopback interface, which tells what anybody tried to reach.

Every address there is belongs to the loopback interface (a `local` route for everything), so a
connection to anywhere ends here, refused, and passes under the eyes of a packet socket. Without
that route it would fail before any packet exists, and nobody could tell that it was tried.

Sources: ip-route(8), type local; packet(7); network_namespaces(7).
"""

import ctypes
import ipaddress
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CLONE_NEWNET: Final = 0x40000000
"""linux/sched.h."""

_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
"""linux/if_packet.h: packets seen and packets lost since the last question."""

_ETHERTYPE_ALL: Final = 3
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD

_SO_ATTACH_FILTER: Final = 26
"""asm-generic/socket.h."""

_BEYOND_127: Final = (
    (0x30, 0, 0, 0),  # load byte 0: version and length of the header
    (0x54, 0, 0, 0xF0),
    (0x15, 0, 2, 0x40),  # not IPv4: keep
    (0x30, 0, 0, 16),  # load byte 16: first of the destination
    (0x15, 1, 0, 127),  # 127.0.0.0/8: drop
    (0x06, 0, 0, 0xFFFF),  # keep
    (0x06, 0, 0, 0),  # drop
)
"""Classic BPF, so that the traffic of the functions' own cloud cannot crowd out what matters.
Code, jump if true, jump if false, operand: linux/filter.h."""

_SET_UP: Final = (
    "ip link set lo up",
    "ip route add local 0.0.0.0/0 dev lo",
    "ip -6 route add local ::/0 dev lo",
)


class Loopback:
    """Watches the interface; a context manager."""

    def __init__(self) -> None:
        # hears nothing before it is bound, so nothing passes by the filter
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        _attach(self._socket, _BEYOND_127)
        self._socket.bind(("lo", _ETHERTYPE_ALL))
        self._tried: set[str] = set()
        self._lost = 0
        self._thread = threading.Thread(target=self._watch, daemon=True, name="loopback")
        self._wake, self._woken = os.pipe()

    def __enter__(self) -> "Loopback":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._woken)
        self._thread.join()
        os.close(self._wake)
        self._socket.close()

    def tried_to_reach(self) -> set[str]:
        """Addresses other than the loopback's own that packets were sent to, so far.

        Raises:
            AssertionError: Packets were lost, so nothing can be said.
        """
        while self._take(wait_s=0.1):
            pass
        asked = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._lost += struct.unpack("II", asked)[1]
        assert self._lost == 0, f"{self._lost} packets were not seen"
        return set(self._tried)

    def _watch(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._wake], [], [])
            if self._wake in ready:
                return
            self._take(wait_s=0)

    def _take(self, *, wait_s: float) -> bool:
        """Look at one packet, if there is any."""
        if not select.select([self._socket], [], [], wait_s)[0]:
            return False
        try:
            packet, (_, kind, *_) = self._socket.recvfrom(64, socket.MSG_DONTWAIT)
        except BlockingIOError:  # the other thread was quicker
            return False
        if kind == _IPV4 and len(packet) >= 20:
            address: ipaddress.IPv4Address | ipaddress.IPv6Address
            address = ipaddress.IPv4Address(packet[16:20])
        elif kind == _IPV6 and len(packet) >= 40:
            address = ipaddress.IPv6Address(packet[24:40])
        else:
            return True
        if not (address.is_loopback or address.is_multicast):
            self._tried.add(str(address))
        return True


def _attach(packets: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    """Let the kernel filter what a packet socket hears."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    pointer = struct.pack("HP", len(program), ctypes.addressof(code))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


@contextmanager
def loopback_only() -> Iterator[Loopback]:
    """Move this thread, and all that it starts meanwhile, into such a network."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace of our own")
        try:
            for command in _SET_UP:
                subprocess.run(command.split(), check=True, capture_output=True)
            with Loopback() as loopback:
                yield loopback
        finally:
            if libc.setns(home, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "no way back to the network")
    finally:
        os.close(home)
