#include "test.h"

#include "method/newprompt.h"

static const struct {
	const char *text, *prompt;
} cases[] = {
	{ "", "" },
	{ " \n ", "" },
	{ "Write a poem about rain.", "Write a poem about rain." },
	{ "\n  Write a poem.  \n", "Write a poem." },
	{ "9. Write a poem.", "Write a poem." },
	{ "9) Write a poem.", "Write a poem." },
	{ "- Write a poem.", "Write a poem." },
	{ "* Write a poem.", "Write a poem." },
	{ "Prompt 9: Write a poem.", "Write a poem." },
	{ "Prompt 9:\nWrite a poem.", "Write a poem." },
	{ "**Prompt 9:**\n\nWrite a poem.", "Write a poem." },
	{ "### Prompt #9:\nWrite a poem.", "Write a poem." },
	{ "New prompt: Write a poem.", "Write a poem." },
	{ "new prompt:\nWrite a poem.", "Write a poem." },
	{ "Prompt 9:", "" },
	{ "9.", "" },
	/* not a lead */
	{ "9.5 is more than 9.11, is it?", "9.5 is more than 9.11, is it?" },
	{ "2024 was warm. Why?", "2024 was warm. Why?" },
	{ "-5 or 5?", "-5 or 5?" },
	{ "Prompt the user for a name: how in C?", "Prompt the user for a name: how in C?" },
	{ "Prompts: what are they?", "Prompts: what are they?" },
	{ "12345678901234. Explain.", "12345678901234. Explain." },
	/* one item of several */
	{ "9. Write a poem.\n10. Write a story.", "Write a poem." },
	{ "Prompt 9: Write a poem.\n\nPrompt 10: Write a story.", "Write a poem." },
	{ "Write a poem.\n\nPrompt 10:\nWrite a story.", "Write a poem." },
	/* a list inside a prompt is not the next item */
	{ "Rank these:\n1. tea\n2. milk", "Rank these:\n1. tea\n2. milk" },
	{ "9. Rank these:\n1. tea\n2. milk", "Rank these:\n1. tea\n2. milk" },
	{ "What does it do?\n\nint f(void) { return 1; }", "What does it do?\n\nint f(void) { return 1; }" },
	/* quotation marks around all of it */
	{ "\"Write a poem.\"", "Write a poem." },
	{ "'Write a poem.'", "Write a poem." },
	{ "**Write a poem.**", "Write a poem." },
	{ "1. \"Write a poem.\"", "Write a poem." },
	{ "\xe2\x80\x9cWrite a poem.\xe2\x80\x9d", "Write a poem." },
	{ "\"Yes\" or \"no\"", "\"Yes\" or \"no\"" },
	{ "What is \"yes\"?", "What is \"yes\"?" },
	{ "\"", "\"" },
	{ "\"\"", "" },
	{ "\xff\xfe", "\xff\xfe" },
};

static void cleaned(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf b = { 0 };

		newprompt_clean(cases[i].text, &b);
		CHECK_STR(b.data ? b.data : "", cases[i].prompt);
		buf_free(&b);
	}
}

int main(void)
{
	TEST(cleaned);
	return tests_done();
}
