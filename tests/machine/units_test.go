package machine

import (
	"os"
	"path"
	"strings"
	"testing"
)

// documentedUnits returns the units of docs/server.md, by their files' names:
// each is the code after a line that names its file.
func documentedUnits(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Under systemd\n")
	if !found {
		t.Fatal("docs/server.md has no section Under systemd")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	units := map[string]string{}
	file := ""
	for line := range strings.Lines(section) {
		code, isCode := strings.CutPrefix(line, "    ")
		switch named, isName := strings.CutSuffix(line, "`:\n"); {
		case isName:
			file = named[strings.LastIndexByte(named, '`')+1:]
		case isCode:
			units[file] += code
		case line == "\n" && units[file] != "":
			units[file] += "\n"
		case line != "\n":
			file = ""
		}
	}
	delete(units, "")
	for _, name := range []string{"hop3.service", "hop3.socket"} {
		if file := path.Join("/etc/systemd/system", name); !strings.HasPrefix(units[file], "[Unit]\n") {
			t.Fatalf("docs/server.md has no %s, but %q", file, units)
		}
	}
	return units
}
