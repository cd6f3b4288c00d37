#!/usr/bin/python3
"""A strict IMAP4rev1 server in memory that misbehaves on request: imapd.py CONFIG.json

What may be in CONFIG (all optional but users):
  port, tls_port            0 = none; address: where they listen ("127.0.0.1")
  control                   0 = none; takes a JSON object per line, answers one per line
  cert, key                 for tls_port and STARTTLS; tls_versions: ["1.0", "1.1"], least and most
  users, masters            name -> password; master_separator "*"
  capabilities              after login; capabilities_before: before it
  delimiter "/", prefix "", namespace (the whole answer), parents "noselect" | "real"
  accounts   {user: {"quota": bytes, "folders": {name: {messages: [...], uidvalidity, selectable,
             subscribed, use, raw, uidnext}}}}; a message: {text | data | made_up, flags, date
             (seconds), raw_date, uid, seed, count}
  keywords   the list that is kept (PERMANENTFLAGS without \\*); no_permanentflags
  content    {refuse_nul, refuse_bare, refuse_8bit_headers, refuse_long_lines, max_size,
             refuse: [{pattern, code, text}], bare_as_crlf, nul_as_80, prepend}
  fetch      {order: random | body-first | body-last, split, extra, quoted_bodies}
  status_uidnext_off   UIDNEXT is wrong by this in STATUS, not where a folder is selected
  size_off   RFC822.SIZE is wrong by this; expunged "no" | "skip"; list_literals; appenduid false;
             deduplicate; connections (per user); greeting; inject (after STARTTLS' OK);
             keep_bytes (longer bodies: size, digest and first 64 KiB only); caps_at_login
  rules      see imap_rules.py
  log        a file: each command as a JSON line

Control operations ({"do": ...}): rules (set), rule (add one), lift (a name's), commands,
violations, used, state,
made_up_add, add, expunge, flag, create, delete, rename, uidvalidity, quota, drop (all
connections), counts, quit.
"""

import json
import os
import signal
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lib import utf7  # noqa: E402
from standins.imap_rules import Rules  # noqa: E402
from standins.imap_session import Session  # noqa: E402
from standins.imap_store import Message, Store  # noqa: E402

CAPABILITIES = """IMAP4REV1 LITERAL+ UIDPLUS MULTIAPPEND SPECIAL-USE CREATE-SPECIAL-USE
LIST-EXTENDED LIST-STATUS STATUS=SIZE CHILDREN NAMESPACE ID ENABLE OBJECTID UNSELECT IDLE MOVE
QUOTA SASL-IR""".split()
CHANGES = ["CONDSTORE", "QRESYNC"]  # offered by those that name them
MECHANISMS = "AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5 AUTH=XOAUTH2 AUTH=OAUTHBEARER".split()


class ImapServer:
    def __init__(self, config):
        self.config = config
        self.store = Store(config)
        self.rules = Rules(config.get("rules", ()))
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.sessions, self.commands, self.violations = [], [], []
        self.counts = {"sent": 0, "received": 0, "connections": 0}
        self.tls_context = None
        if config.get("cert"):
            self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls_context.load_cert_chain(config["cert"], config["key"])
            if config.get("tls_versions"):
                least, most = (getattr(ssl.TLSVersion, "TLSv1" + ("_" + v[2:]) * (v != "1.0"))
                               for v in config["tls_versions"])
                self.tls_context.set_ciphers("ALL:@SECLEVEL=0")
                self.tls_context.minimum_version = least
                self.tls_context.maximum_version = most
        self.log_file = open(config["log"], "a") if config.get("log") else None

    def capabilities(self, session):
        if session.account is not None:
            return set(self.config.get("capabilities", CAPABILITIES))
        given = self.config.get("capabilities_before")
        if given is not None:
            return set(given)
        after = set(self.config.get("capabilities", CAPABILITIES))
        base = {"IMAP4REV1", "LITERAL+", "LITERAL-", "ID", "SASL-IR", "ENABLE"} & after
        return base | set(MECHANISMS) | (
            {"STARTTLS"} if self.tls_context and not session.tls else set())

    def caps_line(self, session):
        return " ".join(sorted(self.capabilities(session))).encode()

    def now(self):
        return int(time.time())

    def count(self, what, by):
        with self.lock:
            self.counts[what] += by

    def log(self, row):
        with self.lock:
            self.commands.append(row)
            if self.log_file:
                self.log_file.write(json.dumps(row) + "\n")
                self.log_file.flush()

    def violation(self, row):
        with self.lock:
            self.violations.append(row)
            if self.log_file:
                self.log_file.write(json.dumps(dict(row, violation=True)) + "\n")
                self.log_file.flush()

    def connections_of(self, user):
        return sum(1 for s in list(self.sessions) if s.user == user)

    def change_validity(self, folder, value, renumber=False):
        with self.store.lock:
            folder.uidvalidity = value
            if renumber:
                old, folder.messages, folder.uidnext = folder.messages, [], 1
                for message in old:
                    folder.add(message)

    # --- connections

    def listen(self, port, tls):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((self.config.get("address", "127.0.0.1"), port))
        s.listen(256)
        threading.Thread(target=self.accept, args=(s, tls), daemon=True).start()

    def accept(self, listener, tls):
        while not self.stopping.is_set():
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(sock, tls), daemon=True).start()

    def serve(self, sock, tls):
        rule = self.rules.find("CONNECT", "", "", sock.getsockname()[0])
        if rule:
            sock.close()
            return
        try:
            if tls:
                sock = self.tls_context.wrap_socket(sock, server_side=True)
        except (OSError, ValueError):
            return
        with self.lock:
            self.counts["connections"] += 1
            number = self.counts["connections"]
        session = Session(self, sock, number, tls)
        self.sessions.append(session)
        try:
            session.run()
        finally:
            self.sessions.remove(session)

    # --- the control port

    def listen_control(self, port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(16)

        def loop():
            while True:
                sock, _ = s.accept()
                threading.Thread(target=self.serve_control, args=(sock,), daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()

    def serve_control(self, sock):
        with sock, sock.makefile("rwb") as f:
            for line in f:
                try:
                    answer = {"ok": self.control(json.loads(line))}
                except Exception as problem:  # told to the test, which fails
                    answer = {"error": "%s: %s" % (type(problem).__name__, problem)}
                f.write(json.dumps(answer).encode() + b"\n")
                f.flush()

    def control(self, op):
        method = getattr(self, "op_" + op["do"])
        return method(**{k: v for k, v in op.items() if k != "do"})

    def folder(self, user, folder):
        account = self.store.accounts[user]
        wire = folder.encode("latin-1") if folder.encode("latin-1", "replace") \
            in account.folders else utf7.encode(folder)
        return account, account.folders[wire]

    def chosen(self, user, folder, uids):
        _, place = self.folder(user, folder)
        return place, [m for m in place.messages if uids is None or m.uid in uids]

    def op_rules(self, rules):
        self.rules.set(rules)

    def op_rule(self, rule):
        self.rules.add(rule)

    def op_lift(self, name):
        self.rules.lift(name)

    def op_used(self):
        return self.rules.used()

    def op_commands(self, since=0):
        with self.lock:
            return self.commands[since:]

    def op_violations(self):
        with self.lock:
            return list(self.violations)

    def op_counts(self):
        with self.lock:
            return dict(self.counts)

    def op_state(self):
        with self.store.lock:
            return self.store.summary()

    def op_add(self, user, folder, messages):
        with self.store.lock:
            _, place = self.folder(user, folder)
            for given in messages:
                self.store.add_message(user, place.name, **given)

    def op_expunge(self, user, folder, uids=None):
        with self.store.lock:
            place, chosen = self.chosen(user, folder, uids)
            place.expunge(chosen)

    def op_flag(self, user, folder, flags, uids=None, how="+"):
        with self.store.lock:
            for message in self.chosen(user, folder, uids)[1]:
                self.store.store_flags(message, how, [f.encode() for f in flags])

    def op_move(self, user, folder, to, uids=None):
        with self.store.lock:
            place, chosen = self.chosen(user, folder, uids)
            _, target = self.folder(user, to)
            for m in chosen:
                target.add(Message(0, m.body, m.flags, m.date, m.raw_date, m.size, m.seed))
            place.expunge(chosen)

    def op_create(self, user, folder, **more):
        with self.store.lock:
            self.store.add_folder(user, folder, **more)

    def op_delete(self, user, folder):
        with self.store.lock:
            self.store.delete(*self.named(user, folder))

    def op_rename(self, user, folder, to):
        with self.store.lock:
            account, name = self.named(user, folder)
            self.store.rename(account, name, utf7.encode(to))

    def named(self, user, folder):
        account, place = self.folder(user, folder)
        return account, place.name

    def op_uidvalidity(self, user, folder, value, renumber=False):
        self.change_validity(self.folder(user, folder)[1], value, renumber)

    def op_quota(self, user, value):
        self.store.accounts[user].quota = value

    def op_keywords(self, keywords):
        self.config["keywords"] = keywords

    def op_content(self, content):
        self.store.content = content

    def op_drop(self):
        for session in list(self.sessions):
            try:
                session.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def op_quit(self):
        self.stopping.set()
        threading.Timer(0.05, os._exit, (0,)).start()

    def start(self):
        for key, tls in ("port", False), ("tls_port", True):
            if self.config.get(key):
                self.listen(self.config[key], tls)
        if self.config.get("control"):
            self.listen_control(self.config["control"])


def main():
    with open(sys.argv[1]) as f:
        config = json.load(f)
    threading.stack_size(1 << 20)
    server = ImapServer(config)
    server.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


if __name__ == "__main__":
    main()
