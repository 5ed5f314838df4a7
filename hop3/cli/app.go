package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/abilian/hop3/hop3/api"
)

// addApp puts --app behind the words of a command that acts on an app.
func (p *program) addApp(words []string) ([]string, error) {
	name, n := match(scoped, words)
	if n == 0 {
		if p.flags.app == "" {
			return words, nil
		}
		if _, n = match(optional, words); n == 0 {
			n = len(words) // the server says whether it takes one
		}
		return slices.Insert(slices.Clone(words), n, "--app", p.flags.app), nil
	}
	app, err := p.resolveApp()
	if err == nil {
		err = p.checkProject(name, p.projectRoot(), app)
	}
	if err != nil {
		return nil, err
	}
	return slices.Insert(slices.Clone(words), n, "--app", app), nil
}

// resolveApp finds out which app is meant. --why tells how, and stops.
func (p *program) resolveApp() (string, error) {
	var tried []string
	for _, s := range p.appSources() {
		app, err := s.find()
		if err != nil {
			return "", err
		}
		if app == "" {
			tried = append(tried, "  - "+s.name)
			continue
		}
		if p.flags.why {
			fmt.Fprintf(p.Err, "app '%s', from %s\n", app, s.name)
			return "", exit{}
		}
		return app, nil
	}
	return "", exitf(api.ExitNotFound, "Which app? None was named by any of:\n%s\nGive --app NAME, or run 'hop3 use NAME' in this directory.", strings.Join(tried, "\n"))
}

type appSource struct {
	name string
	find func() (string, error)
}

func (p *program) appSources() []appSource {
	return []appSource{
		{"--app", func() (string, error) { return p.flags.app, nil }},
		{"HOP3_APP", func() (string, error) { return p.getenv("HOP3_APP"), nil }},
		{useFile + " file", p.appFromUse},
		{"hop3.toml", p.appFromManifest},
		{"git remote 'hop3'", p.appFromGit},
	}
}

// useFile is what `hop3 use` writes.
const useFile = ".hop3-app"

func (p *program) appFromUse() (string, error) {
	file := p.upward(useFile)
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	line, _, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
	return strings.TrimSpace(line), err
}

// project is what the client reads of a hop3.toml.
type project struct {
	CLI      struct{ App string }
	Metadata struct{ ID string }
	Contexts map[string]struct{ Server, App string }
	Build    struct{ Ignore []string }
}

// readProject reads the hop3.toml of dir; a missing one is empty.
func readProject(dir string) (project, error) {
	var m project
	for _, name := range projectFiles {
		content, err := readConfigFile(dir, name)
		if content == nil && err == nil {
			continue
		}
		if err == nil {
			err = toml.Unmarshal(content, &m)
		}
		if err != nil {
			return m, exitf(api.ExitUsage, "%s cannot be read: %v", name, err)
		}
		return m, nil
	}
	return m, nil
}

func (p *program) appFromManifest() (string, error) {
	m, err := readProject(p.projectRoot())
	if err != nil {
		return "", err
	}
	for _, name := range []string{m.CLI.App, m.Contexts[p.contextName()].App, m.Metadata.ID} {
		if name != "" {
			return name, nil
		}
	}
	return "", nil
}

// upward looks for a file here and above, not above the home directory.
func (p *program) upward(name string) string {
	home, _ := os.UserHomeDir() // without one, up to the root
	for dir := p.dir; ; dir = filepath.Dir(dir) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
		if dir == home || dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// appFromGit reads the name off the address that `git push hop3` goes to.
func (p *program) appFromGit() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "remote", "get-url", "hop3")
	cmd.Dir = p.dir
	out, err := cmd.Output()
	if err != nil {
		return "", nil // no git, no repository or no such remote
	}
	return appOfRemote(strings.TrimSpace(string(out))), nil
}

// appOfRemote returns the app in ssh://host:port/app.git or user@host:app.
func appOfRemote(remote string) string {
	name := ""
	if u, err := url.Parse(remote); err == nil && u.Scheme != "" && u.Host != "" {
		name = u.Path
	} else if _, after, ok := strings.Cut(remote, ":"); ok {
		name = after
	}
	if name = strings.TrimSuffix(path.Base("/"+name), ".git"); name == "/" {
		return ""
	}
	return name
}
