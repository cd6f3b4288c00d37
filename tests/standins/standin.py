"""The stand-ins as a test uses them: processes of their own, driven over a control port."""

import json
import os
import socket
import sys

from lib.bench import Failure, wait_for
from servers.server import Server

HERE = os.path.dirname(os.path.abspath(__file__))


class Control:
    """The line-by-line JSON connection to a stand-in."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.file = self.sock.makefile("rwb")

    def __call__(self, do, **more):
        self.file.write(json.dumps(dict(more, do=do)).encode() + b"\n")
        self.file.flush()
        line = self.file.readline()
        if not line:
            raise Failure("the stand-in ended at %s" % do)
        answer = json.loads(line)
        if "error" in answer:
            raise Failure("%s: %s" % (do, answer["error"]))
        return answer["ok"]

    def close(self):
        self.file.close()
        self.sock.close()


class Standin(Server):
    """s = Standin(bench, users={'ann': 'secret'}, rules=[...], ...)

    Keywords are the config of imapd.py. s.port, s.tls_port (with cert='good'); s.control('add',
    user='ann', folder='INBOX', messages=[...]); s.commands() lists what it was sent, and
    s.violations() what a strict server does not take: a well-behaved client leaves it empty.
    """

    kind = "standin"
    script = "imapd.py"

    def __init__(self, bench, name=None, cert=None, start=True, **config):
        super().__init__(bench, name)
        self.dir = bench.subdir("s")
        self.port, self.control_port = bench.port(), bench.port()
        self.config = dict(config, port=self.port, control=self.control_port,
                           log=os.path.join(self.dir, "log"))
        self.users, self.masters = config.get("users", {}), config.get("masters", {})
        if cert:
            self.tls_port = self.config["tls_port"] = bench.port()
            self.cert, self.config["key"] = bench.cert(cert)
            self.config["cert"] = self.cert
        self.control = None
        bench.add(self)
        if start:
            self.start()

    def argv(self):
        path = os.path.join(self.dir, "config.json")
        with open(path, "w") as f:
            json.dump(self.config, f)
        return [sys.executable, os.path.join(HERE, self.script), path]

    def greets(self):
        if not self.process.running():
            raise Failure("%s ended at its start\n%s" % (self.name, self.diagnostics()))
        try:  # no greeting is asked for: a rule may count it
            self.control = Control(self.control_port)
        except OSError:
            return False
        return True

    def stop(self, timeout=15):
        self.kill()

    def kill(self):
        if self.control is not None:
            self.control.close()
            self.control = None
        super().kill()

    def log_files(self):
        return [os.path.join(self.dir, "log")]

    def commands(self, name=None):
        return [c for c in self.control("commands") if name is None or c["command"] == name]

    def violations(self):
        return self.control("violations")

    def rules(self, *rules):
        self.control("rules", rules=list(rules))

    def wait_command(self, name, count=1, timeout=30):
        """Until it was sent `count` commands of that name."""
        return wait_for(lambda: len(self.commands(name)) >= count, timeout,
                        "%d times %s" % (count, name))


class Proxy(Standin):
    """p = Proxy(bench, server, strip=['UIDPLUS', 'LITERAL+', 'MULTIAPPEND']); p.port is used in
    the server's place. Keywords are the config of proxy.py. tls=True: before its TLS port."""

    kind = "proxy"
    script = "proxy.py"

    def __init__(self, bench, server, name=None, tls=False, start=True, **config):
        super().__init__(bench, name, start=False, users=server.users,
                         target_host=server.host,
                         target_port=server.tls_port if tls else server.port, **config)
        if start:
            self.start()

    def cut(self, mode="silent"):
        self.control("cut", mode=mode)

    def restore(self):
        self.control("restore")

    def wait_heard(self, text, timeout=30):
        """Until the client of a link that is not cut has sent this text."""
        wait_for(lambda: self.control("heard", text=text), timeout, "%r through the proxy" % text)

    def stats(self):
        return self.control("stats")


PLAIN_SERVER = ["UIDPLUS", "LITERAL+", "LITERAL-", "MULTIAPPEND"]  # the third pairing's target
