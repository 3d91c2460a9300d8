/* Normalisation form C. tests/golden/nfc.tsv: code points, and those of their
 * form C by Python's unicodedata (14.0.0): known cases, then random ones. */
#include <stdlib.h>

#include "base/utf8.h"
#include "model/nfc.h"
#include "test.h"

static char *form_c(const char *s)
{
	struct buf b = { 0 };

	nfc(s, strlen(s), &b);
	return buf_take(&b);
}

static void check(const char *from, const char *to)
{
	char *got = form_c(from), *again = form_c(got);

	CHECK_STR(got, to);
	CHECK_STR(again, to);
	free(got);
	free(again);
}

static void known_cases(void)
{
	check("", "");
	check("caf\xc3\xa9, \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80",
	    "caf\xc3\xa9, \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80");
	check("cafe\xcc\x81", "caf\xc3\xa9");                           /* e, U+0301: U+00E9 */
	check("\xe2\x84\xab", "\xc3\x85");                              /* the sign U+212B: U+00C5 */
	check("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81");  /* U+1100 U+1161 U+11A8: U+AC01 */
	check("\xea\xb0\x80\xe1\x86\xa8", "\xea\xb0\x81");              /* U+AC00 U+11A8 */
	check("q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87");                /* below before above */
	check("\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc");              /* U+0958 is never composed again */
	check("a\xcc\x81\xcc\x81", "\xc3\xa1\xcc\x81");                 /* the second one is behind one of its class */
	check("\xcc\x81" "a", "\xcc\x81" "a");
}

/* Where a byte is no UTF-8, nothing goes across. */
static void other_bytes(void)
{
	check("e\xff\xcc\x81", "e\xff\xcc\x81");
	check("\xff" "e\xcc\x81\xcc", "\xff\xc3\xa9\xcc");
	CHECK(nfc_plain("abc", 3) == 3);
	CHECK(nfc_plain("\xcb\xbf", 2) == 2);
	CHECK(nfc_plain("ab\xcc\x80", 4) == 2);
}

static void of_points(const char *points, struct buf *out)
{
	char *end, s[4];

	buf_reset(out);
	for (uint32_t cp; *points && *points != '\n'; points = end) {
		cp = (uint32_t)strtoul(points, &end, 16);
		if (end == points)
			break;
		buf_add(out, s, utf8_encode(cp, s));
	}
}

static void same_as_python(void)
{
	FILE *f = fopen("tests/golden/nfc.tsv", "r");
	struct buf from = { 0 }, to = { 0 };
	char line[512], *tab;
	int n = 0;

	CHECK(f != NULL);
	for (; f && fgets(line, sizeof line, f); n++) {
		CHECK((tab = strchr(line, '\t')) != NULL);
		if (!tab)
			break;
		*tab = '\0';
		of_points(line, &from);
		of_points(tab + 1, &to);
		check(from.data, to.data);
	}
	CHECK(n == 301);
	if (f)
		fclose(f);
	buf_free(&from);
	buf_free(&to);
}

/* A letter with 300000 marks, of two classes in turn: sorted, each in its order. */
static void many_marks(void)
{
	enum { PAIRS = 150000 };
	struct buf s = { 0 }, out = { 0 };

	buf_addc(&s, 'q');
	for (int i = 0; i < PAIRS; i++)
		buf_adds(&s, i % 2 ? "\xcc\x80\xcc\xa4" : "\xcc\x81\xcc\xa3");
	nfc(s.data, s.len, &out);
	CHECK(out.len == s.len && out.data[0] == 'q');
	for (size_t i = 0; i < PAIRS && out.len == s.len; i++)
		if (memcmp(out.data + 1 + 2 * i, i % 2 ? "\xcc\xa4" : "\xcc\xa3", 2) != 0 ||
		    memcmp(out.data + 1 + 2 * (PAIRS + i), i % 2 ? "\xcc\x80" : "\xcc\x81", 2) != 0) {
			CHECK(!"in order");
			break;
		}
	buf_free(&s);
	buf_free(&out);
}

int main(void)
{
	TEST(known_cases);
	TEST(other_bytes);
	TEST(same_as_python);
	TEST(many_marks);
	return tests_done();
}
