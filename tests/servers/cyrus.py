"""Cyrus IMAP 3.6 as a private instance; its imapd is unpacked, not installed (see
install-packages): the package would push Dovecot's out."""

import os
import pwd
import shutil
import subprocess

from lib.bench import Failure, Skip
from lib.imap import Client
from servers.server import Server

MASTER = "/usr/lib/cyrus/bin/master"
UNPACKED = os.environ.get("MAILHAUL_CYRUS_DIR", "/var/cache/mailhaul-tests/cyrus")
IMAPD = os.path.join(UNPACKED, "usr/lib/cyrus/bin/imapd")

NOT_IN_NAMES = set('"!;<>\\%|{}^')  # CREATE answers NO "Invalid mailbox name"


def refuses(path):
    """True for the path of a folder that this server does not let be made."""
    return any(NOT_IN_NAMES & set(part) for part in path)


class Cyrus(Server):
    """c = Cyrus(bench, users={'ann': 'secret'}, masters={'mover': 'master'})

    masters     proxyservers: open every mailbox by AUTHENTICATE PLAIN with an authzid
    unix_separator  True: '/', False: '.'
    alt_namespace   True: folders beside INBOX, False: under it
    suppress    capabilities that it neither advertises nor has, as 'UIDPLUS MULTIAPPEND'
    max_message     bytes of the largest message (maxmessagesize)
    quota       kilobytes for each user of `users`
    eightbit    of bytes over 127 in headers: reject, munge (stored as X, and the answer is OK:
                its own default), keep
    folders     {'Sent': '\\Sent'}: made at the first login, with that special use
    cert        good, expired, wrong-host
    mechanisms  sasl_mech_list
    settings    {option: value} for imapd.conf, before all others
    """

    kind = "cyrus"
    admin, admin_password = "cyrus", "admin"

    def __init__(self, bench, users=None, masters=None, name=None, unix_separator=True,
                 alt_namespace=True, suppress="", max_message=0, quota=None, folders=None,
                 eightbit="reject", cert="good", mechanisms="PLAIN LOGIN SCRAM-SHA-256",
                 settings=None, start=True):
        super().__init__(bench, name)
        for path in MASTER, IMAPD:
            if not os.path.exists(path):
                raise Skip("Cyrus IMAP is not here: no " + path)
        self.users, self.masters = {}, dict(masters or {})
        self.separator = "/" if unix_separator else "."
        self.alt_namespace = alt_namespace
        self.prefix = "" if alt_namespace else "INBOX" + self.separator
        self.dir = bench.subdir("c")
        self.port, self.tls_port = bench.port(), bench.port()
        self.owner = "cyrus" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        for sub in "conf/db", "conf/proc", "conf/socket", "mail", "sock":
            os.makedirs(os.path.join(self.dir, sub))
        self.cert, self.key = self.take_cert(cert, self.owner)
        eight = {"reject8bit": "yes" if eightbit == "reject" else "no",
                 "munge8bit": "yes" if eightbit == "munge" else "no"}
        self.write_conf(suppress, max_message, folders or {}, mechanisms,
                        {**eight, **(settings or {})})
        self.write_services()
        for user, password in {**(users or {}), **self.masters,
                               self.admin: self.admin_password}.items():
            self.set_password(user, password)
        self.users = dict(users or {})
        self.give()
        bench.add(self)
        if start:
            self.start()
            for user in self.users if quota is not None else ():
                self.set_quota(user, quota)

    def give(self):
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "cyrus:mail", self.dir], check=True, timeout=30)

    def write_conf(self, suppress, max_message, folders, mechanisms, settings):
        options = dict(settings)
        given = {
            "configdirectory": self.dir + "/conf", "defaultpartition": "default",
            "partition-default": self.dir + "/mail", "sievedir": self.dir + "/sieve",
            "servername": "localhost", "cyrus_user": self.owner, "admins": self.admin,
            "proxyservers": " ".join(self.masters),
            "unixhierarchysep": "yes" if self.separator == "/" else "no",
            "altnamespace": "yes" if self.alt_namespace else "no",
            "allowplaintext": "yes", "sasl_pwcheck_method": "auxprop",
            "sasl_auxprop_plugin": "sasldb", "sasl_sasldb_path": self.dir + "/sasldb2",
            "sasl_mech_list": mechanisms, "tls_server_cert": self.cert,
            "tls_server_key": self.key, "specialusealways": "yes",
            "autocreate_users": "anyone", "autocreate_quota": "0",
            "expunge_mode": "immediate", "delete_mode": "immediate", "sync_log": "no",
            "suppress_capabilities": suppress,
            "maxmessagesize": str(max_message) if max_message else "",
            "autocreate_inbox_folders": " | ".join(folders),
            "lmtpsocket": self.dir + "/sock/lmtp", "idlesocket": self.dir + "/sock/idle",
            "notifysocket": self.dir + "/sock/notify",
        }
        given.update({"xlist-" + use.lstrip("\\").lower(): folder
                      for folder, use in folders.items()})
        for option, value in given.items():
            options.setdefault(option, value)
        with open(os.path.join(self.dir, "imapd.conf"), "w") as f:
            f.write("".join("%s: %s\n" % row for row in options.items() if row[1] != ""))

    def write_services(self):
        with open(os.path.join(self.dir, "cyrus.conf"), "w") as f:
            f.write("""START {{
  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -C {d}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{imapd} -C {d}/imapd.conf -U 30" listen="127.0.0.1:{port}" proto="tcp4" prefork=1
  imaps cmd="{imapd} -C {d}/imapd.conf -s" listen="127.0.0.1:{tls}" proto="tcp4" prefork=0
}}
EVENTS {{ }}
DAEMON {{ }}
""".format(d=self.dir, imapd=IMAPD, port=self.port, tls=self.tls_port))

    def set_password(self, user, password):
        """Counts at the next login."""
        self.users[user] = password
        done = subprocess.run(
            ["saslpasswd2", "-p", "-c", "-f", self.dir + "/sasldb2", "-u", "localhost", user],
            input=password.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        if done.returncode != 0:
            raise Failure("saslpasswd2: " + done.stdout.decode("utf-8", "replace"))

    def add_user(self, user, password):
        self.set_password(user, password)
        if os.getuid() == 0:  # saslpasswd2 may have made the file anew
            shutil.chown(os.path.join(self.dir, "sasldb2"), "cyrus", "mail")

    def argv(self):
        return [MASTER, "-C", self.dir + "/imapd.conf", "-M", self.dir + "/cyrus.conf",
                "-p", self.dir + "/master.pid"]

    def as_admin(self):
        return Client(self.port).login(self.admin, self.admin_password)

    def root(self, user):
        return ("user%s%s" % (self.separator, user)).encode()

    def set_quota(self, user, kilobytes):
        """The mailbox is made if it is not there yet."""
        with self.as_admin() as c:
            c.cmd(b"CREATE " + self.root(user), check=False)
            c.cmd(b"SETQUOTA %s (STORAGE %d)" % (self.root(user), kilobytes))

    def wipe(self, user):
        """The account is as new: its mailbox is deleted, the next login makes it again."""
        with self.as_admin() as c:
            c.cmd(b"SETACL %s %s lrswipkxtecdan" % (self.root(user), self.admin.encode()),
                  check=False)
            c.cmd(b"DELETE " + self.root(user), check=False)
            # Folders can outlive a deleted INBOX where it is not removed as a user
            for row in c.list(self.root(user).decode() + self.separator + "*"):
                c.cmd(b"SETACL {} %s lrswipkxtecdan" % self.admin.encode(), row.name, check=False)
                c.cmd(b"DELETE {}", row.name, check=False)

    def diagnostics(self):
        """Cyrus logs to syslog only; what it prints at its start is all there is."""
        return super().diagnostics()
