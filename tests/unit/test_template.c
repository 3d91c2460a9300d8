#include <stdlib.h>

#include "base/sha256.h"
#include "method/score.h"
#include "method/template.h"
#include "unit/test.h"

static const char *const judge_names[] = { "prompt", "response", NULL };

static const char *render(const char *text, const struct template_value *values, int n)
{
	static struct buf out;

	buf_reset(&out);
	template_render(text, values, n, &out);
	return out.data;
}

static void builtins_are_complete(void)
{
	static const char *const meta[] = { "prompt", "response", "judgment_a", "judgment_b", NULL };
	static const char *const prompts[] = { "examples", NULL };
	static const char *const compare[] = { "prompt", "response_a", "response_b", NULL };
	struct err err;

	CHECK(template_check(template_judge, judge_names, &err) == 0);
	CHECK(template_check(template_metajudge, meta, &err) == 0);
	CHECK(template_check(template_prompts, prompts, &err) == 0);
	CHECK(template_check(template_compare, compare, &err) == 0);
}

/* A judge that repeats what it was asked for has given no score by it. */
static void an_echo_decides_nothing(void)
{
	double score;

	CHECK(score_parse(template_judge, (struct score_scale){ 0, 5 }, &score) == SCORE_NONE);
	CHECK(verdict_parse(template_metajudge) == VERDICT_NONE);
	CHECK(verdict_parse(template_compare) == VERDICT_NONE);
}

/* What many requests share stands before what differs. */
static void common_text_comes_first(void)
{
	const char *t = template_metajudge;

	CHECK(strstr(template_judge, "{{prompt}}") < strstr(template_judge, "{{response}}"));
	CHECK(strstr(t, "{{prompt}}") < strstr(t, "{{response}}"));
	CHECK(strstr(t, "{{response}}") < strstr(t, "{{judgment_a}}"));
	CHECK(strstr(t, "{{judgment_a}}") < strstr(t, "{{judgment_b}}"));
	CHECK(strstr(template_judge, "5. ") < strstr(template_judge, "{{prompt}}"));
}

static void values_go_in_once(void)
{
	struct template_value v[] = { { "prompt", "P{{response}}" }, { "response", "R{{prompt}}{{x}}" } };

	CHECK_STR(render("a {{prompt}} b {{response}} c", v, 2), "a P{{response}} b R{{prompt}}{{x}} c");
	CHECK_STR(render("{{prompt}}{{prompt}}", v, 2), "P{{response}}P{{response}}");
	CHECK_STR(render("{{prompt}}", (struct template_value[]){ { "prompt", "" } }, 1), "");
	CHECK_STR(render("", v, 2), "");
}

static void other_braces_are_text(void)
{
	static const char *const none[] = { NULL };
	struct template_value v[] = { { "p", "1" } };
	struct err err;

	CHECK_STR(render("{p} {{ p }} {{}} {{p} {{{p}}} {{a b}} {{", v, 1),
	    "{p} {{ p }} {{}} {{p} {1} {{a b}} {{");
	CHECK(template_check("{p} {{ p }} {{}} {{p} {{a b}} {{", none, &err) == 0);
}

static void check_names_the_placeholder(void)
{
	struct err err;

	CHECK(template_check("only {{prompt}}", judge_names, &err) == -1);
	CHECK(strstr(err.msg, "{{response}}"));
	CHECK(template_check("{{prompt}} {{response}} {{answer}}", judge_names, &err) == -1);
	CHECK(strstr(err.msg, "{{answer}}"));
	CHECK(template_check("{{prompts}} {{response}}", judge_names, &err) == -1);
	CHECK(template_check("{{prompt}} {{response}} {{prompt}}", judge_names, NULL) == 0);
}

static void conversations(void)
{
	struct message one[] = { { "user", "Hello\nyou" } };
	struct message many[] = {
		{ "system", "Be kind." }, { "user", "Hello" }, { "assistant", "Hi." }, { "user", "?" },
	};
	struct buf out = { 0 };

	template_conversation(one, 1, &out);
	CHECK_STR(out.data, "Hello\nyou");
	buf_reset(&out);
	template_conversation(many, 4, &out);
	CHECK_STR(out.data, "System: Be kind.\n\nUser: Hello\n\nAssistant: Hi.\n\nUser: ?");
	buf_reset(&out);
	template_conversation(many, 1, &out);
	CHECK_STR(out.data, "System: Be kind.");
	buf_free(&out);
}

/* SHA-256 of "abc" begins with ba7816bf8f01cfea (FIPS 180-4's example). */
static void tags(void)
{
	char tag[17], other[17];

	template_tag("abc", tag);
	CHECK_STR(tag, "ba7816bf8f01cfea");
	template_tag(template_judge, tag);
	template_tag(template_metajudge, other);
	CHECK(strlen(tag) == 16 && strcmp(tag, other) != 0);
}

int main(void)
{
	TEST(builtins_are_complete);
	TEST(an_echo_decides_nothing);
	TEST(common_text_comes_first);
	TEST(values_go_in_once);
	TEST(other_braces_are_text);
	TEST(check_names_the_placeholder);
	TEST(conversations);
	TEST(tags);
	return tests_done();
}
