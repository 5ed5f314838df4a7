package manifest

import (
	"slices"

	"github.com/abilian/hop3/hop3"
)

// processes are process types in the order they were declared.
type processes []hop3.Process

// webTypes answer HTTP: an app has at most one of them.
var webTypes = []string{hop3.ProcessWeb, hop3.ProcessWSGI, hop3.ProcessJWSGI, hop3.ProcessRWSGI, hop3.ProcessPHP}

func (ps processes) index(name string) int {
	return slices.IndexFunc(ps, func(p hop3.Process) bool { return p.Type == name })
}

func (ps processes) servesHTTP() bool {
	return slices.ContainsFunc(webTypes, func(name string) bool { return ps.index(name) >= 0 })
}

func (ps processes) without(names ...string) processes {
	return slices.DeleteFunc(slices.Clone(ps), func(p hop3.Process) bool { return slices.Contains(names, p.Type) })
}

// overlay returns ps with each of others replacing the one of its type, or
// after the last.
func (ps processes) overlay(others processes) processes {
	out := slices.Clone(ps)
	for _, p := range others {
		if i := out.index(p.Type); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
	return out
}
