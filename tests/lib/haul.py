"""mailhaul itself under test: a profile between two servers, and its runs."""

import json
import os
import signal

from lib.bench import Failure, wait_for
from lib.testing import mailhaul_binary

FAST = {"settle_wait": "300ms"}


class Haul:
    """h = Haul(bench, source, target, {'ann': 'secret'}); h.run(); h.report()

    source, target   servers (host, port, tls_port), the same users on both sides unless
                     rows are given
    users            name -> password
    rows             the CSV as text instead
    source_options, target_options, folders, run    more keys of the profile's sections
    security         none, tls or starttls on both sides
    """

    count = 0

    def __init__(self, bench, source, target, users=None, rows=None, security="none",
                 source_options=None, target_options=None, folders=None, run=None, name=None):
        self.bench, self.source, self.target = bench, source, target
        self.binary = mailhaul_binary()
        Haul.count += 1
        self.name = name or "p%d" % Haul.count
        self.dir = bench.subdir("h", 0o700)
        self.state = os.path.join(self.dir, "state")
        self.profile = os.path.join(self.dir, self.name + ".ini")
        if rows is None:
            rows = "".join("%s;%s\n" % pair for pair in (users or {}).items())
        self.write("users.csv", rows)
        self.options = {
            "source": dict(self.side(source, security), **(source_options or {})),
            "target": dict(self.side(target, security), **(target_options or {})),
            "users": {"from": "csv", "file": "users.csv"},
            "folders": dict(folders or {}),
            "run": dict(FAST, state_dir=self.state, **(run or {})),
        }
        self.save()

    def side(self, server, security):
        options = {"type": "imap", "host": server.host, "security": security,
                   "port": server.tls_port if security == "tls" else server.port}
        if security != "none":
            options["tls_ca"] = server.cert
        return options

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(text)
        return path

    def save(self):
        text = ""
        for section, options in self.options.items():
            if options:
                text += "[%s]\n" % section
                text += "".join("%s = %s\n" % pair for pair in options.items())
        self.write(self.name + ".ini", text)

    def environment(self, more=None):
        env = dict(os.environ, HOME=self.dir, XDG_STATE_HOME=self.dir, XDG_CONFIG_HOME=self.dir)
        for name in "MAILHAUL_DIE_AT", "MAILHAUL_DIE_COUNT":
            env.pop(name, None)
        env.update(more or {})
        return env

    def spawn(self, *args, env=None, name="mailhaul"):
        """Starts `mailhaul ARGS`; a word PROFILE stands for the profile's path."""
        words = [self.profile if word == "PROFILE" else word for word in args]
        return self.bench.spawn([self.binary] + words, name, env=self.environment(env))

    def call(self, *args, expect=0, timeout=120, env=None):
        """Runs it to its end. expect: an exit code, a set of them, or None for any."""
        process = self.spawn(*args, env=env)
        code = process.wait(timeout)
        wanted = expect if isinstance(expect, (set, tuple)) or expect is None else {expect}
        if wanted is not None and code not in wanted:
            raise Failure("mailhaul %s: exit %r, wanted %r\n%s\n%s" %
                          (" ".join(args), code, wanted, process.output(), self.debug_log()))
        return process

    def run(self, *args, expect=0, timeout=120, env=None):
        return self.call("run", "PROFILE", *args, expect=expect, timeout=timeout, env=env)

    def logs(self):
        """Directories of the runs, oldest first."""
        top = os.path.join(self.state, "logs")
        if not os.path.isdir(top):
            return []
        found = [os.path.join(top, name) for name in os.listdir(top)]
        return sorted((d for d in found if os.path.isdir(d)), key=os.path.getmtime)

    def report(self):
        with open(os.path.join(self.logs()[-1], "report.json")) as f:
            return json.load(f)

    def manifest(self):
        rows = []
        with open(os.path.join(self.logs()[-1], "manifest.jsonl")) as f:
            for line in f:
                rows.append(json.loads(line))
        return rows

    def debug_log(self, most=6000):
        for directory in reversed(self.logs()):
            path = os.path.join(directory, "debug.log")
            if os.path.exists(path):
                with open(path, errors="replace") as f:
                    return f.read()[-most:]
        return ""

    def kill(self, process):
        process.signal(signal.SIGKILL)
        wait_for(lambda: not process.running(), 10, "end of the killed run")
