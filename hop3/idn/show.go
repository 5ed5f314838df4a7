package idn

import (
	"strings"
	"unicode"
)

// Show returns a host as people are to see it: in its own script, with the
// ASCII form behind it, "bücher.example (xn--bcher-kva.example)". What could
// pass for another name, or confuse a terminal, is shown by its ASCII form
// alone.
func Show(host string) string {
	if readable := Unicode(host); readable != host {
		return readable + " (" + host + ")"
	}
	return host
}

// Unicode returns a normalized host in its own script, or as it is when one of
// its labels could pass for another name.
func Unicode(host string) string {
	if plain(host) {
		return host
	}
	prefix, rest := "", host
	if parent, ok := strings.CutPrefix(host, "*."); ok {
		prefix, rest = "*.", parent
	}
	name, err := profile.ToUnicode(rest)
	if err != nil {
		return host
	}
	for label := range strings.SplitSeq(name, ".") {
		if !unmistakable(label) {
			return host
		}
	}
	return prefix + name
}

// together are the scripts that one language is written in, beside Latin: the
// level "highly restrictive" of Unicode's UTS 39.
var together = [][]string{{"Han", "Hiragana", "Katakana"}, {"Han", "Bopomofo"}, {"Han", "Hangul"}}

// shown are the scripts that are looked for. One that is not among them is not
// shown: neither those that few can read, nor those written from right to left,
// which turn the rest of a line around.
var shown = []string{
	"Latin", "Greek", "Cyrillic", "Armenian", "Georgian", "Han", "Hiragana", "Katakana", "Bopomofo", "Hangul", "Thai", "Lao", "Khmer", "Myanmar",
	"Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Ethiopic", "Tibetan",
}

// unmistakable reports whether a label is what it looks like: letters of one script,
// or of those of one language, and not all of them twins of Latin ones.
func unmistakable(label string) bool {
	scripts := map[string]bool{}
	twins, letters, marks := 0, 0, 0
	for _, r := range label {
		if r < 0x80 {
			if unicode.IsLetter(r) {
				scripts["Latin"] = true
			}
			marks = 0
			continue
		}
		script := scriptOf(r)
		switch {
		case script == "Inherited" || unicode.Is(unicode.M, r):
			// More than two cover what is above and below.
			if marks++; marks > 2 || scripts["Latin"] || scripts["Greek"] || scripts["Cyrillic"] {
				return false
			}
			continue
		case r == 'ー' && (scripts["Katakana"] || scripts["Hiragana"]): // makes the one before it long
			continue
		case script == "" || script == "Latin" && !everyday(r):
			return false
		}
		marks = 0
		scripts[script] = true
		letters++
		if strings.ContainsRune(latinTwins, r) {
			twins++
		}
	}
	if scripts["Latin"] && strings.ContainsAny(label, strokes) {
		return false
	}
	return oneLanguage(scripts) && (letters == 0 || twins < letters)
}

func scriptOf(r rune) string {
	if unicode.Is(unicode.Inherited, r) {
		return "Inherited"
	}
	for _, name := range shown {
		if unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	return ""
}

// oneLanguage reports whether scripts go together in one label.
func oneLanguage(scripts map[string]bool) bool {
	if len(scripts) <= 1 {
		return true
	}
	for _, set := range together {
		others := len(scripts)
		if scripts["Latin"] {
			others--
		}
		for _, name := range set {
			if scripts[name] {
				others--
			}
		}
		if others == 0 {
			return true
		}
	}
	return false
}

// everyday reports whether a Latin letter is one of a living language's
// alphabet, not of phonetics or history: those look like others.
func everyday(r rune) bool {
	return r != 'ı' && r <= 0x017f || r >= 0x0218 && r <= 0x021b || r == 'ơ' || r == 'ư' || r >= 0x1ea0 && r <= 0x1eff
}

// strokes are letters that look like punctuation, or a digit, beside Latin
// ones.
const strokes = "ノ丶丨丿乀乁亅一〳〵"

// latinTwins are the letters of other scripts that look like Latin ones, in
// lower case.
const latinTwins = "асеіјорԛѕԝхуһԁӏьҽѵѡпг" + "օսհոցքյ" + "ανορυικχωγ"
