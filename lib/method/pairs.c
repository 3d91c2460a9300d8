#include "method/pairs.h"

#include <string.h>

#include "base/buf.h"

static void message_write(struct buf *out, const char *role, const char *content)
{
	buf_adds(out, "{\"role\":");
	buf_json_string(out, role, strlen(role));
	buf_adds(out, ",\"content\":");
	buf_json_string(out, content, strlen(content));
	buf_addc(out, '}');
}

void pair_write(struct buf *out, const char *id, const char *role, const struct message *prompt, int nprompt,
    const char *chosen, const char *rejected, const char *extra)
{
	buf_adds(out, "{\"id\":");
	buf_json_string(out, id, strlen(id));
	buf_adds(out, ",\"role\":");
	buf_json_string(out, role, strlen(role));
	if (extra) {
		buf_addc(out, ',');
		buf_adds(out, extra);
	}
	buf_adds(out, ",\"prompt\":[");
	for (int i = 0; i < nprompt; i++) {
		if (i > 0)
			buf_addc(out, ',');
		message_write(out, prompt[i].role, prompt[i].content);
	}
	buf_adds(out, "],\"chosen\":[");
	message_write(out, "assistant", chosen);
	buf_adds(out, "],\"rejected\":[");
	message_write(out, "assistant", rejected);
	buf_adds(out, "]}\n");
}
