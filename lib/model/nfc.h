/*
 * Unicode's normalisation form C: canonical decomposition, combining marks in
 * the order of their classes, canonical composition (Unicode Standard Annex
 * 15). Qwen 2's tokenizer in transformers does this to a text first.
 */
#ifndef MR_MODEL_NFC_H
#define MR_MODEL_NFC_H

#include <stddef.h>

#include "base/buf.h"

/* Appends the form C of s. Bytes that are not UTF-8 stay as they are, and
 * nothing is composed or moved across them. Time is linear in len. */
void nfc(const char *s, size_t len, struct buf *out);
/* How many bytes at the beginning stay as they are whatever they are: up to
 * the first character from U+0300 on; len: all of them. */
size_t nfc_plain(const char *s, size_t len);

#endif
