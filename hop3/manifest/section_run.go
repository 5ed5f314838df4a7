package manifest

import (
	"maps"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

func readRun(r *reading) {
	t := r.table.table("run")
	if t == nil {
		return
	}
	m := r.manifest
	if start := t.commands("start"); len(start) > 0 {
		*r.processes = append(*r.processes, hop3.Process{Type: hop3.ProcessWeb, Command: strings.Join(start, " && "), Count: 1})
	}
	m.BeforeRun = t.commands("before-run")
	m.StartTimeout = t.seconds("start-timeout")
	m.Static = t.pairs("static")
	m.Health.Path = t.requestPath("healthcheck")
	m.Health.Timeout = t.seconds("healthcheck-timeout")
	m.Build.Packages = append(m.Build.Packages, t.texts("packages")...)
	readWorkers(r, t)
	t.done()
}

func readWorkers(r *reading, run *table) {
	t := run.table("workers")
	if t == nil {
		return
	}
	t.rest(textShape())
	if t.describing() {
		readCronWorkers(r, t)
	}
	m := r.manifest
	for _, kind := range slices.Sorted(maps.Keys(t.values)) {
		if kind == hop3.ProcessCron {
			readCronWorkers(r, t)
			continue
		}
		command := strings.TrimSpace(t.text(kind))
		switch {
		case hop3.ValidateProcessType(kind) != nil:
			t.fail(kind, "cannot be a process type: use 1 to 31 letters, digits, '-' or '_'")
		case command == "":
			t.fail(kind, "has no command")
		case kind == "prebuild":
			m.BeforeBuild = append(m.BeforeBuild, command)
		case kind == "postbuild":
			m.AfterBuild = append(m.AfterBuild, command)
		case kind == "prerun":
			m.BeforeRun = append(m.BeforeRun, command)
		case kind == hop3.ProcessWeb && r.processes.index(kind) >= 0:
			t.fail(kind, "[run].start declares 'web' already")
		default:
			*r.processes = append(*r.processes, hop3.Process{Type: kind, Command: command, Count: 1})
		}
	}
	var web []string
	for _, kind := range webTypes {
		if r.processes.index(kind) >= 0 {
			web = append(web, kind)
		}
	}
	if len(web) > 1 {
		run.fail("workers", "found '%s': keep one of them", strings.Join(web, "' and '"))
	}
}

// requestPath is a path to ask for, beginning with a slash.
func (t *table) requestPath(key string) string {
	p := t.text(key)
	t.is(key, patternShape(`^/[^ \r\n\t]*$`))
	if p != "" && (!strings.HasPrefix(p, "/") || strings.ContainsAny(p, " \r\n\t")) {
		t.fail(key, "%q is not a path like /health", cut(p))
	}
	return p
}
