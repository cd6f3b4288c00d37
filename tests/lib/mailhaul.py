"""The program under test, with a profile, a user list and a state directory of its own.

    m = Mailhaul(bench, source, target, {"ann": "secret"}, run={"settle_wait": "200ms"})
    m.run()                      # `mailhaul run`, exit status 0 or Failure
    m.must_match("ann")          # the target's account equals the source's
"""

import glob
import json
import os
import signal
import sqlite3

from lib.account import Expected, compare, must_equal, state_of
from lib.bench import Failure, tail, wait_for
from lib.testing import mailhaul_binary

FAST = {"settle_wait": "300ms"}  # of a test; 10 s in life


class Result:
    def __init__(self, status, output):
        self.status, self.output = status, output

    def __repr__(self):
        return "exit %d\n%s" % (self.status, self.output)


class Mailhaul:
    """users: name -> password, or a row {"password", "target_user", "target_password"}. With a
    server's masters and admin=True the admin logs in for everyone, and the list holds names only.

    source_options, target_options, folders, users_options, run: {key: value} of the profile's
    sections, on top of what fits the servers; a value of None takes a key out.
    """

    def __init__(self, bench, source, target, users=None, name="acme", security="none",
                 admin=False, source_options=None, target_options=None, folders=None,
                 users_options=None, run=None):
        self.bench, self.source, self.target, self.name = bench, source, target, name
        self.binary = mailhaul_binary()
        self.dir = bench.subdir("m", 0o700)
        self.users = dict(source.users if users is None else users)
        self.admin = admin
        self.state_dir = os.path.join(self.dir, "state")
        self.sections = {
            "source": self.side(source, security, source_options),
            "target": self.side(target, security, target_options),
            "users": dict({"file": self.path("users.csv")}, **(users_options or {})),
            "folders": dict(folders or {}),
            "run": dict(FAST, state_dir=self.state_dir, **(run or {})),
        }
        self.profile = self.path(name + ".ini")
        self.write_users()
        self.write_profile()
        bench.add(self)

    def __str__(self):
        return "mailhaul %s" % self.profile

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def side(self, server, security, more):
        options = {"host": server.host if security == "none" else "localhost",
                   "port": server.tls_port if security == "tls" else server.port,
                   "security": security}
        if security != "none":
            options["tls_ca"] = server.cert
        masters = getattr(server, "masters", None) or getattr(server, "config", {}).get("masters")
        if self.admin and masters:
            name, password = sorted(masters.items())[0]
            options.update(admin_user=name, admin_password=password)
        options.update(more or {})
        return options

    def write_profile(self):
        text = []
        for section, options in self.sections.items():
            text.append("[%s]" % section)
            text += ["%s = %s" % row for row in options.items() if row[1] is not None]
            text.append("")
        self.private(self.profile, "\n".join(text))

    def write_users(self, rows=None):
        """The CSV; rows replaces the users."""
        if rows is not None:
            self.users = rows
        lines = ["user;password;target_user;target_password"]
        for user, given in self.users.items():
            row = {"password": given} if isinstance(given, str) else dict(given)
            if self.admin:
                row.pop("password", None)
            cells = [user] + [row.get(k, "") for k in lines[0].split(";")[1:]]
            lines.append(";".join('"%s"' % c.replace('"', '""') if set(c) & set(';"\n') else c
                                  for c in cells))
        self.private(self.path("users.csv"), "\n".join(lines) + "\n")

    @staticmethod
    def private(path, text):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(text)

    def env(self, more=None):
        keep = {k: v for k, v in os.environ.items()
                if k in ("PATH", "LANG", "LC_ALL", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                         "TSAN_OPTIONS", "LD_LIBRARY_PATH")}
        keep.update(HOME=self.dir, XDG_STATE_HOME=self.path("xdg"),
                    XDG_CONFIG_HOME=self.path("config"), **(more or {}))
        return keep

    # --- running it

    def start(self, *words, env=None, command="run"):
        """The Process of `mailhaul COMMAND PROFILE WORDS...`."""
        return self.bench.spawn([self.binary, command, self.profile, *words],
                                "mailhaul-" + command, env=self.env(env), cwd=self.dir)

    def call(self, command, *words, env=None, timeout=120):
        """Runs to the end: a Result, whatever the status."""
        proc = self.start(*words, env=env, command=command)
        try:
            status = proc.wait(timeout)
        finally:
            proc.kill()
        return Result(status, proc.output())

    def run(self, *words, expect=0, **more):
        """`mailhaul run`; expect: the status it must end with (None: any)."""
        result = self.call("run", *words, **more)
        if expect is not None and result.status != expect:
            raise Failure("mailhaul run: exit %d, not %d\n%s\n%s" % (
                result.status, expect, result.output[-3000:], self.diagnostics()))
        return result

    def die_at(self, step, *words, timeout=120):
        """Runs until it dies at that step ("commit:3"). True when it did; False when the run
        ended without getting there."""
        result = self.call("run", *words, env={"MAILHAUL_DIE_AT": step}, timeout=timeout)
        return result.status == -signal.SIGKILL

    def steps(self, *words):
        """{kind: count} of a run's steps (MAILHAUL_DIE_COUNT)."""
        path = self.path("steps")
        if os.path.exists(path):
            os.unlink(path)
        self.run(*words, env={"MAILHAUL_DIE_COUNT": path})
        with open(path) as f:
            return {kind: int(n) for kind, n in (line.split() for line in f)}

    # --- what came of it

    def logs(self):
        """The directories of the runs, oldest first."""
        return sorted(glob.glob(os.path.join(self.state_dir, "logs", "*")), key=os.path.getmtime)

    def report(self):
        """report.json of the last run."""
        with open(os.path.join(self.logs()[-1], "report.json")) as f:
            return json.load(f)

    def manifest(self):
        """The lines of manifest.jsonl of the last run, without the closing one."""
        with open(os.path.join(self.logs()[-1], "manifest.jsonl")) as f:
            return [json.loads(line) for line in f][:-1]

    def sql(self, query, *values):
        """Rows of the ledger, as dicts."""
        path = os.path.join(self.state_dir, "ledger.db")
        db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=10)
        try:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]
        finally:
            db.close()

    def target_user(self, user):
        row = self.users[user]
        return user if isinstance(row, str) else row.get("target_user") or user

    def states(self, user):
        """(source account, target account)"""
        other = self.target_user(user)
        return (state_of(self.source, user, self.source.users[user]),
                state_of(self.target, other, self.target.users[other]))

    def must_match(self, user, expected=None, labels=None, subscriptions=True):
        source, target = self.states(user)
        must_equal(source, target, expected, labels, subscriptions)

    def differences(self, user, expected=None, labels=None):
        return compare(*self.states(user), Expected(expected), labels)

    def must_move_nothing(self, user):
        """A further run leaves every UID of the target as it is."""
        other = self.target_user(user)

        def uids():
            state = state_of(self.target, other, self.target.users[other], bodies=False)
            return {path: [m.uid for m in folder.messages] for path, folder in state.items()}
        before = uids()
        self.run()
        if uids() != before:
            raise Failure("a further run changed the target")

    def wait_copied(self, count, timeout=60):
        """Until the ledger holds that many item rows."""
        def enough():
            try:
                return self.sql("SELECT count(*) AS n FROM item")[0]["n"] >= count
            except sqlite3.Error:
                return False
        return wait_for(enough, timeout, "%d rows in the ledger" % count)

    def reset(self):
        """No run has ever been: the state directory is gone."""
        import shutil
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def diagnostics(self):
        parts = []
        for place in self.logs()[-2:]:
            for name in "debug.log", "report.txt":
                text = tail(os.path.join(place, name), 40)
                if text:
                    parts.append("%s/%s:\n%s" % (os.path.basename(place), name, text))
        return "\n".join(parts)

    def close(self):
        """Its processes are in groups of the bench; a detached run is found by its lock file."""
        try:
            with open(os.path.join(self.state_dir, "lock")) as f:
                pid = int(f.read().split()[0])
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                ours = self.profile.encode() in f.read()
            if ours:
                os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            pass
