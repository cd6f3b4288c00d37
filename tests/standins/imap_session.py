"""One connection to the stand-in: reading commands, logging in, answering, and misbehaving."""

import base64
import hashlib
import hmac
import json
import re
import select
import socket
import ssl
import struct
import time
import zlib

from standins.imap_commands import Commands
from standins.imap_parse import Args, Bad, Closed, Data, Refused

LINE_MOST = 65536
LITERAL_MOST = 65536  # of every command but APPEND
LITERAL = re.compile(rb"\{(\d{1,20})([+-]?)\}$")
TAG = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]+) ((?i:UID )?[A-Za-z0-9]+)')
OF_A_FOLDER = {"SELECT", "EXAMINE", "APPEND", "STATUS", "CREATE", "DELETE", "SUBSCRIBE"}
ARGUMENT = re.compile(rb' (?:"((?:[^"\\]|\\.)*)"|([^ "{(]+))')
FLUSH = 1 << 18
ESTABLISHED = 1  # a state of TCP_INFO


class Session(Commands):
    def __init__(self, server, sock, number, tls):
        self.server, self.store, self.sock = server, server.store, sock
        self.number, self.tls = number, tls
        self.host = sock.getsockname()[0]
        self.buffer, self.out, self.out_size = bytearray(), [], 0
        self.user, self.account = "", None
        self.folder, self.readonly = None, False
        self.view, self.told = [], {}
        self.rule, self.held, self.muted = None, [], False
        self.enabled = set()
        self.packer = self.unpacker = None  # after COMPRESS

    # --- bytes

    def say(self, data):
        if self.muted:
            return
        self.out.append(data)
        self.out_size += len(data)
        if self.out_size >= FLUSH:
            self.flush()

    def flush(self):
        data, self.out, self.out_size = b"".join(self.out), [], 0
        if data:
            if self.packer:
                data = self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)
            try:
                self.sock.sendall(data)
            except OSError:
                raise Closed()
            self.server.count("sent", len(data))

    def more(self):
        self.flush()
        try:
            data = self.sock.recv(1 << 18)
        except OSError:
            raise Closed()
        if not data:
            raise Closed()
        self.server.count("received", len(data))
        self.buffer += self.unpacked(data)

    def unpacked(self, data):
        if self.unpacker is None:
            return data
        try:
            data = self.unpacker.decompress(data)
        except zlib.error as problem:
            self.violation(data, "no DEFLATE: %s" % problem)
            raise Closed()
        if self.unpacker.eof:
            self.violation(data, "the compressed stream was ended")
            raise Closed()
        return data

    def do_compress(self, tag, args):
        """RFC 4978: what follows the line of the OK is compressed, in both directions."""
        args.sp()
        if args.atom().upper() != b"DEFLATE":
            raise Bad("no such compression")
        args.end()
        if self.packer:
            raise Refused("it is on already", "COMPRESSIONACTIVE")
        if self.buffer:
            self.violation(self.buffer, "bytes behind COMPRESS before its answer")
            raise Closed()
        self.tagged(tag, "OK", "", "compressed from here on")
        self.flush()
        self.packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.unpacker = zlib.decompressobj(-15)

    def line(self, most=LINE_MOST):
        start = 0
        while True:
            at = self.buffer.find(b"\n", start)
            if at >= 0:
                break
            start = len(self.buffer)
            if start > most:
                self.say(b"* BYE line too long\r\n")
                self.flush()
                raise Closed()
            self.more()
        line = bytes(self.buffer[:at + 1])
        del self.buffer[:at + 1]
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    def literal(self, size, keep):
        """`size` bytes as Data; over `keep` only head, size and digest stay."""
        data, digest, left, fault = bytearray(), hashlib.sha256(), size, self.append_fault()
        while left:
            if not self.buffer:
                self.more()
            piece = bytes(self.buffer[:left])
            del self.buffer[:len(piece)]
            left -= len(piece)
            if fault and size - left >= fault.get("bytes", 1):
                self.end_in_append(fault)
            if size > keep:
                digest.update(piece)
            if size <= keep or len(data) < 65536:
                data += piece
        if size > keep:
            return Data(size, None, bytes(data[:65536]), digest.hexdigest())
        return Data(size, bytes(data))

    def append_fault(self):
        rule = self.rule
        return rule if rule and rule["action"] in ("close_in_append", "stall_in_append") else None

    def end_in_append(self, rule):
        if rule["action"] == "stall_in_append":
            self.stall(rule)
        raise Closed()

    # --- commands

    def read_command(self):
        """(tag, name, Args); answers itself what is not even that and returns None."""
        first = self.line()
        if first == b"" and self.server.config.get("empty_lines"):
            return None
        m = TAG.match(first)
        if not m:
            self.violation(first, "no tag and command")
            tag = re.match(rb"([A-Za-z0-9.]+) ", first)
            self.say((tag.group(1) if tag else b"*") + b" BAD no tag and command\r\n")
            return None
        tag, name = m.group(1), m.group(2).upper().decode()
        if name == "UID":
            name = "UID?"
        place = self.folder_name()
        if name in OF_A_FOLDER:
            argument = ARGUMENT.match(first, m.end())
            place = (argument.group(1) or argument.group(2)).decode("latin-1") if argument else ""
        self.rule = self.server.rules.find(name, self.user, place, self.host,
                                           first[m.end():].decode("latin-1"))
        pieces = [first[m.end():]]
        try:
            self.read_literals(name, pieces, tag)
        except Refused as early:
            self.log(tag, name, pieces)
            self.tagged(tag, "NO", early.code, str(early))
            return None
        except Bad as problem:
            self.log(tag, name, pieces)
            self.violation(first, str(problem))
            self.tagged(tag, "BAD", "", str(problem))
            return None
        self.log(tag, name, pieces)
        return tag, name, Args(pieces)

    def read_literals(self, name, pieces, tag):
        most = (1 << 63) if name == "APPEND" else LITERAL_MOST
        keep = self.server.config.get("keep_bytes", 1 << 28) if name == "APPEND" else most
        while True:
            m = LITERAL.search(pieces[-1])
            if not m:
                return
            size, plus = int(m.group(1)), m.group(2)
            self.check_plus(plus, size)
            if size > most:
                raise Bad("literal too long")
            pieces[-1] = pieces[-1][:m.start()]
            if not plus:
                rule = self.rule
                if rule and rule.get("early") and rule["action"] in ("no", "bad"):
                    self.rule = None
                    kind = Refused if rule["action"] == "no" else Bad
                    raise kind(rule.get("text", "as told"), *(
                        [rule.get("code", "")] if kind is Refused else []))
                self.say(b"+ go ahead\r\n")
                self.flush()
            if name == "APPEND" and self.account is None:
                raise Bad("not logged in")
            pieces.append(self.literal(size, keep))
            pieces.append(self.line())

    def check_plus(self, plus, size):
        """What is not offered is not understood: the bytes that follow are read as commands."""
        if not plus or "LITERAL+" in self.caps() and plus == b"+":
            return
        if "LITERAL-" in self.caps() and size <= 4096 and plus == b"+":
            return
        raise Bad("non-synchronising literal not offered here")

    def caps(self):
        return self.server.capabilities(self)

    def folder_name(self):
        return self.folder.name.decode("latin-1") if self.folder else ""

    def log(self, tag, name, pieces):
        text = b"".join(b"{%d}" % p.size if isinstance(p, Data) else p for p in pieces)
        self.server.log({"conn": self.number, "user": self.user, "host": self.host,
                         "tag": tag.decode(),
                         "command": name, "args": text[:300].decode("latin-1"),
                         "folder": self.folder_name(), "time": round(time.time(), 4)})

    def violation(self, line, why):
        self.server.violation({"conn": self.number, "user": self.user, "why": why,
                               "line": bytes(line[:300]).decode("latin-1")})

    def tagged(self, tag, status, code, text):
        rule = self.rule or {}
        if rule.get("action") == "wrong_tag":
            tag = rule["tag"].encode()
        line = tag + b" " + status.encode() + (b" [%s]" % code.encode() if code else b"") + \
            b" " + text.encode("utf-8") + b"\r\n"
        if rule.get("action") == "hold" and not self.muted:
            self.held.append(line)
            return
        self.say(line)
        if not self.muted:
            for late in self.held:
                self.say(late)
            self.held = []

    def run(self):
        try:
            self.greet()
            while True:
                if self.held and not self.buffer and not self.readable(0.2):
                    for late in self.held:  # no next command came
                        self.say(late)
                    self.held = []
                command = self.read_command()
                if command is not None:
                    self.obey(*command)
                self.rule = None
        except (Closed, OSError):
            pass
        finally:
            try:
                self.sock.close()
            except OSError:
                pass

    def readable(self, seconds):
        self.flush()
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return bool(select.select([self.sock], [], [], seconds)[0])

    def greet(self):
        self.rule = self.server.rules.find("GREETING", "", "", self.host)
        if self.rule and not self.before(b"*", "GREETING"):
            self.flush()
            raise Closed()
        self.rule = None
        text = self.server.config.get("greeting")
        self.say(text.encode("latin-1") if text is not None else
                 b"* OK [CAPABILITY %s] ready\r\n" % self.server.caps_line(self))

    def obey(self, tag, name, args):
        rule = self.rule
        if rule and not rule.get("after") and not self.before(tag, name):
            return
        self.muted = bool(rule and rule.get("after"))
        try:
            self.execute(tag, name, args)
        finally:
            self.muted = False
        if rule and rule.get("after"):
            self.before(tag, name)

    def execute(self, tag, name, args):
        try:
            entry = self.TABLE.get(name)
            if entry is None:
                raise Bad("unknown command")
            method, state, needs = entry
            if needs and not self.caps() & set(needs):
                raise Bad("%s is not offered" % name)
            if state == "out" and self.account is not None:
                raise Bad("already logged in")
            if state in ("in", "selected") and self.account is None:
                raise Bad("not logged in")
            if state == "selected" and self.folder is None:
                raise Bad("no folder selected")
            method(self, tag, args)
        except Bad as problem:
            self.violation(name.encode() + b" " + args.rest(), str(problem))
            self.tagged(tag, "BAD", "", str(problem))
        except Refused as no:
            self.tagged(tag, "NO", no.code, str(no))

    # --- misbehaviour

    def before(self, tag, name):
        """Acts a rule out; True when the command shall run as usual."""
        rule = self.rule
        action = rule["action"]
        text, code = rule.get("text", "as told"), rule.get("code", "")
        if action in ("no", "bad", "ok"):
            self.rule = None
            self.tagged(tag, action.upper(), code, text)
        elif action == "bye":
            self.say(b"* BYE " + (b"[%s] " % code.encode() if code else b"") + text.encode()
                     + b"\r\n")
            self.flush()
            raise Closed()
        elif action in ("close", "reset"):
            self.flush()
            if action == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Closed()
        elif action == "stall":
            self.stall(rule)
            return True
        elif action == "do":
            for op in rule["ops"]:
                self.server.control(op)
            return True
        else:
            return self.noise(rule)
        return False

    def noise(self, rule):
        action = rule["action"]
        if action == "garbage":
            noise = hashlib.sha512(b"noise").digest()
            self.say((noise * (rule.get("bytes", 200) // 64 + 1))[:rule.get("bytes", 200)])
            self.say(b"\r\n")
        elif action == "long_line":
            left, block = rule.get("bytes", 1 << 30), b"x" * FLUSH
            self.say(b"* OK ")
            while left > 0:
                self.say(block[:left])
                left -= len(block)
            self.say(b"\r\n")
        elif action == "untagged":
            for line in rule["lines"]:
                self.say(line.encode("latin-1") + b"\r\n")
        if rule.get("close"):
            self.flush()
            raise Closed()
        return True

    def stall(self, rule):
        """Silence. Ends with the time given, the peer, the server, or the lifting of its rule."""
        self.flush()
        end = time.monotonic() + rule.get("seconds", 1e9)
        while time.monotonic() < end:
            if self.server.stopping.wait(0.05):
                raise Closed()
            if rule.get("seconds") is None and self.gone():
                raise Closed()
            if rule.get("name") and not self.server.rules.has(rule["name"]):
                return

    def gone(self):
        """True when the peer has ended the connection, with or without TLS on it."""
        try:
            return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED
        except OSError:
            return True

    # --- logging in

    def do_starttls(self, tag, args):
        args.end()
        if self.tls or not self.server.tls_context:
            raise Bad("no TLS here")
        self.tagged(tag, "OK", "", "begin")
        if self.server.config.get("inject"):  # what an attacker would put before the handshake
            self.say(self.server.config["inject"].encode("latin-1"))
        self.flush()
        if self.buffer:
            self.violation(self.buffer, "bytes before the handshake")
            raise Closed()
        self.sock = self.server.tls_context.wrap_socket(self.sock, server_side=True)
        self.tls = True

    def let_in(self, tag, user, password, authzid=""):
        masters, users = self.server.config.get("masters", {}), self.server.config["users"]
        separator = self.server.config.get("master_separator", "*")
        if not authzid and separator in user and user.partition(separator)[2] in masters:
            authzid, _, user = user.partition(separator)
        if authzid and authzid != user:
            good = masters.get(user) == password and authzid in users
        else:
            authzid, good = user, users.get(user) == password
        self.admit(tag, authzid, good)

    def admit(self, tag, user, good):
        if not good:
            raise Refused("authentication failed", "AUTHENTICATIONFAILED")
        limit = self.server.config.get("connections", 0)
        if limit and self.server.connections_of(user) >= limit:
            raise Refused("too many connections", "LIMIT")
        self.user, self.account = user, self.store.accounts[user]
        self.tagged(tag, "OK", "CAPABILITY " + self.server.caps_line(self).decode()
                    if self.server.config.get("caps_at_login", True) else "", "logged in")

    def do_login(self, tag, args):
        args.sp()
        user = args.astring()
        args.sp()
        password = args.astring()
        args.end()
        if "LOGINDISABLED" in self.caps():
            raise Refused("LOGIN is off", "PRIVACYREQUIRED")
        self.let_in(tag, user.decode("utf-8", "replace"), password.decode("utf-8", "replace"))

    def answer(self, challenge=b""):
        """One SASL answer from the client."""
        self.say(b"+ " + base64.b64encode(challenge) + b"\r\n")
        line = self.line()
        if line == b"*":
            raise Bad("given up")
        return self.unbase64(line)

    def unbase64(self, text):
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise Bad("not base64")

    def do_authenticate(self, tag, args):
        args.sp()
        name = args.atom().upper().decode()
        if "AUTH=" + name not in self.caps():
            raise Refused("mechanism not offered", "CANNOT")
        first = None
        if args.skip(b" "):
            if "SASL-IR" not in self.caps():
                raise Bad("SASL-IR is not offered")
            first = b"" if args.peek(b"=") else self.unbase64(args.rest())
        else:
            args.end()
        if name == "PLAIN":
            parts = (self.answer() if first is None else first).split(b"\0")
            if len(parts) != 3:
                raise Bad("PLAIN has three parts")
            authzid, user, password = (p.decode("utf-8", "replace") for p in parts)
            self.let_in(tag, user, password, authzid)
        elif name == "LOGIN":
            user = self.answer(b"Username:").decode("utf-8", "replace")
            self.let_in(tag, user, self.answer(b"Password:").decode("utf-8", "replace"))
        elif name == "CRAM-MD5":
            self.cram_md5(tag)
        else:
            self.bearer(tag, name, self.answer() if first is None else first)

    def cram_md5(self, tag):
        challenge = b"<%d.%d@standin.example>" % (self.number, time.time_ns())
        user, _, digest = self.answer(challenge).decode("utf-8", "replace").rpartition(" ")
        password = self.server.config["users"].get(user)
        good = password is not None and hmac.compare_digest(
            hmac.new(password.encode(), challenge, hashlib.md5).hexdigest(), digest)
        self.admit(tag, user, good)

    def bearer(self, tag, name, data):
        """XOAUTH2 and OAUTHBEARER: the password is the token."""
        text = data.decode("utf-8", "replace")
        user = re.search(r"user=([^\x01]*)\x01" if name == "XOAUTH2" else r"a=([^,]*),", text)
        token = re.search(r"auth=Bearer ([^\x01]*)\x01\x01$", text)
        if not user or not token:
            raise Bad("not the form of " + name)
        good = self.server.config["users"].get(user.group(1)) == token.group(1)
        if not good:
            self.answer(json.dumps({"status": "401"}).encode())
        self.admit(tag, user.group(1), good)


Session.TABLE = Commands.table(Session)
