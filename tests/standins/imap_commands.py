"""The commands of a logged-in connection, strictly as written; what needs an extension says so."""

import random

from standins.imap_parse import FLAG, Bad, Closed, Refused, in_set, matches

STATUS_ITEMS = {"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}


def quoted(name):
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


class Commands:
    """Mixed into Session; uses its say(), tagged(), store, account, folder, view."""

    @staticmethod
    def table(c):
        """name -> (method, state, one of these capabilities is needed)"""
        return {
            "CAPABILITY": (c.do_capability, "", ()), "NOOP": (c.do_noop, "", ()),
            "LOGOUT": (c.do_logout, "", ()), "ID": (c.do_id, "", ("ID",)),
            "STARTTLS": (c.do_starttls, "out", ("STARTTLS",)),
            "LOGIN": (c.do_login, "out", ()), "AUTHENTICATE": (c.do_authenticate, "out", ()),
            "COMPRESS": (c.do_compress, "in", ("COMPRESS=DEFLATE",)),
            "ENABLE": (c.do_enable, "in", ("ENABLE",)),
            "NAMESPACE": (c.do_namespace, "in", ("NAMESPACE",)),
            "LIST": (c.do_list, "in", ()), "LSUB": (c.do_lsub, "in", ()),
            "XLIST": (c.do_xlist, "in", ("XLIST",)),
            "CREATE": (c.do_create, "in", ()), "DELETE": (c.do_delete, "in", ()),
            "RENAME": (c.do_rename, "in", ()), "SUBSCRIBE": (c.do_subscribe, "in", ()),
            "UNSUBSCRIBE": (c.do_unsubscribe, "in", ()), "STATUS": (c.do_status, "in", ()),
            "SELECT": (c.do_select, "in", ()), "EXAMINE": (c.do_examine, "in", ()),
            "APPEND": (c.do_append, "in", ()),
            "GETQUOTAROOT": (c.do_getquotaroot, "in", ("QUOTA",)),
            "GETQUOTA": (c.do_getquota, "in", ("QUOTA",)), "IDLE": (c.do_idle, "in", ("IDLE",)),
            "CHECK": (c.do_noop, "selected", ()), "CLOSE": (c.do_close, "selected", ()),
            "UNSELECT": (c.do_unselect, "selected", ("UNSELECT",)),
            "EXPUNGE": (c.do_expunge, "selected", ()),
            "UID EXPUNGE": (c.do_uid_expunge, "selected", ("UIDPLUS",)),
            "FETCH": (c.do_fetch, "selected", ()), "UID FETCH": (c.do_uid_fetch, "selected", ()),
            "STORE": (c.do_store, "selected", ()), "UID STORE": (c.do_uid_store, "selected", ()),
            "SEARCH": (c.do_search, "selected", ()),
            "UID SEARCH": (c.do_uid_search, "selected", ()),
            "COPY": (c.do_copy, "selected", ()), "UID COPY": (c.do_uid_copy, "selected", ()),
            "MOVE": (c.do_move, "selected", ("MOVE",)),
            "UID MOVE": (c.do_uid_move, "selected", ("MOVE",)),
        }

    def done(self, tag, text="done", code="", expunges=True):
        """News of the selected folder, then the tagged OK."""
        self.news(expunges)
        self.tagged(tag, "OK", code, text)

    def has(self, name):
        return name in self.caps()

    # --- any state

    def do_capability(self, tag, args):
        args.end()
        self.say(b"* CAPABILITY %s\r\n" % self.server.caps_line(self))
        self.done(tag)

    def do_noop(self, tag, args):
        args.end()
        self.done(tag)

    def do_logout(self, tag, args):
        args.end()
        self.say(b"* BYE bye\r\n")
        self.tagged(tag, "OK", "", "bye")
        self.flush()
        self.sock.close()

    def do_id(self, tag, args):
        args.sp()
        if not args.skip(b"NIL"):
            args.need(b"(")
            while not args.skip(b")"):
                args.skip(b" ")
                if not args.skip(b"NIL"):
                    args.string()
        args.end()
        self.say(b'* ID ("name" "standin" "version" "1")\r\n')
        self.done(tag)

    def do_enable(self, tag, args):
        names = []
        while not args.at_end():
            args.sp()
            names.append(args.atom().upper().decode())
        if not names:
            raise Bad("ENABLE what?")
        new = [n for n in names if n in self.server.config.get("enable", ()) or
               n in ("CONDSTORE", "QRESYNC") and self.has(n)]
        self.enabled |= set(new)
        self.say(b"* ENABLED" + "".join(" " + n for n in new).encode() + b"\r\n")
        self.done(tag)

    # --- folders

    def do_namespace(self, tag, args):
        args.end()
        given = self.server.config.get("namespace")
        if given is None:
            given = '(("%s" "%s")) NIL NIL' % (self.server.config.get("prefix", ""),
                                              self.store.delimiter.decode())
        self.say(b"* NAMESPACE " + given.encode() + b"\r\n")
        self.done(tag)

    def mailbox(self, args):
        name = args.astring()
        try:
            self.store.check_name(name.rstrip(self.store.delimiter) or name)
        except Refused:
            if name not in self.account.folders:  # what was there from the start may be odd
                raise
        return name

    def name_out(self, name):
        if self.server.config.get("list_literals"):
            return b"{%d}\r\n" % len(name) + name
        return quoted(name)

    def list_row(self, word, folder, attributes):
        delimiter = quoted(self.store.delimiter) if self.store.delimiter else b"NIL"
        self.say(b"* " + word + b" (" + b" ".join(attributes) + b") " + delimiter + b" "
                 + self.name_out(folder.name) + b"\r\n")

    def attributes(self, folder, subscribed, special, children):
        out = [] if folder.selectable else [b"\\Noselect"]
        if children:
            prefix = folder.name + self.store.delimiter
            has = any(n.startswith(prefix) for n in self.account.folders)
            out.append(b"\\HasChildren" if has else b"\\HasNoChildren")
        if special and folder.use:
            out.append(folder.use.encode())
        if subscribed and folder.name in self.account.subscribed:
            out.append(b"\\Subscribed")
        return out

    def found(self, reference, patterns):
        names = sorted(self.account.folders, key=lambda n: (n != b"INBOX", n))
        wanted = [self.store.spelled(reference + p) for p in patterns]
        return [self.account.folders[n] for n in names
                if any(matches(p, n, self.store.delimiter) for p in wanted)]

    def do_list(self, tag, args):
        args.sp()
        select, returns, status = set(), set(), []
        extended = self.has("LIST-EXTENDED")
        if args.peek(b"("):
            if not extended:
                raise Bad("LIST-EXTENDED is not offered")
            select = set(args.words(("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"),
                                    "selection"))
            args.sp()
        reference = args.astring()
        args.sp()
        patterns = self.patterns(args, extended)
        if args.skip(b" RETURN "):
            if not extended and not self.has("SPECIAL-USE") and not self.has("LIST-STATUS"):
                raise Bad("RETURN is not offered")
            returns, status = self.returns(args)
        args.end()
        if patterns == [b""]:
            delimiter = quoted(self.store.delimiter) if self.store.delimiter else b"NIL"
            self.say(b"* LIST (\\Noselect) %s \"\"\r\n" % delimiter)
            return self.done(tag)
        special = self.has("SPECIAL-USE")
        with self.store.lock:
            for folder in self.found(reference, patterns):
                if "SUBSCRIBED" in select and folder.name not in self.account.subscribed:
                    continue
                if "SPECIAL-USE" in select and not folder.use:
                    continue
                self.list_row(b"LIST", folder, self.attributes(
                    folder, bool({"SUBSCRIBED"} & (select | returns)), special,
                    self.has("CHILDREN") or extended))
                if status and folder.selectable:
                    self.status_row(folder, status)
        return self.done(tag)

    def patterns(self, args, extended):
        if not args.peek(b"("):
            return [args.pattern()]
        if not extended:
            raise Bad("several patterns are not offered")
        args.need(b"(")
        out = [args.pattern()]
        while args.skip(b" "):
            out.append(args.pattern())
        args.need(b")")
        return out

    def returns(self, args):
        options, status = set(), []
        args.need(b"(")
        while not args.skip(b")"):
            if options:
                args.sp()
            word = args.atom().upper().decode()
            options.add(word)
            if word == "STATUS":
                if not self.has("LIST-STATUS"):
                    raise Bad("LIST-STATUS is not offered")
                args.sp()
                status = args.words(self.status_items(), "status item")
            elif word == "SPECIAL-USE":
                if not self.has("SPECIAL-USE"):
                    raise Bad("SPECIAL-USE is not offered")
            elif word not in ("SUBSCRIBED", "CHILDREN"):
                raise Bad("RETURN %s is not offered" % word)
        return options, status

    def status_items(self):
        return STATUS_ITEMS | ({"SIZE"} if self.has("STATUS=SIZE") else set()) | (
            {"MAILBOXID"} if self.has("OBJECTID") else set()) | (
            {"APPENDLIMIT"} if self.has("APPENDLIMIT") else set()) | (
            {"HIGHESTMODSEQ"} if self.has("CONDSTORE") else set())

    def status_row(self, folder, items):
        values = []
        for item in items:
            values.append(b"%s %s" % (item.encode(), {
                "MESSAGES": lambda f: b"%d" % len(f.messages),
                "RECENT": lambda f: b"0",
                "UIDNEXT": lambda f: b"%d" % max(1, f.uidnext + self.server.config.get(
                    "status_uidnext_off", 0)),
                "UIDVALIDITY": lambda f: b"%d" % self.validity(f),
                "UNSEEN": lambda f: b"%d" % sum("\\Seen" not in m.flags for m in f.messages),
                "SIZE": lambda f: b"%d" % sum(m.size for m in f.messages),
                "MAILBOXID": lambda f: b"(%s)" % f.id.encode(),
                "HIGHESTMODSEQ": lambda f: b"%d" % f.modseq,
                "APPENDLIMIT": lambda f: b"%d" % self.store.content.get("max_size", 1 << 31),
            }[item](folder)))
        self.say(b"* STATUS " + self.name_out(folder.name) + b" (" + b" ".join(values) + b")\r\n")

    def do_status(self, tag, args):
        args.sp()
        name = self.mailbox(args)
        args.sp()
        items = args.words(self.status_items(), "status item")
        args.end()
        with self.store.lock:
            folder = self.store.folder(self.account, name)
            self.change_validity(folder)
            self.status_row(folder, items)
        self.done(tag)

    def do_lsub(self, tag, args):
        args.sp()
        reference = args.astring()
        args.sp()
        pattern = args.pattern()
        args.end()
        with self.store.lock:
            for folder in self.found(reference, [pattern]):
                if folder.name in self.account.subscribed:
                    self.list_row(b"LSUB", folder, [])
        self.done(tag)

    def do_xlist(self, tag, args):
        args.sp()
        reference = args.astring()
        args.sp()
        pattern = args.pattern()
        args.end()
        with self.store.lock:
            for folder in self.found(reference, [pattern]):
                out = self.attributes(folder, False, False, True)
                if folder.name == b"INBOX":
                    out.append(b"\\Inbox")
                elif folder.use:  # the old spelling of the attribute
                    out.append({"\\Junk": b"\\Spam", "\\All": b"\\AllMail"}.get(
                        folder.use, folder.use.encode()))
                self.list_row(b"XLIST", folder, out)
        self.done(tag)

    def do_create(self, tag, args):
        args.sp()
        name, use = self.mailbox(args), ""
        if args.skip(b" (USE ("):
            if not self.has("CREATE-SPECIAL-USE"):
                raise Bad("CREATE-SPECIAL-USE is not offered")
            args.need(b"\\")
            use = "\\" + args.atom().decode()
            args.need(b"))")
        args.end()
        with self.store.lock:
            folder = self.store.create(self.account, name, use)
        self.done(tag, code="MAILBOXID (%s)" % folder.id if self.has("OBJECTID") else "")

    def do_delete(self, tag, args):
        args.sp()
        name = self.mailbox(args)
        args.end()
        with self.store.lock:
            self.store.delete(self.account, name)
        self.done(tag)

    def do_rename(self, tag, args):
        args.sp()
        old = self.mailbox(args)
        args.sp()
        new = self.mailbox(args)
        args.end()
        with self.store.lock:
            self.store.rename(self.account, old, new)
        self.done(tag)

    def do_subscribe(self, tag, args):
        args.sp()
        name = self.mailbox(args)
        args.end()
        with self.store.lock:
            self.account.subscribed.add(self.store.folder(self.account, name, False).name)
        self.done(tag)

    def do_unsubscribe(self, tag, args):
        args.sp()
        name = self.mailbox(args)
        args.end()
        self.account.subscribed.discard(self.store.spelled(name))
        self.done(tag)

    def do_getquotaroot(self, tag, args):
        args.sp()
        name = self.mailbox(args)
        args.end()
        self.say(b"* QUOTAROOT %s \"user\"\r\n" % quoted(name))
        self.quota_row()
        self.done(tag)

    def do_getquota(self, tag, args):
        args.sp()
        args.astring()
        args.end()
        self.quota_row()
        self.done(tag)

    def quota_row(self):
        with self.store.lock:
            limit = self.account.quota
            row = b"" if limit is None else b"STORAGE %d %d" % (
                (self.account.used() + 1023) // 1024, limit // 1024)
        self.say(b"* QUOTA \"user\" (" + row + b")\r\n")

    # --- the selected folder

    def do_select(self, tag, args):
        self.open_folder(tag, args, False)

    def do_examine(self, tag, args):
        self.open_folder(tag, args, True)

    def validity(self, folder):
        rule = self.rule or {}
        return rule["value"] if rule.get("action") == "lie" else folder.uidvalidity

    def change_validity(self, folder):
        rule = self.rule or {}
        if rule.get("action") == "uidvalidity":
            self.server.change_validity(folder, rule["value"], rule.get("renumber", False))

    def open_folder(self, tag, args, readonly):
        args.sp()
        name = self.mailbox(args)
        if self.has("CONDSTORE"):
            args.skip(b" (CONDSTORE)")
        args.end()
        if self.folder is not None and self.has("QRESYNC"):
            self.say(b"* OK [CLOSED] closed\r\n")
        self.folder = None
        with self.store.lock:
            folder = self.store.folder(self.account, name)
            self.change_validity(folder)
            self.folder, self.readonly = folder, readonly
            self.view = list(folder.messages)
            self.told = {m: m.revision for m in self.view if m.revision}
            permanent = " ".join(self.store.permanent()) if not readonly \
                or self.server.config.get("permanent_at_examine") else ""
            used = sorted({f for m in self.view for f in m.flags if f[0] != "\\"})
            rows = [b"FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft%s)" %
                    "".join(" " + k for k in used).encode("latin-1"),
                    b"%d EXISTS" % len(self.view), b"0 RECENT",
                    b"OK [UIDVALIDITY %d] fixed" % self.validity(folder),
                    b"OK [UIDNEXT %d] next" % folder.uidnext]
            if not self.server.config.get("no_permanentflags"):
                rows.append(b"OK [PERMANENTFLAGS (%s)] kept" % permanent.encode("latin-1"))
            if self.has("CONDSTORE"):
                rows.append(b"OK [HIGHESTMODSEQ %d] highest" % folder.modseq)
            if self.has("OBJECTID"):
                rows.append(b"OK [MAILBOXID (%s)] id" % folder.id.encode())
        for row in rows:
            self.say(b"* " + row + b"\r\n")
        self.tagged(tag, "OK", "READ-ONLY" if readonly else "READ-WRITE", "selected")

    def do_close(self, tag, args):
        args.end()
        if not self.readonly:
            with self.store.lock:
                self.folder.expunge([m for m in self.folder.messages if "\\Deleted" in m.flags])
        self.leave(tag)

    def do_unselect(self, tag, args):
        args.end()
        self.leave(tag)

    def leave(self, tag):
        self.folder, self.view = None, []
        self.tagged(tag, "OK", "", "closed")

    def news(self, expunges):
        """What others did to the selected folder since the last look."""
        if self.folder is None:
            return
        with self.store.lock:
            if expunges and any(m.gone for m in self.view):
                for at in range(len(self.view) - 1, -1, -1):
                    if self.view[at].gone:
                        del self.view[at]
                        self.say(b"* %d EXPUNGE\r\n" % (at + 1))
            last = self.view[-1].uid if self.view else 0
            fresh = [m for m in self.folder.messages if m.uid > last]
            if fresh:
                self.view += fresh
                self.say(b"* %d EXISTS\r\n" % len(self.view))
            for at, message in enumerate(self.view, 1):
                if message.revision != self.told.get(message, 0) and not message.gone:
                    self.told[message] = message.revision
                    self.say(b"* %d FETCH (UID %d FLAGS (%s))\r\n" % (
                        at, message.uid, self.flags_out(message)))

    @staticmethod
    def flags_out(message):
        return " ".join(sorted(message.flags)).encode("latin-1")

    def chosen(self, text, uid):
        """[(number, message)] of the view."""
        with self.store.lock:
            if uid:
                numbers = [m.uid for m in self.view]
                wanted = set(in_set(text, numbers, numbers[-1] if numbers else 0))
                return [(at, m) for at, m in enumerate(self.view, 1) if m.uid in wanted]
            wanted = in_set(text, range(1, len(self.view) + 1), len(self.view))
            if not wanted and self.view:
                raise Bad("no such message")
            return [(at, self.view[at - 1]) for at in wanted]

    def do_fetch(self, tag, args):
        self.fetch(tag, args, False)

    def do_uid_fetch(self, tag, args):
        self.fetch(tag, args, True)

    def fetch(self, tag, args, uid):
        args.sp()
        text = args.set()
        args.sp()
        items = self.fetch_items(args)
        since = self.changed_since(args, text)
        args.end()
        if uid and "UID" not in items:
            items.insert(0, "UID")
        missing, counted = False, 0
        for at, message in self.chosen(text, uid):
            if since is not None and message.modseq <= since:
                continue
            if message.gone:
                missing = True
                continue
            counted += any(isinstance(i, tuple) for i in items)
            self.fetch_row(at, message, items, counted)
        if missing and self.server.config.get("expunged", "no") == "no":
            self.news(uid)
            self.tagged(tag, "NO", "EXPUNGEISSUED", "some messages no longer exist")
        else:
            self.done(tag, expunges=uid)

    def changed_since(self, args, text):
        """The modifiers of a UID FETCH; tells what has vanished, where that is asked for."""
        if not self.has("CONDSTORE") or not args.skip(b" (CHANGEDSINCE "):
            return None
        since = args.number()
        if args.skip(b" VANISHED"):
            if "QRESYNC" not in self.enabled:
                raise Bad("QRESYNC is not enabled")
            with self.store.lock:
                gone = {uid for uid, modseq in self.folder.vanished if modseq > since}
            uids = sorted(in_set(text, sorted(gone), 0)) if gone else ()
            if uids:
                self.say(b"* VANISHED (EARLIER) %s\r\n" % b",".join(b"%d" % u for u in uids))
        args.need(b")")
        return since

    def fetch_items(self, args):
        if not args.skip(b"("):
            return [self.fetch_item(args)]
        items = [self.fetch_item(args)]
        while args.skip(b" "):
            items.append(self.fetch_item(args))
        args.need(b")")
        return items

    def fetch_item(self, args):
        """A word, or (peek, section, start, count, name as answered)."""
        for word in b"UID", b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE":
            if args.skip(word):
                return word.decode()
        if args.skip(b"MODSEQ"):
            if not self.has("CONDSTORE"):
                raise Bad("CONDSTORE is not offered")
            return "MODSEQ"
        if args.skip(b"EMAILID"):
            if not self.has("OBJECTID"):
                raise Bad("OBJECTID is not offered")
            return "EMAILID"
        peek = args.skip(b"BODY.PEEK[")
        if not peek and not args.skip(b"BODY["):
            raise Bad("item not offered: %r" % args.rest()[:30])
        section = "HEADER" if args.skip(b"HEADER") else "TEXT" if args.skip(b"TEXT") else ""
        fields = None
        if section == "HEADER" and args.skip(b".FIELDS"):
            args.sp()
            args.need(b"(")
            fields = [args.astring()]
            while args.skip(b" "):
                fields.append(args.astring())
            args.need(b")")
        args.need(b"]")
        start = count = None
        if args.skip(b"<"):
            start = args.number()
            args.need(b".")
            count = args.number()
            args.need(b">")
        name = "BODY[%s%s]%s" % (section, "" if fields is None else ".FIELDS (%s)" % b" ".join(
            fields).decode("latin-1"), "" if start is None else "<%d>" % start)
        return peek, section, start, count, name, fields

    def fetch_row(self, at, message, items, counted):
        config = self.server.config.get("fetch", {})
        order = list(items)
        if config.get("order") == "random":
            random.Random(message.uid).shuffle(order)
        elif config.get("order") == "body-first":
            order.sort(key=lambda i: not isinstance(i, tuple))
        elif config.get("order") == "body-last":
            order.sort(key=lambda i: isinstance(i, tuple))
        groups = [order]
        if config.get("split"):
            groups = [[i for i in order if not isinstance(i, tuple)] or ["UID"],
                      ["UID"] + [i for i in order if isinstance(i, tuple)]]
        for group in groups:
            if group == ["UID"] and len(groups) > 1:
                continue
            self.say(b"* %d FETCH (" % at)
            if config.get("extra"):
                self.say(b'X-ODD ("a" (NIL {3}\r\nx)y 12)) MODSEQ (7) ')
            for k, item in enumerate(group):
                self.say(b" " if k else b"")
                self.fetch_value(message, item, counted)
            self.say(b")\r\n")

    def fetch_value(self, message, item, counted):
        if isinstance(item, tuple):
            return self.fetch_body(message, item, counted)
        self.say(item.encode() + b" " + {
            "UID": lambda: b"%d" % message.uid,
            "FLAGS": lambda: b"(" + self.flags_out(message) + b")",
            "INTERNALDATE": lambda: b'"%s"' % message.internal_date().encode(),
            "RFC822.SIZE": lambda: b"%d" % (
                message.size + self.server.config.get("size_off", 0)),
            "MODSEQ": lambda: b"(%d)" % message.modseq,
            "EMAILID": lambda: b"(M%s)" % str(message.uid).encode(),
        }[item]())
        return None

    def fetch_body(self, message, item, counted):
        peek, section, start, count, name, fields = item
        if not peek and not self.readonly:
            message.flags.add("\\Seen")
        self.say(name.encode("latin-1") + b" ")
        if section:
            head, blank, text = message.part(0, min(message.size, 1 << 20)).partition(b"\r\n\r\n")
            data = head + blank if section == "HEADER" else text
            if fields is not None:
                data = pick_fields(head, fields)
            data = data if start is None else data[start:start + count]
            self.say(b"{%d}\r\n" % len(data) + data)
        elif start is not None:
            data = message.part(start, count)
            self.say(b"{%d}\r\n" % len(data) + data)
        else:
            self.send_body(message, counted)

    def send_body(self, message, counted):
        rule = self.rule or {}
        action = rule.get("action") if counted == rule.get("message", 1) else None
        size = str(message.size + (rule.get("delta", 1) if action == "wrong_size" else 0))
        if action == "huge_literal":
            size = rule["size"]
        stop = int(message.size * rule.get("share", 0.5)) \
            if action in ("close_in_literal", "stall_in_literal") else None
        as_quoted = self.server.config.get("fetch", {}).get("quoted_bodies") and \
            message.body is not None and not set(message.body) & set(b'\r\n\0"\\') and \
            all(b < 0x80 for b in message.body)
        if as_quoted:
            self.say(quoted(message.body))
            return
        self.say(b"{%s}\r\n" % size.encode())
        at = 0
        for data in message.chunks():
            if stop is not None and at + len(data) >= stop:
                self.say(data[:stop - at])
                self.flush()
                if action == "stall_in_literal":
                    self.stall(rule)
                raise Closed()
            at += len(data)
            self.say(data)

    def writable(self):
        if self.readonly:
            raise Refused("opened read-only", "READ-ONLY")

    def do_store(self, tag, args):
        self.store_flags(tag, args, False)

    def do_uid_store(self, tag, args):
        self.store_flags(tag, args, True)

    def store_flags(self, tag, args, uid):
        args.sp()
        text = args.set()
        unchanged = None
        if self.has("CONDSTORE") and args.skip(b" (UNCHANGEDSINCE "):
            unchanged = args.number()
            args.need(b")")
        args.sp()
        how = "+" if args.skip(b"+") else "-" if args.skip(b"-") else "="
        args.need(b"FLAGS")
        silent = args.skip(b".SILENT")
        args.sp()
        flags = args.flags() if args.peek(b"(") else [args.take(FLAG, "flag")]
        args.end()
        self.writable()
        modified = []
        with self.store.lock:
            for at, message in self.chosen(text, uid):
                if message.gone:
                    continue
                if unchanged is not None and message.modseq > unchanged:
                    modified.append(message.uid if uid else at)
                    continue
                self.store.store_flags(message, how, flags)
                self.told[message] = message.revision
                if not silent:
                    self.say(b"* %d FETCH (%sFLAGS (%s))\r\n" % (
                        at, b"UID %d " % message.uid if uid else b"", self.flags_out(message)))
        code = "MODIFIED " + ",".join(map(str, modified)) if modified else ""
        self.done(tag, code=code, expunges=uid)

    def do_expunge(self, tag, args):
        args.end()
        self.expunge(tag, None)

    def do_uid_expunge(self, tag, args):
        args.sp()
        text = args.set()
        args.end()
        self.expunge(tag, text)

    def expunge(self, tag, text):
        self.writable()
        with self.store.lock:
            chosen = {m for _, m in self.chosen(text, True)} if text else set(self.view)
            self.folder.expunge([m for m in self.folder.messages
                                 if m in chosen and "\\Deleted" in m.flags])
        self.done(tag)

    def do_search(self, tag, args):
        self.search(tag, args, False)

    def do_uid_search(self, tag, args):
        self.search(tag, args, True)

    def search(self, tag, args, uid):
        keep = list(enumerate(self.view, 1))
        while not args.at_end():
            args.sp()
            keep = self.search_key(args, keep)
        self.say(b"* SEARCH" + b"".join(
            b" %d" % (m.uid if uid else at) for at, m in keep if not m.gone) + b"\r\n")
        self.done(tag, expunges=uid)

    def search_key(self, args, keep):
        if args.peek(b"UID "):
            args.skip(b"UID ")
            wanted = {m.uid for _, m in self.chosen(args.set(), True)}
            return [(at, m) for at, m in keep if m.uid in wanted]
        if args.rest()[:1].isdigit() or args.peek(b"*"):
            wanted = {at for at, _ in self.chosen(args.set(), False)}
            return [(at, m) for at, m in keep if at in wanted]
        word = args.atom().upper().decode()
        if word == "ALL":
            return keep
        if word == "KEYWORD":
            args.sp()
            flag = args.atom().decode().lower()
            return [(at, m) for at, m in keep if flag in {f.lower() for f in m.flags}]
        flag = "\\" + word.removeprefix("UN").capitalize()
        if flag not in ("\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "\\Draft"):
            raise Bad("search key not offered: %s" % word)
        return [(at, m) for at, m in keep if (flag in m.flags) != word.startswith("UN")]

    def do_copy(self, tag, args):
        self.copy(tag, args, False, False)

    def do_uid_copy(self, tag, args):
        self.copy(tag, args, True, False)

    def do_move(self, tag, args):
        self.copy(tag, args, False, True)

    def do_uid_move(self, tag, args):
        self.copy(tag, args, True, True)

    def copy(self, tag, args, uid, move):
        args.sp()
        text = args.set()
        args.sp()
        name = self.mailbox(args)
        args.end()
        code = ""
        with self.store.lock:
            target = self.target(name)
            chosen = [m for _, m in self.chosen(text, uid) if not m.gone]
            new = []
            for m in chosen:
                copy = type(m)(0, m.body, m.flags, m.date, m.raw_date, m.size, m.seed, m.head,
                               m.sha256)
                new.append(target.add(copy).uid)
            if new and self.has("UIDPLUS"):
                code = "COPYUID %d %s %s" % (target.uidvalidity, ",".join(
                    str(m.uid) for m in chosen), ",".join(map(str, new)))
            if move:
                self.writable()
                self.folder.expunge(chosen)
        self.done(tag, code=code)

    # --- storing

    def target(self, name):
        try:
            return self.store.folder(self.account, name)
        except Refused as no:
            raise Refused(str(no), "TRYCREATE")

    def do_append(self, tag, args):
        args.sp()
        name, items = args.astring(), []
        while not args.at_end():
            args.sp()
            flags, date = [], self.server.now()
            if args.peek(b"("):
                flags = args.flags()
                args.sp()
            if args.peek(b'"'):
                date, _ = args.date()
                args.sp()
            if args.peek(b"CATENATE"):
                raise Bad("CATENATE is not offered")
            data = args.literal()
            if data is None:
                raise Bad("literal expected")
            items.append((flags, date, data))
        if not items:
            raise Bad("nothing to append")
        if len(items) > 1 and not self.has("MULTIAPPEND"):
            raise Bad("MULTIAPPEND is not offered")
        rule = self.rule or {}
        part = rule.get("action") == "partial"
        with self.store.lock:
            folder = self.target(name)
            uids = self.store.append(self.account, folder,
                                     items[:rule.get("count", 1)] if part else items)
            code = self.append_code(folder, uids)
        if part:
            if rule.get("then", "no") == "close":
                raise Closed()
            raise Refused(rule.get("text", "stored in part"), rule.get("code", ""))
        self.done(tag, code=code)

    def append_code(self, folder, uids):
        if not self.has("UIDPLUS") or self.server.config.get("appenduid") is False:
            return ""
        text = "%d:%d" % (uids[0], uids[-1]) if uids == list(
            range(uids[0], uids[-1] + 1)) and len(uids) > 1 else ",".join(map(str, uids))
        return "APPENDUID %d %s" % (folder.uidvalidity, text)

    def do_idle(self, tag, args):
        args.end()
        self.say(b"+ idling\r\n")
        while True:
            self.news(True)
            if self.buffer or self.readable(0.05):
                line = self.line()
                if line.upper() != b"DONE":
                    raise Bad("DONE expected")
                break
            if self.server.stopping.is_set():
                raise Closed()
        self.done(tag)


def pick_fields(head, fields):
    """The named header fields with their folded lines, and the blank line."""
    wanted, out, keep = {f.lower() for f in fields}, b"", False
    for line in head.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            keep = line.partition(b":")[0].strip().lower() in wanted
        if keep:
            out += line + b"\r\n"
    return out + b"\r\n"
