"""The programs that are timed, each started as an administrator would; what a run of one cost."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections import namedtuple

from bench.tenths import Watch
from lib.bench import Failure, tail
from lib.haul import Haul
from lib.testing import need_program

HERE = os.path.dirname(os.path.abspath(__file__))
# wall: from the start of the first process to the end of the last; seconds: what a pump says it
# took, else the wall; cpu: user and system of all processes; peak: their high-water marks' sum;
# tenths: of a copy that was watched (Watch.stop())
Run = namedtuple("Run", "wall seconds cpu peak_kb tenths", defaults=[None])
WATCH_SECONDS = 0.02
DOVEADM_FEATURES = "rfc822.size fetch-headers fetch-bodystructure"


def tool(name):
    """A program of `make bench-tools`, in the tree that mailhaul was built in, or in this one."""
    built = os.path.dirname(os.path.abspath(os.environ.get("MAILHAUL", "")))
    for place in os.path.join(built, "tests", "bench"), HERE:
        path = os.path.join(place, name)
        if os.access(path, os.X_OK):
            return path
    raise Failure("no %s; make bench-tools" % name)


def watch_memory(children, peaks, ended):
    """The high-water mark of each, as long as it lives; getrusage's may be that of the fork."""
    while not ended.is_set():
        for child in children:
            try:
                with open("/proc/%d/status" % child.pid) as f:
                    peaks[child.pid] = max([peaks.get(child.pid, 0)] + [
                        int(line.split()[1]) for line in f if line.startswith("VmHWM")])
            except OSError:
                pass
        ended.wait(WATCH_SECONDS)


def run_all(commands, envs, log, watched=None):
    """Runs them side by side, each with its environment; (Run, their outputs). watched: the ports
    of source and target, for a copy to be told in tenths."""
    outputs = ["%s.%d" % (log, n) for n in range(len(commands))]
    files = [open(path, "wb") for path in outputs]
    peaks, ended, cpu, children = {}, threading.Event(), 0.0, []
    with open(log, "ab") as err:
        began = time.monotonic()
        for command, env, out in zip(commands, envs, files):
            children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                             stderr=err, env=env))
        watcher = threading.Thread(target=watch_memory, args=(children, peaks, ended), daemon=True)
        watcher.start()
        watch = Watch(children, peaks, *watched) if watched else None
        try:
            for child in children:
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                cpu += usage.ru_utime + usage.ru_stime
            wall = time.monotonic() - began
        finally:
            told = watch.stop(cpu) if watch else None
            ended.set()
            for child in children:
                if child.returncode is None:
                    child.kill()
    watcher.join()
    for child, out in zip(children, outputs):
        if child.returncode != 0:
            raise Failure("%s ended with %d\n%s\n%s" % (child.args[0], child.returncode, tail(out),
                                                      tail(log)))
    for f in files:
        f.close()
    texts = []
    for path in outputs:
        with open(path, errors="replace") as f:
            texts.append(f.read())
    return Run(wall, wall, cpu, sum(peaks.values()), told), texts


class Setting:
    """Where the programs work: two Sides, the target's server, mailboxes, whether with TLS, and
    whether copies are told in tenths."""

    def __init__(self, bench, corpus, source, target, server, tls, tenths=False):
        self.bench, self.corpus, self.source, self.target = bench, corpus, source, target
        self.server, self.tls, self.people = server, tls, corpus.passwords()
        self.tenths = tenths


class Side:
    """A server as a client sees it: through a link that is so far away."""

    def __init__(self, server, port=None):
        self.server, self.users, self.cert, self.host = server, server.users, server.cert, \
            server.host
        self.port = server.port if port is None else port
        self.tls_port = server.tls_port if port is None else port


class Program:
    """One kind of program in one setting."""

    again = False  # a second pass knows the first
    peer = False
    losses = ()  # what of a message is known not to arrive (corpora.losses)
    writes = True  # the target has the mail afterwards

    def __init__(self, name, setting):
        self.name, self.setting, self.bench = name, setting, setting.bench
        self.dir = self.bench.subdir(name, 0o700)
        self.log = os.path.join(self.dir, "log")

    def fresh(self):
        """As if it had never run."""

    def go(self):
        raise NotImplementedError

    def environments(self):
        return [dict(os.environ, HOME=self.dir)] * len(self.setting.people)

    def port(self, side):
        return side.tls_port if self.setting.tls else side.port

    def host(self, side):
        return "localhost" if self.setting.tls else side.host

    def run_all(self, commands, envs):
        setting = self.setting
        return run_all(commands, envs, self.log, [self.port(side) for side in (
            setting.source, setting.target)] if setting.tenths else None)


class Mailhaul(Program):
    again = True

    def __init__(self, name, setting):
        super().__init__(name, setting)
        self.haul = Haul(self.bench, setting.source, setting.target, setting.people,
                         security="tls" if setting.tls else "none",
                         run=json.loads(os.environ.get("BENCH_RUN", "{}")))

    def fresh(self):
        self.haul.reset()

    def go(self):
        return self.run_all([[self.haul.binary, "run", self.haul.profile]],
                            [self.haul.environment()])[0]


class Mbsync(Program):
    """Its settings as they come, but for the date; no pause for it to think in either."""

    again = peer = True
    losses = ("bodies with an X-TUID more", "keywords differ")
    ACCOUNT = """
IMAPAccount {name}
Host {host}
Port {port}
User {user}
Pass {password}
{tls}
IMAPStore {name}
Account {name}
"""
    CHANNEL = """
Channel {user}
Far :{user}-far:
Near :{user}-near:
Patterns *
Create Near
Sync Pull
CopyArrivalDate yes
SyncState {state}/{user}/
"""

    def __init__(self, name, setting):
        super().__init__(name, setting)
        self.program = need_program("mbsync")
        self.state = os.path.join(self.dir, "state")
        self.config = os.path.join(self.dir, "mbsyncrc")
        text = ""
        for user, password in setting.people.items():
            for which, side in ("far", setting.source), ("near", setting.target):
                text += self.ACCOUNT.format(
                    name="%s-%s" % (user, which), user=user, password=password,
                    host=self.host(side), port=self.port(side),
                    tls="SSLType IMAPS\nCertificateFile %s\n" % side.cert
                    if setting.tls else "SSLType None\nAuthMechs LOGIN\n")
            text += self.CHANNEL.format(user=user, state=self.state)
        with open(self.config, "w") as f:
            f.write(text)
        os.chmod(self.config, 0o600)

    def fresh(self):
        shutil.rmtree(self.state, ignore_errors=True)
        for user in self.setting.people:
            os.makedirs(os.path.join(self.state, user))

    def go(self):
        return self.run_all([[self.program, "-q", "-c", self.config, user]
                             for user in self.setting.people], self.environments())[0]


class Doveadm(Program):
    """`doveadm backup`: reads by IMAP and writes the target's store, without its server."""

    again = peer = True

    def __init__(self, name, setting):
        super().__init__(name, setting)
        self.program = need_program("doveadm")

    def command(self, user, password):
        source = self.setting.source
        options = {"imapc_host": self.host(source), "imapc_port": self.port(source),
                   "imapc_user": user, "imapc_password": password,
                   "imapc_features": DOVEADM_FEATURES, "mail_prefetch_count": 20}
        if self.setting.tls:
            options.update(imapc_ssl="imaps", ssl_client_ca_file=source.cert)
        words = [self.program, "-c", self.setting.server.conf]
        for pair in options.items():
            words += ["-o", "%s=%s" % pair]
        # -R: from there to here. Without it the source would be made like the target.
        return words + ["backup", "-R", "-u", user, "imapc:"]

    def go(self):
        return self.run_all([self.command(*pair) for pair in self.setting.people.items()],
                            self.environments())[0]


class Pump(Program):
    """The yardstick: pump1, pump2, pump4 copy with so many pairs of connections; read and write
    are the floors of one side alone."""

    def __init__(self, name, setting):
        super().__init__(name, setting)
        self.program = tool("pump")
        self.mode = name if name in ("read", "write") else "copy"
        self.pairs = int(name[4:]) if self.mode == "copy" else 1
        self.writes = self.mode != "read"

    def command(self, user):
        source, target = self.setting.source, self.setting.target
        return [self.program, "--source", "%s:%d" % (source.host, self.port(source)), "--target",
                "%s:%d" % (target.host, self.port(target)), "--user", user, "--pairs",
                str(self.pairs), "--mode", self.mode] + ["--tls"] * self.setting.tls

    def go(self):
        run, texts = self.run_all([self.command(user) for user in self.setting.people],
                                  [dict(os.environ, PUMP_PASSWORD=password)
                                   for password in self.setting.people.values()])
        told = [json.loads(text.splitlines()[-1]) for text in texts]
        return run._replace(seconds=max(t["seconds"] for t in told), tenths=run.tenths
                            if self.mode == "copy" else None,
                            peak_kb=sum(t["peak_kb"] for t in told))


KINDS = {"mailhaul": Mailhaul, "mbsync": Mbsync, "doveadm": Doveadm, "pump1": Pump, "pump2": Pump,
         "pump4": Pump, "read": Pump, "write": Pump}
PUMPS = ("pump1", "pump2", "pump4")
PEERS = ("mbsync", "doveadm")


def make(name, setting):
    return KINDS[name](name, setting)
