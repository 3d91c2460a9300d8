/*
 * Any bytes as what a server says: its answer, its refusal, its header, and
 * as an endpoint's address. An answer's texts are UTF-8 without U+0000 and
 * its choices' places are all filled.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "llm/choices.h"
#include "llm/http_rules.h"
#include "llm/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_http: %s\n", what);
		abort();
	}
}

static void check_choice(const struct wire_choice *w)
{
	static const char *const texts[] = { " A>>B", " A>B", " A=B", " B>A", " B>>A" };
	static const char *const scores[] = { " 0", " 1", " 2", " 3", " 4", " 5" };
	const struct choices all[] = { { texts, 5, "Verdict:" }, { scores, 6, "So.\nScore:" }, { scores, 6, NULL } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		double p[6];
		const int found = choices_find(&all[i], w->text);
		demand(found >= -1 && found < all[i].n, "a choice that there is not");
		if (!w->logprobs || !choices_logprobs(&all[i], w->logprobs, p))
			continue;
		for (int k = 0; k < all[i].n; k++)
			demand(!isnan(p[k]) && p[k] < 10, "a probability that there is not");
	}
}

static void check_answer(const char *body, size_t size)
{
	struct wire_answer a;
	struct err err = { "" };
	if (wire_answer(body, size, &a, &err) != 0) {
		demand(*err.msg && !a.json && !a.choices, "no reason, or something left");
		return;
	}
	demand(a.n > 0 && a.tokens_in >= -1 && a.tokens_out >= -1, "no choices, or a negative count");
	for (int i = 0; i < a.n; i++) {
		demand(a.choices[i].text != NULL, "a choice without a text");
		demand(utf8_check(a.choices[i].text, strlen(a.choices[i].text)) == strlen(a.choices[i].text),
		    "a text that is not UTF-8");
		check_choice(&a.choices[i]);
	}
	wire_answer_free(&a);
}

static void check_error(const char *body, size_t size)
{
	struct wire_error e;
	wire_error(body, size, 400, &e);
	demand(*e.message && strlen(e.message) <= 300 && !strpbrk(e.message, "\r\n"), "not one line");
	demand(utf8_check(e.message, strlen(e.message)) == strlen(e.message), "a message that is not UTF-8");
	demand((wire_refused(&e, WIRE_N) & ~(unsigned)WIRE_N) == 0, "a member that was not sent");
	if (wire_is_error(body, size, &e))
		demand(e.status >= 400 && e.status < 600, "a status that there is not");
}

static void check_address(char *base)
{
	char *host = strstr(base, "://");
	demand(strncmp(base, "http", 4) == 0 && host && !strpbrk(base, "?# \n"), "an address");
	host += 3;
	host[strcspn(host, "/")] = '\0';
	demand(*host && !strchr(host, '@'), "an address with a user, or without a host");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { "" };
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check_answer(text, size);
	check_error(text, size);
	const double seconds = http_retry_after(text, 1000000000);
	demand(seconds == -1 || (seconds >= 0 && seconds <= 3600), "a wait out of bounds");
	char *base = http_base_url(text, &err);
	if (base)
		check_address(base);
	else
		demand(*err.msg, "no reason");
	free(base);
	free(text);
	return 0;
}
