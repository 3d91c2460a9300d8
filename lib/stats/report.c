#include "stats/report.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

int report_format_by_name(const char *name)
{
	static const char *const names[] = { "json", "table", "tsv", "markdown" };

	for (int i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

void report_row(struct report *r, const char *label)
{
	r->labels = mem_grow(r->labels, r->rows + 1, sizeof *r->labels);
	r->labels[r->rows++] = label ? mem_strdup(label) : NULL;
}

void report_add(struct report *r, const char *name, double value)
{
	r->cells = mem_grow(r->cells, r->ncells + 1, sizeof *r->cells);
	r->cells[r->ncells++] = (struct cell){ name, value };
}

void report_free(struct report *r)
{
	for (size_t i = 0; i < r->rows; i++)
		free(r->labels[i]);
	free(r->labels);
	free(r->cells);
	memset(r, 0, sizeof *r);
}

static size_t columns(const struct report *r)
{
	return r->rows ? r->ncells / r->rows : 0;
}

static const struct cell *cell(const struct report *r, size_t row, size_t column)
{
	return &r->cells[row * columns(r) + column];
}

static const char *label(const struct report *r, size_t row)
{
	return r->labels[row] ? r->labels[row] : "all";
}

static void json_members(const struct report *r, size_t row, struct buf *out)
{
	for (size_t i = 0; i < columns(r); i++) {
		const struct cell *c = cell(r, row, i);

		buf_adds(out, i ? "," : "");
		buf_json_string(out, c->name, strlen(c->name));
		buf_addc(out, ':');
		buf_json_number(out, c->value);
	}
}

static void write_json(const struct report *r, struct buf *out)
{
	buf_addc(out, '{');
	json_members(r, 0, out);
	if (r->by) {
		buf_adds(out, ",\"by\":");
		buf_json_string(out, r->by, strlen(r->by));
		buf_adds(out, ",\"groups\":[");
		for (size_t i = 1; i < r->rows; i++) {
			buf_adds(out, i > 1 ? ",{\"group\":" : "{\"group\":");
			buf_json_string(out, label(r, i), strlen(label(r, i)));
			buf_addc(out, ',');
			json_members(r, i, out);
			buf_addc(out, '}');
		}
		buf_addc(out, ']');
	}
	buf_adds(out, "}\n");
}

/* A label in one field of one line. */
static void one_line(struct buf *out, const char *s, bool markdown)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			buf_addc(out, ' ');
		else if (markdown && (*s == '|' || *s == '\\'))
			buf_printf(out, "\\%c", *s);
		else
			buf_addc(out, *s);
	}
}

static void write_tsv(const struct report *r, struct buf *out)
{
	if (r->by)
		one_line(out, r->by, false);
	for (size_t i = 0; i < columns(r); i++)
		buf_printf(out, "%s%s", i || r->by ? "\t" : "", cell(r, 0, i)->name);
	buf_addc(out, '\n');
	for (size_t row = 0; row < r->rows; row++) {
		if (r->by)
			one_line(out, label(r, row), false);
		for (size_t i = 0; i < columns(r); i++) {
			buf_adds(out, i || r->by ? "\t" : "");
			if (isnan(cell(r, row, i)->value))
				buf_adds(out, "NA");
			else
				buf_json_number(out, cell(r, row, i)->value);
		}
		buf_addc(out, '\n');
	}
}

/* Decimals of a column, the same in every row: none for whole numbers, more
 * for what stays below 1. */
static int decimals(const struct report *r, size_t column)
{
	double most = 0;
	bool whole = true;

	for (size_t row = 0; row < r->rows; row++) {
		double value = cell(r, row, column)->value;

		if (isnan(value))
			continue;
		most = fmax(most, fabs(value));
		whole = whole && value == floor(value);
	}
	return whole ? 0 : most < 1 ? 4 : 2;
}

static const char *rounded(const struct report *r, size_t row, size_t column, char text[48])
{
	double value = cell(r, row, column)->value;

	if (isnan(value))
		return "-";
	if (fabs(value) < 1e15)
		snprintf(text, 48, "%.*f", decimals(r, column), value);
	else
		snprintf(text, 48, "%.6g", value);
	return text;
}

/* The text of a column of the table: -1 the labels; row -1 the heading. */
static void field(const struct report *r, long row, long column, bool markdown, struct buf *out)
{
	char text[48];

	buf_reset(out);
	if (column < 0)
		one_line(out, row < 0 ? r->by : label(r, (size_t)row), markdown);
	else if (row < 0)
		buf_adds(out, cell(r, 0, (size_t)column)->name);
	else
		buf_adds(out, rounded(r, (size_t)row, (size_t)column, text));
	buf_adds(out, "");
}

static void pad(struct buf *out, size_t n)
{
	while (n-- > 0)
		buf_addc(out, ' ');
}

static void write_upright(const struct report *r, struct buf *out)
{
	char text[48];
	size_t width = 0;

	for (size_t i = 0; i < columns(r); i++)
		if (strlen(cell(r, 0, i)->name) > width)
			width = strlen(cell(r, 0, i)->name);
	for (size_t i = 0; i < columns(r); i++)
		buf_printf(out, "%-*s  %10s\n", (int)width, cell(r, 0, i)->name,
		    rounded(r, 0, i, text));
}

static void rule(long first, long last, struct buf *out)
{
	buf_addc(out, '|');
	for (long column = first; column < last; column++)
		buf_adds(out, column < 0 ? "---|" : "---:|");
	buf_addc(out, '\n');
}

static void write_rows(const struct report *r, bool markdown, struct buf *out)
{
	long first = r->by ? -1 : 0, last = (long)columns(r);
	size_t *width = mem_zalloc((size_t)last + 1, sizeof *width);
	struct buf text = { 0 };

	for (long row = -1; row < (long)r->rows; row++) {
		for (long column = first; column < last; column++) {
			field(r, row, column, markdown, &text);
			if (utf8_length(text.data, text.len) > width[column + 1])
				width[column + 1] = utf8_length(text.data, text.len);
		}
	}
	for (long row = -1; row < (long)r->rows; row++) {
		buf_adds(out, markdown ? "|" : "");
		for (long column = first; column < last; column++) {
			size_t gap;

			field(r, row, column, markdown, &text);
			gap = width[column + 1] - utf8_length(text.data, text.len);
			buf_adds(out, markdown ? " " : column > first ? "  " : "");
			pad(out, column < 0 ? 0 : gap);
			buf_add(out, text.data, text.len);
			pad(out, column < 0 ? gap : 0);
			buf_adds(out, markdown ? " |" : "");
		}
		buf_addc(out, '\n');
		if (markdown && row < 0)
			rule(first, last, out);
	}
	buf_free(&text);
	free(width);
}

void report_write(const struct report *r, enum report_format format, struct buf *out)
{
	if (format == REPORT_JSON)
		write_json(r, out);
	else if (format == REPORT_TSV)
		write_tsv(r, out);
	else if (format == REPORT_TABLE && !r->by)
		write_upright(r, out);
	else
		write_rows(r, format == REPORT_MARKDOWN, out);
}
