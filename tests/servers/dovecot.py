"""Dovecot 2.3 as a private instance: own directory, ports, users, certificate; root or not."""

import grp
import os
import pwd
import shutil

from lib.bench import Skip, wait_for
from lib.imap import Client, ImapError
from servers.server import Server

BINARY = "/usr/sbin/dovecot"
LOCATIONS = {
    "mdbox": "mdbox:~/mail", "sdbox": "sdbox:~/mail", "maildir": "maildir:~/mail",
    "maildir-fs": "maildir:~/mail:LAYOUT=fs",
}
SPECIAL = {"Sent": "\\Sent", "Drafts": "\\Drafts", "Trash": "\\Trash", "Junk": "\\Junk"}
MAIL_UID = MAIL_GID = 8  # user and group mail


class Dovecot(Server):
    """d = Dovecot(bench, users={'ann': 'secret'}, masters={'mover': 'master'})

    users       name -> password, or (password, extra userdb fields such as
                'userdb_quota_rule=*:storage=1M'); more come at any time by add_user()
    store       mdbox, sdbox, maildir (Maildir++) or maildir-fs
    separator, prefix   of the personal namespace ('/', '.'; '', 'INBOX.')
    special_use {'Sent': '\\Sent'}: created and subscribed at first use
    quota       a size for everyone, as '10M'
    max_userip  connections a user may have from one address
    capability  what is advertised instead ('IMAP4rev1 ID NAMESPACE'); hides only
    keyword_length  longest keyword it takes (mail_max_keyword_length)
    fsync       never, optimized, always
    mail_dir    where the accounts lie; not given: in the server's own directory
    plaintext   False: no LOGIN before TLS; it then listens on 127.0.0.2 (see `host`)
    cert        good, expired, wrong-host
    listescape  any character may be in a folder's name
    public      {'Team': 'lrs'}: a public namespace 'Public/' with these folders
    shared      True: a namespace 'shared/USER/'
    oauth2      URL of an introspection service: XOAUTH2 and OAUTHBEARER are offered
    compress    True: COMPRESS=DEFLATE is offered
    settings    more lines for dovecot.conf
    """

    kind = "dovecot"

    def __init__(self, bench, users=None, masters=None, name=None, store="mdbox", separator="/",
                 prefix="", special_use=None, quota=None, max_userip=50, capability=None,
                 keyword_length=None, fsync="never", plaintext=True, cert="good",
                 listescape=False, public=None, shared=False, oauth2=None,
                 mechanisms="plain login cram-md5", compress=False, settings="", mail_dir=None,
                 start=True):
        super().__init__(bench, name)
        if not os.path.exists(BINARY):
            raise Skip("Dovecot is not installed")
        self.options = dict(locals())
        self.separator, self.prefix = separator, prefix
        if not plaintext:  # Dovecot trusts a client that comes from the address it listens on
            self.host = "127.0.0.2"
        self.users, self.masters = {}, dict(masters or {})
        self.dir = bench.subdir("d", 0o755)
        self.port, self.tls_port = bench.port(), bench.port()
        self.uid, self.gid = (MAIL_UID, MAIL_GID) if os.getuid() == 0 else (os.getuid(),
                                                                            os.getgid())
        self.conf = os.path.join(self.dir, "dovecot.conf")
        self.cert, self.key = self.take_cert(cert)
        self.mail_dir = mail_dir or os.path.join(self.dir, "mail")
        for place in self.mail_dir, os.path.join(self.dir, "public"):
            os.makedirs(place, exist_ok=True)
            self.give(place)
        self.give(self.dir)
        for user, secret in (users or {}).items():
            self.add_user(user, *((secret,) if isinstance(secret, str) else secret))
        self.write_masters()
        for folder, rights in (public or {}).items():
            self.make_public(folder, rights)
        with open(self.conf, "w") as f:
            f.write(self.config())
        bench.add(self)
        if start:
            self.start()

    def give(self, path):
        if os.getuid() == 0:
            os.chown(path, self.uid, self.gid)

    def home(self, user):
        return os.path.join(self.mail_dir, user)

    def add_user(self, user, password, extra=""):
        """Can log in when this returns."""
        self.users[user] = password
        os.makedirs(self.home(user), exist_ok=True)
        self.give(self.home(user))
        with open(os.path.join(self.dir, "users"), "a") as f:
            f.write("%s:{PLAIN}%s:%d:%d::%s::%s\n" % (user, password, self.uid, self.gid,
                                                      self.home(user), extra))
        if self.process is not None:  # the file is looked at once a second
            wait_for(lambda: self.lets_in(user, password), 10, "login of %s" % user)

    def lets_in(self, user, password):
        try:
            with Client(self.port, self.host) as client:
                client.login(user, password)
        except ImapError:
            return False
        return True

    def write_masters(self):
        with open(os.path.join(self.dir, "masters"), "w") as f:
            for user, password in self.masters.items():
                f.write("%s:{PLAIN}%s\n" % (user, password))

    def make_public(self, folder, rights):
        place = os.path.join(self.dir, "public", "." + folder)
        for sub in "", "cur", "new", "tmp":
            os.makedirs(os.path.join(place, sub), exist_ok=True)
        with open(os.path.join(place, "dovecot-acl"), "w") as f:
            f.write("authenticated %s\n" % rights)
        for path in place, *(os.path.join(place, n) for n in os.listdir(place)):
            self.give(path)

    def wipe(self, user):
        """The account is as new; nobody may be logged in to it."""
        shutil.rmtree(self.home(user), ignore_errors=True)
        os.mkdir(self.home(user))
        self.give(self.home(user))

    def save(self, user, name):
        """Keeps a copy of the account under a name, for restore()."""
        kept = os.path.join(self.dir, "kept", name)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.home(user), kept, symlinks=True)

    def restore(self, user, name):
        shutil.rmtree(self.home(user), ignore_errors=True)
        shutil.copytree(os.path.join(self.dir, "kept", name), self.home(user), symlinks=True)
        if os.getuid() == 0:
            for place, _, files in os.walk(self.home(user)):
                for path in [place] + [os.path.join(place, f) for f in files]:
                    os.chown(path, self.uid, self.gid)

    def argv(self):
        return [BINARY, "-F", "-c", self.conf]

    def log_files(self):
        return [os.path.join(self.dir, "log")]

    def logins(self, user):
        """Of that user, so far."""
        with open(self.log_files()[0], errors="replace") as f:
            return sum("imap-login: Info: Login: user=<%s>" % user in line for line in f)

    def config(self):
        o = self.options
        return "".join((self.config_base(o), self.config_auth(o), self.config_mail(o),
                        self.config_services(), o["settings"], "\n"))

    def config_base(self, o):
        lines = """
base_dir = {d}/run
state_dir = {d}/run
instance_name = t{port}
log_path = {d}/log
protocols = imap
listen = {host}
first_valid_uid = 1
ssl = yes
ssl_cert = <{d}/cert.pem
ssl_key = <{d}/key.pem
disable_plaintext_auth = {no_plain}
auth_mechanisms = {mech}
auth_master_user_separator = *
auth_failure_delay = 0
mail_fsync = {fsync}
mail_location = {location}
mail_max_userip_connections = {userip}
""".format(d=self.dir, host=self.host, port=self.port, no_plain="no" if o["plaintext"] else "yes",
           mech=o["mechanisms"] + (" xoauth2 oauthbearer" if o["oauth2"] else ""),
           fsync=o["fsync"], location=LOCATIONS[o["store"]], userip=o["max_userip"])
        if o["capability"]:
            lines += "imap_capability = %s\n" % o["capability"]
        if o["keyword_length"]:
            lines += "mail_max_keyword_length = %d\n" % o["keyword_length"]
        return lines

    def config_auth(self, o):
        text = """
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {d}/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {d}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {d}/users
}}
""".format(d=self.dir)
        if o["oauth2"]:
            conf = os.path.join(self.dir, "oauth2.conf")
            with open(conf, "w") as f:
                f.write("introspection_url = %s\nintrospection_mode = post\n"
                        "username_attribute = username\nactive_attribute = active\n"
                        "active_value = true\n" % o["oauth2"])
            text += "passdb {\n  driver = oauth2\n  mechanisms = oauthbearer xoauth2\n" \
                    "  args = %s\n}\n" % conf
        return text

    def config_mail(self, o):
        plugins, lines = [], ["namespace inbox {", "  inbox = yes",
                              "  separator = " + o["separator"], "  prefix = " + o["prefix"]]
        for folder, use in (o["special_use"] or {}).items():
            lines.append("  mailbox \"%s\" {\n    auto = subscribe\n    special_use = %s\n  }"
                         % (folder, use))
        lines.append("}")
        plugin = []
        imap_plugins = []
        if o["quota"] or any(not isinstance(u, str) for u in (o["users"] or {}).values()):
            plugins.append("quota")
            imap_plugins.append("imap_quota")
            plugin += ["  quota = count:User quota", "  quota_vsizes = yes"]
            if o["quota"]:
                plugin.append("  quota_rule = *:storage=" + o["quota"])
        if o["compress"]:
            imap_plugins.append("imap_zlib")
        if o["public"] or o["shared"]:
            plugins.append("acl")
            imap_plugins.append("imap_acl")
            plugin += ["  acl = vfile", "  acl_user = %u",
                       "  acl_shared_dict = file:%s/shared.db" % self.dir]
        if o["public"]:
            lines += ["namespace public {", "  type = public", "  separator = " + o["separator"],
                      "  prefix = Public" + o["separator"],
                      "  location = maildir:%s/public" % self.dir, "  subscriptions = no", "}"]
        if o["shared"]:
            lines += ["namespace shared {", "  type = shared", "  separator = " + o["separator"],
                      "  prefix = shared{0}%%u{0}".format(o["separator"]),
                      "  location = " + LOCATIONS[o["store"]].replace(
                          "~/", "%s/%%%%u/" % self.mail_dir, 1).replace("%%%%", "%%"),
                      "  subscriptions = no", "  list = children", "}"]
        if o["listescape"]:
            plugins.append("listescape")
        if plugins:
            lines.append("mail_plugins = $mail_plugins " + " ".join(plugins))
        lines += ["plugin {"] + plugin + ["}"]
        lines += ["protocol imap {", "  mail_plugins = $mail_plugins " + " ".join(imap_plugins),
                  "}"]
        return "\n".join(lines) + "\n"

    def config_services(self):
        text = """
service imap-login {{
  {chroot}
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls}
  }}
}}
service anvil {{
  {chroot}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  {chroot}
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
""".format(port=self.port, tls=self.tls_port, chroot="" if os.getuid() == 0 else "chroot =")
        if os.getuid() != 0:
            me = pwd.getpwuid(os.getuid()).pw_name
            text += "default_login_user = %s\ndefault_internal_user = %s\n" \
                    "default_internal_group = %s\n" % (me, me, grp.getgrgid(os.getgid()).gr_name)
        return text
