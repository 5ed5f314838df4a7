package subject

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Median returns the middle one of values.
func Median[T cmp.Ordered](values []T) T {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}

// Verdict prints a figure and whether it meets its target: relation is "<=" or
// ">=".
func Verdict(what string, got float64, relation string, target float64) {
	met := got >= target
	if relation == "<=" {
		met = got <= target
	}
	word := "met"
	if !met {
		word = "MISSED"
	}
	fmt.Printf("%-58s %8.3f  target %s %g: %s\n", what, got, relation, target, word)
}

// Load is the machine's load average, to judge figures by.
func Load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
