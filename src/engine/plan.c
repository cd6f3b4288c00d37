/* plan.c - folder planning.
 *
 * Paths are lists of components all the way; only rules and messages see them joined by "/". Each
 * special use is given to one source folder at most (by attribute, else the first by name), so
 * that "Sent" and "Sent Items" side by side do not both become the target's \Sent. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/plan.h"

#include "base/banned.h"

#define RANKS 7

struct planner {
	const struct plan_input *in;
	struct plan *plan;
	const struct folder *source_use[USE_TYPES], *target_use[USE_TYPES];
};

/* A path under construction; the parts are borrowed from lists or the arena. */
struct path {
	const char **parts;
	size_t count;
};

static const char *
show_parts(struct arena *arena, const char *const *parts, size_t count)
{
	struct str s;
	char *text;

	str_init(&s, 0);
	folder_show(&s, parts, count);
	text = arena_strdup(arena, str_get(&s));
	str_clear(&s);
	return text;
}

static const char *
show_folder(struct arena *arena, const struct folder *folder)
{
	return show_parts(arena, (const char *const *)folder->parts, folder->part_count);
}

static bool
any_glob(const struct profile_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_glob(list->values[i], name))
			return true;
	return false;
}

/* Views show mail that lies in other folders too; moving them would double it. */
static bool
is_view(enum special_use use)
{
	return use == USE_ALL || use == USE_FLAGGED || use == USE_IMPORTANT;
}

static const char *
left_out(const struct profile_folders *rules, const struct folder *folder, const char *name)
{
	bool included = any_glob(&rules->include, name);

	if (folder->space != SPACE_PERSONAL)
		return "shared or public: not part of this user's mailbox";
	if (!(folder->flags & FOLDER_LISTED) || (folder->flags & FOLDER_NOSELECT))
		return "holds no messages";
	if (any_glob(&rules->exclude, name))
		return "excluded by the profile";
	if (rules->include.count > 0 && !included)
		return "not included by the profile";
	if (is_view(folder->use) && !included)
		return "a view of messages that lie in other folders";
	return NULL;
}

static bool
same_path(const struct folder *a, const struct folder *b)
{
	if (a->part_count != b->part_count)
		return false;
	for (size_t i = 0; i < a->part_count; i++)
		if (strcmp(a->parts[i], b->parts[i]) != 0)
			return false;
	return true;
}

/* The folders that have a use: by attribute, then by name where no attribute tells. Of several by
 * name the one is taken that the other side (others, may be NULL) calls so, else the first. */
static void
find_uses(const struct folder_list *list, const struct folder *const others[USE_TYPES],
	const struct folder *uses[USE_TYPES])
{
	for (size_t i = 0; i < list->count; i++) {
		const struct folder *folder = &list->folders[i];
		if (folder->space == SPACE_PERSONAL && (folder->flags & FOLDER_LISTED) &&
			folder->use > USE_INBOX && uses[folder->use] == NULL)
			uses[folder->use] = folder;
	}
	for (size_t i = 0; i < list->count; i++) {
		const struct folder *folder = &list->folders[i];
		bool top = folder->part_count == 1 ||
			   (folder->part_count == 2 && strcmp(folder->parts[0], "INBOX") == 0);
		enum special_use use;
		if (!top || folder->space != SPACE_PERSONAL || !(folder->flags & FOLDER_LISTED) ||
			folder->use != USE_NONE)
			continue;
		use = special_use_by_name(folder->parts[folder->part_count - 1]);
		if (use == USE_NONE || (uses[use] != NULL && uses[use]->use != USE_NONE))
			continue;
		if (uses[use] == NULL ||
			(others != NULL && others[use] != NULL && same_path(folder, others[use])))
			uses[use] = folder;
	}
}

static struct path
path_join_rest(struct arena *arena, const char *const *head, size_t head_count,
	const struct folder *folder, size_t skip)
{
	struct path path;
	size_t rest = folder->part_count - skip;

	path.count = head_count + rest;
	path.parts = arena_alloc(arena, (path.count + 1) * sizeof *path.parts);
	for (size_t i = 0; i < head_count; i++)
		path.parts[i] = head[i];
	for (size_t i = 0; i < rest; i++)
		path.parts[head_count + i] = folder->parts[skip + i];
	return path;
}

static struct path
path_split(struct arena *arena, const char *text, const struct folder *folder, size_t skip)
{
	size_t count = 1;
	const char **parts;
	char *copy = arena_strdup(arena, text);

	for (const char *p = copy; *p != '\0'; p++)
		count += *p == '/';
	parts = arena_alloc(arena, count * sizeof *parts);
	count = 0;
	for (char *p = copy; p != NULL;) {
		char *slash = strchr(p, '/');
		if (slash != NULL)
			*slash++ = '\0';
		if (*p != '\0')
			parts[count++] = p;
		p = slash;
	}
	return path_join_rest(arena, parts, count, folder, skip);
}

/* The admin's maps: a whole path, or with a trailing slash and star what is below it. */
static bool
map_by_rule(struct planner *p, const struct folder *folder, struct path *path_r)
{
	struct arena *arena = p->plan->arena;

	for (size_t i = 0; i < p->in->rules->map_count; i++) {
		const struct profile_map *map = &p->in->rules->maps[i];
		size_t len = strlen(map->from), to_len = strlen(map->to);
		bool below = len > 2 && strcmp(map->from + len - 2, "/*") == 0;
		const char *from = below ? arena_strndup(arena, map->from, len - 2) : map->from;
		const char *to = to_len > 2 && strcmp(map->to + to_len - 2, "/*") == 0
					 ? arena_strndup(arena, map->to, to_len - 2)
					 : map->to;
		for (size_t n = folder->part_count; n > 0; n--) {
			if (below ? n == folder->part_count : n != folder->part_count)
				continue;
			if (strcmp(show_parts(arena, (const char *const *)folder->parts, n),
				    from) == 0) {
				*path_r = path_split(arena, to, folder, n);
				return path_r->count > 0;
			}
		}
	}
	return false;
}

/* The nearest ancestor (or the folder itself) with a use that the target has a folder for. */
static bool
map_by_use(struct planner *p, const struct folder *folder, struct path *path_r)
{
	for (int use = USE_INBOX + 1; use < USE_TYPES; use++) {
		const struct folder *from = p->source_use[use], *to = p->target_use[use];
		bool same = true;
		if (from == NULL || to == NULL || from->part_count > folder->part_count)
			continue;
		for (size_t i = 0; same && i < from->part_count; i++)
			same = strcmp(from->parts[i], folder->parts[i]) == 0;
		if (!same)
			continue;
		*path_r = path_join_rest(p->plan->arena, (const char *const *)to->parts,
			to->part_count, folder, from->part_count);
		return true;
	}
	return false;
}

static const struct plan_known *
find_known(const struct plan_input *in, const char *source_key)
{
	for (size_t i = 0; i < in->known_count; i++)
		if (strcmp(in->known[i].source_key, source_key) == 0)
			return &in->known[i];
	return NULL;
}

/* A known target folder that is not listed any more keeps its key. */
static void
continue_known(struct planner *p, const struct plan_known *known, struct plan_folder *pf)
{
	struct arena *arena = p->plan->arena;
	const struct folder *there = folder_list_find(p->in->target, known->target_key);

	if (there != NULL) {
		folder_copy(arena, &pf->target, there);
		return;
	}
	pf->target.key = arena_strdup(arena, known->target_key);
	pf->target.parts = arena_alloc(arena, sizeof *pf->target.parts);
	pf->target.parts[0] = pf->target.key;
	pf->target.part_count = 1;
}

static int
place_new(struct planner *p, struct plan_folder *pf, struct err *err)
{
	struct arena *arena = p->plan->arena;
	const struct folder *there;
	struct path path;

	if (!map_by_rule(p, &pf->source, &path) &&
		!(p->in->rules->special_use && map_by_use(p, &pf->source, &path))) {
		path.parts = pf->source.parts;
		path.count = pf->source.part_count;
	}
	if (p->in->place(p->in->place_context, arena, (const char *const *)path.parts, path.count,
		    &pf->target, &pf->altered, err) < 0)
		return err_context(err, "folder %s", pf->source_name);
	there = folder_list_find(p->in->target, pf->target.key);
	if (there != NULL)
		folder_copy(arena, &pf->target, there);
	else if (pf->source.use > USE_INBOX && p->target_use[pf->source.use] == NULL)
		pf->target.use = pf->source.use;
	return 0;
}

static int
plan_one(struct planner *p, const struct folder *folder, struct plan_folder *pf, struct err *err)
{
	struct arena *arena = p->plan->arena;
	const struct plan_known *known;
	const struct folder *there;

	folder_copy(arena, &pf->source, folder);
	pf->source_name = show_folder(arena, folder);
	pf->left_out = left_out(p->in->rules, folder, pf->source_name);
	if (pf->left_out != NULL)
		return 0;
	known = find_known(p->in, folder->key);
	if (known != NULL)
		continue_known(p, known, pf);
	else if (place_new(p, pf, err) < 0)
		return -1;
	there = folder_list_find(p->in->target, pf->target.key);
	pf->exists = there != NULL && (there->flags & FOLDER_LISTED) &&
		     !(there->flags & FOLDER_NOSELECT);
	pf->target_name = show_folder(arena, &pf->target);
	return 0;
}

/* What users want first comes first; what they would miss least comes last. */
static unsigned char
rank(const struct planner *p, const struct plan_folder *pf, const struct folder *source)
{
	enum special_use use = pf->source.use;

	if (pf->left_out != NULL)
		return RANKS - 1;
	for (int u = USE_INBOX + 1; use == USE_NONE && u < USE_TYPES; u++)
		if (p->source_use[u] == source) /* by its name */
			use = (enum special_use)u;
	switch (use) {
	case USE_INBOX:
		return 0;
	case USE_SENT:
		return 1;
	case USE_DRAFTS:
		return 2;
	case USE_JUNK:
		return 4;
	case USE_TRASH:
		return 5;
	case USE_NONE:
	case USE_ALL:
	case USE_ARCHIVE:
	case USE_FLAGGED:
	case USE_IMPORTANT:
	case USE_TYPES:
		break;
	}
	return strcmp(pf->source_name, "INBOX") == 0 ? 0 : 3;
}

static void
sort_by_rank(struct planner *p)
{
	struct plan *plan = p->plan;
	struct plan_folder *sorted = arena_alloc(plan->arena, (plan->count + 1) * sizeof *sorted);
	unsigned char *ranks = arena_alloc(plan->arena, plan->count + 1);
	size_t n = 0;

	for (size_t i = 0; i < plan->count; i++)
		ranks[i] = rank(p, &plan->folders[i], &p->in->source->folders[i]);
	for (unsigned char r = 0; r < RANKS; r++)
		for (size_t i = 0; i < plan->count; i++)
			if (ranks[i] == r)
				sorted[n++] = plan->folders[i];
	plan->folders = sorted;
	while (plan->work_count < plan->count && sorted[plan->work_count].left_out == NULL)
		plan->work_count++;
}

static int
by_target_key(const void *a, const void *b)
{
	const struct plan_folder *const *x = a, *const *y = b;
	int order = strcmp((*x)->target.key, (*y)->target.key);

	return order != 0 ? order : strcmp((*x)->source_name, (*y)->source_name);
}

static int
refuse_collisions(const struct plan *plan, struct err *err)
{
	const struct plan_folder **by_key =
		arena_alloc(plan->arena, (plan->work_count + 1) * sizeof *by_key);

	for (size_t i = 0; i < plan->work_count; i++)
		by_key[i] = &plan->folders[i];
	qsort(by_key, plan->work_count, sizeof *by_key, by_target_key);
	for (size_t i = 1; i < plan->work_count; i++)
		if (strcmp(by_key[i - 1]->target.key, by_key[i]->target.key) == 0)
			return err_set(err, ERR_COLLISION,
				"%s and %s would both land in %s; give one of them another name by "
				"a map rule in [folders]",
				by_key[i - 1]->source_name, by_key[i]->source_name,
				by_key[i]->target_name);
	return 0;
}

int
plan_make(const struct plan_input *input, struct plan *plan_r, struct err *err)
{
	struct planner p = { .in = input, .plan = plan_r };

	memset(plan_r, 0, sizeof *plan_r);
	plan_r->arena = arena_new();
	plan_r->folders =
		arena_alloc(plan_r->arena, (input->source->count + 1) * sizeof *plan_r->folders);
	find_uses(input->target, NULL, p.target_use);
	find_uses(input->source, p.target_use, p.source_use);
	for (size_t i = 0; i < input->source->count; i++) {
		if (plan_one(&p, &input->source->folders[i], &plan_r->folders[i], err) < 0)
			goto fail;
		plan_r->count++;
	}
	sort_by_rank(&p);
	if (refuse_collisions(plan_r, err) < 0)
		goto fail;
	return 0;
fail:
	plan_clear(plan_r);
	return -1;
}

void
plan_clear(struct plan *plan)
{
	arena_free(&plan->arena);
	memset(plan, 0, sizeof *plan);
}
