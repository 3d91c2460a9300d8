#!/usr/bin/env python3
"""Prints the tables in lib/model/unicode.c: lib/model/unicode-tables.py;
or lib/model/nfc_tables.h: lib/model/unicode-tables.py nfc
(by hand, with a newer Python for a newer Unicode)."""
import sys
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


def rows(start, items):
    print(start + " = {")
    line = "\t"
    for item in items:
        if len(line.expandtabs(8)) + len(item) > 108:
            print(line.rstrip())
            line = "\t"
        line += item + " "
    print(line.rstrip() + "\n};")


def table(name, wanted):
    rows(f"static const struct range {name}[]", ["{0x%x, 0x%x}," % (a, b) for a, b in ranges(wanted)])


def classes():
    out = []
    for cp in range(0x110000):
        ccc = unicodedata.combining(chr(cp))
        if not ccc:
            continue
        if out and out[-1][1] == cp - 1 and out[-1][2] == ccc:
            out[-1][1] = cp
        else:
            out.append([cp, cp, ccc])
    return ["{0x%x, 0x%x, %d}," % tuple(r) for r in out]


# One step of each canonical decomposition, without Hangul's; those that are
# composed again, by what they are made of.
def nfc():
    steps = []
    for cp in range(0x110000):
        d = unicodedata.decomposition(chr(cp))
        if d and not d.startswith("<"):
            steps.append((cp, *[int(x, 16) for x in d.split()], 0)[:3])
    pairs = [i for i, (cp, a, b) in enumerate(steps) if b and unicodedata.normalize("NFC", chr(cp)) == chr(cp)]
    pairs.sort(key=lambda i: steps[i][1:])
    print(f"/* Printed by lib/model/unicode-tables.py nfc. Unicode {unicodedata.unidata_version} */")
    rows("static const struct marks marks[]", classes())
    print()
    rows("static const struct step steps[]", ["{0x%x, 0x%x, 0x%x}," % s for s in steps])
    print()
    print("/* Of steps, by first and second. */")
    rows("static const uint16_t pairs[]", ["%d," % i for i in pairs])


if sys.argv[1:] == ["nfc"]:
    nfc()
    sys.exit()
print(f"/* Unicode {unicodedata.unidata_version} */")
table("letters", lambda cp: unicodedata.category(chr(cp))[0] == "L")
print()
table("numbers", lambda cp: unicodedata.category(chr(cp))[0] == "N")
print()
table("spaces", lambda cp: cp in SPACE)
