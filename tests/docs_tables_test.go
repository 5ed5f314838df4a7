package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/serverconfig"
	_ "github.com/abilian/hop3/toolchains"
)

// TestDocSettings compares the table of settings with the server's: all names,
// all defaults, as root and as anybody else.
func TestDocSettings(t *testing.T) {
	documented := map[string][]string{} // setting -> code in the cell of its default
	for _, row := range docTable(t, "docs/server.md", "| setting |") {
		for _, name := range codeIn(row[0]) {
			documented[name] = codeIn(row[1])
		}
	}
	known := map[string]bool{"HOP3_ROOT": true, "HOP3_PROXY": true} // aliases of HOP3_HOME and HOP3_PROXY_TYPE
	for _, uid := range []int{0, 1000} {
		config, err := serverconfig.Load(serverconfig.Options{
			NoFiles:   true,
			EUID:      func() int { return uid },
			LookupEnv: func(name string) (string, bool) { return "/home/ada", name == "HOME" },
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range config.Explain() {
			if row.Doc == "has no effect" {
				continue
			}
			known[row.Key] = true
			defaults, ok := documented[row.Key]
			value := strings.Replace(row.Value, "/home/ada", "~", 1)
			switch {
			case !ok:
				t.Errorf("docs/server.md does not have %s: %s", row.Key, row.Doc)
			case value != "" && !slices.Contains(defaults, value):
				t.Errorf("docs/server.md: the default of %s is %q for the user %d, not one of %q", row.Key, value, uid, defaults)
			}
		}
	}
	for name := range documented {
		if !known[name] {
			t.Errorf("docs/server.md has %s, which is no setting", name)
		}
	}
}

// TestDocToolchains compares the table of toolchains with those there are, and
// has each look at the files that it is said to recognise.
func TestDocToolchains(t *testing.T) {
	var documented, built []string
	for _, row := range docTable(t, "docs/apps.md", "| files |") {
		name := row[1]
		documented = append(documented, name)
		module, err := caddy.GetModule("hop3.toolchains." + name)
		if err != nil {
			t.Error(err)
			continue
		}
		if name == "generic" {
			continue // takes what no other does
		}
		for _, file := range codeIn(row[0]) {
			src := fstest.MapFS{file: {Data: []byte("{}")}}
			if _, ok := module.New().(hop3.Toolchain).Detect(src); !ok {
				t.Errorf("docs/apps.md: the toolchain %s does not recognise %s", name, file)
			}
		}
	}
	for _, m := range caddy.GetModules("hop3.toolchains") {
		built = append(built, m.ID.Name())
	}
	slices.Sort(documented)
	if slices.Sort(built); !slices.Equal(documented, built) {
		t.Errorf("docs/apps.md has the toolchains %v, the server %v", documented, built)
	}
}

// TestDocCommandLine asks for help on each command that the table of the
// command line has, and looks for its flags there. It calls the client's main:
// starting the program once for each command takes a minute.
func TestDocCommandLine(t *testing.T) {
	s := startServer(t)
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"HOME", "HOP3_API_URL"} {
		t.Setenv(name, s.getenv(name))
	}
	flag := regexp.MustCompile(`\[(-[a-z]|--[a-z-]+)`)
	asked := 0
	for _, row := range docTable(t, "docs/cli.md", "| command |") {
		for _, usage := range codeIn(row[0]) {
			for _, words := range alternatives(usage) {
				var out bytes.Buffer
				status := cli.Main(append([]string{"help"}, words...), cli.Stdio{In: strings.NewReader(""), Out: &out, Err: &out}, nil)
				help := out.String()
				if status != 0 || !strings.Contains(help, strings.Join(words, " ")) {
					t.Errorf("docs/cli.md: %s: no help on it: status %d\n%s", usage, status, help)
				}
				for _, found := range flag.FindAllStringSubmatch(usage, -1) {
					if !regexp.MustCompile(`(^|[\s\[,/])` + found[1] + `\b`).MatchString(help) {
						t.Errorf("docs/cli.md: %s: the help does not have %s:\n%s", usage, found[1], help)
					}
				}
				asked++
			}
		}
	}
	if asked < 40 {
		t.Errorf("only %d commands were found in the table", asked)
	}
}

// alternatives are the commands of a usage without "hop3" and arguments: `hop3
// app start|stop` are "app start" and "app stop".
func alternatives(usage string) [][]string {
	var words, last []string
	for _, word := range strings.Fields(usage)[1:] {
		if !regexp.MustCompile(`^[a-z-]+(\|[a-z-]+)*$`).MatchString(word) || strings.HasPrefix(word, "-") {
			break
		}
		if last = strings.Split(word, "|"); len(last) > 1 {
			break
		}
		words, last = append(words, word), nil
	}
	if last == nil {
		return [][]string{words}
	}
	var out [][]string
	for _, word := range last {
		out = append(out, append(slices.Clone(words), word))
	}
	return out
}

// docTable returns the cells of the rows of a table.
func docTable(t *testing.T, file, header string) (rows [][]string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(data), "\n"+header)
	if !found {
		t.Fatalf("%s has no table %q", file, header)
	}
	for i, line := range strings.Split(table, "\n") {
		if i < 2 {
			continue // the rest of the header, and the line below it
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		line = strings.ReplaceAll(line, `\|`, "\x00")
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.ReplaceAll(strings.TrimSpace(cell), "\x00", "|"))
		}
		rows = append(rows, cells)
	}
	return rows
}

// codeIn returns what is `code` in a text.
func codeIn(text string) []string {
	var out []string
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			out = append(out, part)
		}
	}
	return out
}
