package platform

import (
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

// processes returns what a release runs: what the manifest declares, else what
// the artifact offers, with the wanted counts.
func processes(m *manifest.Manifest, a hop3.Artifact, scale map[string]int) []hop3.Process {
	out := make([]hop3.Process, 0, len(m.Processes)+len(a.Processes))
	seen := map[string]int{}
	// The artifact comes second: a toolchain may turn a declared type into
	// the command that runs it, as wsgi.
	offered := slices.Clone(a.Processes)
	for i := range offered {
		offered[i].Count = max(offered[i].Count, 1)
	}
	for _, proc := range slices.Concat(m.Processes, offered) {
		if n, ok := scale[proc.Type]; ok {
			proc.Count = n
		}
		if i, ok := seen[proc.Type]; ok {
			out[i].Command, out[i].Module = proc.Command, proc.Module
			continue
		}
		seen[proc.Type] = len(out)
		out = append(out, withModule(proc))
	}
	return out
}

// oneWord is what a uWSGI process type is declared with when it is no command:
// a class, a rackup file, a directory.
var oneWord = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./:-]*$`)

// withModule makes of a process that names what uWSGI loads, in place of a
// command, one that runs without uWSGI too where there is a usual way.
func withModule(p hop3.Process) hop3.Process {
	if !oneWord.MatchString(p.Command) {
		return p
	}
	switch p.Type {
	case hop3.ProcessJWSGI:
		p.Module, p.Command = p.Command, ""
	case hop3.ProcessRWSGI:
		p.Module = p.Command
		p.Command = "rackup --host ${BIND_ADDRESS:-127.0.0.1} --port $PORT " + p.Module
	case hop3.ProcessPHP:
		p.Module = p.Command
		p.Command = "php -S ${BIND_ADDRESS:-127.0.0.1}:$PORT -t ./" + strings.TrimLeft(p.Module, "/")
	}
	return p
}
