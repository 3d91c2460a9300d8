#include "helper/server/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The value of a header, or NULL. */
static const char *header(const char *head, const char *end, const char *name, size_t *len)
{
	size_t n = strlen(name);

	for (const char *line = head; line && line < end; line = strstr(line, "\r\n")) {
		line += line == head ? 0 : 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			line += n + 1;
			line += strspn(line, " \t");
			*len = strcspn(line, "\r");
			return line;
		}
	}
	*len = 0;
	return NULL;
}

/* Joins the chunks of the body at from, in place. 1: it is whole, 0: it is
 * not yet. */
static int join_chunks(struct buf *in, size_t from, struct request *q)
{
	char *s = in->data + from, *end = in->data + in->len;
	struct buf whole = { 0 };

	for (;;) {
		char *line = memmem(s, (size_t)(end - s), "\r\n", 2);
		size_t n = line ? strtoul(s, NULL, 16) : 0;

		if (!line || (size_t)(end - line) < n + 4) {
			buf_free(&whole);
			return 0;
		}
		buf_add(&whole, line + 2, n);
		s = line + 2 + n + 2;
		if (n == 0)
			break;
	}
	memcpy(in->data + from, whole.data ? whole.data : "", whole.len);
	q->body_len = whole.len;
	q->end = (size_t)(s - in->data);
	buf_free(&whole);
	return 1;
}

int request_parse(struct buf *in, struct request *q)
{
	char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
	const char *value, *head = in->data;
	size_t from, len;

	if (!end)
		return 0;
	*q = (struct request){ .post = strncmp(head, "POST ", 5) == 0 };
	if (!q->post && strncmp(head, "GET ", 4) != 0)
		return -1;
	q->path = head + (q->post ? 5 : 4);
	/* as a proxy is asked */
	if (strncmp(q->path, "http://", 7) == 0)
		q->path += 7 + strcspn(q->path + 7, "/ \r");
	q->path_len = strcspn(q->path, " \r");
	q->expects = header(head, end, "Expect", &len) != NULL;
	value = header(head, end, "Connection", &len);
	q->last = value && len == 5 && strncasecmp(value, "close", 5) == 0;
	q->key = header(head, end, "Authorization", &q->key_len);
	from = (size_t)(end + 4 - head);
	q->body = head + from;
	if (header(head, end, "Transfer-Encoding", &len))
		return join_chunks(in, from, q);
	value = header(head, end, "Content-Length", &len);
	q->body_len = value ? strtoul(value, NULL, 10) : 0;
	q->end = from + q->body_len;
	return in->len >= q->end;
}

const char *status_reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 302: return "Found";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 404: return "Not Found";
	case 429: return "Too Many Requests";
	case 500: return "Internal Server Error";
	case 503: return "Service Unavailable";
	}
	return "Other";
}
