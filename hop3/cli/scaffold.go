package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// scaffolded is the hop3.toml of `hop3 scaffold`. What is a comment shows what
// there is.
const scaffolded = `# What Hop3 is to do with this app. All keys: hop3 config schema
[metadata]
id = "%s"

[run]
# The command of the web process; it listens on $PORT. Without it the language's
# own way to start is taken, or that of a Procfile.
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

// starts are files that tell a language, and what its web process may be.
var starts = []struct{ file, start string }{
	{"package.json", `# start = "npm start"`},
	{"manage.py", `# start = "gunicorn project.wsgi"`},
	{"requirements.txt", `# start = "gunicorn app:app"`},
	{"pyproject.toml", `# start = "gunicorn app:app"`},
	{"go.mod", `# start = "./app"`},
	{"Gemfile", `# start = "bundle exec rackup -p $PORT"`},
	{"", `# start = "./server"`},
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// scaffold writes a first hop3.toml into a directory. It overwrites nothing.
func scaffold(_ context.Context, p *program, args []string) error {
	if len(args) > 1 {
		return exitf(api.ExitUsage, "Usage: hop3 scaffold [DIRECTORY]")
	}
	dir := p.dir
	if len(args) == 1 {
		dir = filepath.Join(p.dir, args[0])
		if filepath.IsAbs(args[0]) {
			dir = args[0]
		}
	}
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(filepath.Base(whole)), "-"), "-")
	if p.flags.app != "" {
		name = p.flags.app
	}
	if name == "" {
		name = "app"
	}
	start := ""
	for _, s := range starts {
		if _, err := os.Stat(filepath.Join(dir, s.file)); s.file == "" || err == nil {
			start = s.start
			break
		}
	}
	text := fmt.Sprintf(scaffolded, name, start, name)
	target := filepath.Join(dir, "hop3.toml")
	if p.flags.dryRun {
		_, err := fmt.Fprint(p.Out, text)
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return exitf(api.ExitConflict, "%s is there already, and is left as it is.", target)
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
	p.printer.item(api.Success("Wrote %s. Next: hop3 config check, and hop3 deploy or git push.", target), nil)
	return nil
}
