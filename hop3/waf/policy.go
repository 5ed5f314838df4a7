package waf

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Policy is a hop3.WAF ready to be applied. It is immutable.
type Policy struct {
	spec    hop3.WAF
	app     string
	allow   []*regexp.Regexp
	gates   []gate
	tunings []tuning
	engine  Engine
}

type gate struct {
	paths   []*regexp.Regexp
	network string
}

type tuning struct {
	paths []*regexp.Regexp // none: every path
	hop3.WAFTuning
}

// Compile makes an app's policy. A CodeInvalid error says what of it cannot be
// applied: a pattern, or a rule that there is none of.
func (g *Guard) Compile(app string, spec hop3.WAF) (*Policy, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	engine, err := g.engine(spec.Paranoia)
	if err != nil {
		return nil, err
	}
	p := &Policy{spec: spec, app: app, engine: engine, allow: patterns("(?-s)^(?:", spec.Allow)}
	for _, gate_ := range spec.Gates {
		// What a gate is for is compared without regard to case, and over
		// line ends: the mistake is made on the safe side.
		p.gates = append(p.gates, gate{patterns("(?is)^(?:", gate_.Paths), gate_.Network})
	}
	for _, t := range spec.Tunings {
		for _, rule := range t.Rules {
			if !engine.Has(rule) {
				return nil, hop3.Errorf(hop3.CodeInvalid, "there is no rule %d that could be disabled", rule).
					WithHint("`hop3 waf logs` names the rules that refuse requests: 911100 to 944999, and 200002 to 200007.")
			}
		}
		p.tunings = append(p.tunings, tuning{patterns("(?-s)^(?:", t.Paths), t})
	}
	return p, nil
}

// patterns compiles what hop3.WAF.Validate has found good. They are for the
// whole of a path.
func patterns(before string, list []string) []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, pattern := range list {
		out = append(out, regexp.MustCompile(before+pattern+")$"))
	}
	return out
}

// access returns why a path is closed to a client, "" when it is not. inside
// tells whether the client belongs to a network.
func (p *Policy) access(path readings, inside func(network string) bool) string {
	if len(p.gates)+len(p.allow) == 0 {
		return ""
	}
	if path.dubious {
		return "path"
	}
	opened := false
	for _, gate := range p.gates {
		if !gate.mayCover(path) {
			continue
		}
		if !inside(gate.network) {
			return "gate " + gate.network
		}
		opened = opened || matchesAll(gate.paths, path)
	}
	if len(p.allow) == 0 || opened || matchesAll(p.allow, path) {
		return ""
	}
	return "allow"
}

// mayCover reports whether any reading of a path is one of the gate's.
func (g gate) mayCover(path readings) bool {
	if matches(g.paths, path.raw) {
		return true
	}
	for _, reading := range path.paths {
		if matches(g.paths, reading) {
			return true
		}
		if bare := strings.TrimRight(reading, "/"); bare != "" && bare != reading && matches(g.paths, bare) {
			return true
		}
		// What follows the name of a script is an argument to it.
		for end := len(".php"); end < len(reading); end++ {
			if reading[end] == '/' && strings.EqualFold(reading[end-len(".php"):end], ".php") && matches(g.paths, reading[:end]) {
				return true
			}
		}
	}
	return false
}

// relief returns what of the rules is off for a path: only what is so for
// every reading of it.
func (p *Policy) relief(path readings) (rules []int, skipBody bool) {
	for _, t := range p.tunings {
		if len(t.paths) > 0 && (path.dubious || !matchesAll(t.paths, path)) {
			continue
		}
		rules = append(rules, t.Rules...)
		skipBody = skipBody || t.SkipBody
	}
	return rules, skipBody
}

func matches(list []*regexp.Regexp, path string) bool {
	return slices.ContainsFunc(list, func(re *regexp.Regexp) bool { return re.MatchString(path) })
}

// matchesAll reports whether every reading of a path is matched.
func matchesAll(list []*regexp.Regexp, path readings) bool {
	for _, reading := range path.paths {
		if !matches(list, reading) {
			return false
		}
	}
	return true
}

// networks are the named networks of a server.
type networks map[string][]netip.Prefix

func (n networks) contain(name string, addr netip.Addr) bool {
	return addr.IsValid() && slices.ContainsFunc(n[name], func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (n networks) containAny(addr netip.Addr) bool {
	for name := range n {
		if n.contain(name, addr) {
			return true
		}
	}
	return false
}
