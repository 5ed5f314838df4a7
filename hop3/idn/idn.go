// Package idn reads and shows host names in every script (IDNA2008, RFC 5891,
// with the mappings of Unicode's UTS 46). Inside the server a host is ASCII:
// xn--bcher-kva.example. People may write bücher.example.
package idn

import (
	"strings"

	"golang.org/x/net/idna"

	"github.com/abilian/hop3/hop3"
)

// profile maps what people type (capitals, full-width forms, decomposed
// letters, other full stops) to one spelling, and refuses what no registry
// would give: unassigned and private characters, joiners out of place, labels
// that mix directions.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// stops are the characters that people separate labels by (RFC 3490, section
// 3.1).
var stops = []string{".", "。", "．", "｡"}

// Normalize returns the form in which a host is stored and compared, as
// hop3.NormalizeHost does, for one in any script. A name that cannot be
// converted comes back without being; Validate says why.
func Normalize(host string) string {
	name := hop3.NormalizeHost(host)
	if converted, err := convert(name); err == nil {
		return hop3.NormalizeHost(converted)
	}
	return name
}

// Validate reports a CodeInvalid error unless host, already normalized, is a
// host by hop3.ValidateHost whose labels in other scripts (xn--…) stand for
// names that there can be.
func Validate(host string) error {
	if _, err := convert(host); err != nil && len(host) <= 253 {
		return hop3.Errorf(hop3.CodeInvalid, "%+q is not a valid host name: %s", host, reason(err)).
			WithHint("A host name has letters and digits of one language at a time, and hyphens, between its dots.")
	}
	return hop3.ValidateHost(host)
}

// convert returns the ASCII form of a name. What is ASCII already, and stands
// for nothing else, is left to hop3.ValidateHost.
func convert(name string) (string, error) {
	if plain(name) {
		return name, nil
	}
	rest, wildcard := name, false
	for _, stop := range stops {
		if parent, ok := strings.CutPrefix(name, "*"+stop); ok {
			rest, wildcard = parent, true
		}
		rest = strings.TrimSuffix(rest, stop)
	}
	ascii, err := profile.ToASCII(rest)
	if err != nil {
		return "", err
	}
	if wildcard {
		ascii = "*." + ascii
	}
	return ascii, nil
}

// plain reports whether a name is ASCII in which no label stands for another.
func plain(name string) bool {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return false
		}
	}
	return !strings.HasPrefix(name, "xn--") && !strings.Contains(name, ".xn--")
}

// reason says in words what the library says in codes of UTS 46.
func reason(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "disallowed rune"):
		return "it has a character that no host name has (" + text[strings.LastIndexByte(text, ' ')+1:] + ")"
	case strings.Contains(text, "invalid label"):
		return "one of its labels stands for nothing, mixes directions, or begins with what cannot be first"
	}
	return strings.TrimPrefix(text, "idna: ")
}
