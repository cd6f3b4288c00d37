/* show.c - profiles and options as text: what a profile says, a sample of one, and the lists of the
 * manual. All of it is drawn from the tables, so none of it can be out of date. */
#include <stdlib.h>
#include <string.h>

#include "profile/profile_private.h"

#include "base/banned.h"

#define COMMENT_COLUMNS 96

/* The text of a default, as option_write() gives it. */
static const char *
default_of(const struct option *option)
{
	return option->def != NULL ? option->def : "";
}

void
profile_show(const struct profile *profile, struct str *out, bool with_defaults)
{
	struct str value;

	str_init(&value, 0);
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		bool headed = false;

		for (const struct option *o = s->options; o->name != NULL; o++) {
			str_reset(&value);
			option_write(o, option_base_const(profile, s), &value);
			if (!with_defaults && strcmp(str_get(&value), default_of(o)) == 0)
				continue;
			if (!headed)
				str_addf(out, "%s[%s]\n", out->len > 0 ? "\n" : "", s->name);
			headed = true;
			str_addf(out, "%s =%s%s\n", o->name, value.len > 0 ? " " : "",
				str_get(&value));
		}
	}
	str_clear(&value);
}

/* Words with `; ` before each line. */
static void
add_comment(struct str *out, const char *text)
{
	size_t used = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (used > 0 && used + 1 + len > COMMENT_COLUMNS) {
			str_addc(out, '\n');
			used = 0;
		}
		str_adds(out, used == 0 ? "; " : " ");
		str_add(out, text, len);
		used += (used == 0 ? 2 : 1) + len;
		text += len + strspn(text + len, " ");
	}
	str_addc(out, '\n');
}

/* What the sample gives an option; '%' stands for the section's name. */
static void
add_sample_value(struct str *out, const struct option_section *section, const struct option *option)
{
	const char *text = option->sample != NULL ? option->sample : default_of(option);

	str_addf(out, "%s =%s", option->name, *text != '\0' ? " " : "");
	for (; *text != '\0'; text++) {
		if (*text == '%')
			str_adds(out, section->name);
		else
			str_addc(out, *text);
	}
	str_addc(out, '\n');
}

/* True for the second of two sections that have one table. */
static bool
is_repeated(const struct option_section *section)
{
	return section != profile_sections && section->options == section[-1].options;
}

static void
add_sample_option(
	struct str *out, const struct option_section *section, const struct option *option)
{
	struct str takes;

	if (!is_repeated(section)) {
		str_init(&takes, 0);
		str_adds(&takes, "takes ");
		option_describe(option, &takes);
		str_addc(out, '\n');
		add_comment(out, option->help);
		add_comment(out, str_get(&takes));
		str_clear(&takes);
	}
	if (!option->active)
		str_addc(out, ';');
	add_sample_value(out, section, option);
}

void
profile_sample(struct str *out)
{
	add_comment(out, "A profile of mailhaul: whose mail is moved, from where to where.");
	add_comment(out, "Keys behind a ; are not set: they show the default, or an example where "
			 "there is none.");
	add_comment(out,
		"A value that holds ; or # or blanks at its ends goes into double quotes; a "
		"comment behind a value has a blank before and behind its ;");
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		str_addc(out, '\n');
		add_comment(out, s->help);
		if (is_repeated(s))
			add_comment(out, "the same keys as above");
		str_addf(out, "[%s]\n", s->name);
		for (const struct option *o = s->options; o->name != NULL; o++)
			add_sample_option(out, s, o);
	}
}

/* "[source], [target]" */
static void
add_heading(struct str *out, const struct option_section *section)
{
	str_addf(out, "[%s]", section->name);
	if (section[1].name != NULL && is_repeated(&section[1]))
		str_addf(out, ", [%s]", section[1].name);
}

/* A table's cell must not hold a bare bar. */
static void
add_cell(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			str_addc(out, '\\');
		str_addc(out, *text);
	}
}

void
profile_options_md(struct str *out)
{
	struct str takes;

	str_init(&takes, 0);
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		if (is_repeated(s))
			continue;
		str_adds(out, s != profile_sections ? "\n### " : "### ");
		add_heading(out, s);
		str_adds(out, "\n\n| Key | Takes | Default | What it is |\n|---|---|---|---|\n");
		for (const struct option *o = s->options; o->name != NULL; o++) {
			str_reset(&takes);
			option_describe(o, &takes);
			str_addf(out, "| `%s` | ", o->name);
			add_cell(out, str_get(&takes));
			str_addf(out, " | %s%s%s | ", o->def != NULL ? "`" : "",
				o->required ? "must be given" : default_of(o),
				o->def != NULL ? "`" : "");
			add_cell(out, o->help);
			str_adds(out, " |\n");
		}
	}
	str_clear(&takes);
}

/* Text that roff takes for nothing else. */
static void
add_roff(struct str *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		str_adds(out, "\\&");
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			str_adds(out, "\\e");
		else if (*text == '-')
			str_adds(out, "\\-");
		else if (*text == '\n')
			str_addc(out, ' ');
		else
			str_addc(out, *text);
	}
}

static void
add_roff_option(struct str *out, const struct option *option)
{
	struct str takes;

	str_init(&takes, 0);
	option_describe(option, &takes);
	str_adds(out, ".TP\n.B ");
	add_roff(out, option->name);
	str_addc(out, '\n');
	add_roff(out, option->help);
	str_adds(out, ".\nTakes: ");
	add_roff(out, str_get(&takes));
	str_adds(out, ".\n");
	if (option->required)
		str_adds(out, "Must be given.\n");
	if (option->def != NULL) {
		str_adds(out, "Default: ");
		add_roff(out, option->def);
		str_adds(out, ".\n");
	}
	str_clear(&takes);
}

void
profile_options_man(struct str *out)
{
	str_adds(
		out, ".\\\" Written from the option tables (src/profile/tables.c): do not edit.\n");
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		if (is_repeated(s))
			continue;
		str_adds(out, ".SS \"");
		add_heading(out, s);
		str_adds(out, "\"\n");
		for (const struct option *o = s->options; o->name != NULL; o++)
			add_roff_option(out, o);
	}
}
