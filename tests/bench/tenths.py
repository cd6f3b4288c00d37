"""A copy in tenths: what each of them took, so that what grows with a folder is seen.

Looked at every WATCH_SECONDS: the program's own processor time, to the nanosecond, and the bytes
that it has read from the source and written to the target (sockets.py). How far a copy is lies in
the middle between the two sides: by the target alone, what is read ahead would count for the first
tenth, and be missing in the last. The last one ends when all is written: what comes then (the last
answers, lists, reports) is told apart.
"""

import threading
import time
from collections import namedtuple

from bench import sockets

WATCH_SECONDS = 0.025
COMMANDS = 0.001  # of the bytes: no mail
PARTS = 10

# at: monotonic time; all others so far. cpu: seconds; peak_kb: most memory; read, written: bytes
Sample = namedtuple("Sample", "at cpu peak_kb read written")


def cpu_clock(pid):
    """All threads of a process, those that have ended, too; clock_getcpuclockid(3), which Python
    has not."""
    return ~pid << 3 | 2


class Watch:
    """A thread that looks at the children until stop(). peaks: of each, kept by the caller."""

    def __init__(self, children, peaks, source_port, target_port):
        self.children, self.peaks = children, peaks
        self.source_port, self.target_port = source_port, target_port
        self.cpu, self.bytes, self.samples = {}, {}, [Sample(time.monotonic(), 0, 0, 0, 0)]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            self.look()
            self.ended.wait(WATCH_SECONDS)

    def look(self):
        """What has ended keeps its last figure."""
        at = time.monotonic()
        for child in self.children:
            try:
                self.cpu[child.pid] = time.clock_gettime(cpu_clock(child.pid))
            except OSError:
                pass
        for c in sockets.connections({self.source_port, self.target_port}):
            self.bytes[c.cookie] = (c.read, 0) if c.port == self.source_port else (0, c.written)
        self.samples.append(Sample(at, sum(self.cpu.values()), sum(list(self.peaks.values())),
                                   *map(sum, zip((0, 0), *self.bytes.values()))))

    def stop(self, cpu):
        """{"wall", "cpu": seconds of each tenth, "peak_kb": at its end, "before", "after": all
        three of what was before the first and after the last}; None of what was too short to
        tell. cpu: what the children took in all."""
        now = time.monotonic()
        self.ended.set()
        self.thread.join()
        return tenths([s for s in self.samples if s.at <= now] + [
            self.samples[-1]._replace(at=now, cpu=cpu)])


def tenths(samples):
    written = samples[-1].written
    last = next(n for n, s in enumerate(samples) if s.written >= (1 - COMMANDS) * written)
    read = samples[last].read
    if not read or not written:
        return None
    done = [(s.read / read + s.written / written) / 2 for s in samples[:last]] + [1]
    first = max(n for n, part in enumerate(done) if part < COMMANDS)
    if last - first < PARTS:
        return None
    marks = [samples[first]] + [passed(samples, done, n / PARTS) for n in range(1, PARTS)] + [
        samples[last]]
    steps = [step(*pair) for pair in zip(marks, marks[1:])]
    return dict({what: [s[what] for s in steps] for what in steps[0]},
                before=step(samples[0], marks[0]), after=step(marks[-1], samples[-1]))


def step(a, b):
    return {"wall": b.at - a.at, "cpu": b.cpu - a.cpu, "peak_kb": b.peak_kb}


def passed(samples, done, part):
    """When so much was done: a Sample, between two others on a straight line."""
    n = next(n for n, d in enumerate(done) if d >= part)
    along = (part - done[n - 1]) / (done[n] - done[n - 1])
    return Sample(*(a + along * (b - a) for a, b in zip(samples[n - 1], samples[n])))
