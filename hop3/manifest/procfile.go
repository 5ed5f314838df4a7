package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// procfile is a Procfile as read.
type procfile struct {
	processes processes
	hooks     map[string][]string
	cron      []hop3.CronEntry
}

// hookKinds are lines of a Procfile that are not processes: they run once.
var hookKinds = []string{"prebuild", "postbuild", "prerun", "release", "preflight"}

func loadProcfile(fsys fs.FS) (*procfile, error) {
	name, data, err := readFirst(fsys, "hop3/Procfile", "Procfile")
	if err != nil {
		return nil, err
	}
	return parseProcfile(name, string(data))
}

// parseProcfile parses lines of the form "kind: command". Everything wrong with
// them is in one error, each with its line's number.
func parseProcfile(name, text string) (*procfile, error) {
	p := &procfile{hooks: map[string][]string{}}
	seen := map[string]int{}
	var problems []string
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.add(line, i+1, seen); err != nil {
			problems = append(problems, fmt.Sprintf("line %d: %s", i+1, err.Error()))
		}
	}
	problems = append(problems, p.conflict(seen)...)
	if len(problems) > 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "Invalid %s:\n  - %s", name, strings.Join(problems, "\n  - "))
	}
	return p, nil
}

func (p *procfile) add(line string, number int, seen map[string]int) error {
	kind, command, found := strings.Cut(line, ":")
	kind, command = strings.TrimSpace(kind), strings.TrimSpace(command)
	switch {
	case !found:
		return fmt.Errorf("expected '<type>: <command>', found %q", cut(line))
	case hop3.ValidateProcessType(kind) != nil:
		return fmt.Errorf("%q cannot be a process type: use 1 to 31 letters, digits, '-' or '_'", cut(kind))
	case command == "":
		return fmt.Errorf("%s has no command", kind)
	case strings.ContainsRune(command, 0):
		return fmt.Errorf("the command of %s contains a NUL byte", kind)
	case kind == hop3.ProcessCron:
		return p.addCron(command)
	case seen[kind] != 0:
		return fmt.Errorf("%s is declared already on line %d", kind, seen[kind])
	}
	seen[kind] = number
	if slices.Contains(hookKinds, kind) {
		p.hooks[kind] = []string{command}
		return nil
	}
	p.processes = append(p.processes, hop3.Process{Type: kind, Command: command, Count: 1})
	return nil
}

// addCron adds a cron line; there may be several.
func (p *procfile) addCron(line string) error {
	entry, problem := cronLine(line)
	switch {
	case problem != "":
		return errors.New(problem)
	case len(p.cron) == maxCron:
		return fmt.Errorf("there are more than %d cron lines", maxCron)
	}
	p.cron = append(p.cron, entry)
	return nil
}

// conflict reports two types that would both answer the app's requests.
func (p *procfile) conflict(seen map[string]int) []string {
	web := seen[hop3.ProcessWeb]
	var problems []string
	for _, kind := range webTypes[1:] {
		if line := seen[kind]; line != 0 && web != 0 {
			problems = append(problems, fmt.Sprintf("line %d: found both '%s' and 'web' (line %d): keep one of them", line, kind, web))
		}
	}
	return problems
}

func cut(s string) string {
	if len(s) <= 60 {
		return s
	}
	return s[:60] + "…"
}
