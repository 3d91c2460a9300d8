/* Pre-tokenizers: where a text is cut into words before byte-pair merging. */
#ifndef MR_MODEL_SPLIT_H
#define MR_MODEL_SPLIT_H

#include <stddef.h>

/*
 * The length of the first word of s (len >= 1 bytes), at least 1, by GPT-2's
 * pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Bytes that are not UTF-8 count as other characters: neither letter, number
 * nor space.
 */
size_t split_gpt2(const char *s, size_t len);

/*
 * The same by Llama 3's pattern:
 * (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 * \s*[\r\n]+|\s+(?!\S)|\s+
 * and by Qwen 2's, which has \p{N} for \p{N}{1,3}.
 */
size_t split_llama3(const char *s, size_t len);
size_t split_qwen2(const char *s, size_t len);

#endif
