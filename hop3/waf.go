package hop3

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
)

// WAF is the firewall in front of an app: [waf] of hop3.toml. It is pure data,
// frozen with a release.
//
// A request is refused for the first of these that says so: the client is
// banned, a gate is closed to it, Allow has no place for its path, the rules
// find an attack in it.
type WAF struct {
	// Detect lets everything pass and only writes down what would have been
	// refused.
	Detect bool `json:"detect,omitempty"`
	// Paranoia is how much the rules suspect, 1 to 4.
	Paranoia int `json:"paranoia"`
	// Allow are patterns of the only paths that there are, beside those of
	// gates that are open; none for all paths.
	Allow   []string    `json:"allow,omitempty"`
	Gates   []WAFGate   `json:"gates,omitempty"`
	Tunings []WAFTuning `json:"tunings,omitempty"`
	Bans    *WAFBans    `json:"bans,omitempty"` // nil bans nobody
}

// WAFGate are paths for the clients of one network only.
type WAFGate struct {
	Paths   []string `json:"paths"`
	Network string   `json:"network"` // the name of a Network
}

// WAFTuning keeps the rules from what they get wrong about an app.
type WAFTuning struct {
	Paths    []string `json:"paths,omitempty"` // none for all paths
	Rules    []int    `json:"rules,omitempty"` // that are off there
	SkipBody bool     `json:"skip_body,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

// WAFBans keeps clients out that were refused Threshold times in Window, for
// Duration.
type WAFBans struct {
	Threshold int           `json:"threshold"`
	Window    time.Duration `json:"window"`
	Duration  time.Duration `json:"duration"`
}

// Networks returns the names of the networks that the gates are open to, each
// once.
func (w *WAF) Networks() []string {
	var names []string
	if w == nil {
		return nil
	}
	for _, gate := range w.Gates {
		if !slices.Contains(names, gate.Network) {
			names = append(names, gate.Network)
		}
	}
	return names
}

// Ban is a client that an app is closed to.
type Ban struct {
	App     string
	Source  string // an IPv4 address, or the /64 network of an IPv6 one
	Reason  string // what it was refused for last
	Since   time.Time
	Expires time.Time
}

// WAFEvent is a request that a firewall refused, or would have.
type WAFEvent struct {
	Time    time.Time `json:"time"`
	App     string    `json:"app"`
	Source  string    `json:"source"` // the client's address; "" when it is unknown
	Action  string    `json:"action"` // one of the WAF… constants
	Rule    string    `json:"rule"`   // "942100 attack-sqli", "gate office", "allow", "ban", …
	Method  string    `json:"method"`
	Path    string    `json:"path"` // without the query
	Request string    `json:"request,omitempty"`
}

// The actions of a WAFEvent.
const (
	WAFBlocked  = "block"  // refused
	WAFDetected = "detect" // would have been refused
	WAFBanned   = "ban"    // refused, and the client is banned from now on
	WAFError    = "error"  // could not be looked into
)

// Network is a set of addresses that has a name on the server.
type Network struct {
	Name  string
	CIDRs []string // in their canonical form, IPv4 and IPv6
}

var networkName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// ValidateNetworkName reports a CodeInvalid error unless name can be that of a
// Network.
func ValidateNetworkName(name string) error {
	switch {
	case name == "auth", name == "any":
		return Errorf(CodeInvalid, "\"%s\" is reserved: a network cannot be called that", name)
	case !networkName.MatchString(name):
		return Errorf(CodeInvalid, "%q cannot be the name of a network", shorten(name, 80)).
			WithHint("It has up to 64 letters, digits, '-' and '_', and begins with a letter.")
	}
	return nil
}

const (
	longestPattern  = 1000  // bytes
	largestPattern  = 20000 // see patternSize
	mostWAFPatterns = 500
)

// ValidateWAFPattern reports a CodeInvalid error unless pattern is a regular
// expression (RE2) that costs no more than it should.
func ValidateWAFPattern(pattern string) error {
	if len(pattern) > longestPattern {
		return Errorf(CodeInvalid, "a pattern has at most %d characters", longestPattern)
	}
	if pattern == "" || pattern != strings.TrimSpace(pattern) {
		return Errorf(CodeInvalid, "%q is empty, or has blanks around it", shorten(pattern, 80))
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return Errorf(CodeInvalid, "%q is not a regular expression: %s", shorten(pattern, 80), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if patternSize(tree) > largestPattern {
		return Errorf(CodeInvalid, "%q repeats too much", shorten(pattern, 80))
	}
	return nil
}

// patternSize is about how many states a pattern has once it is compiled.
func patternSize(tree *syntax.Regexp) int {
	size := 1 + len(tree.Rune)
	for _, sub := range tree.Sub {
		size += patternSize(sub)
	}
	if tree.Op == syntax.OpRepeat {
		size *= max(tree.Min, tree.Max, 1)
	}
	return min(size, largestPattern+1)
}

// Validate reports a CodeInvalid error when the policy cannot be applied. What
// the rules and networks are called, others know.
func (w *WAF) Validate() error {
	patterns := slices.Clone(w.Allow)
	for _, gate := range w.Gates {
		patterns = append(patterns, gate.Paths...)
		if len(gate.Paths) == 0 {
			return Errorf(CodeInvalid, "a gate needs paths")
		}
		if err := ValidateNetworkName(gate.Network); err != nil {
			return err
		}
	}
	for _, tuning := range w.Tunings {
		patterns = append(patterns, tuning.Paths...)
	}
	if len(patterns) > mostWAFPatterns {
		return Errorf(CodeInvalid, "there are %d patterns of paths; at most %d are looked at for each request", len(patterns), mostWAFPatterns)
	}
	for _, pattern := range patterns {
		if err := ValidateWAFPattern(pattern); err != nil {
			return err
		}
	}
	if w.Paranoia < 1 || w.Paranoia > 4 {
		return Errorf(CodeInvalid, "%d is not a paranoia from 1 to 4", w.Paranoia)
	}
	return nil
}
