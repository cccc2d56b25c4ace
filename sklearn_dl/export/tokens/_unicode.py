"""Properties of Unicode's code points that the export of tokenizers needs."""

N_POINTS = 0x110000
# ranges of code points that are treated alike, so that the first one stands for all: planes of
# 65,536 code points that are unassigned or private; the last two of a plane are never characters
ALIKE = [
    alike
    for plane in (*range(0x40000, 0xE0000, 0x10000), 0xE1000, 0xF0000, 0x100000)
    for alike in ((plane, plane | 0xFFFE), (plane | 0xFFFE, (plane | 0xFFFF) + 1))
]
# the characters, and the code points between them
CHARACTERS = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000)]
# a code point that will never be a character
UNASSIGNED = 0x40000
SURROGATES = slice(0xD800, 0xE000)
# the property White_Space
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
