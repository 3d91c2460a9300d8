/* Classes of code points, as the tokenizers' split patterns know them. */
#ifndef MR_MODEL_UNICODE_H
#define MR_MODEL_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

/* False for anything above U+10FFFF. */
bool unicode_letter(uint32_t cp);       /* \p{L} */
bool unicode_number(uint32_t cp);       /* \p{N} */
bool unicode_space(uint32_t cp);        /* \s: the property White_Space */

#endif
