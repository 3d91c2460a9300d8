/* ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, for
 * dropping near duplicates among new prompts. Words: runs of ASCII letters
 * and digits, lower-cased, and any run of bytes above 127. */
#ifndef MR_METHOD_ROUGE_H
#define MR_METHOD_ROUGE_H

double rouge_l(const char *a, const char *b);

#endif
