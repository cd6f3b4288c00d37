"""How much memory a run takes: the peak of the process, and what it lays into a file system that
is memory too.

The source makes its messages up while they are read, and the target keeps size and digest of a
long one, so that neither server's memory or disk sets the bounds. A build with a sanitizer has
another memory than the program has; MAILHAUL_PLAIN names one without.
"""

import os
import subprocess
import time

from lib.bench import Failure
from lib.haul import Haul, plain_binary
from lib.testing import check, check_equal, test
from servers.dovecot import Dovecot
from standins import made_up
from standins.standin import Standin

MIB = 1 << 20
LIMIT = 64 * MIB
KEEP = 1 << 20  # bytes of a message above which the target keeps its digest only
FREE = 100 * MIB  # in the state directory


class State:
    """A state directory in memory of its own, FREE bytes large; without root, or where it is not
    to be so small, an ordinary one."""

    def __init__(self, bench, small):
        self.path = bench.subdir("state", 0o700)
        self.mounted = small and os.getuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=%d,mode=0700" % FREE, "mailhaul-test", self.path],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
        bench.add(self)

    def used(self):
        if not self.mounted:
            return 0
        s = os.statvfs(self.path)
        return (s.f_blocks - s.f_bfree) * s.f_frsize

    def diagnostics(self):
        return ""

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.path], check=False)


def high_water(pid):
    """VmHWM, or 0 when the process is over."""
    try:
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def watch(process, state, timeout):
    """(peak of the process, peak of it and its files in memory, connections seen at once)"""
    end, peak, both = time.monotonic() + timeout, 0, 0
    while process.running():
        if time.monotonic() > end:
            raise Failure("not over within %d s\n%s" % (timeout, process.output()))
        now = high_water(process.popen.pid)
        peak = max(peak, now)
        both = max(both, peak + state.used())
        time.sleep(0.01)
    return peak, both


def measure(bench, source, target, users, timeout, small=True):
    """One run; the peaks must stay below LIMIT."""
    state = State(bench, small)
    haul = Haul(bench, source, target, users)
    haul.state, haul.binary = state.path, plain_binary()
    haul.options["run"].update({"state_dir": state.path, "settle_wait": "10s"})
    haul.save()
    process = haul.spawn("run", "PROFILE")
    peak, both = watch(process, state, timeout)
    check_equal(process.wait(5), 0, "exit code\n%s\n%s" % (process.output(), haul.debug_log()))
    print("peak %.1f MiB, with files in memory %.1f MiB%s" % (
        peak / MIB, both / MIB, "" if state.mounted else " (state directory on disk)"))
    check("tried again" not in process.output(), process.output())
    check(peak > MIB, "nothing was measured")
    check(both <= LIMIT, "%.1f MiB, more than %d" % (both / MIB, LIMIT / MIB))
    return haul


def made(*sizes):
    """The INBOX of an account with messages of those sizes."""
    return {"folders": {"INBOX": {"messages": [{"made_up": size, "seed": n, "flags": ["\\Seen"]}
                                               for n, size in enumerate(sizes)]}}}


def kept(target, user):
    """[(size, digest)] of a stand-in's INBOX."""
    return [(row[1], row[2]) for row in target.control("state")[user]["INBOX"]]


def wanted(*sizes):
    return [(size, made_up.sha256(size, n)) for n, size in enumerate(sizes)]


def six_mailboxes(bench, *sizes, timeout, small=True):
    users = {"u%d" % n: "secret" for n in range(6)}
    source = Standin(bench, users=users, accounts={user: made(*sizes) for user in users})
    target = Standin(bench, users=users, keep_bytes=KEEP)
    measure(bench, source, target, users, timeout, small)
    times = {name: [c["time"] for c in source.commands(name)] for name in ("LOGIN", "LOGOUT")}
    began = times["LOGIN"] or [c["time"] for c in source.commands("AUTHENTICATE")]
    check(len(began) == 6 and max(began) < min(times["LOGOUT"]), "six in flight: %s" % times)
    want = wanted(*sizes)
    for user in users:
        check_equal(kept(target, user), want, "messages of " + user)


def one_giant(bench, size, target, timeout):
    plain_binary()
    source = Standin(bench, users={"ann": "secret"}, accounts={"ann": made(size)})
    measure(bench, source, target, {"ann": "secret"}, timeout)


@test(timeout=120)
def test_six_mailboxes(bench):
    """A message of 60 MB in each of six mailboxes in flight."""
    six_mailboxes(bench, 60 * MIB, timeout=100)


@test(timeout=600, long=True)
def test_six_mailboxes_many(bench):
    six_mailboxes(bench, *[60 * MIB, 3000, 60 * MIB, 2 * MIB, 60 * MIB], timeout=560)


@test(timeout=120)
def test_six_mailboxes_kept(bench):
    """Messages just below what is kept before it is sent: they go to disk, not to memory."""
    six_mailboxes(bench, *[15 * MIB] * 4, timeout=100, small=False)


@test(timeout=120)
def test_giant_short(bench):
    size = 300 * MIB
    target = Standin(bench, users={"ann": "secret"}, keep_bytes=KEEP)
    one_giant(bench, size, target, 100)
    check_equal(kept(target, "ann"), wanted(size), "the message")


@test(timeout=900, long=True)
def test_giant(bench):
    """2 GB through a state directory with 100 MB free."""
    size = 2 << 30
    target = Standin(bench, users={"ann": "secret"}, keep_bytes=KEEP)
    one_giant(bench, size, target, 850)
    check_equal(kept(target, "ann"), wanted(size), "the message")


@test(timeout=900, long=True)
def test_giant_to_dovecot(bench):
    """The same into a real server, with its mail on disk."""
    from lib.account import state_of
    size = 2 << 30
    target = Dovecot(bench, {"ann": "secret"}, store="maildir")
    one_giant(bench, size, target, 850)
    (message,) = state_of(target, "ann")["INBOX",].messages
    check_equal((message.body.size, message.body.sha256), (size, made_up.sha256(size, 0)),
                "the message")
