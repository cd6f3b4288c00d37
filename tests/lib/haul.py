"""mailhaul itself under test: a profile between two servers, and its runs."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3

from lib.account import ORDERED, must_equal, state_of
from lib.bench import Failure, Skip, tail, wait_for
from lib.testing import mailhaul_binary

# More keys for every profile's [run], as JSON: all tests under another setting.
FAST = dict({"settle_wait": "300ms"}, **json.loads(os.environ.get("MAILHAUL_TEST_RUN", "{}")))
STATES = dict(enumerate("landed verified skipped failed held vanished adopted".split(), 1))
FLAGS = {"\\Seen": 1, "\\Answered": 2, "\\Flagged": 4, "\\Deleted": 8, "\\Draft": 16}


def flag_bits(row):
    return sum(FLAGS.get(flag, 0) for flag in row.get("flags", "").split())


def plain_binary():
    """One whose memory is the program's own."""
    path = os.environ.get("MAILHAUL_PLAIN")
    if path:
        return os.path.abspath(path)
    path = mailhaul_binary()
    with open(path, "rb") as f:
        data = f.read()
    for mark, name in (b"__asan_init", "address"), (b"__tsan_init", "thread"):
        if mark in data:
            raise Skip("%s sanitizer in %s; MAILHAUL_PLAIN may name a build without" % (name,
                                                                                       path))
    return path


class Haul:
    """h = Haul(bench, source, target, {'ann': 'secret'}); h.run(); h.report()

    source, target   servers (host, port, tls_port), the same users on both sides unless
                     rows are given
    users            name -> password; not given: those of the source
    rows             the CSV as text instead
    source_options, target_options, folders, run    more keys of the profile's sections
    security         none, tls or starttls on both sides
    admin            the servers' master users log in for everyone (the list holds no passwords)
    """

    count = 0

    def __init__(self, bench, source, target, users=None, rows=None, security="none",
                 source_options=None, target_options=None, folders=None, run=None, name=None,
                 admin=False):
        self.bench, self.source, self.target, self.admin = bench, source, target, admin
        self.binary = mailhaul_binary()
        Haul.count += 1
        self.name = name or "p%d" % Haul.count
        self.dir = bench.subdir("h", 0o700)
        self.state = os.path.join(self.dir, "state")
        self.profile = os.path.join(self.dir, self.name + ".ini")
        if rows is None:
            rows = "".join("%s;%s\n" % (user, "" if admin else password)
                           for user, password in (source.users if users is None
                                                  else users).items())
        self.write("users.csv", rows)
        self.options = {
            "source": dict(self.side(source, security), **(source_options or {})),
            "target": dict(self.side(target, security), **(target_options or {})),
            "users": {"from": "csv", "file": "users.csv"},
            "folders": dict(folders or {}),
            "run": dict(FAST, state_dir=self.state, **(run or {})),
        }
        self.save()
        bench.add(self)

    def __str__(self):
        return "mailhaul %s" % self.profile

    def side(self, server, security):
        options = {"type": "imap", "host": server.host, "security": security,
                   "port": server.tls_port if security == "tls" else server.port}
        if security != "none":
            options.update(tls_ca=server.cert, host="localhost")
        if self.admin:
            name, password = sorted(server.masters.items())[0]
            options.update(admin_user=name, admin_password=password)
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
        """Lines of the last run's manifest; each file of the chain is checked on the way."""
        return self.manifests()[-1]

    def manifests(self):
        """The lines of each manifest, oldest first: each names the one before it, by its digest."""
        chain, before = [], (None, None)
        for place in self.logs():
            path = os.path.join(place, "manifest.jsonl")
            if not os.path.exists(path):  # a run that was killed
                continue
            with open(path, "rb") as f:
                lines = f.read().splitlines(True)
            rows = [json.loads(line) for line in lines]
            if (rows[0]["after"], rows[0]["after_sha256"]) != before:
                raise Failure("%s comes after %s, not %s" % (path, rows[0], before))
            end = {"items": sum("uid" in row for row in rows),
                   "sha256": hashlib.sha256(b"".join(lines[:-1])).hexdigest()}
            if rows[-1] != end:
                raise Failure("%s ends with %s, not %s" % (path, rows[-1], end))
            before = ("%s/manifest.jsonl" % os.path.basename(place),
                      hashlib.sha256(b"".join(lines)).hexdigest())
            chain.append(rows)
        return chain

    def chained(self):
        """{(folder, uid): line}: what all manifests together say."""
        rows = {}
        for lines in self.manifests():
            for row in lines:
                if row.get("state") == "removed":
                    rows.pop((row["folder_id"], row["uid"]), None)
                elif "uid" in row:
                    rows[row["folder_id"], row["uid"]] = row
        return rows

    def must_chain(self):
        """All manifests together are the ledger, row for row."""
        have = {key: (row["size"], row.get("sha256"), row["state"], row.get("target_uid", 0),
                      row.get("gone_round", 0), flag_bits(row))
                for key, row in self.chained().items()}
        want = {(row["folder"], row["uid"]): (
            row["size"], row["digest"] and row["digest"].hex(), STATES[row["state"]],
            row["target_uid"], row["gone_round"], row["flags"] & 31)
            for row in self.sql("SELECT * FROM item")}
        if have != want:
            raise Failure("the manifests and the ledger differ: %s" % [
                (key, have.get(key), want.get(key)) for key in sorted(set(have) | set(want))
                if have.get(key) != want.get(key)][:10])
        return len(want)

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

    # --- dying on purpose

    def die_at(self, step, *args, timeout=120, env=None):
        """Runs until it dies at that step ("commit:3"): True when it did, False when the run
        ended without getting there."""
        process = self.run(*args, expect=None, timeout=timeout,
                           env=dict(env or {}, MAILHAUL_DIE_AT=step))
        return process.popen.returncode == -signal.SIGKILL

    def steps(self, *args):
        """{kind: how many} of a whole run's steps."""
        path = os.path.join(self.dir, "steps")
        if os.path.exists(path):
            os.unlink(path)
        self.run(*args, env={"MAILHAUL_DIE_COUNT": path})
        with open(path) as f:
            return {kind: int(count) for kind, count in (line.split() for line in f)}

    def reset(self):
        """As if no run had ever been."""
        shutil.rmtree(self.state, ignore_errors=True)

    # --- what came of it

    def sql(self, query, *values):
        """Rows of the ledger, as dicts."""
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.state, "ledger.db"), uri=True,
                             timeout=10)
        try:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]
        finally:
            db.close()

    def wait_rows(self, count, timeout=60):
        """Until the ledger holds that many item rows."""
        def enough():
            try:
                return self.sql("SELECT count(*) AS n FROM item")[0]["n"] >= count
            except sqlite3.Error:
                return False
        return wait_for(enough, timeout, "%d rows in the ledger" % count)

    def must_match(self, user, expected=None, labels=None, subscriptions=True, ordered=ORDERED):
        """The target's account is the source's; the passwords are those of the servers."""
        must_equal(state_of(self.source, user), state_of(self.target, user), expected, labels,
                   subscriptions, ordered)

    def uids(self, user):
        """{path: UIDs} of the target: equal before and after a run that moves nothing."""
        return {path: [m.uid for m in folder.messages]
                for path, folder in state_of(self.target, user, bodies=False).items()}

    def must_move_nothing(self, user, **more):
        """A further run leaves every UID of the target as it is."""
        before = self.uids(user)
        self.run(**more)
        if self.uids(user) != before:
            raise Failure("a further run changed the target of %s" % user)

    def diagnostics(self):
        parts = []
        for place in self.logs()[-2:]:
            for name in "debug.log", "report.txt":
                text = tail(os.path.join(place, name), 40)
                if text:
                    parts.append("%s/%s:\n%s" % (os.path.basename(place), name, text))
        return "\n".join(parts)

    def close(self):
        """Ends a detached run, which has left the bench's groups; the lock names its process."""
        try:
            with open(os.path.join(self.state, "lock")) as f:
                pid = int(f.read().split()[0])
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                ours = self.profile.encode() in f.read()
            if ours:
                os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            pass
