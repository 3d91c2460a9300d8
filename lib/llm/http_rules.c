#include "llm/http_rules.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "base/mem.h"

#define FIRST_BACKOFF 0.2
#define LONGEST_BACKOFF 20.0
#define LONGEST_WAIT 3600.0

static bool has_part(CURLU *u, CURLUPart part)
{
	char *value = NULL;
	const bool has = curl_url_get(u, part, &value, 0) == CURLUE_OK;
	curl_free(value);
	return has;
}

/* Takes the end off the text, where it has it and something before it. */
static bool take_off(char *text, const char *end)
{
	const size_t len = strlen(text), n = strlen(end);
	if (len < n || strcmp(text + len - n, end) != 0)
		return false;
	text[len - n] = '\0';
	return true;
}

/* A segment "v1", "v1beta", "v4", … of a path. */
static bool names_version(const char *path)
{
	for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/'))
		if (s[1] == 'v' && isdigit((unsigned char)s[2]))
			return true;
	return false;
}

static const char *what_is_wrong(CURLU *u, const char *text)
{
	for (const char *s = text; *s; s++)
		if ((unsigned char)*s <= 0x20 || *s == 0x7f || strchr("\"<>\\^`{|}", *s))
			return "has a character that no URL has";
	if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
		return "is no URL that begins with http:// or https://";
	if (strstr(text, ":///") || curl_url_set(u, CURLUPART_URL, text, 0) != CURLUE_OK || !has_part(u, CURLUPART_HOST))
		return "is no URL such as http://host:8000";
	if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
		return "has a user or a password in it, which everyone can see in the list of processes; "
		    "give a key in MR_API_KEY or with --key-file";
	if (has_part(u, CURLUPART_QUERY) || has_part(u, CURLUPART_FRAGMENT) || strpbrk(text, "?#"))
		return "has a query or a fragment; only its beginning up to the version is wanted";
	return NULL;
}

char *http_base_url(const char *text, struct err *err)
{
	CURLU *u = curl_url();
	const char *wrong = u ? what_is_wrong(u, text) : "cannot be read: not enough memory";
	struct buf b = { 0 };
	curl_url_cleanup(u);
	if (wrong && strchr(text, '@'))
		err_set(err, "the endpoint %s", wrong);
	else if (wrong)
		err_set(err, "the endpoint \"%.100s\" %s", text, wrong);
	if (wrong)
		return NULL;
	buf_adds(&b, text);
	char *path = b.data + strlen("https://");
	path += strcspn(path, "/");
	while (take_off(path, "/") || take_off(path, "/chat/completions"))
		;
	const bool version = names_version(path);
	b.len = strlen(b.data);
	if (!version)
		buf_adds(&b, "/v1");
	return buf_take(&b);
}

double http_retry_after(const char *value, time_t now)
{
	char *end;
	value += strspn(value, " \t");
	const size_t digits = strspn(value, "0123456789.");
	if (digits > 0) {
		const double seconds = strtod(value, &end);
		if (end != value + digits || end[strspn(end, " \t\r\n")])
			return -1;
		return fmin(seconds, LONGEST_WAIT);
	}
	const time_t then = curl_getdate(value, NULL);
	if (then == -1)
		return -1;
	return fmin(fmax(difftime(then, now), 0), LONGEST_WAIT);
}

static double longest_backoff(int attempt)
{
	return attempt > 20 ? LONGEST_BACKOFF : fmin(FIRST_BACKOFF * pow(2, attempt - 1), LONGEST_BACKOFF);
}

double http_backoff(int attempt, double u)
{
	return longest_backoff(attempt) * (0.5 + 0.5 * u);
}

double http_patience(int retries)
{
	double sum = 0;
	for (int i = 1; i <= retries && i <= 1000; i++)
		sum += longest_backoff(i);
	return sum;
}

bool http_is_temporary(long status)
{
	return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501);
}

void http_hide(char *text, const char *secret)
{
	const size_t len = secret ? strlen(secret) : 0, all = strlen(text);
	for (char *s = text; len > 0 && (s = strstr(s, secret)); s += len)
		memset(s, '*', len);
	for (size_t n = len; n-- > 4;)
		if (n <= all && memcmp(text + all - n, secret, n) == 0)
			memset(text + all - n, '*', n);
}
