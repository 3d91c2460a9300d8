/*
 * The five verdicts of Arena-Hard: which of two answers is better, and how
 * clearly. As for scores, one value or none.
 */
#ifndef MR_METHOD_VERDICT5_H
#define MR_METHOD_VERDICT5_H

#include <stdbool.h>

enum { VERDICT5_LABELS = 5 };
extern const char *const verdict5_labels[VERDICT5_LABELS];      /* "A>>B" … "B>>A": values 2 … -2 */

/* A label alone: how much better A is, 2, 1, 0, -1 or -2. */
bool verdict5_by_label(const char *label, int *verdict);

/* Out of what a judge wrote: every label in double brackets, and every one
 * behind "Verdict:", must be the same (A>>B and A>B differ). */
bool verdict5_parse(const char *text, int *verdict);

#endif
