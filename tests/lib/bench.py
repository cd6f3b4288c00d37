"""A test's own place: a short private directory, ports, certificates, processes; all gone at exit.

Nothing here waits without a deadline, and every wait watches a condition. Ports are handed out
under a lock file each, so that tests which run side by side never share one; the lock lives as
long as the bench. Every process is started in a session of its own and killed by its group; the
groups are also written to `groups` in the directory, so that the runner can clean up after a
test that was killed itself.
"""

import atexit
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PORT_FIRST = 20000  # below the ephemeral range, so that no client socket takes one
PORT_LAST = 31999
ROOT = os.environ.get("MAILHAUL_TEST_ROOT", "/tmp")


class Failure(Exception):
    """A test's promise does not hold."""


class Skip(Exception):
    """A test cannot run here; the text says why."""


class Timeout(Failure):
    """A condition did not come true before its deadline."""


def wait_for(condition, timeout, what, pause=0.005, longest=0.1):
    """Polls until condition() is true and returns its value; Timeout names `what`."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Timeout("not within %g s: %s" % (timeout, what() if callable(what) else what))
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(pause * 1.5, longest)


def tail(path, lines=25, most=16384):
    """The last lines of a text file, or '' when there is none."""
    try:
        with open(path, "rb") as f:
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - most))
            text = f.read().decode("utf-8", "backslashreplace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def process_state(pid):
    """One letter of /proc/PID/stat, or '' when the process is gone; Z counts as gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            return f.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""


def alive(pid):
    return process_state(pid) not in ("", "Z", "X")


def group_members(pgid):
    """The live processes of a group."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as f:
                rest = f.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if rest and rest[0] not in (b"Z", b"X") and int(rest[2]) == pgid:
            found.append(int(name))
    return found


def kill_group(pgid, timeout=10):
    """SIGKILL to a whole group, and waits until nothing of it runs."""
    try:
        os.killpg(pgid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    wait_for(lambda: not group_members(pgid), timeout, "group %d ends" % pgid)


def adopt_orphans():
    """Makes this process the parent of orphans below it, so that they can be reaped."""
    try:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    except (OSError, AttributeError):
        pass


class Process:
    """A child in a group of its own, its output in a file of the bench."""

    def __init__(self, bench, argv, name, env=None, cwd=None, stdin=None, pass_fds=(), user=None):
        self.bench = bench
        self.name = name
        self.argv = [str(a) for a in argv]
        self.log = bench.path("%s.%d.out" % (name, bench.count()))
        with open(self.log, "wb") as out:
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=out,
                stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True,
                pass_fds=pass_fds, user=user)
        self.pid = self.popen.pid
        bench.remember_group(self.pid)

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout=60):
        """The exit status (negative: a signal); Timeout when it still runs then."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Timeout("%s still runs after %g s\n%s" % (self.name, timeout, self.tail()))

    def output(self):
        with open(self.log, "rb") as f:
            return f.read().decode("utf-8", "backslashreplace")

    def tail(self, lines=40):
        return tail(self.log, lines)

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def stop(self, timeout=15):
        """SIGTERM, then SIGKILL to the group; returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        self.kill()
        return self.popen.returncode

    def kill(self):
        kill_group(self.pid)
        self.popen.wait(10)


class Bench:
    """One test's place. Use as a context manager, or call close()."""

    def __init__(self, name="t", keep=None):
        adopt_orphans()
        self.keep = bool(os.environ.get("MAILHAUL_TEST_KEEP")) if keep is None else keep
        self.name = name
        self.dir = tempfile.mkdtemp(prefix="mh", dir=ROOT)
        os.chmod(self.dir, 0o711)  # servers drop to other users below it
        self.locks = []
        self.things = []  # what has close(); closed last in, first out
        self.groups = []
        self.numbers = 0
        self.certs = {}
        self.pid = os.getpid()
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, lambda n, _: sys.exit(128 + n))
        where = os.environ.get("MAILHAUL_TEST_PLACES")
        if where:
            with open(where, "a") as f:
                f.write(self.dir + "\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def count(self):
        self.numbers += 1
        return self.numbers

    def subdir(self, name, mode=0o755):
        """A new directory of this name (a number is added when it is taken)."""
        path = self.path(name)
        while True:
            try:
                os.mkdir(path, mode)
                break
            except FileExistsError:  # also by a thread beside us
                path = self.path("%s%d" % (name, self.count()))
        os.chmod(path, mode)
        return path

    def write(self, name, data, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(data, str):
            data = data.encode()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "wb") as f:
            f.write(data)
        return path

    def port(self):
        """A TCP port on loopback that no other test of this host has."""
        places = os.path.join(ROOT, "mh-ports.%d" % os.getuid())
        os.makedirs(places, 0o700, exist_ok=True)
        span = PORT_LAST - PORT_FIRST + 1
        start = (os.getpid() * 97 + self.count() * 7) % span
        for i in range(span):
            port = PORT_FIRST + (start + i) % span
            fd = os.open(os.path.join(places, str(port)), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                continue
            if port_is_free(port):
                self.locks.append(fd)
                return port
            os.close(fd)
        raise Failure("no free port between %d and %d" % (PORT_FIRST, PORT_LAST))

    def add(self, thing):
        """close() of `thing` will be called when the bench closes."""
        self.things.append(thing)
        return thing

    def remember_group(self, pgid):
        self.groups.append(pgid)
        with open(self.path("groups"), "a") as f:
            f.write("%d\n" % pgid)

    def spawn(self, argv, name, **more):
        return Process(self, argv, name, **more)

    def run(self, argv, name=None, timeout=60, check=True, **more):
        """Runs to the end; returns (status, output). With check, a status but 0 is a Failure."""
        proc = self.spawn(argv, name or os.path.basename(str(argv[0])), **more)
        status = proc.wait(timeout)
        output = proc.output()
        if check and status != 0:
            raise Failure("%s ended with %d\n%s" % (" ".join(proc.argv), status, output[-4000:]))
        return status, output

    def cert(self, kind="good"):
        """(certificate, key) of a self-signed one: good, expired, wrong-host."""
        if kind not in self.certs:
            self.certs[kind] = make_cert(self, kind)
        return self.certs[kind]

    def diagnostics(self):
        """The tails of every log here, for a failed test."""
        parts = []
        for thing in self.things:
            text = thing.diagnostics() if hasattr(thing, "diagnostics") else ""
            if text:
                parts.append("--- %s\n%s" % (thing, text))
        for name in sorted(os.listdir(self.dir)) if os.path.isdir(self.dir) else []:
            if name.endswith(".out"):
                text = tail(self.path(name))
                if text:
                    parts.append("--- %s\n%s" % (name, text))
        return "\n".join(parts)

    def close(self):
        if self.pid != os.getpid():  # a forked child leaves all as it is
            return
        atexit.unregister(self.close)
        things, self.things = self.things, []
        for thing in reversed(things):
            try:
                thing.close()
            except Exception as problem:  # the rest must be cleaned up all the same
                print("closing %s: %s" % (thing, problem), file=sys.stderr)
        groups, self.groups = self.groups, []
        for pgid in groups:
            try:
                kill_group(pgid)
            except Failure as problem:
                print(problem, file=sys.stderr)
        reap()
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        locks, self.locks = self.locks, []
        for fd in locks:
            os.close(fd)


def reap():
    """Collects adopted children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


LOCAL = "DNS:localhost,IP:127.0.0.1,IP:127.0.0.2"


def make_cert(bench, kind):
    names = {"good": LOCAL, "expired": LOCAL,
             "wrong-host": "DNS:mail.elsewhere.example"}
    place = bench.subdir("cert-" + kind)
    key, cert = os.path.join(place, "key.pem"), os.path.join(place, "cert.pem")
    common = "localhost" if kind != "wrong-host" else "mail.elsewhere.example"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=" + common,
            "-addext", "subjectAltName=" + names[kind])
    if kind == "expired":
        ext = os.path.join(place, "ext")
        with open(ext, "w") as f:
            f.write("subjectAltName=%s\n" % names[kind])
        openssl("x509", "-in", cert, "-signkey", key, "-days", "-1", "-clrext", "-extfile", ext,
                "-out", cert + ".new")
        os.rename(cert + ".new", cert)
    os.chmod(key, 0o600)
    return cert, key


def openssl(*args):
    done = subprocess.run(("openssl",) + args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30)
    if done.returncode != 0:
        raise Failure("openssl %s: %s" % (args[0], done.stdout.decode("utf-8", "replace")))
