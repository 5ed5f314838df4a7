package manifest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/abilian/hop3/hop3"
)

// MigrateProcfile writes what a Procfile says as a hop3.toml, with which an app
// runs the same.
func MigrateProcfile(text string) (string, error) {
	if len(text) > maxFile {
		return "", hop3.Errorf(hop3.CodeInvalid, "the Procfile is larger than %d KiB", maxFile>>10)
	}
	if !utf8.ValidString(text) {
		return "", hop3.Errorf(hop3.CodeInvalid, "the Procfile is not UTF-8 text, which a hop3.toml must be").
			WithHint("Save it in that encoding, and try again.")
	}
	p, err := parseProcfile("Procfile", text)
	if err != nil {
		return "", err
	}
	m := migration{}
	m.section("build", m.commands("before-build", p.hooks["prebuild"]), m.commands("after-build", p.hooks["postbuild"]))
	var start string
	var workers []string
	for _, proc := range p.processes {
		if proc.Type == hop3.ProcessWeb {
			start = m.key("start", quoteTOML(proc.Command))
		} else {
			workers = append(workers, m.key(proc.Type, quoteTOML(proc.Command)))
		}
	}
	before := append(append([]string{}, p.hooks["prerun"]...), p.hooks["release"]...)
	m.section("run", start, m.commands("before-run", before))
	m.section("run.workers", workers...)
	for _, entry := range p.cron {
		m.section("[cron]", m.key("schedule", quoteTOML(entry.Schedule)), m.key("command", quoteTOML(entry.Command)))
	}
	if m.Len() == 0 {
		return "", hop3.Errorf(hop3.CodeInvalid, "the Procfile says nothing").WithHint("An app without one needs no hop3.toml either.")
	}
	return m.String(), nil
}

type migration struct{ strings.Builder }

// section writes a section with the lines that are not empty; none without.
func (m *migration) section(name string, lines ...string) {
	body := strings.Join(lines, "")
	if body == "" {
		return
	}
	if m.Len() > 0 {
		m.WriteByte('\n')
	}
	fmt.Fprintf(m, "[%s]\n%s", name, body)
}

func (*migration) key(name, value string) string { return name + " = " + value + "\n" }

func (m *migration) commands(name string, commands []string) string {
	switch len(commands) {
	case 0:
		return ""
	case 1:
		return m.key(name, quoteTOML(commands[0]))
	}
	quoted := make([]string, len(commands))
	for i, c := range commands {
		quoted[i] = quoteTOML(c)
	}
	return m.key(name, "["+strings.Join(quoted, ", ")+"]")
}

// quoteTOML writes a string as TOML does: as it is between single quotes where
// that can be, since commands are full of double ones.
func quoteTOML(s string) string {
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if strings.ContainsAny(s, "\"\\") && !strings.ContainsRune(s, '\'') && strings.IndexFunc(s, control) < 0 {
		return "'" + s + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case control(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
