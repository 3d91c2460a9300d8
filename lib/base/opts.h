/*
 * Command-line options from tables; the same tables print --help and the
 * manifest's "options". Long options everywhere ("--name VALUE" or
 * "--name=VALUE"), a letter for the common few; "--" ends them; options and
 * operands may be mixed (as getopt_long does).
 */
#ifndef MR_BASE_OPTS_H
#define MR_BASE_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum opt_kind {
	OPT_END,
	OPT_FLAG,       /* bool * */
	OPT_INT,        /* int * */
	OPT_U64,        /* uint64_t *, no sign */
	OPT_DOUBLE,     /* double *, finite */
	OPT_STRING,     /* const char **, points into argv */
	OPT_STRINGS,    /* struct opt_list *, every occurrence */
	OPT_GROUP,      /* no option: help is a heading in --help */
};

struct opt_list {
	const char **v;         /* the owner frees it; the strings point into argv */
	int n;
};

struct opt {
	enum opt_kind kind;
	const char *name;       /* long name */
	char letter;            /* or 0 */
	void *value;            /* holds the default before parsing */
	const char *arg;        /* its name in the help: "FILE", "N", … */
	const char *help;       /* one line; "{}" becomes the default's value */
	double min, max;        /* checked where min < max */
	bool given;             /* set by opts_parse */
	union {                 /* its own: the default, kept for --help */
		bool flag;
		int i;
		uint64_t u;
		double d;
		const char *s;
	} initial;
};

/* tables: NULL-terminated array of tables, each ended by OPT_END. Operands
 * are moved to argv[*operands …]. -1 with a message such as
 * "--rho: \"x\" is not a number from 0 to 1; see mr-lengthctl --help". */
int opts_parse(struct opt *const *tables, int argc, char **argv, int *operands, struct err *err);

/* The options part of --help: aligned, wrapped at 80 columns. */
void opts_help(struct opt *const *tables, struct buf *out);

/* A JSON object of every option's final value: {"rho":0.32,…}. Options
 * that cannot change the output's bytes are named in skip (NULL-ended). */
void opts_json(struct opt *const *tables, const char *const *skip, struct buf *out);

#endif
