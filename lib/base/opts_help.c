#include "base/opts.h"

#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"

#define WIDTH 80
#define MAX_LEFT 30     /* the help's column is not further right than this */

/* "-o, --output FILE" */
static void add_name(struct buf *b, const struct opt *o)
{
	if (o->letter)
		buf_printf(b, "  -%c, --%s", o->letter, o->name);
	else
		buf_printf(b, "      --%s", o->name);
	if (o->kind != OPT_FLAG)
		buf_printf(b, " %s", o->arg ? o->arg : "VALUE");
}

static void add_default(struct buf *b, const struct opt *o)
{
	const struct opt_list *l = o->value;
	const char *s;
	switch (o->kind) {
	case OPT_FLAG:
		buf_adds(b, (o->given ? o->initial.flag : *(bool *)o->value) ? "on" : "off");
		break;
	case OPT_INT:
		buf_printf(b, "%d", o->given ? o->initial.i : *(int *)o->value);
		break;
	case OPT_U64:
		buf_printf(b, "%" PRIu64, o->given ? o->initial.u : *(uint64_t *)o->value);
		break;
	case OPT_DOUBLE:
		buf_json_number(b, o->given ? o->initial.d : *(double *)o->value);
		break;
	case OPT_STRING:
		s = o->given ? o->initial.s : *(const char **)o->value;
		buf_adds(b, s && *s ? s : "none");
		break;
	default:
		if (o->given || l->n == 0)
			buf_adds(b, "none");
		for (int i = 0; !o->given && i < l->n; i++)
			buf_printf(b, "%s%s", i ? " " : "", l->v[i]);
	}
}

static void add_help(struct buf *b, const struct opt *o)
{
	const char *text = o->help ? o->help : "", *mark;
	while ((mark = strstr(text, "{}"))) {
		buf_add(b, text, (size_t)(mark - text));
		add_default(b, o);
		text = mark + 2;
	}
	buf_adds(b, text);
}

static size_t columns(const struct buf *b)
{
	return utf8_length(b->data ? b->data : "", b->len);
}

/* The words of text, in lines that begin at column left; the cursor stands
 * at column at. */
static void wrap(struct buf *out, const char *text, size_t at, size_t left)
{
	while (*(text += strspn(text, " "))) {
		size_t len = strcspn(text, " "), width = utf8_length(text, len);
		if (at > left && at + 1 + width > WIDTH) {
			buf_addc(out, '\n');
			at = 0;
		}
		if (at > left) {
			buf_addc(out, ' ');
			at++;
		}
		for (; at < left; at++)
			buf_addc(out, ' ');
		buf_add(out, text, len);
		at += width;
		text += len;
	}
	buf_addc(out, '\n');
}

static size_t help_column(struct opt *const *tables)
{
	size_t left = 0;
	struct buf b = { 0 };
	for (; *tables; tables++) {
		for (const struct opt *o = *tables; o->kind != OPT_END; o++) {
			if (o->kind == OPT_GROUP)
				continue;
			buf_reset(&b);
			add_name(&b, o);
			if (columns(&b) + 2 > left && columns(&b) + 2 <= MAX_LEFT)
				left = columns(&b) + 2;
		}
	}
	buf_free(&b);
	return left ? left : MAX_LEFT;
}

static void add_heading(struct buf *out, const struct opt *o)
{
	size_t len = strlen(o->help);
	if (out->len)
		buf_addc(out, '\n');
	buf_printf(out, "%s%s\n", o->help, len && o->help[len - 1] == ':' ? "" : ":");
}

void opts_help(struct opt *const *tables, struct buf *out)
{
	size_t left = help_column(tables);
	struct buf name = { 0 }, help = { 0 };
	for (; *tables; tables++) {
		for (const struct opt *o = *tables; o->kind != OPT_END; o++) {
			if (o->kind == OPT_GROUP) {
				add_heading(out, o);
				continue;
			}
			buf_reset(&name);
			buf_reset(&help);
			add_name(&name, o);
			add_help(&help, o);
			buf_add(out, name.data, name.len);
			size_t at = columns(&name);
			if (help.len && at + 2 > left) {
				buf_addc(out, '\n');
				at = 0;
			}
			wrap(out, help.data, at, left);
		}
	}
	buf_free(&name);
	buf_free(&help);
}

static void add_json(struct buf *out, const struct opt *o)
{
	const struct opt_list *l = o->value;
	const char *s;
	switch (o->kind) {
	case OPT_FLAG:
		buf_adds(out, *(bool *)o->value ? "true" : "false");
		break;
	case OPT_INT:
		buf_printf(out, "%d", *(int *)o->value);
		break;
	case OPT_U64:
		buf_printf(out, "%" PRIu64, *(uint64_t *)o->value);
		break;
	case OPT_DOUBLE:
		buf_json_number(out, *(double *)o->value);
		break;
	case OPT_STRING:
		s = *(const char **)o->value;
		if (s)
			buf_json_string(out, s, strlen(s));
		else
			buf_adds(out, "null");
		break;
	default:
		buf_addc(out, '[');
		for (int i = 0; i < l->n; i++) {
			if (i)
				buf_addc(out, ',');
			buf_json_string(out, l->v[i], strlen(l->v[i]));
		}
		buf_addc(out, ']');
	}
}

static bool is_in(const char *name, const char *const *list)
{
	for (; list && *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

void opts_json(struct opt *const *tables, const char *const *skip, struct buf *out)
{
	int n = 0;
	buf_addc(out, '{');
	for (; *tables; tables++) {
		for (const struct opt *o = *tables; o->kind != OPT_END; o++) {
			if (o->kind == OPT_GROUP || is_in(o->name, skip))
				continue;
			if (n++)
				buf_addc(out, ',');
			buf_json_string(out, o->name, strlen(o->name));
			buf_addc(out, ':');
			add_json(out, o);
		}
	}
	buf_addc(out, '}');
}
