#!/usr/bin/python3
"""A TCP proxy before a real server that makes the link worse on request: proxy.py CONFIG.json

  port, target_host, target_port, control
  delay_ms      each way
  rate          bytes a second, each way
  one_line      true: of all links together
  hold          true: a sender is made to wait when 128 KiB are on their way, as by a real line
  strip         capabilities to take away (strip.py)
  most          so many links at a time, above them a connection gets the line `above` and its end;
                without `above` it is refused by the system itself
  above         "* BYE [LIMIT] too many"
  after_death   a dead client's bytes that lie here go on to the server for so many seconds, in
                small pieces, and the server's connection ends only then
  pieces        how many pieces (20)

Control operations, a JSON object per line: {"do": "cut", "mode": "silent" | "links" | "reset" |
"refuse"} (silent: nothing is passed on any more, both ends stay open and unaware, what the client
still sends is kept; links: so the links there are, new ones pass; reset: both ends get RST; refuse:
new connections are ended at once, too), restore, delay (ms), heard (how many links that pass had
this text from their client), stats, quit.
"""

import collections
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from standins.strip import Strip  # noqa: E402

KEPT_MOST = 256 << 20  # bytes on their way in one direction
HELD_MOST = 128 << 10  # the same with `hold`
HEARD_MOST = 1 << 16  # of what a client sent first, for `heard`
CHUNK = 1 << 18


def reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    except OSError:
        pass


def wake(sock):
    """Ends blocking calls on it in other threads."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Way:
    """One direction of a link: what was read waits here until it is due, then it is sent."""

    def __init__(self, link, target):
        self.link, self.target = link, target
        self.queue, self.kept = collections.deque(), 0
        self.turn = threading.Condition()
        self.ended = False  # nothing more comes in
        self.taken = self.sent = 0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def put(self, data):
        if not data:
            return
        with self.turn:
            while self.kept > self.most() and not self.link.over:
                self.turn.wait(0.1)
            self.queue.append((time.monotonic() + self.link.proxy.delay, data))
            self.kept += len(data)
            self.taken += len(data)
            self.turn.notify()

    def most(self):
        proxy = self.link.proxy
        return HELD_MOST if proxy.config.get("hold") else KEPT_MOST

    def end(self):
        with self.turn:
            self.ended = True
            self.turn.notify()

    def run(self):
        try:
            while True:
                data = self.take()
                if data is None:
                    break
                self.target.sendall(data)
                self.sent += len(data)
                if self.link.proxy.rate:
                    with self.line():
                        time.sleep(len(data) / self.link.proxy.rate)
        except OSError:
            pass
        self.link.way_done(self)

    def line(self):
        """Who has it sends, where all links are one line."""
        proxy = self.link.proxy
        if not proxy.config.get("one_line"):
            return contextlib.nullcontext()
        return proxy.lines[self is self.link.up]

    def take(self):
        """The next bytes that are due; None when nothing comes any more."""
        with self.turn:
            while not self.link.over:
                blocked = self.link.is_silent()
                if self.queue and not blocked:
                    wait = self.queue[0][0] - time.monotonic()
                    if wait <= 0:
                        data = self.queue.popleft()[1]
                        if self.link.proxy.rate and len(data) > 16384:
                            self.queue.appendleft((0, data[16384:]))
                            data = data[:16384]
                        self.kept -= len(data)
                        self.turn.notify_all()
                        self.turn.notify_all()
                        return data
                    self.turn.wait(wait)
                elif self.ended and not self.queue:
                    return None
                else:
                    self.turn.wait(0.05 if blocked else 0.5)
        return None

    def cut_up(self, seconds, pieces):
        """What lies here is spread over the time from now on."""
        with self.turn:
            data = b"".join(d for _, d in self.queue)
            self.queue.clear()
            size, begin = max(1, -(-len(data) // pieces)), time.monotonic()
            for n, at in enumerate(range(0, len(data), size)):
                self.queue.append((begin + seconds * (n + 1) / pieces, data[at:at + size]))
            self.turn.notify()


class Link:
    """A client's connection and ours to the server."""

    def __init__(self, proxy, client):
        self.proxy, self.client, self.over = proxy, client, False
        self.server = socket.create_connection(proxy.target, 30)
        self.server.settimeout(None)
        for sock in self.client, self.server:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.strip = Strip(proxy.config["strip"]) if proxy.config.get("strip") else None
        self.up, self.down = Way(self, self.server), Way(self, self.client)
        self.client_dead, self.silent, self.heard = False, False, b""
        for way in self.up, self.down:
            way.thread.start()
        threading.Thread(target=self.read_server, daemon=True).start()
        threading.Thread(target=self.read_client, daemon=True).start()

    def is_silent(self):
        return self.silent or self.proxy.silent.is_set()

    def read_client(self):
        while True:
            try:
                data = self.client.recv(CHUNK)
            except OSError:
                data = b""
            if not data:
                break
            if len(self.heard) < HEARD_MOST:
                self.heard += data[:HEARD_MOST]
            if self.strip:
                data, back = self.strip.feed_client(data)
                self.down.put(back)
            self.up.put(data)
        self.client_dead = True
        seconds = self.proxy.config.get("after_death")
        if seconds and not self.over:
            while self.is_silent() and not self.over:
                time.sleep(0.02)
            self.proxy.note_dead(self.up.kept)
            self.up.cut_up(seconds, self.proxy.config.get("pieces", 20))
            end = time.monotonic() + seconds
            while (time.monotonic() < end or self.up.kept) and not self.over:
                time.sleep(0.02)
        self.up.end()

    def read_server(self):
        while True:
            try:
                data = self.server.recv(CHUNK)
            except OSError:
                data = b""
            if not data:
                break
            if self.client_dead:
                continue  # read so that the server does not stand still
            self.down.put(self.strip.feed_server(data) if self.strip else data)
        self.down.end()

    def way_done(self, way):
        """A direction has nothing more to send: its end is told on."""
        try:
            way.target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if way is self.down or self.client_dead:
            self.close()

    def close(self, hard=False):
        self.over = True
        for sock in self.client, self.server:
            if hard:
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    # a thread that reads it would keep it open
                    sock.shutdown(socket.SHUT_RD)
                except OSError:
                    pass
            else:
                wake(sock)
            try:
                sock.close()
            except OSError:
                pass
        for way in self.up, self.down:
            with way.turn:
                way.turn.notify_all()
        self.proxy.forget(self)


class Proxy:
    def __init__(self, config):
        self.config = config
        self.target = (config.get("target_host", "127.0.0.1"), config["target_port"])
        self.delay, self.rate = config.get("delay_ms", 0) / 1000, config.get("rate", 0)
        self.silent, self.refuse = threading.Event(), False
        self.lock = threading.Lock()
        self.lines = threading.Lock(), threading.Lock()
        self.links, self.counts = [], {"connections": 0, "up": 0, "down": 0, "bad": 0,
                                       "after_death": 0, "above": 0}

    def note_dead(self, kept):
        """A client has ended while so many of its bytes lay here."""
        with self.lock:
            self.counts["after_death"] += kept

    def forget(self, link):
        with self.lock:
            if link in self.links:
                self.links.remove(link)
                self.counts["up"] += link.up.sent
                self.counts["down"] += link.down.sent
                self.counts["bad"] += link.strip.told if link.strip else 0

    def serve(self, listener):
        while True:
            if self.is_full() and "above" not in self.config:
                listener.close()  # what is in its queue gets an RST, who comes later is refused
                while self.is_full():
                    time.sleep(0.01)
                listener = listen(self.config["port"])
            client, _ = listener.accept()
            if "most" in self.config:
                self.admit(client)
            else:
                threading.Thread(target=self.join, args=(client,), daemon=True).start()

    def is_full(self):
        """A link whose client has ended is none of them, whatever still lies in it."""
        open_links = sum(not link.up.ended for link in list(self.links))
        return "most" in self.config and open_links >= self.config["most"]

    def admit(self, client):
        """One after the other: none slips through while another is being counted."""
        if not self.is_full():
            self.join(client)
            return
        with self.lock:
            self.counts["above"] += 1
        try:
            client.sendall(self.config.get("above", "").encode() + b"\r\n")
        except OSError:
            pass
        client.close()

    def join(self, client):
        while self.silent.is_set():
            time.sleep(0.02)
        if self.refuse:
            reset(client)
            return
        try:
            link = Link(self, client)
        except OSError:
            reset(client)
            return
        with self.lock:
            self.counts["connections"] += 1
            self.links.append(link)

    def control(self, op):
        return getattr(self, "op_" + op["do"])(**{k: v for k, v in op.items() if k != "do"})

    def op_cut(self, mode="silent"):
        if mode == "silent":
            self.silent.set()
            return
        if mode == "links":
            for link in list(self.links):
                link.silent = True
            return
        self.refuse = mode == "refuse"
        for link in list(self.links):
            link.close(hard=True)

    def op_restore(self):
        self.refuse = False
        self.silent.clear()
        for link in list(self.links):
            link.silent = False

    def op_heard(self, text):
        return sum(not link.is_silent() and text.encode() in link.heard
                   for link in list(self.links))

    def op_delay(self, ms):
        self.delay = ms / 1000

    def op_stats(self):
        with self.lock:
            out = dict(self.counts, open=len(self.links))
            for link in self.links:
                out["up"] += link.up.sent
                out["down"] += link.down.sent
                out["bad"] += link.strip.told if link.strip else 0
            out["kept_up"] = sum(link.up.kept for link in self.links)
            out["taken_up"] = sum(link.up.taken for link in self.links)
            return out

    def op_quit(self):
        threading.Timer(0.05, os._exit, (0,)).start()

    def serve_control(self, sock):
        with sock, sock.makefile("rwb") as f:
            for line in f:
                try:
                    answer = {"ok": self.control(json.loads(line))}
                except Exception as problem:  # told to the test, which fails
                    answer = {"error": "%s: %s" % (type(problem).__name__, problem)}
                f.write(json.dumps(answer).encode() + b"\n")
                f.flush()


def listen(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(256)
    return s


def main():
    with open(sys.argv[1]) as f:
        config = json.load(f)
    threading.stack_size(1 << 20)
    proxy = Proxy(config)
    threading.Thread(target=proxy.serve, args=(listen(config["port"]),), daemon=True).start()
    control = listen(config["control"])

    def loop():
        while True:
            sock, _ = control.accept()
            threading.Thread(target=proxy.serve_control, args=(sock,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


if __name__ == "__main__":
    main()
