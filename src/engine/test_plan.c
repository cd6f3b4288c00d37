/* test_plan.c - folder planning: one table, each row a source, a target, rules, and the plan.
 *
 * Folders are written as keys with ";" between; behind a key may stand ":Sent" (a special use told
 * by the server), "#" (\Noselect), "!" (another user's), "+N" (N messages). */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/test.h"
#include "engine/plan.h"

#include "base/banned.h"

#define WORDS 24

/* A text cut at ";" or ","; the words belong to the struct. */
struct words {
	char *text;
	char *word[WORDS];
	size_t count;
};

static void
words_cut(struct words *words, const char *text, char at)
{
	memset(words, 0, sizeof *words);
	words->text = xstrdup(text != NULL ? text : "");
	for (char *p = words->text; *p != '\0' && words->count < WORDS;) {
		char *end = strchr(p, at);
		words->word[words->count++] = p;
		if (end == NULL)
			break;
		*end = '\0';
		p = end + 1;
	}
}

static void
add_folder(struct folder_list *list, char *word, char delim, const char *prefix)
{
	struct folder *folder = folder_list_add(list);
	char *colon = strrchr(word, ':'), *plus = strrchr(word, '+');
	unsigned messages = plus != NULL ? (unsigned)strtoul(plus + 1, NULL, 10) : 0;
	bool noselect, other;

	if (plus != NULL)
		*plus = '\0';
	if (colon != NULL)
		*colon = '\0';
	noselect = word[strlen(word) - 1] == '#';
	other = word[strlen(word) - 1] == '!';
	if (noselect || other)
		word[strlen(word) - 1] = '\0';
	CHECK_INT(folder_parse(list->arena, folder, word, strlen(word), delim, prefix, false), 0);
	folder->flags |= FOLDER_LISTED | (noselect ? FOLDER_NOSELECT : 0u);
	folder->space = other ? SPACE_OTHER : SPACE_PERSONAL;
	folder->messages = messages;
	if (colon != NULL)
		folder->use = special_use_by_attr(colon + 1);
}

static void
make_list(struct folder_list *list, const char *text, char delim, const char *prefix)
{
	struct words words;

	words_cut(&words, text, ';');
	folder_list_init(list);
	for (size_t i = 0; i < words.count; i++)
		add_folder(list, words.word[i], delim, prefix);
	free(words.text);
}

struct where {
	char delim;
	const char *prefix;
};

static int
place(void *context, struct arena *arena, const char *const *parts, size_t part_count,
	struct folder *folder_r, bool *changed_r, struct err *err)
{
	const struct where *where = context;
	struct str key;
	int ret;

	*changed_r = false;
	memset(folder_r, 0, sizeof *folder_r);
	str_init(&key, 4096);
	ret = folder_encode(&key, parts, part_count, where->delim, where->prefix, false, changed_r);
	if (ret == 0)
		ret = folder_parse(arena, folder_r, str_get(&key), key.len, where->delim,
			where->prefix, false);
	str_clear(&key);
	return ret == 0 ? 0 : err_set(err, ERR_NAME, "no such name here");
}

struct plan_case {
	const char *name, *source, *target;
	const char *include, *exclude; /* globs, "," between */
	const char *map;               /* "from>to", "," between */
	const char *known;             /* likewise, of keys */
	bool no_use;                   /* special_use = no */
	char source_delim, target_delim;
	const char *source_prefix, *target_prefix;
	const char *want; /* "source=target", in order; "+" new, "~" altered; or the error */
};

static const struct plan_case cases[] = {
	{ .name = "the same names",
		.source = "INBOX;a;a/b",
		.target = "INBOX;a",
		.want = "INBOX=INBOX a=a a/b=+a/b" },
	{ .name = "order: INBOX, Sent, Drafts, others, Junk, Trash",
		.source = "Trash:Trash;Zoo;Junk:Junk;Drafts:Drafts;Sent:Sent;INBOX;Archive:Archive",
		.target = "",
		.want = "INBOX=+INBOX Sent=+Sent Drafts=+Drafts Zoo=+Zoo Archive=+Archive "
			"Junk=+Junk Trash=+Trash" },
	{ .name = "by attribute, whatever the names",
		.source = "S1:Sent;T1:Trash",
		.target = "Out:Sent;Bin:Trash",
		.want = "S1=Out T1=Bin" },
	{ .name = "by name to an attribute",
		.source = "Gesendete Elemente;Papierkorb;Entw&APw-rfe",
		.target = "Sent:Sent;Trash:Trash;Drafts:Drafts",
		.want = "Gesendete Elemente=Sent Entw\xc3\xbcrfe=Drafts Papierkorb=Trash" },
	{ .name = "by name to a name",
		.source = "Corbeille;INBOX/Brouillons",
		.target = "Deleted Items;Drafts",
		.want = "INBOX/Brouillons=Drafts Corbeille=Deleted Items" },
	{ .name = "children follow their parent",
		.source = "Gesendete Elemente;Gesendete "
			  "Elemente/2019;Gesendete Elemente/2019/x",
		.target = "Sent:Sent",
		.want = "Gesendete Elemente=Sent Gesendete Elemente/2019=+Sent/2019 "
			"Gesendete Elemente/2019/x=+Sent/2019/x" },
	{ .name = "one Sent for one use: the other keeps its name",
		.source = "Sent Items;Sent:Sent",
		.target = "Sent Messages:Sent",
		.want = "Sent=Sent Messages Sent Items=+Sent Items" },
	{ .name = "two by name: the one that the target calls so",
		.source = "Sent;Sent Items",
		.target = "Sent Items",
		.want = "Sent Items=Sent Items Sent=+Sent" },
	{ .name = "a name deep down is no special use",
		.source = "Projects/Sent",
		.target = "Out:Sent",
		.want = "Projects/Sent=+Projects/Sent" },
	{ .name = "special_use = no",
		.source = "S1:Sent",
		.target = "Out:Sent",
		.no_use = true,
		.want = "S1=+S1" },
	{ .name = "separators and prefixes",
		.source = "INBOX;INBOX.Sent;INBOX.a.b",
		.source_delim = '.',
		.source_prefix = "INBOX.",
		.target = "INBOX;Sent",
		.want = "INBOX=INBOX Sent=Sent a/b=+a/b" },
	{ .name = "into a prefix",
		.source = "INBOX;a/b",
		.target = "INBOX;INBOX.a",
		.target_delim = '.',
		.target_prefix = "INBOX.",
		.want = "INBOX=INBOX a/b=+a/b" },
	{ .name = "the separator inside a name",
		.source = "a.b",
		.target = "",
		.target_delim = '.',
		.want = "a.b=+~a_b" },
	{ .name = "left out by kind",
		.source = "INBOX;top#;Public/x!;All Mail:All;Star:Flagged",
		.target = "",
		.want = "INBOX=+INBOX top(holds no messages) Public/x(shared or public: not part "
			"of this user's mailbox) All Mail(a view of messages that lie in other "
			"folders) Star(a view of messages that lie in other folders)" },
	{ .name = "a view that is asked for",
		.source = "All Mail:All",
		.target = "",
		.include = "All*",
		.want = "All Mail=+All Mail" },
	{ .name = "include and exclude",
		.source = "INBOX;a;a/b;b;Trash",
		.target = "",
		.include = "INBOX,a*",
		.exclude = "a/*",
		.want = "INBOX=+INBOX a=+a a/b(excluded by the profile) b(not included by the "
			"profile) Trash(not included by the profile)" },
	{ .name = "a map of one folder",
		.source = "Old;Old/x",
		.target = "",
		.map = "Old>New",
		.want = "Old=+New Old/x=+Old/x" },
	{ .name = "a map of what is below",
		.source = "Work;Work/a;Work/a/b",
		.target = "",
		.map = "Work/*>Archive/Work/*",
		.want = "Work=+Work Work/a=+Archive/Work/a Work/a/b=+Archive/Work/a/b" },
	{ .name = "a map before the use",
		.source = "S1:Sent",
		.target = "Out:Sent",
		.map = "S1>Mine",
		.want = "S1=+Mine" },
	{ .name = "the known goes on where it was",
		.source = "S1:Sent;b",
		.target = "Out:Sent;Was",
		.map = "b>c",
		.known = "S1>Was,b>b",
		.want = "S1=Was b=+b" },
	{ .name = "collision of a use",
		.source = "Out;S1:Sent",
		.target = "Out:Sent",
		.want = "error: Out and S1 would both land in Out; give one of them another name "
			"by "
			"a map rule in [folders]" },
	{ .name = "collision of a map",
		.source = "a;b",
		.target = "",
		.map = "a>b",
		.want = "error: a and b would both land in b; give one of them another name by a "
			"map rule in [folders]" },
	{ .name = "collision of altered names",
		.source = "a.b;a_b",
		.target = "",
		.target_delim = '.',
		.want = "error: a.b and a_b would both land in a_b; give one of them another name "
			"by a map rule in [folders]" },
	{ .name = "collision with a known one",
		.source = "New;b",
		.target = "",
		.known = "New>b",
		.want = "error: New and b would both land in b; give one of them another name by a "
			"map rule in [folders]" },
	{ .name = "INBOX in another case is INBOX",
		.source = "Inbox",
		.target = "INBOX",
		.want = "INBOX=INBOX" },
	{ .name = "a target parent that cannot be selected",
		.source = "a;a/b",
		.target = "a#;a/b",
		.want = "a=+a a/b=a/b" },
	{ .name = "a name that cannot be",
		.source = "&AAEAAg-",
		.target = "",
		.want = "error: folder \\x01\\x02: no such name here" },
	{ .name = "nothing", .source = "", .target = "INBOX", .want = "" },
};

static void
dump(struct str *out, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_folder *f = &plan->folders[i];
		CHECK_INT(f->left_out == NULL, i < plan->work_count);
		if (i > 0)
			str_adds(out, " ");
		str_adds(out, f->source_name);
		if (f->left_out != NULL)
			str_addf(out, "(%s)", f->left_out);
		else
			str_addf(out, "=%s%s%s", f->exists ? "" : "+", f->altered ? "~" : "",
				f->target_name);
	}
}

/* "from>to" words into pairs; the texts belong to the words. */
static void
cut_pairs(struct words *words, const char *text, const char *from[WORDS], const char *to[WORDS])
{
	words_cut(words, text, ',');
	for (size_t i = 0; i < words->count; i++) {
		char *mark = strchr(words->word[i], '>');
		*mark = '\0';
		from[i] = words->word[i];
		to[i] = mark + 1;
	}
}

static void
run_case(const struct plan_case *c)
{
	struct words include, exclude, maps, known;
	const char *from[WORDS], *to[WORDS], *key[WORDS], *target[WORDS];
	struct profile_map map[WORDS];
	struct plan_known knowns[WORDS];
	struct where where = { c->target_delim ? c->target_delim : '/',
		c->target_prefix ? c->target_prefix : "" };
	struct profile_folders rules = { .special_use = !c->no_use, .maps = map };
	struct folder_list source_list, target_list;
	struct plan_input in = { &rules, &source_list, &target_list, knowns, 0, place, &where };
	struct err err = { 0 };
	struct plan plan;
	struct str text;

	words_cut(&include, c->include, ',');
	words_cut(&exclude, c->exclude, ',');
	cut_pairs(&maps, c->map, from, to);
	cut_pairs(&known, c->known, key, target);
	for (size_t i = 0; i < maps.count; i++)
		map[i] = (struct profile_map){ maps.word[i], maps.word[i] + strlen(from[i]) + 1 };
	for (size_t i = 0; i < known.count; i++)
		knowns[i] = (struct plan_known){ key[i], target[i] };
	rules.include = (struct profile_list){ include.word, include.count };
	rules.exclude = (struct profile_list){ exclude.word, exclude.count };
	rules.map_count = maps.count;
	in.known_count = known.count;
	make_list(&source_list, c->source, c->source_delim ? c->source_delim : '/',
		c->source_prefix ? c->source_prefix : "");
	make_list(&target_list, c->target, where.delim, where.prefix);
	str_init(&text, 0);
	if (plan_make(&in, &plan, &err) == 0)
		dump(&text, &plan);
	else
		str_addf(&text, "error: %s", err.text);
	if (strcmp(str_get(&text), c->want) != 0)
		printf("case %s:\n", c->name);
	CHECK_STR(str_get(&text), c->want);
	plan_clear(&plan);
	str_clear(&text);
	folder_list_clear(&source_list);
	folder_list_clear(&target_list);
	free(include.text);
	free(exclude.text);
	free(maps.text);
	free(known.text);
}

static void
plans(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		run_case(&cases[i]);
}

/* What the plan hands on of a folder of the target, and of one that is to be made. */
static void
numbers(void)
{
	struct folder_list source, target;
	struct profile_folders rules = { .special_use = true };
	struct where where = { '/', "" };
	struct plan_input in = { &rules, &source, &target, NULL, 0, place, &where };
	struct plan plan;
	struct err err = { 0 };

	make_list(&source, "Sent:Sent+3;a+7", '/', "");
	make_list(&target, "a+5", '/', "");
	CHECK_INT(plan_make(&in, &plan, &err), 0);
	CHECK_INT(plan.work_count, 2);
	CHECK_STR(plan.folders[0].target.key, "Sent");
	CHECK_INT(plan.folders[0].target.use, USE_SENT); /* the target has none: made as such */
	CHECK_INT(plan.folders[0].source.messages, 3);
	CHECK_INT(plan.folders[1].source.messages, 7);
	CHECK_INT(plan.folders[1].target.messages, 5);
	CHECK_INT(plan.folders[1].exists, 1);
	plan_clear(&plan);
	plan_clear(&plan); /* cleared is clear */
	folder_list_clear(&source);
	folder_list_clear(&target);
}

int
main(void)
{
	RUN(plans);
	RUN(numbers);
	return test_done();
}
