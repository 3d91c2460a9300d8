#!/usr/bin/env python3
"""Prints the tables at the end of lib/model/unicode.c:
lib/model/unicode-tables.py (by hand, with a newer Python for a newer Unicode)."""
import unicodedata

# PropList.txt: White_Space (Python's str.isspace has four more).
SPACE = {0x9, 0xa, 0xb, 0xc, 0xd, 0x20, 0x85, 0xa0, 0x1680, *range(0x2000, 0x200b),
         0x2028, 0x2029, 0x202f, 0x205f, 0x3000}


def ranges(wanted):
    out = []
    for cp in range(0x110000):
        if not wanted(cp):
            continue
        if out and out[-1][1] == cp - 1:
            out[-1][1] = cp
        else:
            out.append([cp, cp])
    return out


def table(name, wanted):
    print(f"static const struct range {name}[] = {{")
    items = ["{0x%x, 0x%x}," % (a, b) for a, b in ranges(wanted)]
    line = "\t"
    for item in items:
        if len(line.expandtabs(8)) + len(item) > 108:
            print(line.rstrip())
            line = "\t"
        line += item + " "
    print(line.rstrip() + "\n};")


print(f"/* Unicode {unicodedata.unidata_version} */")
table("letters", lambda cp: unicodedata.category(chr(cp))[0] == "L")
print()
table("numbers", lambda cp: unicodedata.category(chr(cp))[0] == "N")
print()
table("spaces", lambda cp: cp in SPACE)
