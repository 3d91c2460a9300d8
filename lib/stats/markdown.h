/* How much markdown there is in a text, for style control. */
#ifndef MR_STATS_MARKDOWN_H
#define MR_STATS_MARKDOWN_H

#include <stddef.h>

struct markdown {
	size_t headers;         /* lines that begin with one to six # and a blank */
	size_t lists;           /* lines that begin with "- ", "* ", "+ " or "12. ", indented or not */
	size_t bold;            /* **spans** and __spans__ within a line */
};

/* Outside of blocks between ``` fences. */
struct markdown markdown_count(const char *text, size_t len);

#endif
