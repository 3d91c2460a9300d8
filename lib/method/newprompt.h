/* A new prompt out of what a model wrote when it was asked for one. */
#ifndef MR_METHOD_NEWPROMPT_H
#define MR_METHOD_NEWPROMPT_H

#include "base/buf.h"

/*
 * Appends to out the prompt in text, which may be nothing:
 * - white space at both ends is dropped;
 * - one lead is dropped: a label ("Prompt 9:", "New prompt:", also in bold
 *   or as a heading), a number ("9." or "9)" and a blank) or a bullet;
 * - the text ends before a line that begins the next item: a label with a
 *   number, or, behind a number as lead, the number that follows it;
 * - quotation marks, or bold, around all of it are dropped.
 * Further paragraphs are kept: a prompt may bring a text or a program along.
 */
void newprompt_clean(const char *text, struct buf *out);

#endif
