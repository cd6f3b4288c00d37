/* test_folder.c - names of one server, read and written in another's form. */
#include <stdlib.h>

#include "base/test.h"
#include "mail/folder.h"

#include "base/banned.h"

#define PARTS_MAX 14

/* The parts as one text, each in <>. */
static void
check_parts(const struct folder *folder, const char *want)
{
	struct str text;
	size_t i;

	str_init(&text, 0);
	for (i = 0; i < folder->part_count; i++)
		str_addf(&text, "<%s>", folder->parts[i]);
	CHECK_STR(str_get(&text), want);
	str_clear(&text);
}

static void
test_parse(void)
{
	static const struct {
		const char *key;
		char delim;
		const char *prefix;
		bool utf8;
		const char *want;
		bool raw;
	} cases[] = {
		{ "INBOX", '/', "", false, "<INBOX>", false },
		{ "inbox", '/', "", false, "<INBOX>", false },
		{ "Inbox/x", '/', "", false, "<INBOX><x>", false },
		{ "x/inbox", '/', "", false, "<x><inbox>", false },
		{ "INBOX", '.', "INBOX.", false, "<INBOX>", false },
		{ "InBox", '.', "INBOX.", false, "<INBOX>", false },
		{ "INBOX.", '.', "INBOX.", false, "<INBOX>", false },
		{ "INBOX.Sent", '.', "INBOX.", false, "<Sent>", false },
		{ "inbox.Sent.a", '.', "INBOX.", false, "<Sent><a>", false },
		{ "INBOX.inbox.x", '.', "INBOX.", false, "<INBOX><inbox><x>", false },
		{ "INBOX/Sent", '/', "INBOX/", false, "<Sent>", false },
		{ "INBOXES", '.', "INBOX.", false, "<INBOXES>", false },
		{ "Public/Team/a", '/', "Public/", false, "<Team><a>", false },
		{ "Public", '/', "Public/", false, "<Public>", false },
		{ "Public/", '/', "Public/", false, "<Public>", false },
		{ "public/Team", '/', "Public/", false, "<public><Team>", false },
		{ "user/inbox", '/', "user/", false, "<inbox>", false },
		{ "a/b/c", '/', NULL, false, "<a><b><c>", false },
		{ "a/b/", '/', "", false, "<a><b>", false },
		{ "a//b", '/', "", false, "<a><><b>", false },
		{ "/a", '/', "", false, "<><a>", false },
		{ "a/b.c", '.', "", false, "<a/b><c>", false },
		{ "a/b.c", '\0', "", false, "<a/b.c>", false },
		{ " a / b ", '/', "", false, "< a >< b >", false },
		{ "12345", '/', "", false, "<12345>", false },
		{ "A\\B \"x\" %&-*", '/', "", false, "<A\\B \"x\" %&*>", false },
		{ "&ZeVnLIqe-/Entw&APw-rfe", '/', "", false, "<日本語><Entwürfe>", false },
		{ "日本語/Entwürfe & mehr", '/', "", true, "<日本語><Entwürfe & mehr>", false },
		{ "1/2/3/4/5/6/7/8/9/10/11/12", '/', "", false,
			"<1><2><3><4><5><6><7><8><9><10><11><12>", false },
		{ "A_xF8FF_B_xf8ff_/_xF8F", '/', "", false, "<A/B/><_xF8F>", false },
		/* Broken names: shown, marked, never refused. */
		{ "Entw\xc3\xbcrfe/a", '/', "", false, "<Entwürfe><a>", true },
		{ "Entw\xfcrfe/&AOQ-", '/', "", false, "<Entw\\xfcrfe><ä>", true },
		{ "&broken", '/', "", false, "<&broken>", true },
		{ "&U,BTFw-&ZeVnLIqe-", '/', "", false, "<&U,BTFw-&ZeVnLIqe->", true },
		{ "\xfc\\xfc", '/', "", false, "<\\xfc\\x5cxfc>", true },
		{ "a\xff", '/', "", true, "<a\\xff>", true },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *arena = arena_new();
		struct folder folder = { 0 };

		CHECK_INT(folder_parse(arena, &folder, cases[i].key, strlen(cases[i].key),
				  cases[i].delim, cases[i].prefix, cases[i].utf8),
			0);
		check_parts(&folder, cases[i].want);
		CHECK_STR(folder.key, cases[i].key);
		CHECK_INT(folder.delim, cases[i].delim);
		CHECK_INT((folder.flags & FOLDER_RAW) != 0, cases[i].raw);
		CHECK_INT(folder.use == USE_INBOX, strcmp(cases[i].want, "<INBOX>") == 0);
		arena_free(&arena);
	}
}

static void
test_parse_refused(void)
{
	struct arena *arena = arena_new();
	struct folder folder = { 0 };

	CHECK_INT(folder_parse(arena, &folder, "", 0, '/', "", false), -1);
	CHECK_INT(folder_parse(arena, &folder, "/", 1, '/', "", false), -1);
	CHECK_INT(folder_parse(arena, &folder, "//", 2, '/', "", false), -1);
	CHECK_INT(folder_parse(arena, &folder, "a\0b", 3, '/', "", false), -1);
	CHECK(folder.key == NULL);
	arena_free(&arena);
}

static void
test_encode(void)
{
	static const struct {
		const char *parts[PARTS_MAX];
		char delim;
		const char *prefix;
		bool utf8;
		const char *want; /* NULL: refused */
		bool changed;
	} cases[] = {
		{ { "INBOX" }, '/', "", false, "INBOX", false },
		{ { "INBOX" }, '.', "INBOX.", false, "INBOX", false },
		{ { "INBOX", "a" }, '/', "", false, "INBOX/a", false },
		{ { "INBOX", "a" }, '.', "INBOX.", false, "INBOX.a", false },
		{ { "INBOX", "INBOX" }, '.', "INBOX.", false, "INBOX.INBOX", false },
		{ { "INBOX", "a" }, '/', "Public/", false, "Public/INBOX/a", false },
		{ { "Sent" }, '.', "INBOX.", false, "INBOX.Sent", false },
		{ { "Sent", "a" }, '/', NULL, false, "Sent/a", false },
		{ { "A/B\\C \"x\" %&*" }, '.', "", false, "A/B\\C \"x\" %&-*", false },
		{ { "A/B\\C \"x\" %&*" }, '/', "", false, "A_B\\C \"x\" %&-*", true },
		{ { "A/B\\C \"x\" %&*" }, '/', "", true, "A_B\\C \"x\" %&*", true },
		{ { "v1.2", "x" }, '.', "INBOX.", false, "INBOX.v1_2.x", true },
		{ { "a_b", "c" }, '_', "", false, "a-b_c", true },
		{ { "日本語", "Entwürfe" }, '/', "", false, "&ZeVnLIqe-/Entw&APw-rfe", false },
		{ { "日本語", "Entwürfe" }, '/', "", true, "日本語/Entwürfe", false },
		{ { " a ", "b  " }, '/', "", false, " a /b  ", false },
		{ { "12345" }, '/', "", false, "12345", false },
		{ { "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12" }, '.', "", false,
			"1.2.3.4.5.6.7.8.9.10.11.12", false },
		{ { "a\r\nb\x7f" }, '/', "", false, "a__b_", true },
		{ { "a\xc2\x85\xe2\x80\xa8" }, '/', "", false, "a__", true },
		{ { "a", "", "b" }, '/', "", false, "a/_/b", true },
		{ { "a", "b" }, '\0', "", false, "a_b", true },
		{ { "a" }, '\0', "", false, "a", false },
		{ { "a\\xfc" }, '/', "", false, "a\\xfc", false },
		{ { NULL }, '/', "", false, NULL, false },
		{ { NULL }, '/', "INBOX.", false, NULL, false },
		{ { "a", "\r\n" }, '/', "", false, NULL, false },
		{ { "a\xff" }, '/', "", false, NULL, false },
		{ { "a\xff" }, '/', "", true, NULL, false },
		{ { "ä" }, '&', "", false, NULL, false },
		{ { "ä" }, 'O', "", false, NULL, false },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str out;
		size_t count = 0;
		bool changed = false;
		int ret;

		while (count < PARTS_MAX && cases[i].parts[count] != NULL)
			count++;
		str_init(&out, 0);
		str_adds(&out, ">");
		ret = folder_encode(&out, cases[i].parts, count, cases[i].delim, cases[i].prefix,
			cases[i].utf8, &changed);
		CHECK_INT(ret, cases[i].want != NULL ? 0 : -1);
		CHECK_STR(str_get(&out) + 1, cases[i].want != NULL ? cases[i].want : "");
		CHECK_INT(changed, cases[i].changed);
		str_clear(&out);
	}
}

/* What is read from a server and written for the same one is the same name. */
static void
test_there_and_back(void)
{
	static const struct {
		const char *key;
		char delim;
		const char *prefix;
	} cases[] = {
		{ "INBOX", '.', "INBOX." },
		{ "INBOX.INBOX", '.', "INBOX." },
		{ "INBOX.a/b.&AOQ-&-", '.', "INBOX." },
		{ "INBOX/a", '/', "" },
		{ "A.B\\C \"x\" %&-*/ y ", '/', "" },
		{ "Public Folders/x", '/', "Public Folders/" },
		{ "~joe/mail/&U,BTF2XlZyyKng-", '/', "~" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *arena = arena_new();
		struct folder folder = { 0 };
		struct str out;
		bool changed = true;

		str_init(&out, 0);
		CHECK_INT(folder_parse(arena, &folder, cases[i].key, strlen(cases[i].key),
				  cases[i].delim, cases[i].prefix, false),
			0);
		CHECK_INT(folder_encode(&out, folder.parts, folder.part_count, cases[i].delim,
				  cases[i].prefix, false, &changed),
			0);
		CHECK_STR(str_get(&out), cases[i].key);
		CHECK(!changed);
		str_clear(&out);
		arena_free(&arena);
	}
}

static void
test_list(void)
{
	static const char *const keys[] = { "INBOX", "b", "a", "c", "a" };
	struct folder_list list;
	struct folder *folder, copy;
	struct arena *arena = arena_new();
	size_t i;

	folder_list_init(&list);
	CHECK(folder_list_find(&list, "a") == NULL);
	for (i = 0; i < 5; i++) {
		folder = folder_list_add(&list);
		CHECK_INT(
			folder_parse(list.arena, folder, keys[i], strlen(keys[i]), '/', "", 0), 0);
		folder->mailboxid = i == 1 ? "id" : NULL;
		if (i == 2)
			folder_list_index(&list);
	}
	CHECK_INT(folder_list_find(&list, "INBOX") - list.folders, 0);
	CHECK_INT(folder_list_find(&list, "a") - list.folders, 2);
	CHECK_INT(folder_list_find(&list, "c") - list.folders, 3);
	CHECK(folder_list_find(&list, "d") == NULL);
	folder_list_index(&list);
	CHECK_INT(folder_list_find(&list, "a") - list.folders, 2);
	CHECK_INT(folder_list_find(&list, "c") - list.folders, 3);
	CHECK(folder_list_find(&list, "") == NULL);
	folder_copy(arena, &copy, &list.folders[1]);
	folder_list_clear(&list);
	CHECK_STR(copy.key, "b");
	CHECK_STR(copy.mailboxid, "id");
	check_parts(&copy, "<b>");
	folder_list_clear(&list);
	arena_free(&arena);
}

static void
test_plain_part(void)
{
	static const struct {
		const char *part;
		bool first;
		const char *one, *two;
	} cases[] = {
		{ "Archive", true, "Archive", "Archive" },
		{ "with \"quotes\"", true, "with _quotes_", "with _quotes_" },
		{ "brace{5}", false, "brace_5_", "brace_5_" },
		{ "50% off; <now>", true, "50_ off_ _now_", "50_ off_ _now_" },
		{ "back\\slash|^*!", true, "back_slash____", "back_slash____" },
		{ "~tilde~", true, "_tilde~", "_tilde_" },
		{ "~tilde", false, "~tilde", "_tilde" },
		{ "#hash#", true, "_hash#", "_hash_" },
		{ " two  blanks ", true, " two  blanks ", "_two _blanks_" },
		{ "a&b, (c) 'd' @x", false, "a&b, (c) 'd' @x", "a_b_ _c_ _d_ _x" },
		{ "Büro 日本", true, "Büro 日本", "Büro 日本" },
		{ "", true, "", "" },
	};
	struct arena *arena = arena_new();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *one = folder_plain_part(arena, cases[i].part, cases[i].first, 1);

		CHECK_STR(one, cases[i].one);
		CHECK((one == cases[i].part) == (strcmp(one, cases[i].part) == 0));
		CHECK_STR(folder_plain_part(arena, cases[i].part, cases[i].first, 2), cases[i].two);
	}
	arena_free(&arena);
}

static void
test_show(void)
{
	static const char *const parts[] = { "Archive", "2024/25", "x" };
	struct str out;

	str_init(&out, 0);
	folder_show(&out, parts, 3);
	CHECK_STR(str_get(&out), "Archive/2024/25/x");
	str_clear(&out);
}

static void
test_use_by_attr(void)
{
	static const struct {
		const char *attr;
		enum special_use use;
	} cases[] = {
		{ "\\Sent", USE_SENT },
		{ "\\SENT", USE_SENT },
		{ "Sent", USE_SENT },
		{ "\\Drafts", USE_DRAFTS },
		{ "\\Trash", USE_TRASH },
		{ "\\Junk", USE_JUNK },
		{ "\\Spam", USE_JUNK },
		{ "\\All", USE_ALL },
		{ "\\AllMail", USE_ALL },
		{ "\\Archive", USE_ARCHIVE },
		{ "\\Flagged", USE_FLAGGED },
		{ "\\Starred", USE_FLAGGED },
		{ "\\Important", USE_IMPORTANT },
		{ "\\Inbox", USE_INBOX },
		{ "\\HasNoChildren", USE_NONE },
		{ "\\", USE_NONE },
		{ "", USE_NONE },
	};
	size_t i;
	int use;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_INT(special_use_by_attr(cases[i].attr), cases[i].use);
	for (use = USE_INBOX; use < USE_TYPES; use++)
		CHECK_INT(special_use_by_attr(special_use_name((enum special_use)use)), use);
	CHECK_STR(special_use_name(USE_SENT), "Sent");
	CHECK_STR(special_use_name(USE_JUNK), "Junk");
	CHECK_STR(special_use_name(USE_NONE), "");
}

static const struct {
	const char *name;
	enum special_use use;
} named_uses[] = {
	{ "Sent", USE_SENT },
	{ "SENT ITEMS", USE_SENT },
	{ "sent-mail", USE_SENT },
	{ "Sent_Items", USE_SENT },
	{ "Gesendete Objekte", USE_SENT },
	{ "Éléments envoyés", USE_SENT },
	{ "ÉLÉMENTS ENVOYÉS", USE_SENT },
	{ "Elements envoyes", USE_SENT },
	{ "E\xcc\x81le\xcc\x81ments envoye\xcc\x81s", USE_SENT },
	{ "Elementos enviados", USE_SENT },
	{ "Posta inviata", USE_SENT },
	{ "Itens Enviados", USE_SENT },
	{ "Verzonden items", USE_SENT },
	{ "Elementy wysłane", USE_SENT },
	{ "ELEMENTY WYSŁANE", USE_SENT },
	{ "Odeslaná pošta", USE_SENT },
	{ "ODESLANÁ POŠTA", USE_SENT },
	{ "Отправленные", USE_SENT },
	{ "ОТПРАВЛЕННЫЕ", USE_SENT },
	{ "Drafts", USE_DRAFTS },
	{ "Entwürfe", USE_DRAFTS },
	{ "ENTWÜRFE", USE_DRAFTS },
	{ "Entwu\xcc\x88rfe", USE_DRAFTS },
	{ "Brouillons", USE_DRAFTS },
	{ "Borradores", USE_DRAFTS },
	{ "Bozze", USE_DRAFTS },
	{ "Rascunhos", USE_DRAFTS },
	{ "Concepten", USE_DRAFTS },
	{ "Wersje robocze", USE_DRAFTS },
	{ "Rozepsané", USE_DRAFTS },
	{ "Черновики", USE_DRAFTS },
	{ "Deleted Items", USE_TRASH },
	{ "Gelöschte Elemente", USE_TRASH },
	{ "Papierkorb", USE_TRASH },
	{ "Corbeille", USE_TRASH },
	{ "Papelera", USE_TRASH },
	{ "Cestino", USE_TRASH },
	{ "Itens Excluídos", USE_TRASH },
	{ "Lixeira", USE_TRASH },
	{ "Itens eliminados", USE_TRASH },
	{ "Prullenbak", USE_TRASH },
	{ "Kosz", USE_TRASH },
	{ "Elementy usunięte", USE_TRASH },
	{ "Koš", USE_TRASH },
	{ "Kos\xcc\x8c", USE_TRASH },
	{ "Odstraněná pošta", USE_TRASH },
	{ "Корзина", USE_TRASH },
	{ "Удалённые", USE_TRASH },
	{ "Удаленные", USE_TRASH },
	{ "Удале\xcc\x88нные", USE_TRASH },
	{ "Junk E-mail", USE_JUNK },
	{ "Junk-E-Mail", USE_JUNK },
	{ "Junk Email", USE_JUNK },
	{ "Spam", USE_JUNK },
	{ "Courrier indésirable", USE_JUNK },
	{ "Correo no deseado", USE_JUNK },
	{ "Posta indesiderata", USE_JUNK },
	{ "Lixo Eletrônico", USE_JUNK },
	{ "Lixo Eletrónico", USE_JUNK },
	{ "Ongewenste e-mail", USE_JUNK },
	{ "Wiadomości-śmieci", USE_JUNK },
	{ "Nevyžádaná pošta", USE_JUNK },
	{ "Нежелательная почта", USE_JUNK },
	{ "Archive", USE_ARCHIVE },
	{ "Archiv", USE_ARCHIVE },
	{ "Archivo", USE_ARCHIVE },
	{ "Archivio", USE_ARCHIVE },
	{ "Arquivo", USE_ARCHIVE },
	{ "Archief", USE_ARCHIVE },
	{ "Archiwum", USE_ARCHIVE },
	{ "Архив", USE_ARCHIVE },
	{ "Schițe", USE_DRAFTS },
	{ "送信済みアイテム", USE_SENT },
	/* No guess where a name could be somebody's own. */
	{ "", USE_NONE },
	{ "Sen", USE_NONE },
	{ "Sent2", USE_NONE },
	{ " Sent", USE_NONE },
	{ "Sent|Sent Items", USE_NONE },
	{ "Outbox", USE_NONE },
	{ "Werbung", USE_NONE },
	{ "Sent\xff", USE_NONE },
	{ "\xcc\x81", USE_NONE },
	{ "Projects", USE_NONE },
};

static void
test_use_by_name(void)
{
	size_t i;

	for (i = 0; i < sizeof(named_uses) / sizeof(named_uses[0]); i++) {
		enum special_use use = special_use_by_name(named_uses[i].name);

		if (use != named_uses[i].use)
			printf("%s\n", named_uses[i].name);
		CHECK_INT(use, named_uses[i].use);
	}
}

int
main(void)
{
	RUN(test_parse);
	RUN(test_parse_refused);
	RUN(test_encode);
	RUN(test_there_and_back);
	RUN(test_list);
	RUN(test_plain_part);
	RUN(test_show);
	RUN(test_use_by_attr);
	RUN(test_use_by_name);
	return test_done();
}
