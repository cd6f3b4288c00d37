"""The benchmarks' own tools: the relay changes nothing but the time, the pump copies all it says."""

import json
import os
import random
import signal
import socket
import struct
import threading
import time
from collections import Counter

from corpus import boxes
from lib.account import must_equal, state_of
from lib.bench import Skip, wait_for
from lib.imap import Client
from lib.testing import check, check_equal, check_in, check_raises, mailhaul_binary, test
from servers.dovecot import Dovecot
from standins.standin import Standin

ANN = {"ann": "secret"}
SECONDS = 30  # of any single wait here


def tool(name):
    path = os.path.join(os.path.dirname(mailhaul_binary()), "tests", "bench", name)
    if not os.access(path, os.X_OK):
        raise Skip("`make bench-tools` builds %s" % path)
    return path


class Relay:
    def __init__(self, bench, target, delay_ms, *args):
        self.process = bench.spawn([tool("relay"), "--target", "127.0.0.1:%d" % target,
                                    "--delay-ms", delay_ms, *args], "relay")
        wait_for(lambda: "\n" in self.process.output(), SECONDS, lambda: "the relay's port\n" +
                 self.process.tail())
        word, port = self.process.output().split()
        check_equal(word, "port", "what the relay says")
        self.port = int(port)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), SECONDS)


class Far:
    """The server behind a relay: accepts in the test's own thread."""

    def __init__(self, bench):
        self.socket = bench.add(socket.create_server(("127.0.0.1", 0)))
        self.socket.settimeout(SECONDS)
        self.port = self.socket.getsockname()[1]

    def accept(self):
        s, _ = self.socket.accept()
        s.settimeout(SECONDS)
        return s


def pattern(size, seed):
    """Bytes in which no place is like another."""
    return random.Random(seed).randbytes(size)


def read_all(s):
    parts = []
    while True:
        part = s.recv(1 << 18)
        if not part:
            return b"".join(parts)
        parts.append(part)


def in_thread(function, *args):
    """Runs it; the value of the call that is returned is its value."""
    values = []
    thread = threading.Thread(target=lambda: values.append(function(*args)), daemon=True)
    thread.start()

    def value():
        thread.join(SECONDS)
        check(values, "the other side came to no end")
        return values[0]
    return value


def send_and_end(s, data):
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    return True


def both_ways(near, far, up, down):
    """Each side sends all it has and shuts its side, while both read to the end."""
    sent = in_thread(send_and_end, near, up), in_thread(send_and_end, far, down)
    got_far, got_near = in_thread(read_all, far), in_thread(read_all, near)
    check(got_far() == up, "what the server got is not what the client sent")
    check(got_near() == down, "what the client got is not what the server sent")
    check(sent[0]() and sent[1](), "sent")


@test()
def test_relay_is_complete(bench):
    """All bytes in their order, both ways at once, beyond any window, on several connections."""
    far = Far(bench)
    for delay, more in ((0, ()), (3, ()), (1, ("--window", "1000"))):
        relay = Relay(bench, far.port, delay, *more)
        size = 200000 if more else 20 << 20
        pairs = []
        for n in range(3):
            near = relay.connect()
            pairs.append((near, far.accept()))
        for n, (near, other) in enumerate(pairs):
            both_ways(near, other, pattern(size + n, 2 * n), pattern(size - n, 2 * n + 1))
            near.close()
            other.close()


@test()
def test_relay_passes_the_half_close(bench):
    """A side that has shut its own direction still gets what the other says afterwards."""
    far = Far(bench)
    relay = Relay(bench, far.port, 5)
    near = relay.connect()
    near.sendall(b"question")
    near.shutdown(socket.SHUT_WR)
    other = far.accept()
    check_equal(read_all(other), b"question", "before the end of the client's side")
    other.sendall(b"answer")
    check_equal(near.recv(100), b"answer", "after it")
    other.close()
    check_equal(near.recv(100), b"", "the end of the server's side")


@test()
def test_relay_passes_resets(bench):
    far = Far(bench)
    relay = Relay(bench, far.port, 5)
    near = relay.connect()
    other = far.accept()
    other.sendall(b"half a wo")
    check_equal(near.recv(100), b"half a wo", "before the reset")
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()
    check_raises(ConnectionResetError, near.recv, 100)
    # One that comes after the server's side was shut properly, and to the server.
    near = relay.connect()
    other = far.accept()
    near.shutdown(socket.SHUT_WR)
    check_equal(other.recv(100), b"", "the end of the client's side")
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()
    check_raises((ConnectionResetError, BrokenPipeError), send_for_ever, other)
    # Nobody listens there.
    far.socket.close()
    near = relay.connect()
    check_raises(ConnectionResetError, near.recv, 100)


def send_for_ever(s):
    while True:
        s.sendall(b"x" * 65536)


@test()
def test_relay_delays(bench):
    """Never early: each byte by the delay, and what a connection costs before its first byte."""
    far = Far(bench)
    relay = Relay(bench, far.port, 40)
    began = time.monotonic()
    near = relay.connect()
    near.sendall(b"a")
    other = far.accept()
    check(time.monotonic() - began >= 0.12, "the server saw the client before its third passage")
    other.sendall(b"* OK\r\n")
    check_equal(near.recv(100), b"* OK\r\n", "greeting")
    check(time.monotonic() - began >= 0.16, "a greeting before two round trips")
    check_equal(other.recv(100), b"a", "the first byte")
    for here, there in ((near, other), (other, near)) * 3:
        began = time.monotonic()
        here.sendall(b"x")
        check_equal(there.recv(100), b"x", "a byte")
        check(time.monotonic() - began >= 0.04, "a byte came early")


@test()
def test_relay_holds_the_rate(bench):
    """Not faster than the line, for all connections together; the other direction is not slowed."""
    far = Far(bench)
    relay = Relay(bench, far.port, 1, "--rate", "1000000")
    near, also = relay.connect(), relay.connect()
    others = [far.accept(), far.accept()]
    began = time.monotonic()
    ends = [in_thread(send_and_end, s, pattern(200000, n)) for n, s in enumerate((near, also))]
    got = [in_thread(read_all, s) for s in others]
    check_equal(sorted(g() for g in got), sorted(pattern(200000, n) for n in range(2)), "bytes")
    # What is read at once may be ahead of the line by its own length.
    check(time.monotonic() - began >= 0.38, "400,000 bytes in less than 0.38 s")
    check(all(end() for end in ends), "sent")


@test()
def test_relay_ends(bench):
    far = Far(bench)
    for number in signal.SIGTERM, signal.SIGINT:
        relay = Relay(bench, far.port, 0)
        relay.process.signal(number)
        check_equal(relay.process.wait(SECONDS), 0, "status after %s" % number.name)
    for args in (("--delay-ms", "5"), ("--target", "127.0.0.1:1"), ("--target", "x", "--delay-ms", "5"),
                 ("--target", "127.0.0.1:1", "--delay-ms", "1x")):
        status, _ = bench.run([tool("relay"), *args], check=False)
        check_equal(status, 2, "status of relay %s" % " ".join(args))


def pump(bench, source, target, *args, tls=False, password="secret", status=0):
    """Runs it: its JSON, or its words when it shall fail."""
    which = "tls_port" if tls else "port"
    done, output = bench.run(
        [tool("pump"), "--source", "127.0.0.1:%d" % getattr(source, which),
         "--target", "127.0.0.1:%d" % getattr(target, which), "--user", "ann",
         *(["--tls"] if tls else []), *args], check=False,
        env=dict(os.environ, PUMP_PASSWORD=password))
    check_equal(done, status, "the pump's status, which said\n%s\n" % output)
    return json.loads(output) if status == 0 else output


def filled(bench, **more):
    """A source with odd messages and folders, and what it holds."""
    source = Dovecot(bench, ANN, name="source", **more)
    boxes.fill_account(source, "ann", boxes.fidelity(150, 300000, real=False))
    return source, state_of(source, "ann")


def size_of(state):
    messages = [m for folder in state.values() for m in folder.messages]
    return len(messages), sum(m.body.size for m in messages)


@test()
def test_pump_copies_all(bench):
    """Every byte, flag and date, whatever the batches, the pairs, the line and TLS."""
    source, state = filled(bench)
    target = Dovecot(bench, ANN, name="target")
    slow = Relay(bench, source.port, 2), Relay(bench, target.port, 2)
    for near, far, args, more in (
            (source, target, (), {}), (source, target, ("--pairs", "3"), {}),
            (source, target, ("--batch-messages", "1"), {}),
            (source, target, ("--batch-bytes", "1"), {}), (source, target, (), {"tls": True}),
            (source, target, ("--pairs", "2"), {"tls": True}), (*slow, (), {})):
        done = pump(bench, near, far, *args, **more)
        must_equal(state, state_of(target, "ann"), subscriptions=False)
        check_equal((done["messages"], done["bytes"]), size_of(state), "messages and bytes")
        check(done["seconds"] > 0 and done["cpu"] > 0 and done["peak_kb"] > 0, str(done))
        target.stop()
        target.wipe("ann")
        target.start()


@test()
def test_pump_into_what_is_there(bench):
    """Folders that exist are used; another separator is translated."""
    source, state = filled(bench)
    target = Dovecot(bench, ANN, name="target", separator=".")
    dotted = [path for path in state if any("." in part for part in path)]
    check(dotted, "names that this target cannot have")
    with Client(source.port) as client:
        client.login("ann", "secret")
        for path in dotted:
            client.delete(state.pop(path).name)
    check(any(len(path) > 2 for path in state), "folders below others")
    with Client(target.port) as client:
        client.login("ann", "secret")
        client.create("level 1.level 2")
    pump(bench, source, target)
    must_equal(state, state_of(target, "ann"), subscriptions=False)


@test()
def test_pump_floors(bench):
    """read leaves the target as it is; write brings all mail."""
    source, state = filled(bench)
    target = Dovecot(bench, ANN, name="target")
    before = state_of(target, "ann")
    done = pump(bench, source, target, "--mode", "read")
    check_equal((done["messages"], done["bytes"]), size_of(state), "messages and bytes")
    must_equal(before, state_of(target, "ann"))
    done = pump(bench, source, target, "--mode", "write")
    check_equal((done["messages"], done["bytes"]), size_of(state), "messages and bytes")
    must_equal(state, state_of(target, "ann"), subscriptions=False)


@test()
def test_pump_asks_little(bench):
    """A folder costs two commands at the source; at the target CREATE, SELECT and the batches."""
    messages = [{"text": "Subject: x\r\n\r\nx\r\n", "flags": ["\\Recent", "\\Seen"],
                 "date": 1000000000}] * 25
    source = Standin(bench, users=ANN, accounts={"ann": {"folders": {
        name: {"messages": messages} for name in ("INBOX", "one", "two")} | {"none": {}}}})
    target = Standin(bench, users=ANN, accounts={"ann": {"folders": {"INBOX": {}, "one": {}}}})
    pump(bench, source, target, "--batch-messages", "10")
    for server, want in (
            (source, {"LOGIN": 1, "LIST": 1, "EXAMINE": 4, "UID FETCH": 4}),
            (target, {"LOGIN": 1, "LIST": 1, "CREATE": 2, "SELECT": 3, "APPEND": 9})):
        check_equal(dict(Counter(c["command"] for c in server.commands())), want,
                    "commands to %s" % server)
        check_equal(server.violations(), [], "violations")


@test()
def test_pump_is_bounded(bench):
    """More mail than the ring takes, in one message and in many, goes round it."""
    source, target = Dovecot(bench, ANN, name="source"), Dovecot(bench, ANN, name="target")
    boxes.fill_account(source, "ann", [boxes.Box("INBOX", boxes.large(20 << 20)),
                                       boxes.Box("many", boxes.many(12000)),
                                       boxes.Box("large", boxes.large(3 << 20))])
    relay = Relay(bench, target.port, 0, "--rate", "40000000")  # the ring is full all the time
    done = pump(bench, source, relay)
    must_equal(state_of(source, "ann"), state_of(target, "ann"), subscriptions=False)
    with open(tool("pump"), "rb") as f:
        program = f.read()
    sanitized = b"__asan_init" in program or b"__tsan_init" in program
    check(sanitized or done["peak_kb"] < 20 << 10, "memory: %d KB" % done["peak_kb"])


@test()
def test_pump_fails_aloud(bench):
    """A refusal or a surprise on either side: status 1, and said."""
    source, target = Dovecot(bench, ANN, name="source"), Dovecot(bench, ANN, name="target")
    small = Dovecot(bench, ANN, name="small", quota="20K")
    boxes.fill_account(source, "ann", [boxes.Box("INBOX", boxes.many(50))])
    check_in("login: L NO", pump(bench, source, target, password="wrong", status=1))
    check_in("OVERQUOTA", pump(bench, source, small, status=1))
    messages = [{"text": "Subject: x\r\n\r\nx\r\n" * 50, "flags": [], "date": 1000000000}] * 3
    for rule in ({"command": "UID FETCH", "action": "no"},
                 {"command": "EXAMINE", "action": "bad"},
                 {"command": "UID FETCH", "action": "bye"},
                 {"command": "UID FETCH", "action": "close_in_literal", "message": 2},
                 {"command": "UID FETCH", "action": "wrong_size", "message": 2, "delta": -3},
                 {"command": "UID FETCH", "action": "huge_literal", "message": 2,
                  "size": "99999999999999999999"},
                 {"command": "UID FETCH", "action": "long_line", "bytes": 200000}):
        odd = Standin(bench, users=ANN, rules=[rule], accounts={
            "ann": {"folders": {"INBOX": {"messages": messages}}}})
        check_in("source: ", pump(bench, odd, target, status=1))
