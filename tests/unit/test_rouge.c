#include "method/rouge.h"
#include "unit/test.h"

/* F1 = 2 LCS / (words of a + words of b). */
static void by_hand(void)
{
	CHECK_NEAR(rouge_l("the cat sat on the mat", "the cat sat on the mat"), 1, 0);
	CHECK_NEAR(rouge_l("the cat sat on the mat", "the cat lay on a mat"), 2 * 4.0 / 12, 1e-15);
	CHECK_NEAR(rouge_l("a b c d", "d c b a"), 2 * 1.0 / 8, 1e-15);
	CHECK_NEAR(rouge_l("police killed the gunman", "the gunman police killed"), 2 * 2.0 / 8, 1e-15);
	CHECK_NEAR(rouge_l("a b c d e f", "b d f"), 2 * 3.0 / 9, 1e-15);
	CHECK_NEAR(rouge_l("a a a", "a a"), 2 * 2.0 / 5, 1e-15);
	CHECK_NEAR(rouge_l("one two", "three four"), 0, 0);
}

static void words(void)
{
	CHECK_NEAR(rouge_l("Hello, World!", "hello world"), 1, 0);
	CHECK_NEAR(rouge_l("write 3 lines", "Write 3 lines."), 1, 0);
	CHECK_NEAR(rouge_l("don't", "don t"), 1, 0);
	CHECK_NEAR(rouge_l("\xc3\xa4\xc3\xb6 x", "\xc3\xa4\xc3\xb6, x"), 1, 0);
	CHECK_NEAR(rouge_l("\xc3\xa4", "\xc3\xb6"), 0, 0);
	CHECK_NEAR(rouge_l("cat", "cats"), 0, 0);
}

static void nothing(void)
{
	CHECK_NEAR(rouge_l("", ""), 0, 0);
	CHECK_NEAR(rouge_l("", "a"), 0, 0);
	CHECK_NEAR(rouge_l("a", "?!"), 0, 0);
}

static void symmetric(void)
{
	static const char *const t[] = { "a b c a b", "b a c", "c c a b x a", "x" };

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++)
			CHECK(rouge_l(t[i], t[j]) == rouge_l(t[j], t[i]));
}

int main(void)
{
	TEST(by_hand);
	TEST(words);
	TEST(nothing);
	TEST(symmetric);
	return tests_done();
}
