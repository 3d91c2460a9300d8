/*
 * A report: rows of named numbers, the same names in every row, written as
 * JSON, tab-separated values, a plain table or a markdown table. The first
 * row is the whole; those behind it are its parts, each with its label.
 */
#ifndef MR_STATS_REPORT_H
#define MR_STATS_REPORT_H

#include <stddef.h>

#include "base/buf.h"

enum report_format { REPORT_JSON, REPORT_TABLE, REPORT_TSV, REPORT_MARKDOWN };

struct cell {
	const char *name;       /* not copied: a literal */
	double value;           /* NaN: there is none */
};

struct report {
	const char *by;         /* what the parts are by; NULL: there is only the whole */
	struct cell *cells;     /* (rows, columns) */
	size_t ncells;
	char **labels;          /* (rows) */
	size_t rows;
};

/* json, table, tsv, markdown; -1: none of these. */
int report_format_by_name(const char *name);

/* Begins a row; label is copied, NULL for the whole. */
void report_row(struct report *r, const char *label);
/* The next number of the row. Whole numbers are written as such. */
void report_add(struct report *r, const char *name, double value);

/*
 * JSON: {"win_rate":…, …} and, with parts, "by":FIELD, "groups":[{"group":
 * LABEL, "win_rate":…}, …]; numbers in full, null where there is none.
 * TSV: a line of names, a line a row; numbers in full, NA where there is
 * none. Tables are for reading: numbers are rounded, "-" where there is
 * none; the plain table of one row is upright, a name and a number a line.
 */
void report_write(const struct report *r, enum report_format format, struct buf *out);
void report_free(struct report *r);

#endif
