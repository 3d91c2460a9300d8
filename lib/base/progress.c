#include "base/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/utf8.h"

#define REDRAW_SECONDS 0.2
#define LINE_SECONDS 2.0

double now_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t terminal_width(void)
{
	struct winsize w;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1)
		return w.ws_col;
	return 80;
}

/* Nothing is lost where the line cannot be shown. */
static void show(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, text, len);
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

void progress_start(struct progress *p, const char *name, const char *unit, enum progress_mode mode)
{
	*p = (struct progress){ .name = name, .unit = unit, .mode = mode, .fraction = -1 };
	p->tty = isatty(STDERR_FILENO);
	p->start = p->last = now_seconds();
}

static void add_rate(struct buf *b, double count, double seconds, const char *unit)
{
	double rate = seconds > 0 ? count / seconds : 0;
	const char *time = "s";
	if (rate > 0 && rate < 0.095) {
		rate *= 60;
		time = "min";
	}
	if (rate > 0 && rate < 0.095) {
		rate *= 60;
		time = "h";
	}
	buf_printf(b, ", %.*f%s/%s", rate < 9.95, rate, unit, time);
}

static void add_time(struct buf *b, double seconds)
{
	if (seconds > 359999 * 24.0) {
		buf_adds(b, "more than a year");
		return;
	}
	long s = (long)(seconds + 0.5);
	if (s >= 86400)
		buf_printf(b, "%ldd %ldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		buf_printf(b, "%ld:%02ld:%02ld", s / 3600, s % 3600 / 60, s % 60);
	else
		buf_printf(b, "%ld:%02ld", s / 60, s % 60);
}

static void describe(const struct progress *p, double now, struct buf *b)
{
	double elapsed = now - p->start, part = p->fraction;
	buf_printf(b, "%s: %llu", p->name, (unsigned long long)p->done);
	if (p->total)
		buf_printf(b, "/%llu", (unsigned long long)p->total);
	buf_printf(b, " %s", p->unit);
	if (!p->total && part >= 0)
		buf_printf(b, " (%.0f %%)", 100 * part);
	add_rate(b, (double)p->done, elapsed, "");
	if (p->tokens)
		add_rate(b, (double)p->tokens, elapsed, " tokens");
	if (part < 0 && p->total)
		part = (double)p->done / (double)p->total;
	if (part > 0 && part <= 1) {
		buf_adds(b, ", ETA ");
		add_time(b, elapsed * (1 - part) / part);
	}
}

/* Cuts the text to the terminal's width less one: a full last column would
 * wrap and leave lines behind. */
static size_t fit(struct buf *b)
{
	size_t width = terminal_width() - 1, at = 0, count = 0, n;
	while (at < b->len && count < width) {
		utf8_decode(b->data + at, b->len - at, &n);
		at += n;
		count++;
	}
	b->len = at;
	return count;
}

static void draw(struct progress *p, struct buf *b)
{
	size_t shown = fit(b);
	struct buf line = { 0 };
	buf_addc(&line, '\r');
	buf_add(&line, b->data, b->len);
	for (size_t i = shown; i < (size_t)p->drawn; i++)
		buf_addc(&line, ' ');
	show(line.data, line.len);
	buf_free(&line);
	p->drawn = (int)shown;
}

void progress_update(struct progress *p)
{
	if (p->mode == PROGRESS_NEVER || (p->mode == PROGRESS_AUTO && !p->tty))
		return;
	double now = now_seconds();
	if (now - p->last < (p->tty ? REDRAW_SECONDS : LINE_SECONDS))
		return;
	p->last = now;
	struct buf b = { 0 };
	describe(p, now, &b);
	if (p->tty) {
		draw(p, &b);
	} else {
		buf_addc(&b, '\n');
		show(b.data, b.len);
	}
	buf_free(&b);
}

void progress_clear(struct progress *p)
{
	if (!p->drawn)
		return;
	struct buf b = { 0 };
	buf_printf(&b, "\r%*s\r", p->drawn, "");
	show(b.data, b.len);
	buf_free(&b);
	p->drawn = 0;
}
