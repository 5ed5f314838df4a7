package sshd

import (
	"path"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// The git commands that are served.
const (
	receivePack = "receive-pack"
	uploadPack  = "upload-pack"
)

// command is an exec line understood. Its verb is "" for what is not git's.
type command struct {
	verb string
	app  string
}

// execLine is a git command with one path, bare or in quotes. A path that would
// need escapes is nobody's.
var execLine = regexp.MustCompile(`^git[- ]([a-z-]+) +(?:'([^'"\\\s]*)'|"([^'"\\\s]*)"|([^'"\\\s]+))$`)

var gitCommand = regexp.MustCompile(`^git[- ]`)

// parseLine reads an exec line without any shell.
func parseLine(home, line string) (command, error) {
	if !gitCommand.MatchString(line) {
		return command{}, nil
	}
	m := execLine.FindStringSubmatch(line)
	if m == nil {
		return command{}, hop3.Errorf(hop3.CodeInvalid, "%q does not name an app", shorten(line)).WithHint(remoteHint)
	}
	verb := m[1]
	if verb != receivePack && verb != uploadPack {
		return command{}, hop3.Errorf(hop3.CodeInvalid, "git %s is not offered here, only push and fetch", shorten(verb))
	}
	app := appOf(home, m[2]+m[3]+m[4])
	if err := hop3.ValidateAppName(app); err != nil {
		return command{}, err
	}
	return command{verb: verb, app: app}, nil
}

const remoteHint = "A remote looks like ssh://host:2222/app or hop3@host:app."

// appOf takes the name out of the ways to write a repository: app, /app,
// app.git, ~/app and <home>/apps/<app>/git.
func appOf(home, repo string) string {
	repo = strings.TrimSuffix(repo, "/")
	for _, h := range []string{home, "/home/hop3", "~"} {
		if name, ok := strings.CutPrefix(repo, path.Join(h, "apps")+"/"); ok {
			if name, ok := strings.CutSuffix(name, "/git"); ok {
				return name
			}
		}
	}
	repo = strings.TrimPrefix(strings.TrimPrefix(repo, "~"), "/")
	return strings.TrimSuffix(repo, ".git")
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
