#!/usr/bin/env python3
"""Makes the lexicon that `tenon data --lexicon` reads from a WordNet 3.0 folder (data.noun, ...).

    tools/lexicon.py /usr/share/wordnet > lexicon.tsv        # Debian: apt install wordnet-base

One line a sense: word, part of speech (n, v, a), synonyms, broader words, meaning, separated by
tabs; lists by bars. Only words that people use (WordNet counted them in running text), their first
two senses, meanings short enough for the description of a tool.
"""
import re
import sys

FILES = {"n": "noun", "v": "verb", "a": "adj"}
PLAIN = re.compile(r"^[a-z]+(?: [a-z]+)?$")
LONGEST = 110


def words_of(fields):
    n = int(fields[3], 16)
    return [re.sub(r"\(.*\)", "", w).replace("_", " ") for w in fields[4 : 4 + 2 * n : 2]], 4 + 2 * n


def synsets(path, pos):
    """{offset: (words, broader offsets, meaning)}"""
    out = {}
    for line in open(path, encoding="utf-8", errors="replace"):
        if line.startswith(" "):
            continue
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        words, at = words_of(fields)
        pointers = fields[at + 1 : at + 1 + 4 * int(fields[at])]
        up = [pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] == "@"]
        meaning = re.sub(r"\s*\(.*?\)", "", gloss.split('; "')[0].split(";")[0]).strip()
        out[fields[0]] = ([w for w in words if PLAIN.match(w)], up if pos != "a" else [], meaning)
    return out


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for pos, name in FILES.items():
        sets = synsets(f"{sys.argv[1]}/data.{name}", pos)
        for line in open(f"{sys.argv[1]}/index.{name}", encoding="utf-8", errors="replace"):
            if line.startswith(" "):
                continue
            fields = line.split()
            word, n, p = fields[0].replace("_", " "), int(fields[2]), int(fields[3])
            counted = int(fields[5 + p])
            if not PLAIN.match(word) or len(word) < 3 or len(word) > 20:
                continue
            for offset in fields[6 + p : 6 + p + min(2, counted, n)]:
                same, up, meaning = sets[offset]
                broader = [w for o in up for w in sets[o][0][:2]]
                if 8 <= len(meaning) <= LONGEST and word not in meaning.split():
                    print(word, pos, "|".join(w for w in same if w != word), "|".join(broader), meaning, sep="\t")


if __name__ == "__main__":
    main()
