package toolchains

import (
	"context"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// pythonStart says what answers the app's requests.
type pythonStart struct {
	wsgi    string // module:callable, to be served by gunicorn
	count   int
	command string // another command
	server  string // a program the command needs
}

func (s pythonStart) needsServer() bool { return s.wsgi != "" }

var (
	wsgiTarget  = regexp.MustCompile(`^[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*(\(\))?)?$`)
	asgiApp     = regexp.MustCompile(`(?m)^(\w+)\s*(?::[^=\n]+)?=\s*(?:fastapi\.)?(?:FastAPI|Starlette|Litestar)\(`)
	wsgiApp     = regexp.MustCompile(`(?m)^(app|application)\s*(?::[^=\n]+)?=`)
	staticRoots = regexp.MustCompile(`(?m)^STATIC_ROOT\s*=`)
)

// findStart returns what the manifest declares as wsgi, else what the usual
// files of a Python app suggest.
func findStart(b *hop3.Build, src fs.FS) (pythonStart, error) {
	for _, p := range b.Options.Processes {
		if p.Type != hop3.ProcessWSGI {
			continue
		}
		if !wsgiTarget.MatchString(p.Command) {
			return pythonStart{}, hop3.Errorf(hop3.CodeDeploy, "the wsgi process is %q: expected <module>:<callable>", p.Command)
		}
		return pythonStart{wsgi: p.Command, count: p.Count}, nil
	}
	if !webless(b) {
		return pythonStart{}, nil
	}
	return guessStart(src), nil
}

func guessStart(src fs.FS) pythonStart {
	if has(src, "wsgi.py") {
		return pythonStart{wsgi: "wsgi:application", count: 1}
	}
	for _, file := range []string{"app.py", "main.py"} {
		text := read(src, file)
		module := strings.TrimSuffix(file, ".py")
		if m := asgiApp.FindStringSubmatch(text); m != nil {
			return pythonStart{command: "uvicorn --host ${BIND_ADDRESS:-127.0.0.1} --port $PORT " + module + ":" + m[1], server: "uvicorn"}
		}
		if m := wsgiApp.FindStringSubmatch(text); m != nil {
			return pythonStart{wsgi: module + ":" + m[1], count: 1}
		}
	}
	if has(src, "app.py") {
		return pythonStart{wsgi: "app:app", count: 1}
	}
	if found, _ := fs.Glob(src, "*/wsgi.py"); len(found) > 0 {
		return pythonStart{wsgi: path.Dir(found[0]) + ".wsgi:application", count: 1}
	}
	if has(src, "main.py") {
		return pythonStart{command: "python main.py"}
	}
	return pythonStart{}
}

// processes returns the start commands of the artifact. A declared wsgi process
// comes back as the command that serves it.
func (py *pythonBuild) processes() []hop3.Process {
	s := py.start
	switch {
	case s.wsgi != "":
		command := "gunicorn --bind ${BIND_ADDRESS:-127.0.0.1}:$PORT --workers ${WEB_CONCURRENCY:-2} --threads 4 " + s.wsgi
		return []hop3.Process{{Type: hop3.ProcessWSGI, Command: command, Module: s.wsgi, Count: s.count}}
	case s.command != "" && (s.server == "" || exists(py.bin(s.server))):
		return []hop3.Process{{Type: hop3.ProcessWeb, Command: s.command, Count: 1}}
	}
	return nil
}

// collectStatic gathers the static files of a Django app that says where to. As
// an app may need its database for that, a failure is not one of the build.
func (py *pythonBuild) collectStatic(ctx context.Context, a hop3.Artifact) error {
	if !has(py.src, "manage.py") || py.Env["DISABLE_COLLECTSTATIC"] != "" || !py.hasStaticRoot() {
		return nil
	}
	say(py.Build, "-----> Collecting static files")
	err := py.Runner.Run(ctx, hop3.Command{
		Args: []string{py.bin("python"), "manage.py", "collectstatic", "--noinput"},
		Env:  a.Env,
		Path: a.PathPrepend,
	})
	if err != nil && ctx.Err() == nil {
		warn(py.Build, "the static files were not collected; set DISABLE_COLLECTSTATIC=1 to skip this step")
		return nil
	}
	return err
}

func (py *pythonBuild) hasStaticRoot() bool {
	for _, pattern := range []string{"*/settings.py", "*/settings/*.py", "settings.py"} {
		found, _ := fs.Glob(py.src, pattern)
		for _, file := range found {
			if staticRoots.MatchString(read(py.src, file)) {
				return true
			}
		}
	}
	return false
}

func joinPath(dirs []string) string { return strings.Join(dirs, string(os.PathListSeparator)) }
