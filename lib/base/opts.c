#include "base/opts.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LONG_BASE 256   /* getopt's value for an option: this + its place among all */

struct parse {
	struct opt **opts;      /* those of all tables, without headings */
	int n;
	struct option *longs;
	struct buf shorts;
	const char *program;
};

static int fail(const struct parse *p, struct err *err, const struct buf *what)
{
	return err_set(err, "%s; see %s --help", what->data, p->program);
}

static bool takes_value(const struct opt *o)
{
	return o->kind != OPT_FLAG;
}

static void keep_default(struct opt *o)
{
	o->given = false;
	switch (o->kind) {
	case OPT_FLAG: o->initial.flag = *(bool *)o->value; break;
	case OPT_INT: o->initial.i = *(int *)o->value; break;
	case OPT_U64: o->initial.u = *(uint64_t *)o->value; break;
	case OPT_DOUBLE: o->initial.d = *(double *)o->value; break;
	case OPT_STRING: o->initial.s = *(const char **)o->value; break;
	default: break;
	}
}

static void collect(struct parse *p, struct opt *const *tables)
{
	int room = 0;
	for (struct opt *const *t = tables; *t; t++)
		for (const struct opt *o = *t; o->kind != OPT_END; o++)
			room++;
	p->opts = mem_zalloc((size_t)room + 1, sizeof(*p->opts));
	p->longs = mem_zalloc((size_t)room + 1, sizeof(*p->longs));
	buf_addc(&p->shorts, ':');
	for (struct opt *const *t = tables; *t; t++) {
		for (struct opt *o = *t; o->kind != OPT_END; o++) {
			if (o->kind == OPT_GROUP)
				continue;
			keep_default(o);
			p->longs[p->n] = (struct option){ .name = o->name, .has_arg = takes_value(o),
			    .val = LONG_BASE + p->n };
			p->opts[p->n++] = o;
			if (o->letter)
				buf_printf(&p->shorts, "%c%s", o->letter, takes_value(o) ? ":" : "");
		}
	}
}

static struct opt *by_value(const struct parse *p, int c)
{
	if (c >= LONG_BASE && c - LONG_BASE < p->n)
		return p->opts[c - LONG_BASE];
	for (int i = 0; i < p->n; i++)
		if (c > 0 && p->opts[i]->letter == c)
			return p->opts[i];
	return NULL;
}

/* " from 0 to 1", " of 1 or more", … */
static void add_range(struct buf *b, const struct opt *o)
{
	double lowest = o->kind == OPT_INT ? INT_MIN : o->kind == OPT_U64 ? 0 : -HUGE_VAL;
	double highest = o->kind == OPT_INT ? INT_MAX : o->kind == OPT_U64 ? 0x1p64 - 2048 : HUGE_VAL;
	bool ranged = o->min < o->max;
	bool low = o->kind == OPT_U64 || (ranged && o->min > lowest), high = ranged && o->max < highest;
	double min = ranged ? o->min : 0;
	if (low && high)
		buf_printf(b, " from %.10g to %.10g", min, o->max);
	else if (low)
		buf_printf(b, " of %.10g or more", min);
	else if (high)
		buf_printf(b, " of at most %.10g", o->max);
}

static bool in_range(const struct opt *o, double x)
{
	return !(o->min < o->max) || (x >= o->min && x <= o->max);
}

static bool read_int(const char *s, int *value)
{
	char *end;
	if (s[strspn(s, "+-0123456789")] || !*s)
		return false;
	errno = 0;
	long x = strtol(s, &end, 10);
	if (*end || end == s || errno || x < INT_MIN || x > INT_MAX)
		return false;
	*value = (int)x;
	return true;
}

static bool read_u64(const char *s, uint64_t *value)
{
	if (s[strspn(s, "0123456789")] || !*s)
		return false;
	errno = 0;
	*value = strtoull(s, NULL, 10);
	return errno == 0;
}

/* Decimal only: strtod alone would take "nan", "0x1p3" and leading blanks. */
static bool read_double(const char *s, double *value)
{
	char *end;
	if (s[strspn(s, "+-.0123456789eE")] || !*s)
		return false;
	*value = strtod(s, &end);
	return !*end && end != s && isfinite(*value);
}

static void add_to_list(struct opt *o, const char *value)
{
	struct opt_list *l = o->value;
	if (!o->given)
		*l = (struct opt_list){ 0 };
	l->v = mem_grow(l->v, (size_t)l->n + 1, sizeof(*l->v));
	l->v[l->n++] = value;
}

static bool set_value(struct opt *o, const char *value)
{
	int i;
	uint64_t u;
	double d;
	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)o->value = true;
		return true;
	case OPT_INT:
		if (!read_int(value, &i) || !in_range(o, i))
			return false;
		*(int *)o->value = i;
		return true;
	case OPT_U64:
		if (!read_u64(value, &u) || !in_range(o, (double)u))
			return false;
		*(uint64_t *)o->value = u;
		return true;
	case OPT_DOUBLE:
		if (!read_double(value, &d) || !in_range(o, d))
			return false;
		*(double *)o->value = d;
		return true;
	case OPT_STRING:
		*(const char **)o->value = value;
		return true;
	default:
		add_to_list(o, value);
		return true;
	}
}

static int bad_value(const struct parse *p, const struct opt *o, const char *value, struct err *err)
{
	struct buf b = { 0 };
	buf_printf(&b, "--%s: \"%.100s\" is not a %s", o->name, value,
	    o->kind == OPT_DOUBLE ? "number" : "whole number");
	add_range(&b, o);
	fail(p, err, &b);
	buf_free(&b);
	return -1;
}

static int missing_value(const struct parse *p, int c, struct err *err)
{
	const struct opt *o = by_value(p, c);
	struct buf b = { 0 };
	if (c < LONG_BASE)
		buf_printf(&b, "-%c", c);
	else
		buf_printf(&b, "--%s", o ? o->name : "?");
	buf_printf(&b, " needs a value");
	if (o && o->arg)
		buf_printf(&b, " (%s)", o->arg);
	fail(p, err, &b);
	buf_free(&b);
	return -1;
}

/* getopt said '?': an option that there is not, an abbreviation of several,
 * or a value for one that takes none. word: where it stands in argv. */
static int unknown_option(const struct parse *p, const char *word, int c, struct err *err)
{
	struct buf b = { 0 };
	if (c >= LONG_BASE) {
		const struct opt *o = by_value(p, c);
		buf_printf(&b, "--%s takes no value", o ? o->name : "?");
	} else if (c > 0) {
		buf_printf(&b, "unknown option \"-%c\"", c);
	} else {
		int len = (int)strcspn(word, "="), found = 0;
		for (int i = 0; i < p->n; i++) {
			if (len <= 2 || strncmp(p->opts[i]->name, word + 2, (size_t)len - 2) != 0)
				continue;
			if (!found++)
				buf_printf(&b, "\"%.*s\" could be ", len, word);
			buf_printf(&b, "%s--%s", found > 1 ? " or " : "", p->opts[i]->name);
		}
		if (!found)
			buf_printf(&b, "unknown option \"%.*s\"", len > 100 ? 100 : len, word);
	}
	fail(p, err, &b);
	buf_free(&b);
	return -1;
}

static int parse_all(struct parse *p, int argc, char **argv, struct err *err)
{
	int c;
	optind = 0;     /* getopt begins anew */
	opterr = 0;
	while ((c = getopt_long(argc, argv, p->shorts.data, p->longs, NULL)) != -1) {
		if (c == ':')
			return missing_value(p, optopt, err);
		if (c == '?')
			return unknown_option(p, argv[optind - 1], optopt, err);
		struct opt *o = by_value(p, c);
		if (!set_value(o, optarg))
			return bad_value(p, o, optarg, err);
		o->given = true;
	}
	return 0;
}

int opts_parse(struct opt *const *tables, int argc, char **argv, int *operands, struct err *err)
{
	struct parse p = { 0 };
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	p.program = slash ? slash + 1 : argc > 0 ? argv[0] : "";
	collect(&p, tables);
	int bad = parse_all(&p, argc, argv, err);
	*operands = optind;
	free(p.opts);
	free(p.longs);
	buf_free(&p.shorts);
	return bad;
}
