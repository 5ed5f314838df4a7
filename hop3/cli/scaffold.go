package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// scaffolded is the hop3.toml of `hop3 init` and `hop3 scaffold`. What is a
// comment shows what there is.
const scaffolded = `# What Hop3 is to do with this app. All keys: hop3 config schema
[metadata]
id = %s
%s
# [run.workers]
# worker = "python worker.py"

# [domains]
# list = ["%s.example.com"]

# [env]
# SECRET_KEY = { generate = "hex" }

# [healthcheck]
# path = "/health"
`

const (
	runComment = `
[run]
# The command of the web process; it listens on $PORT. Without it the language's
# own way to start is taken, or that of a Procfile.
%s
`
	procfileComment = `
# The Procfile says what runs.
`
)

// found is what was found in a directory that is to be an app.
type found struct {
	what     string // in words
	procfile bool   // it says what runs
	start    string // the command of the web process; "" when the language knows, or nobody does
	example  string // one, for a comment
}

// languages are files that tell a language, and what its web process may be.
var languages = []struct{ file, what, example string }{
	{"package.json", "a project of Node", "npm start"},
	{"manage.py", "a project of Django", "gunicorn project.wsgi"},
	{"requirements.txt", "a project of Python", "gunicorn app:app"},
	{"pyproject.toml", "a project of Python", "gunicorn app:app"},
	{"go.mod", "a project of Go", "./app"},
	{"Gemfile", "a project of Ruby", "bundle exec rackup -p $PORT"},
	{"composer.json", "a project of PHP", "php -S 127.0.0.1:$PORT -t public"},
	{"Cargo.toml", "a project of Rust", "./target/release/app"},
	{"pom.xml", "a project of Java", "java -jar target/app.jar"},
	{"mix.exs", "a project of Elixir", "mix phx.server"},
	{"index.html", "a static site", ""},
	{"Dockerfile", "a project with a Dockerfile", ""},
}

// findProject looks at the files of a directory. Of the start command it only
// says what the files leave no doubt about.
func findProject(dir string) found {
	has := func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	}
	f := found{what: "no project that is known", example: "./server", procfile: has("Procfile")}
	if f.procfile {
		f.what = "a project with a Procfile"
	}
	for _, l := range languages {
		if has(l.file) && (l.example != "" || !f.procfile) {
			f.what, f.example = l.what, l.example
			break
		}
	}
	modules, _ := filepath.Glob(filepath.Join(dir, "*", "wsgi.py")) // the pattern is a good one
	requirements, _ := os.ReadFile(filepath.Join(dir, "requirements.txt"))
	if has("manage.py") && len(modules) == 1 && strings.Contains(string(requirements), "gunicorn") {
		f.start = "gunicorn " + filepath.Base(filepath.Dir(modules[0])) + ".wsgi"
	}
	if text, err := os.ReadFile(filepath.Join(dir, "package.json")); err == nil {
		var p struct{ Scripts map[string]string }
		if json.Unmarshal(text, &p) == nil && p.Scripts["start"] != "" {
			f.start = "npm start"
		}
	}
	return f
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// nameOf makes a name for an app of that of its directory.
func nameOf(dir string) string {
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(filepath.Base(dir)), "-"), "-")
	return firstOf(name, "app")
}

// projectDir is the directory that the arguments name, or this one.
func (p *program) projectDir(args []string) (string, error) {
	dir := p.dir
	if len(args) == 1 {
		if dir = args[0]; !filepath.IsAbs(dir) {
			dir = filepath.Join(p.dir, dir)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", exitf(api.ExitUsage, "%s is not a directory", dir)
	}
	return filepath.Abs(dir)
}

// scaffold writes a first hop3.toml into a directory and asks nothing. It
// overwrites nothing.
func scaffold(_ context.Context, p *program, args []string) error {
	if len(args) > 1 {
		return exitf(api.ExitUsage, "Usage: hop3 scaffold [DIRECTORY]")
	}
	dir, err := p.projectDir(args)
	if err != nil {
		return err
	}
	return p.writeManifest(dir, firstOf(p.flags.app, nameOf(dir)), findProject(dir))
}

func alreadyThere(file string) error {
	return exitf(api.ExitConflict, "%s is there already, and is left as it is.", file)
}

// quoted is a text as a string of TOML, which has the escapes of JSON.
func quoted(text string) string {
	var b strings.Builder
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	_ = out.Encode(clean(text)) // a string always can be
	return strings.TrimSpace(b.String())
}

// manifestText is the hop3.toml of a project.
func manifestText(name string, f found) string {
	run := procfileComment
	switch {
	case f.procfile:
	case f.start != "":
		run = fmt.Sprintf(runComment, "start = "+quoted(f.start))
	default:
		run = fmt.Sprintf(runComment, "# start = "+quoted(firstOf(f.example, "./server")))
	}
	return fmt.Sprintf(scaffolded, quoted(name), run, name)
}

// writeManifest writes the hop3.toml of a project, unless there is one.
func (p *program) writeManifest(dir, name string, found found) error {
	text := manifestText(name, found)
	target := filepath.Join(dir, "hop3.toml")
	if p.flags.dryRun {
		_, err := fmt.Fprint(p.Out, text)
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return alreadyThere(target)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	p.printer.item(api.Success("Wrote %s, for %s. Next: hop3 config check, hop3 plan, and hop3 deploy or git push.", target, found.what), nil)
	return nil
}
