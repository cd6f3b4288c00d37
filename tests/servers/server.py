"""What the real servers share: start to the greeting, stop, kill, start again, diagnostics."""

import os
import pwd
import shutil
import signal
import socket

from lib.bench import Failure, tail, wait_for


class Server:
    """A subclass fills argv(), log_files() and sets port, tls_port and dir."""

    kind = "server"
    port = 0
    tls_port = 0
    dir = ""
    host = "127.0.0.1"
    process = None

    def __init__(self, bench, name):
        self.bench = bench
        self.name = name or self.kind

    def __str__(self):
        return "%s (port %d, %s)" % (self.name, self.port, self.dir)

    def argv(self):
        raise NotImplementedError

    def log_files(self):
        return []

    def greets(self):
        """True when a greeting came; a Failure with the log's tail when the server has died."""
        if not self.process.running():
            raise Failure("%s ended with %d at its start\n%s" % (
                self.name, self.process.popen.returncode, self.diagnostics()))
        try:
            with socket.create_connection((self.host, self.port), 2) as s:
                s.settimeout(2)
                return s.recv(512).startswith(b"*")
        except OSError:
            return False

    def start(self, timeout=20):
        self.process = self.bench.spawn(self.argv(), self.name)
        wait_for(self.greets, timeout, lambda: "a greeting of %s\n%s" % (self, self.diagnostics()))
        return self

    def stop(self, timeout=15):
        """In order: SIGTERM, and nothing of it is left when this returns."""
        if self.process is not None:
            self.process.stop(timeout)
            self.process = None

    def kill(self):
        """As a power cut: SIGKILL to all of its processes."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def freeze(self):
        """All processes stand still; connections stay open and silent until thaw()."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def close(self):
        self.kill()

    def diagnostics(self):
        parts = [self.process.tail()] if self.process is not None else []
        parts += [tail(path) for path in self.log_files()]
        return "\n".join(p for p in parts if p)

    def take_cert(self, kind, owner=None):
        """Copies the bench's certificate here; `owner` is the user that must read the key."""
        cert, key = self.bench.cert(kind)
        for path in cert, key:
            copy = os.path.join(self.dir, os.path.basename(path))
            shutil.copy(path, copy)
            os.chmod(copy, 0o600 if path == key else 0o644)
            if owner is not None and os.getuid() == 0:
                entry = pwd.getpwnam(owner)
                os.chown(copy, entry.pw_uid, entry.pw_gid)
        return os.path.join(self.dir, "cert.pem"), os.path.join(self.dir, "key.pem")
