"""What the kernel knows of TCP connections: bytes read and written, without a byte in between.

See sock_diag(7) and linux/inet_diag.h. It takes no rights and costs the programs that are looked
at nothing; a look costs the kernel a walk over all connections, half a millisecond.
"""

import socket
import struct
from collections import namedtuple

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_DUMP = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
INET_DIAG_INFO = 2  # an attribute: struct tcp_info
STATES = 1 << 1 | 1 << 8  # established, or shut by the other side: those that a program still has

HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI48x")  # family, protocol, attributes, states, and of any address
# ports of this end and the other, in network order; cookie; unread, unacknowledged
MESSAGE = struct.Struct("=4xHH36x8s4xII8x")
BYTES = struct.Struct("=120xQQ")  # of struct tcp_info: acknowledged, received

# By the program at this end; cookie is one socket's, for ever.
Connection = namedtuple("Connection", "cookie port read written")


def messages():
    """Each struct inet_diag_msg with its attributes: TCP over IPv4."""
    request = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, STATES)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as s:
        s.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1,
                           0) + request)
        while True:
            data, at = s.recv(1 << 18), 0
            while at < len(data):
                length, kind, *_ = HEADER.unpack_from(data, at)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError("sock_diag: error %d" % struct.unpack_from("=i", data,
                                                                            at + HEADER.size))
                yield data[at + HEADER.size:at + length]
                at += (length + 3) & ~3


def attribute(data, wanted):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if kind == wanted:
            return data[at + 4:at + length]
        at += (length + 3) & ~3
    return b""


def connections(ports):
    """Those to one of these ports, as the client's end sees them."""
    found = []
    for data in messages():
        _, port, cookie, unread, unsent = MESSAGE.unpack_from(data)
        port = socket.ntohs(port)
        info = attribute(data[MESSAGE.size:], INET_DIAG_INFO) if port in ports else b""
        if len(info) >= BYTES.size:
            acknowledged, received = BYTES.unpack_from(info)
            found.append(Connection(cookie, port, received - unread, acknowledged + unsent))
    return found
