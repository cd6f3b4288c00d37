"""Every way to log in and to trust a server, against real servers and the stand-in; and what is
said, and not said, where it fails."""

import base64
import hashlib
import re
import socket
import subprocess
import time

from hostile.oauth import Tokens
from hostile.stage import at_once
from hostile.watch import no_crash, no_secret, watched_run
from lib.account import state_of
from lib.bench import Failure, wait_for
from lib.haul import Haul
from lib.imap import Client, Mail
from lib.testing import check, check_equal, check_in, test
from servers.cyrus import Cyrus
from servers.dovecot import Dovecot
from standins.standin import Standin

PASSWORD = "Geheim-ann-Wort"
MASTER = "Geheim-master-Wort"
USERS = {"ann": PASSWORD}
MASTERS = {"mover": MASTER}
SECRETS = [PASSWORD, MASTER]
MAIL = {"ann": {"folders": {"INBOX": {"messages": [
    {"text": "Subject: %d\r\n\r\nbody\r\n" % n, "date": 1500000000 + n} for n in range(3)]}}}}


def fill(server):
    with Client(server.port, server.host) as c:
        if not server.options["plaintext"]:
            c.close()
            return
        c.login("ann", PASSWORD)
        c.append("INBOX", Mail(b"Subject: x\r\n\r\nbody\r\n", (), 1500000000))
        c.logout()


def good_standin(bench, **config):
    return Standin(bench, users=USERS, masters=MASTERS, cert="good", accounts=MAIL, **config)


class Logins:
    """Runs from a server to stand-ins of its own, with options for the source."""

    def __init__(self, bench, server):
        self.bench, self.server = bench, server

    def haul(self, security="none", rows=None, **options):
        target = Standin(self.bench, users=USERS)
        options.setdefault("timeout", "3s")
        rows = rows or "user;password;target_user;target_password\nann;%s;ann;%s\n" % (
            PASSWORD, PASSWORD)
        haul = Haul(self.bench, self.server, target, rows=rows,
                    run={"log_level": "trace", "mailbox_connections": 1},
                    source_options=dict(options, security=security,
                                        port=self.server.tls_port if security == "tls"
                                        else self.server.port))
        haul.target = target
        return haul

    def works(self, name, **more):
        haul = self.haul(**more)
        code, accounts, text = watched_run(haul, passwords=SECRETS)
        if code != 0 or not accounts["ann"]["items"]["copied"]:
            raise Failure("%s: exit %d\n%s" % (name, code, text))
        haul.target.kill()
        return haul

    def fails(self, name, reason, *words, within=20, user="ann", **more):
        haul = self.haul(**more)
        began = time.monotonic()
        code, accounts, text = watched_run(haul, passwords=SECRETS)
        took = time.monotonic() - began
        account = accounts[user]
        if code != 3 or account["reason"] != reason or \
                not all(word in account["text"] for word in words):
            raise Failure("%s: exit %d, %r, %r; wanted %s with %r\n%s" % (
                name, code, account["reason"], account["text"], reason, words, text))
        check(took < within, "%s took %.1f s" % (name, took))
        if haul.target.control("state")["ann"]["INBOX"]:
            raise Failure("%s: mail was moved" % name)
        haul.target.kill()
        return haul

    def check_says(self, name, *words, **more):
        """`mailhaul check`, which tries once."""
        haul = self.haul(**more)
        process = haul.call("check", "PROFILE", expect=3)
        no_crash(process)
        no_secret(haul, process.output(), SECRETS)
        for word in words:
            check_in(word, process.output(), name)
        haul.target.kill()


def without_password(user="ann"):
    return "user;password;target_user;target_password\n%s;;ann;%s\n" % (user, PASSWORD)


def admin(auth, name="mover", password=MASTER, **more):
    return dict(more, auth=auth, admin_user=name, admin_password=password,
                rows=without_password())


@test(timeout=120)
def test_dovecot(bench):
    d = Dovecot(bench, USERS, MASTERS)
    fill(d)
    logins = Logins(bench, d)
    trust = {"tls_ca": d.cert, "host": "localhost"}
    cases = [("clear text", {}), ("STARTTLS", dict(trust, security="starttls")),
             ("TLS", dict(trust, security="tls")),
             ("LOGIN", dict(trust, security="tls", auth="login")),
             ("CRAM-MD5", dict(trust, security="tls", auth="cram-md5")),
             ("CRAM-MD5 in clear", {"auth": "cram-md5"}),
             ("master by authzid", admin("plain")),
             ("master by name", admin("master"))]
    at_once(*(lambda n=n, o=o: logins.works(n, **o) for n, o in cases))
    wrong = without_password().replace("ann;;", "ann;Wrong-Wort;")
    for auth in "plain", "login", "cram-md5":
        haul = logins.fails("wrong password by " + auth, "auth", "ann", rows=wrong, auth=auth)
        check("(as " not in haul.report()["accounts"][0]["text"], "an admin is named")
    for auth in "plain", "master":
        logins.fails("wrong master by " + auth, "auth", "ann", "(as mover)",
                     **admin(auth, password="Wrong-Wort"))
    logins.fails("no such user", "auth", "nobody", rows=wrong.replace("ann;W", "nobody;W"),
                 user="nobody")


@test(timeout=60)
def test_clear_text_is_refused(bench):
    """A server that takes no password in clear gets none."""
    d = Dovecot(bench, USERS, plaintext=False)
    Logins(bench, d).fails("LOGINDISABLED", "privacy", host=d.host)
    s = Standin(bench, users=USERS, accounts=MAIL,
                capabilities_before=["IMAP4REV1", "LOGINDISABLED"])
    Logins(bench, s).fails("LOGINDISABLED", "privacy")
    check(not [c for c in s.commands() if c["command"] in ("LOGIN", "AUTHENTICATE")],
          "a password was sent")
    s = good_standin(bench, capabilities_before=["IMAP4REV1", "AUTH=PLAIN"])
    Logins(bench, s).fails("no STARTTLS", "privacy", "STARTTLS", security="starttls",
                           tls_ca=s.cert, host="localhost")
    check(not [c for c in s.commands() if c["command"] in ("LOGIN", "AUTHENTICATE")],
          "a password was sent")


@test(timeout=60)
def test_cyrus_proxy_authorisation(bench):
    c = Cyrus(bench, USERS, MASTERS)
    with Client(c.port) as client:
        client.login("ann", PASSWORD)
        client.append("INBOX", Mail(b"Subject: x\r\n\r\nbody\r\n", (), 1500000000))
    logins = Logins(bench, c)
    logins.works("own password")
    logins.works("proxy authorisation", **admin("plain"))
    # Cyrus takes 3 s for a refusal
    logins.fails("a wrong one", "auth", "ann", timeout="10s",
                 **admin("plain", password="Wrong-Wort"))


@test(timeout=120)
def test_standin_mechanisms(bench):
    s = good_standin(bench)
    logins = Logins(bench, s)
    for name, options in (("PLAIN", {}), ("LOGIN", {"auth": "login"}),
                          ("CRAM-MD5", {"auth": "cram-md5"}), ("authzid", admin("plain")),
                          ("master", admin("master"))):
        logins.works(name, **options)
    used = {c["args"].split()[0] for c in s.commands() if c["command"] == "AUTHENTICATE"}
    check_equal(used, {"PLAIN", "CRAM-MD5"}, "mechanisms")
    check_equal(s.violations(), [], "violations")
    other = good_standin(bench, master_separator="%")
    Logins(bench, other).works("another separator", **admin("master", master_separator="%"))
    plain = good_standin(bench, capabilities_before=["IMAP4REV1", "AUTH=LOGIN"])
    logins = Logins(bench, plain)
    logins.works("LOGIN where PLAIN is not offered")
    logins.fails("CRAM-MD5 not offered", "auth_mech", "CRAM-MD5", auth="cram-md5")
    logins.fails("XOAUTH2 not offered", "auth_mech", "XOAUTH2", auth="xoauth2",
                 admin_password="tok")


@test(timeout=60)
def test_odd_passwords(bench):
    """To the byte, whatever the way."""
    odd = ["a b\"c\\d", " blank ", "\u00fc\u4e2d", "x" * 900, "{5+}", "%s%n", "a;b,c", "\\", '"']
    users = {"u%d" % n: password for n, password in enumerate(odd)}
    rows = "".join('%s;"%s";\n' % (u, p.replace('"', '""')) for u, p in users.items())
    for auth in "plain", "login", "cram-md5":
        servers = [Standin(bench, users=users) for _ in range(2)]
        haul = Haul(bench, *servers, rows=rows, source_options={"auth": auth})
        code, accounts, text = watched_run(haul)
        check_equal((code, len(accounts)), (0, len(odd)), "%s: %s" % (auth, text))
        for server in servers:
            check_equal(server.violations(), [], "violations")


@test(timeout=120)
def test_tokens(bench):
    token = "Geheim.token.Wort-" + "x" * 300
    tokens = Tokens(bench, {token: "ann"})
    d = Dovecot(bench, USERS, oauth2=tokens.url)
    fill(d)
    s = Standin(bench, users={"ann": token}, accounts=MAIL)
    rows = without_password().replace("ann;;", "ann;%s;" % token)
    for server in s, d:
        logins = Logins(bench, server)
        for auth in "xoauth2", "oauthbearer":
            logins.works("%s, token of the profile" % auth, auth=auth,
                         admin_password="cmd:printf %%s %s" % token, rows=without_password())
            logins.fails("%s, a dead token" % auth, "auth", "ann", auth=auth,
                         admin_password="dead-dead", rows=without_password())
            logins.works("%s, token of the row" % auth, auth=auth, rows=rows,
                         admin_password="dead-dead")
    check(tokens.asked.count(token) >= 4, "Dovecot asked for the token")


def pin_of(cert):
    key = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"],
                         stdout=subprocess.PIPE, check=True, timeout=20).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key,
                         stdout=subprocess.PIPE, check=True, timeout=20).stdout
    return "spki-sha256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


@test(timeout=120)
def test_certificates(bench):
    for kind, word in (("good", ""), ("expired", "expired"), ("wrong-host", "host")):
        s = Standin(bench, users=USERS, accounts=MAIL, cert=kind)
        logins = Logins(bench, s)
        trusted = {"tls_ca": s.cert, "host": "localhost"}
        cases = []
        for security in "tls", "starttls":
            if kind == "good":
                cases += [lambda x=security: logins.works("good", security=x, **trusted),
                          lambda x=security: logins.fails("unknown", "cert", security=x,
                                                          host="localhost")]
            else:
                cases.append(lambda x=security: logins.fails(kind, "cert", word, security=x,
                                                             **trusted))
        at_once(*cases)
        check(kind == "good" or not [c for c in s.commands() if c["command"] != "STARTTLS" and
                                     c["command"] != "CAPABILITY"], "more was said")
        haul = logins.works("tls_verify = no", security="tls", host="localhost", tls_verify="no")
        check_in("tls_verify", report_text(haul), "the report")
        logins.works("the pin", security="tls", host="localhost", tls_verify=pin_of(s.cert))
        other = "spki-sha256:" + base64.b64encode(b"x" * 32).decode()
        logins.fails("another pin", "cert", "pin", security="starttls", host="localhost",
                     tls_verify=other)


def report_text(haul):
    with open(haul.logs()[-1] + "/report.txt") as f:
        return f.read()


@test(timeout=120)
def test_versions_of_tls(bench):
    old = Standin(bench, users=USERS, accounts=MAIL, cert="good", tls_versions=["1.0", "1.1"])
    trusted = {"tls_ca": old.cert, "host": "localhost", "security": "tls"}
    Logins(bench, old).check_says("too old", "tls", **trusted)
    haul = Logins(bench, old).works("allowed", tls_min="1.0", **trusted)
    check_in("tls_min", report_text(haul), "the report")
    middle = Standin(bench, users=USERS, accounts=MAIL, cert="good", tls_versions=["1.2", "1.2"])
    trusted["tls_ca"] = middle.cert
    Logins(bench, middle).works("1.2", **trusted)
    Logins(bench, middle).check_says("1.3 is asked for", "tls", tls_min="1.3", **trusted)


@test(timeout=60)
def test_the_wrong_port(bench):
    """TLS towards a port that speaks first, clear text towards one that waits."""
    s = good_standin(bench)
    logins = Logins(bench, s)
    swapped = Logins(bench, s)
    s.port, s.tls_port = s.tls_port, s.port
    at_once(lambda: logins.check_says("TLS to clear", "FAULT", security="tls", tls_ca=s.cert,
                                      host="localhost", timeout="1s"),
            lambda: swapped.check_says("clear to TLS", "FAULT", timeout="1s"))


@test(timeout=60)
def test_silent_server(bench):
    """A port that takes connections and says nothing: the deadline holds, TLS or not."""
    s = Standin(bench, users=USERS, cert="good")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        s.port = s.tls_port = listener.getsockname()[1]
        logins = Logins(bench, s)
        began = time.monotonic()
        at_once(*(lambda x=x: logins.check_says("silent", "no answer for 1 s", "timeout",
                                                timeout="1s", **x)
                  for x in ({}, {"security": "tls", "tls_verify": "no"},
                            {"security": "starttls", "tls_verify": "no"})))
        check(time.monotonic() - began < 15, "deadlines were not held")


@test(timeout=60)
def test_injected_before_the_handshake(bench):
    for line in "* OK injected\r\n", "* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\n", "x", \
            "* PREAUTH in\r\n", "A1 OK in\r\n":
        s = good_standin(bench, inject=line)
        Logins(bench, s).check_says(repr(line), "protocol", security="starttls", tls_ca=s.cert,
                                    host="localhost")
        check(not [c for c in s.commands() if c["command"] in ("LOGIN", "AUTHENTICATE")],
              "a login was sent after %r" % line)
        s.kill()
    s = good_standin(bench, greeting="* PREAUTH welcome\r\n")
    Logins(bench, s).check_says("PREAUTH before STARTTLS", "STARTTLS", security="starttls",
                                tls_ca=s.cert, host="localhost")


@test(timeout=120)
def test_not_now_is_waited_out(bench):
    """[UNAVAILABLE], [INUSE] and [LIMIT] at the login: the run waits and goes on."""
    def one(code, command):
        offered = {} if command == "AUTHENTICATE" else {"capabilities_before": ["IMAP4REV1"]}
        s = Standin(bench, users=USERS, accounts=MAIL, **offered, rules=[
            {"command": command, "action": "no", "code": code, "times": 2}])
        Logins(bench, s).works("%s at %s" % (code, command))
        check_equal(len([c for c in s.commands(command)]), 3, "logins")
    at_once(*(lambda c=c, k=k: one(c, k) for c in ("UNAVAILABLE", "INUSE", "LIMIT")
              for k in ("AUTHENTICATE", "LOGIN")))


@test(timeout=60)
def test_expired_is_not_tried_again(bench):
    for code, reason in (("EXPIRED", "auth_expired"), ("AUTHORIZATIONFAILED", "auth"),
                         ("PRIVACYREQUIRED", "privacy")):
        s = Standin(bench, users=USERS, accounts=MAIL, rules=[
            {"command": "AUTHENTICATE", "action": "no", "code": code, "times": -1}])
        Logins(bench, s).fails(code, reason, "as told")
        check_equal(len(s.commands("AUTHENTICATE")), 1, "logins with " + code)


@test(timeout=60)
def test_five_refused_logins_stop_the_host(bench):
    """Or the server bans the whole machine; what to allow is said."""
    users = {"u%02d" % n: "Geheim-%02d-Wort" % n for n in range(12)}
    source = Standin(bench, users=users)
    target = Standin(bench, users=users)
    rows = "user;password;target_user;target_password\n" + "".join(
        "%s;Wrong-Wort;%s;%s\n" % (u, u, p) for u, p in users.items())
    haul = Haul(bench, source, target, rows=rows, run={"jobs": "1"})
    code, accounts, text = watched_run(haul, passwords=list(users.values()) + ["Wrong-Wort"])
    check_equal(code, 3, "exit code")
    check_equal(len(source.commands("AUTHENTICATE")), 5, "logins tried")
    check_equal({a["reason"] for a in accounts.values()}, {"auth"}, "reasons")
    last = accounts["u11"]["text"]
    for word in "in a row", "127.0.0.1":
        check_in(word, last, "the last account's error")


def many(bench, count, source=(), **config):
    """Two stand-ins with that many users and the admin `mover`, one message each; source: config of
    the first alone."""
    users = {"u%03d" % n: "Geheim-%03d-Wort" % n for n in range(count)}
    return [Standin(bench, users=users, masters=MASTERS, cert="good", **more, **config)
            for more in (dict(source, accounts={u: MAIL["ann"] for u in users}), {})]


def tried(server):
    return len([c for c in server.commands() if c["command"] in ("AUTHENTICATE", "LOGIN")])


@test(timeout=60)
def test_check_stops_at_refused_logins_too(bench):
    """A wrong admin password is tried a few times, not once for each user of the list; with a
    ledger there, and without."""
    source, target = many(bench, 60)
    haul = Haul(bench, source, target, admin=True, run={"jobs": "4"})
    for before in "no run", "a run":
        haul.options["source"]["admin_password"] = "Wrong-Wort"
        haul.save()
        was = tried(source), tried(target)
        process = haul.call("check", "PROFILE", expect=3)
        no_crash(process)
        faults = [line for line in process.output().splitlines() if line.startswith("FAULT ")]
        check_equal(len(faults), 60, "verdicts after %s" % before)
        check(all(" auth: " in line for line in faults), process.output())
        check(sum("in a row were refused" in line for line in faults) >= 50, process.output())
        check(5 <= tried(source) - was[0] <= 8, "%d logins after %s" % (
            tried(source) - was[0], before))
        check_equal(tried(target) - was[1], 0, "logins at the target")
        haul.options["source"]["admin_password"] = MASTER
        haul.save()
        haul.run(expect=0)
        check_in("60 accounts, 0 with a fault", haul.call("check", "PROFILE").output())


@test(timeout=60)
def test_one_right_login_starts_the_count_again(bench):
    users = {"u%02d" % n: "Geheim-%02d-Wort" % n for n in range(12)}
    source = Standin(bench, users=users)
    target = Standin(bench, users=users)
    rows = "user;password;target_user;target_password\n" + "".join(
        "%s;%s;%s;%s\n" % (u, p if n % 4 == 3 else "Wrong-Wort", u, p)
        for n, (u, p) in enumerate(users.items()))
    haul = Haul(bench, source, target, rows=rows, run={"jobs": "1"})
    code, accounts, _ = watched_run(haul, passwords=list(users.values()))
    check_equal(code, 3, "exit code")
    check_equal(sum(a["state"] == "done" for a in accounts.values()), 3, "accounts done")
    check_equal(len(source.commands("AUTHENTICATE")), 12, "logins tried")


@test(timeout=60)
def test_no_password_for_a_user(bench):
    s = Standin(bench, users=USERS, accounts=MAIL)
    Logins(bench, s).fails("no password", "auth", "ann", rows=without_password())
    check(not s.commands("AUTHENTICATE"), "a login without a password")


@test(timeout=60)
def test_nobody_there(bench):
    """A closed port and a name that does not resolve: `check` says so at once."""
    s = Standin(bench, users=USERS)
    logins = Logins(bench, s)
    s.port = bench.port()
    logins.check_says("closed port", "connect")
    logins.check_says("no such name", "dns", host="no.such.host.invalid")


@test(timeout=60)
def test_command_lines_hold_no_secret(bench):
    """Passwords of a profile, a list and a command: not in /proc/PID/cmdline nor environ."""
    s = good_standin(bench, rules=[{"command": "EXAMINE", "action": "stall", "seconds": 1}])
    haul = Logins(bench, s).haul(**admin("plain"))
    process = haul.spawn("run", "PROFILE")
    s.wait_command("EXAMINE")
    for name in "cmdline", "environ":
        try:
            with open("/proc/%d/%s" % (process.pid, name), "rb") as f:
                data = f.read()
        except PermissionError:  # not dumpable: nobody but root may look
            continue
        for secret in SECRETS:
            check(secret.encode() not in data, "%s holds a password" % name)
    check_equal(process.wait(30), 0, "exit code")
    check_equal(len(state_of(haul.target, "ann")["INBOX",].messages), 3, "messages")


def connections(server):
    """By the rule that counts them; never() below."""
    (rule,) = server.control("used")
    return rule["seen"]


@test(timeout=90)
def test_what_stands_against_a_host_is_told_once(bench):
    """A certificate, a method that is not offered, a login in clear that the server does not take,
    and a wrong admin password: a few connections, one event, and each account says why."""
    never = {"command": "CONNECT", "action": "close", "nth": 1000000}

    def one(reason, word, own=0, side="source", options=(), **config):
        """own: events that may be of single accounts"""
        servers = many(bench, 40, rules=[never], **config)
        haul = Haul(bench, *servers, admin=True, run={"jobs": "4", "log_level": "trace"})
        haul.options[side].update(options)
        if haul.options[side]["security"] == "tls":
            haul.options[side].update(port=servers[side == "target"].tls_port, host="localhost")
        haul.save()
        code, accounts, text = watched_run(haul, passwords=SECRETS)
        check_equal((code, {a["reason"] for a in accounts.values()}), (3, {reason}), text)
        events = [line for line in text.splitlines() if line.startswith("error: ")]
        check(len(events) <= 1 + own, text)
        check_equal(sum(word in line for line in events), 1, text)
        told = {a["text"] for a in accounts.values()}
        check(len(told) <= 1 + own and any(word in line for line in told), told)
        check_equal(len(set(re.findall("^(u[0-9]+): failed.*: ", text, re.M))), 40, text)
        check(re.search("^ +run.*: .*" + word, report_text(haul), re.M), report_text(haul))
        for each in servers:
            check(connections(each) <= 8, "%d connections" % connections(each))
        was = [connections(each) for each in servers]
        process = haul.call("check", "PROFILE", expect=3)
        check_equal(len(re.findall("^FAULT .* %s: " % reason, process.output(), re.M)), 40,
                    process.output())
        for before, each in zip(was, servers):
            check(connections(each) - before <= 8, "%d connections" % connections(each))
    tls = {"security": "tls"}
    at_once(
        lambda: one("cert", "certificate", options=tls),
        lambda: one("cert", "certificate", side="target", options=tls),
        lambda: one("auth_mech", "XOAUTH2", options={"auth": "xoauth2"},
                    source={"capabilities_before": ["IMAP4REV1", "AUTH=PLAIN"]}),
        lambda: one("privacy", "LOGIN",
                    source={"capabilities_before": ["IMAP4REV1", "LOGINDISABLED"]}),
        lambda: one("auth", "in a row", own=8, options={"admin_password": "Wrong-Wort"}))


@test(timeout=60)
def test_retry_asks_a_given_up_host_again(bench):
    """What the admin has mended is found mended: by `retry` while the run is at work."""
    source, target = many(bench, 8, address="0.0.0.0")
    source.rules({"command": "AUTHENTICATE", "host": "127.0.0.1", "action": "no",
                  "code": "PRIVACYREQUIRED", "times": -1, "name": "privacy"},
                 {"command": "EXAMINE", "user": "u000", "action": "stall", "name": "u000"})
    rows = "user;password;source_host\n" + "".join(
        "%s;%s;127.0.0.%d\n" % (u, p, 2 if u == "u000" else 1) for u, p in source.users.items())
    haul = Haul(bench, source, target, rows=rows, run={"jobs": "2"})
    process = haul.spawn("run", "PROFILE")
    wait_for(lambda: process.output().count(": failed") == 7, 10, process.output)
    source.wait_command("EXAMINE")
    source.control("lift", name="privacy")
    haul.call("retry", "PROFILE", "--reason", "quota")
    check_equal(process.output().count(": failed"), 7, "failed for another reason")
    haul.call("retry", "PROFILE", "--reason", "privacy")
    source.control("lift", name="u000")
    check_equal(process.wait(30), 0, process.output())
    check_equal(process.output().count("error: "), 1, process.output())
