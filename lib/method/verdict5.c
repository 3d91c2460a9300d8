#include "method/verdict5.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

const char *const verdict5_labels[VERDICT5_LABELS] = { "A>>B", "A>B", "A=B", "B>A", "B>>A" };

bool verdict5_by_label(const char *label, int *verdict)
{
	for (int i = 0; i < VERDICT5_LABELS; i++) {
		if (strcmp(label, verdict5_labels[i]) == 0) {
			*verdict = 2 - i;
			return true;
		}
	}
	return false;
}

static const char *pass_blanks(const char *s)
{
	return s + strspn(s, " ");
}

/* The label that begins here, "A = B" and "B=A" too; NULL, or what is behind it. */
static const char *label_at(const char *s, int *verdict)
{
	char label[8] = { *s };
	size_t n;

	if (*s != 'A' && *s != 'B')
		return NULL;
	s = pass_blanks(s + 1);
	n = strspn(s, ">=");
	if (n < 1 || n > 2)
		return NULL;
	memcpy(label + 1, s, n);
	s = pass_blanks(s + n);
	label[n + 1] = *s;
	if (strcmp(label, "B=A") == 0)
		memcpy(label, "A=B", 3);
	if (!verdict5_by_label(label, verdict) || isalnum((unsigned char)s[1]))
		return NULL;
	return s + 1;
}

/* Takes a verdict that was found; false where another was found before. */
static bool agree(int found, bool *any, int *verdict)
{
	bool same = !*any || *verdict == found;

	*any = true;
	*verdict = found;
	return same;
}

bool verdict5_parse(const char *text, int *verdict)
{
	static const char lead[] = "verdict:";
	bool any = false;

	for (const char *s = text; *s; s++) {
		const char *at, *end;
		int found;

		if (strncmp(s, "[[", 2) == 0) {
			end = label_at(s + 2, &found);
			if (end && strncmp(end, "]]", 2) == 0 && !agree(found, &any, verdict))
				return false;
		} else if (strncasecmp(s, lead, sizeof lead - 1) == 0) {
			at = s + sizeof lead - 1;
			at += strspn(at, " *_`");
			if (label_at(at, &found) && !agree(found, &any, verdict))
				return false;
		}
	}
	return any;
}
