/* What talking to servers is made of, without a server: addresses, waiting,
 * requests and answers as JSON, choices, which server is asked. */
#include "test.h"

#include <stdlib.h>

#include "base/histogram.h"
#include "llm/choices.h"
#include "llm/common.h"
#include "llm/endpoints.h"
#include "llm/http.h"
#include "llm/http_rules.h"
#include "llm/wire.h"

static void base_urls(void)
{
	static const struct {
		const char *text, *base;        /* base NULL: wrong holds the message's part */
		const char *wrong;
	} all[] = {
		{ "http://host:8000", "http://host:8000/v1", NULL },
		{ "http://host:8000/", "http://host:8000/v1", NULL },
		{ "http://host:8000/v1", "http://host:8000/v1", NULL },
		{ "http://host:8000/v1///", "http://host:8000/v1", NULL },
		{ "https://host/v1/chat/completions", "https://host/v1", NULL },
		{ "https://host/chat/completions/", "https://host/v1", NULL },
		{ "https://host/openai", "https://host/openai/v1", NULL },
		{ "https://host/openai/v1", "https://host/openai/v1", NULL },
		{ "https://host/v1beta/openai", "https://host/v1beta/openai", NULL },
		{ "https://host/api/paas/v4/", "https://host/api/paas/v4", NULL },
		{ "https://host/vllm", "https://host/vllm/v1", NULL },
		{ "http://[::1]:8000", "http://[::1]:8000/v1", NULL },
		{ "http://chat/completions", "http://chat/completions/v1", NULL },
		{ "http://h", "http://h/v1", NULL },
		{ "http:///chat/completions", NULL, "is no URL" },
		{ "http://127.0.0.1", "http://127.0.0.1/v1", NULL },
		{ "host:8000", NULL, "http://" },
		{ "", NULL, "http://" },
		{ "ftp://host/v1", NULL, "http://" },
		{ "file:///etc/passwd", NULL, "http://" },
		{ "http://", NULL, "is no URL" },
		{ "http://host:port", NULL, "is no URL" },
		{ "http://host:99999", NULL, "is no URL" },
		{ "http://user:s3cret@host", NULL, "MR_API_KEY" },
		{ "http://s3cret@host", NULL, "MR_API_KEY" },
		{ "http://host/v1?key=x", NULL, "query" },
		{ "http://host/v1#part", NULL, "query" },
		{ "http://host/a b", NULL, "character" },
		{ "http://host\r\nX: y", NULL, "character" },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct err err = { "" };
		char *base = http_base_url(all[i].text, &err);
		if (all[i].base) {
			CHECK_STR(base, all[i].base);
		} else {
			CHECK(!base);
			if (!strstr(err.msg, all[i].wrong))
				printf("# %s: %s\n", all[i].text, err.msg);
			CHECK(strstr(err.msg, all[i].wrong) && !strstr(err.msg, "s3cret"));
		}
		free(base);
	}
}

static void retry_after(void)
{
	const time_t now = 784111777;           /* Sun, 06 Nov 1994 08:49:37 GMT */
	static const struct {
		const char *value;
		double seconds;
	} all[] = {
		{ "0", 0 }, { "120", 120 }, { "  7 ", 7 }, { "1.5", 1.5 }, { "3\r\n", 3 },
		{ "99999999", 3600 }, { "Sun, 06 Nov 1994 08:50:07 GMT", 30 },
		{ "Sunday, 06-Nov-94 08:50:07 GMT", 30 }, { "Sun Nov  6 08:50:07 1994", 30 },
		{ "Sun, 06 Nov 1994 08:00:00 GMT", 0 }, { "Tue, 06 Dec 1994 08:49:37 GMT", 3600 },
		{ "", -1 }, { "soon", -1 }, { "-5", -1 }, { "5 minutes", -1 }, { "1e9", -1 }, { "1.2.3", -1 },
		{ ".", -1 },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		CHECK_NEAR(http_retry_after(all[i].value, now), all[i].seconds, 0);
}

static void backoff(void)
{
	CHECK_NEAR(http_backoff(1, 0), 0.1, 1e-12);
	CHECK_NEAR(http_backoff(1, 0.5), 0.15, 1e-12);
	CHECK_NEAR(http_backoff(4, 0), 0.8, 1e-12);
	CHECK_NEAR(http_backoff(7, 1), 12.8, 1e-12);
	CHECK_NEAR(http_backoff(8, 1), 20, 1e-12);
	CHECK_NEAR(http_backoff(1000000, 0), 10, 1e-12);
	CHECK_NEAR(http_patience(0), 0, 0);
	CHECK_NEAR(http_patience(3), 0.2 + 0.4 + 0.8, 1e-12);
	CHECK_NEAR(http_patience(10), 0.2 * 127 + 3 * 20, 1e-9);
	for (long s = 400; s < 600; s++)
		CHECK(http_is_temporary(s) == (s == 408 || s == 425 || s == 429 || (s >= 500 && s != 501)));
}

static void secrets_are_hidden(void)
{
	static const struct {
		const char *text, *hidden;
	} all[] = {
		{ "the key sk-12345 is wrong", "the key ******** is wrong" },
		{ "sk-12345sk-12345", "****************" },
		{ "wrong: sk-123", "wrong: ******" },
		{ "wrong: sk-", "wrong: sk-" },
		{ "sk-1", "****" },
		{ "sk-1 is not it", "sk-1 is not it" },
		{ "", "" },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char text[80];
		snprintf(text, sizeof text, "%s", all[i].text);
		http_hide(text, NULL);
		CHECK_STR(text, all[i].text);
		http_hide(text, "sk-12345");
		CHECK_STR(text, all[i].hidden);
	}
}

static void requests_have_their_bytes(void)
{
	struct buf messages = { 0 }, out = { 0 };
	buf_addc(&messages, '[');
	wire_message(&messages, "system", "Be \"kind\".");
	wire_message(&messages, "user", "<|im_end|>\n\xc3\xa9");
	buf_addc(&messages, ']');
	CHECK_STR(messages.data, "[{\"role\":\"system\",\"content\":\"Be \\\"kind\\\".\"},"
	    "{\"role\":\"user\",\"content\":\"<|im_end|>\\n\xc3\xa9\"}]");
	struct wire_request r = { .model = "m/\"1\"", .messages = "[]", .n = 7, .seed = 2147483647,
		.params = { .temperature = 0.8, .top_p = 0.95, .max_tokens = 64 } };
	wire_request(&r, &out);
	CHECK_STR(out.data, "{\"model\":\"m/\\\"1\\\"\",\"messages\":[],\"max_tokens\":64,\"temperature\":0.8,"
	    "\"top_p\":0.95,\"n\":7,\"seed\":2147483647}");
	CHECK(wire_members(&r) == (WIRE_N | WIRE_SEED | WIRE_MAX_TOKENS));
	buf_reset(&out);
	r.n = 1;
	r.params.top_k = 40;
	r.params.temperature = 0;
	r.params.top_p = 1;
	r.logprobs = true;
	wire_request(&r, &out);
	CHECK_STR(out.data, "{\"model\":\"m/\\\"1\\\"\",\"messages\":[],\"max_tokens\":64,\"temperature\":0,\"top_p\":1,"
	    "\"top_k\":40,\"seed\":2147483647,\"logprobs\":true,\"top_logprobs\":20}");
	buf_reset(&out);
	r.n = 2;
	r.without = WIRE_N | WIRE_SEED | WIRE_LOGPROBS | WIRE_MAX_TOKENS;
	wire_request(&r, &out);
	CHECK_STR(out.data, "{\"model\":\"m/\\\"1\\\"\",\"messages\":[],\"max_completion_tokens\":64,\"temperature\":0,"
	    "\"top_p\":1,\"top_k\":40}");
	CHECK(wire_members(&r) == WIRE_TOP_K);
	buf_free(&messages);
	buf_free(&out);
}

#define MESSAGE(text) "{\"message\":{\"role\":\"assistant\",\"content\":" text "},\"finish_reason\":\"stop\"}"
#define FFFD "\xef\xbf\xbd"

static void answers_are_read(void)
{
	static const struct {
		const char *body, *text;        /* of the first choice */
		int n;
		enum llm_finish finish;
		int in, out;
	} all[] = {
		{ "{\"choices\":[" MESSAGE("\"Hi.\"") "],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}",
		  "Hi.", 1, LLM_STOP, 9, 3 },
		{ " {\"choices\":[" MESSAGE("\"a\"") "," MESSAGE("\"b\"") "]}\r\n", "a", 2, LLM_STOP, -1, -1 },
		{ "{\"choices\":[{\"index\":1,\"message\":{\"content\":\"b\"}},{\"index\":0,\"message\":{\"content\":\"a\"},"
		  "\"finish_reason\":\"length\"}]}", "a", 2, LLM_LENGTH, -1, -1 },
		{ "{\"choices\":[{\"index\":1,\"message\":{\"content\":\"b\"}},{\"index\":1,\"message\":{\"content\":\"a\"}}]}",
		  "b", 2, LLM_STOP, -1, -1 },
		{ "{\"choices\":[{\"index\":7,\"message\":{\"content\":\"b\"}}]}", "b", 1, LLM_STOP, -1, -1 },
		{ "{\"choices\":[{\"index\":-1,\"message\":{\"content\":\"b\"}}]}", "b", 1, LLM_STOP, -1, -1 },
		{ "{\"choices\":[{\"message\":{\"content\":null},\"finish_reason\":null}],\"usage\":null}", "", 1,
		  LLM_STOP, -1, -1 },
		{ "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"content_filter\"}]}", "x", 1,
		  LLM_LENGTH, -1, -1 },
		{ "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":17}],"
		  "\"usage\":{\"prompt_tokens\":-4,\"completion_tokens\":\"3\"}}", "x", 1, LLM_STOP, -1, -1 },
		{ "{\"choices\":[" MESSAGE("\"a\\u0000b\\ud800c\\udc00\"") "]}", "a" FFFD "b" FFFD "c" FFFD, 1, LLM_STOP,
		  -1, -1 },
		{ "{\"choices\":[" MESSAGE("\"\\ud83d\\ude00 \\ud83d\\u0041\"") "]}", "\xf0\x9f\x98\x80 " FFFD "A", 1,
		  LLM_STOP, -1, -1 },
		{ "{\"choices\":[" MESSAGE("\"\\\\u0000\\n\"") "]}", "\\u0000\n", 1, LLM_STOP, -1, -1 },
		{ "{\"choices\":[" MESSAGE("\"\xff\xc3\"") "]}", FFFD FFFD, 1, LLM_STOP, -1, -1 },
		{ "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"error\":null}", "x", 1, LLM_STOP, -1, -1 },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct wire_answer a;
		struct err err = { "" };
		CHECK(wire_answer(all[i].body, strlen(all[i].body), &a, &err) == 0);
		if (*err.msg) {
			printf("# %zu: %s\n", i, err.msg);
			continue;
		}
		CHECK(a.n == all[i].n && a.choices[0].finish == all[i].finish);
		CHECK_STR(a.choices[0].text, all[i].text);
		CHECK(a.tokens_in == all[i].in && a.tokens_out == all[i].out);
		wire_answer_free(&a);
	}
}

static void what_is_no_answer(void)
{
	static const char *const all[] = {
		"", " ", "\0\0", "x", "{", "[]", "null", "17", "\"choices\"", "{}", "<html>502</html>",
		"{\"choices\":[]}", "{\"choices\":{}}", "{\"choices\":null}", "{\"choices\":[{}]}",
		"{\"choices\":[null]}", "{\"choices\":[[]]}", "{\"choices\":[{\"message\":null}]}",
		"{\"choices\":[{\"message\":\"Hi.\"}]}", "{\"choices\":[{\"message\":{\"content\":7}}]}",
		"{\"choices\":[{\"message\":{\"content\":[\"Hi.\"]}}]}", "{\"choices\":[{\"text\":\"Hi.\"}]}",
		"{\"choices\":[" MESSAGE("\"a\"") ",{}]}",
		"{\"choices\":[" MESSAGE("\"a\"") "]", "{\"choices\":[" MESSAGE("\"a\"") "]}}",
		"{\"choices\":[" MESSAGE("\"a\\u12\"") "]}", "{\"choices\":[" MESSAGE("\"a\\") "]}",
		"data: {\"choices\":[]}\n\n",
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct wire_answer a;
		struct err err = { "" };
		CHECK(wire_answer(all[i], strlen(all[i]), &a, &err) == -1 && *err.msg && !a.json && !a.choices);
	}
	/* as deep as bytes allow */
	struct buf deep = { 0 };
	struct wire_answer a;
	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '[');
	CHECK(wire_answer(deep.data, deep.len, &a, NULL) == -1);
	buf_free(&deep);
}

static bool is_error(const char *body, struct wire_error *e)
{
	return wire_is_error(body, strlen(body), e);
}

static void refusals_are_understood(void)
{
	static const struct {
		const char *body, *message;
		unsigned refused;
	} all[] = {
		{ "{\"error\":{\"message\":\"bad\\nthing\",\"type\":\"t\"}}", "bad thing", 0 },
		{ "{\"error\":\"bad\"}", "bad", 0 },
		{ "{\"message\":\"bad\"}", "bad", 0 },
		{ "{\"detail\":\"Not Found\"}", "Not Found", 0 },
		{ "{\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"seed\"],\"msg\":\"Extra inputs\"}]}",
		  "Extra inputs", WIRE_SEED },
		{ "<html>\n<h1>Bad</h1>", "<html> <h1>Bad</h1>", 0 },
		{ "", "no reason given", 0 },
		{ "{}", "{}", 0 },
		{ "{\"error\":{\"message\":\"n must be 1\",\"param\":null}}", "n must be 1", WIRE_N },
		{ "{\"error\":{\"message\":\"unsupported\",\"param\":\"n\"}}", "unsupported", WIRE_N },
		{ "{\"error\":{\"message\":\"Only one completion choice is allowed\"}}",
		  "Only one completion choice is allowed", WIRE_N },
		{ "{\"error\":{\"message\":\"I don't know an answer, n-grams\"}}", "I don't know an answer, n-grams", 0 },
		{ "{\"error\":{\"message\":\"unknown: 'seed'\"}}", "unknown: 'seed'", WIRE_SEED },
		{ "{\"error\":{\"message\":\"seeds\"}}", "seeds", 0 },
		{ "{\"error\":{\"message\":\"top_logprobs is too large\"}}", "top_logprobs is too large", WIRE_LOGPROBS },
		{ "{\"error\":{\"message\":\"max_tokens is too large\",\"param\":\"max_tokens\"}}",
		  "max_tokens is too large", 0 },
		{ "{\"error\":{\"message\":\"no 'max_tokens'; use 'max_completion_tokens'\"}}",
		  "no 'max_tokens'; use 'max_completion_tokens'", WIRE_MAX_TOKENS },
		{ "{\"error\":{\"message\":\"top_k and stop\"}}", "top_k and stop", 0 },
	};
	const unsigned sent = WIRE_N | WIRE_SEED | WIRE_LOGPROBS | WIRE_MAX_TOKENS | WIRE_TOP_K;
	struct wire_error e;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		wire_error(all[i].body, strlen(all[i].body), 400, &e);
		CHECK_STR(e.message, all[i].message);
		CHECK(e.status == 400 && wire_refused(&e, sent) == all[i].refused);
		CHECK(wire_refused(&e, 0) == 0);
	}
	CHECK(is_error("{\"error\":{\"message\":\"slow down\",\"code\":429}}", &e) && e.status == 429);
	CHECK_STR(e.message, "slow down");
	CHECK(is_error("{\"error\":{\"code\":\"x\"}}", &e) && e.status == 500);
	CHECK(!is_error("{\"error\":null}", &e) && !is_error("{\"choices\":[],\"error\":1}", &e));
	/* cut between characters */
	struct buf b = { 0 };
	buf_adds(&b, "a");
	while (b.len < 1000)
		buf_adds(&b, "\xc3\xa9");
	wire_error(b.data, b.len, 400, &e);
	CHECK(strlen(e.message) == 299 && (unsigned char)e.message[298] == 0xa9);
	buf_free(&b);
}

static const char *const scores[] = { " 0", " 1", " 2", " 3", " 4", " 5" };
static const char *const verdicts[] = { " A>>B", " A>B", " A=B", " B>A", " B>>A" };
static const char *const grades[] = { " 1/10", " 2/10", " 10/10" };
static const char *const letters[] = { "A", "B" };
static const struct choices score = { scores, 6, "Good.\n\nScore:" }, verdict = { verdicts, 5, "Verdict:" },
	grade = { grades, 3, "Score:" }, letter = { letters, 2, NULL };

static void choices_are_asked_for(void)
{
	struct buf b = { 0 };
	buf_addc(&b, '[');
	choices_ask(&score, &b);
	CHECK_STR(b.data, "[{\"role\":\"assistant\",\"content\":\"Good.\\n\\nScore:\"},{\"role\":\"user\",\"content\":"
	    "\"Your last line, \\\"Score:\\\", is not finished. Which of these should follow? Answer with it and nothing "
	    "else.\\n\\n0\\n1\\n2\\n3\\n4\\n5\"}");
	buf_reset(&b);
	buf_addc(&b, '[');
	choices_ask(&verdict, &b);
	CHECK(strstr(b.data, "\\n1) A>>B\\n2) A>B\\n3) A=B\\n4) B>A\\n5) B>>A\""));
	buf_reset(&b);
	buf_addc(&b, '[');
	choices_ask(&grade, &b);
	CHECK(strstr(b.data, "\\na) 1/10\\nb) 2/10\\nc) 10/10\""));
	buf_reset(&b);
	buf_addc(&b, '[');
	choices_ask(&letter, &b);
	CHECK_STR(b.data, "[");
	buf_free(&b);
}

static void choices_are_found_in_texts(void)
{
	static const struct {
		const struct choices *c;
		const char *text;
		int found;
	} all[] = {
		{ &score, "3", 3 }, { &score, " 3\n", 3 }, { &score, "**3**.", 3 }, { &score, "Score: 4", 4 },
		{ &score, "score: **0**", 0 }, { &score, "6", -1 }, { &score, "3 or 4", -1 }, { &score, "", -1 },
		{ &score, "Score:", -1 }, { &score, "33", -1 }, { &score, "\"5\"", 5 },
		{ &verdict, "1", 0 }, { &verdict, "5) B>>A", 4 }, { &verdict, "A>B", 1 }, { &verdict, "Verdict: A=B", 2 },
		{ &verdict, "A", -1 }, { &verdict, "6", -1 },
		{ &grade, "c", 2 }, { &grade, "C)", 2 }, { &grade, "10/10", 2 }, { &grade, "1", -1 },
		{ &letter, "A", 0 }, { &letter, "b.", 1 }, { &letter, "Both", -1 },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		const int found = choices_find(all[i].c, all[i].text);
		if (found != all[i].found)
			printf("# \"%s\": %d\n", all[i].text, found);
		CHECK(found == all[i].found);
	}
}

static bool read_logprobs(const struct choices *c, const char *json, double *out)
{
	cJSON *j = cJSON_Parse(json);
	CHECK(j);
	const bool any = choices_logprobs(c, j, out);
	cJSON_Delete(j);
	return any;
}

static void probabilities_of_the_first_token(void)
{
	double p[6];
	/* 0.5 of "3", 0.25 of " 3" and 0.125 of "4"; "5" is not told, "33" and "good" are no choices */
	CHECK(read_logprobs(&score, "{\"content\":[{\"token\":\"3\",\"logprob\":-0.6931471805599453,\"top_logprobs\":["
	    "{\"token\":\"3\",\"logprob\":-0.6931471805599453},{\"token\":\" 3\",\"logprob\":-1.3862943611198906},"
	    "{\"token\":\"4\",\"logprob\":-2.0794415416798357},{\"token\":\"33\",\"logprob\":-3},"
	    "{\"token\":\"good\",\"logprob\":-3}]}]}", p));
	CHECK_NEAR(exp(p[3]), 0.75, 1e-12);
	CHECK_NEAR(exp(p[4]), 0.125, 1e-12);
	CHECK(isinf(p[5]) && isinf(p[0]));
	choice_normalise(p, 6);
	CHECK_NEAR(exp(p[3]), 0.75 / 0.875, 1e-12);
	CHECK_NEAR(exp(p[5]), 0, 0);
	CHECK(choice_draw(p, 6, 1, 0.85) == 3 && choice_draw(p, 6, 1, 0.86) == 4 && choice_draw(p, 6, 0, 0.99) == 3);
	/* behind the lead-in said again, the token that decides is the third */
	CHECK(read_logprobs(&score, "{\"content\":[{\"token\":\"Score\",\"logprob\":0,\"top_logprobs\":[]},"
	    "{\"token\":\":\",\"logprob\":0},{\"token\":\" 5\",\"logprob\":-0.5,\"top_logprobs\":["
	    "{\"token\":\" 4\",\"logprob\":-1}]}]}", p));
	CHECK_NEAR(p[5], -0.5, 0);
	CHECK_NEAR(p[4], -1, 0);
	/* labels; a choice's own beginning would not tell which */
	CHECK(read_logprobs(&verdict, "{\"content\":[{\"token\":\"2\",\"logprob\":-0.1,\"top_logprobs\":["
	    "{\"token\":\"A\",\"logprob\":-3},{\"token\":\"4)\",\"logprob\":-4}]}]}", p));
	CHECK(p[1] == -0.1 && p[3] == -4 && isinf(p[0]) && isinf(p[2]));
	CHECK(read_logprobs(&letter, "{\"content\":[{\"token\":\"B\",\"logprob\":-0.1,\"top_logprobs\":["
	    "{\"token\":\"B\",\"logprob\":-0.1},{\"token\":\"a\",\"logprob\":-2}]}]}", p));
	CHECK(p[0] == -2 && p[1] == -0.1);
	static const char *const nothing[] = {
		"{}", "null", "[]", "{\"content\":null}", "{\"content\":[]}", "{\"content\":[{}]}", "{\"content\":[7]}",
		"{\"content\":[{\"token\":3}]}", "{\"content\":[{\"token\":\"3\"}]}", "{\"tokens\":[\"3\"]}",
		"{\"content\":[{\"token\":\"I\",\"logprob\":0,\"top_logprobs\":7},{\"token\":\"3\",\"logprob\":0}]}",
		"{\"content\":[{\"token\":\"3\",\"logprob\":5}]}", "{\"content\":[{\"token\":\"\",\"logprob\":-1}]}",
		"{\"content\":[{\"token\":\"Score\",\"logprob\":-1}]}",
	};
	for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
		CHECK(!read_logprobs(&score, nothing[i], p));
}

static void servers_take_turns(void)
{
	static const char *const bases[] = { "http://a", "http://b", "http://c" };
	struct endpoints e;
	bool probe;
	CHECK(endpoints_open(&e, bases, 3, NULL) == 0 && e.n == 3);
	CHECK_STR(e.v[1].url, "http://b/v1/chat/completions");
	/* equally few in flight: in turn; then the one with the fewest */
	CHECK(endpoints_pick(&e, -1, 0, &probe) == 0 && endpoints_pick(&e, -1, 0, &probe) == 1 &&
	    endpoints_pick(&e, -1, 0, &probe) == 2 && endpoints_pick(&e, -1, 0, &probe) == 0);
	e.v[0].inflight = 3, e.v[1].inflight = 1, e.v[2].inflight = 2;
	CHECK(endpoints_pick(&e, -1, 0, &probe) == 1 && endpoints_pick(&e, 1, 0, &probe) == 2 && !probe);
	/* one failure is nothing, nor are two with an answer between them */
	CHECK(endpoints_result(&e, 1, false, false, 1, 1) == ENDPOINT_SAME);
	CHECK(endpoints_result(&e, 1, true, false, 1, 2) == ENDPOINT_SAME);
	CHECK(endpoints_result(&e, 1, false, false, 3, 3) == ENDPOINT_SAME);
	/* nor one that began before another was answered */
	CHECK(endpoints_result(&e, 1, false, false, 1.5, 4) == ENDPOINT_SAME && e.naside == 0);
	CHECK(endpoints_result(&e, 1, false, false, 4, 5) == ENDPOINT_ASIDE && e.naside == 1);
	/* those still in flight say nothing new */
	CHECK(endpoints_result(&e, 1, false, false, 4, 5.1) == ENDPOINT_SAME);
	CHECK_NEAR(endpoints_due(&e), 5.5, 1e-12);
	CHECK(endpoints_pick(&e, -1, 5.4, &probe) == 2 && !probe);
	/* one request tries it again, and waits twice as long the next time */
	CHECK(endpoints_pick(&e, -1, 5.5, &probe) == 1 && probe);
	CHECK(endpoints_pick(&e, -1, 5.6, &probe) == 2 && !probe);
	CHECK(endpoints_result(&e, 1, false, true, 5.5, 6) == ENDPOINT_SAME);
	CHECK_NEAR(endpoints_due(&e), 7, 1e-12);
	CHECK(endpoints_pick(&e, -1, 7, &probe) == 1 && probe);
	CHECK(endpoints_result(&e, 1, true, true, 7, 8) == ENDPOINT_BACK && e.naside == 0);
	CHECK_NEAR(endpoints_due(&e), 0, 0);
	/* all of them */
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 2; k++)
			endpoints_result(&e, i, false, false, 9, 10 + i);
	CHECK(e.naside == 3 && endpoints_pick(&e, -1, 10.1, &probe) == -1);
	CHECK(!endpoints_hopeless(&e, 5, 16.9) && endpoints_hopeless(&e, 5, 17.1));
	CHECK(endpoints_pick(&e, -1, 17.1, &probe) == 0 && endpoints_result(&e, 0, true, true, 17.1, 18) == ENDPOINT_BACK);
	CHECK(!endpoints_hopeless(&e, 5, 18) && endpoints_pick(&e, 0, 18, &probe) == 1 && probe);
	endpoints_close(&e);
	CHECK(endpoints_open(&e, (const char *const[]){ "http://a", "b" }, 2, NULL) == -1);
}

static void pauses_are_bounded(void)
{
	struct endpoints e;
	bool probe;
	double now = 1;
	CHECK(endpoints_open(&e, (const char *const[]){ "http://a" }, 1, NULL) == 0);
	endpoints_result(&e, 0, false, false, 1, 1);
	endpoints_result(&e, 0, false, false, 1, 1);
	for (int i = 0; i < 20; i++) {
		now = endpoints_due(&e);
		CHECK(endpoints_pick(&e, -1, now, &probe) == 0 && probe);
		endpoints_result(&e, 0, false, true, now, now);
	}
	CHECK_NEAR(endpoints_due(&e) - now, 15, 1e-9);
	endpoints_close(&e);
}

static void quantiles(void)
{
	static struct histogram h;
	CHECK_NEAR(histogram_quantile(&h, 0.5), 0, 0);
	for (int i = 1; i <= 1000; i++)
		histogram_add(&h, i / 100.0);
	CHECK_NEAR(histogram_quantile(&h, 0.5), 5, 0.1);
	CHECK_NEAR(histogram_quantile(&h, 0.95), 9.5, 0.19);
	CHECK_NEAR(histogram_quantile(&h, 0), 0.01, 0.0002);
	histogram_add(&h, 0);
	histogram_add(&h, 1e300);
	CHECK(histogram_quantile(&h, 1) > 9e5 && h.n == 1002);
}

static void what_cannot_be_opened(void)
{
	static const char *const good[] = { "http://127.0.0.1:1" }, *const bad[] = { "127.0.0.1:1" };
	static const struct {
		struct llm_options o;
		const char *wrong;
	} all[] = {
		{ { .servers = { .endpoints = good, .nendpoints = 1 } }, "name" },
		{ { .model = "m", .servers = { .endpoints = bad, .nendpoints = 1 } }, "http://" },
		{ { .model = "m", .servers = { .endpoints = good, .nendpoints = 1, .key = "a\r\nX: y" } }, "key" },
		{ { .model = "m", .servers = { .endpoints = good, .nendpoints = 1, .key = "a\xc3\xa9" } }, "key" },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct err err = { "" };
		CHECK(!llm_open(&all[i].o, &err) && strstr(err.msg, all[i].wrong));
	}
}

/* Nobody listens there: every request fails by itself, and what was queued
 * is released with the door. */
static void nobody_answers(void)
{
	static const char *const endpoints[] = { "http://127.0.0.1:1" };
	const struct message m = { "user", "Hi." };
	const struct llm_request r = { .messages = &m, .nmessages = 1, .n = 3, .params = { 1, 1, 0, 8 }, .id = "a",
		.stage = "s" };
	struct err err = { "" };
	struct llm *l = llm_open(&(struct llm_options){ .model = "m", .servers = { .endpoints = endpoints,
		.nendpoints = 1, .jobs = 2 } }, &err);
	struct llm_answer *a;
	int tags[5], got = 0;
	CHECK(l && llm_batch(l) == 2);
	CHECK_STR(llm_endpoint(l, 0), "http://127.0.0.1:1/v1");
	CHECK(!llm_endpoint(l, 1) && !llm_model_path(l));
	for (int i = 0; i < 5; i++)
		CHECK(llm_submit(l, &r, &tags[i], &err) == 0);
	CHECK(llm_waiting(l) == 5);
	while (llm_next(l, &a, &err) == 1) {
		CHECK(a->err && a->n == 0 && strstr(a->err->msg, "http://127.0.0.1:1/v1: "));
		CHECK(a->tag >= (void *)tags && a->tag < (void *)(tags + 5));
		llm_answer_free(a);
		got++;
	}
	CHECK(got == 5 && llm_waiting(l) == 0 && !llm_spent(l));
	CHECK(llm_submit(l, &r, NULL, &err) == 0);
	llm_interrupt();
	CHECK(llm_next(l, &a, &err) == 0);
	const struct llm_request continued = { .messages = &m, .nmessages = 1, .n = 1, .params = { 1, 1, 0, 8 },
		.prefix = "So" };
	CHECK(llm_submit(l, &continued, NULL, &err) == -1);
	llm_close(l);
}

int main(void)
{
	TEST(base_urls);
	TEST(retry_after);
	TEST(backoff);
	TEST(secrets_are_hidden);
	TEST(requests_have_their_bytes);
	TEST(answers_are_read);
	TEST(what_is_no_answer);
	TEST(refusals_are_understood);
	TEST(choices_are_asked_for);
	TEST(choices_are_found_in_texts);
	TEST(probabilities_of_the_first_token);
	TEST(servers_take_turns);
	TEST(pauses_are_bounded);
	TEST(quantiles);
	TEST(what_cannot_be_opened);
	TEST(nobody_answers);
	return tests_done();
}
