"""Messages that are made while they are read: any size, never in memory, always the same bytes."""

import hashlib

LINES = 4096  # lines of 64 bytes in a block


def chunks(size, seed=0):
    """Yields the bytes of the message; `size` of at least 400."""
    head = ("From: Store <store@acme.example>\r\nTo: ann@acme.example\r\n"
            "Subject: made up, %d bytes, %d\r\nDate: Mon, 5 Jan 2015 10:00:00 +0000\r\n"
            "Message-ID: <made-%d-%d@acme.example>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain\r\n\r\n" % (size, seed, seed, size)).encode()
    yield head
    left, number = size - len(head), 0
    while left:
        line = b"%08d %08d abcdefghijklmnopqrstuvwxyz 0123456789 ABCDEFG\r\n" % (seed, number)
        block = (line * LINES)[:left]
        if len(block) == left and left >= 2:
            block = block[:-2] + b"\r\n"
        left -= len(block)
        number += 1
        yield block


def sha256(size, seed=0):
    digest = hashlib.sha256()
    for data in chunks(size, seed):
        digest.update(data)
    return digest.hexdigest()
