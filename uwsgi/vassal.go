package uwsgi

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/supervisor"
	"github.com/abilian/hop3/uwsgi/vassal"
)

// vassalFile is a vassal's file in the making. The first thing wrong with it is
// kept and reported by text.
type vassalFile struct {
	child   supervisor.Child
	options []option
	err     error
}

type option struct{ key, value string }

// render returns the text of a vassal's file. All that the app says in it is
// checked: uWSGI expands what looks like its own variables.
func render(kind string, c supervisor.Child) (string, error) {
	v := &vassalFile{child: c}
	v.base()
	switch kind {
	case hop3.ProcessWSGI:
		v.server()
		v.wsgi()
	case hop3.ProcessRWSGI:
		v.server()
		v.rwsgi()
	case hop3.ProcessPHP:
		v.server()
		v.php()
	case hop3.ProcessJWSGI:
		v.server()
		v.jwsgi()
	default:
		v.daemon()
	}
	v.env()
	v.include()
	return v.text(kind)
}

// Private

// base are the options of all kinds.
func (v *vassalFile) base() {
	v.set("chdir", v.child.Launch.Dir)
	v.set("master", "true")
	v.set("procname-prefix", v.child.ID.App+":"+v.child.Process.Type+":")
	v.set("enable-threads", v.flag("UWSGI_ENABLE_THREADS", "true"))
	v.set("log-x-forwarded-for", v.flag("UWSGI_LOG_X_FORWARDED_FOR", "false"))
	v.set("max-requests", v.number("UWSGI_MAX_REQUESTS", "1024"))
	// The supervisor has the last word on how long an end may take.
	v.set("reload-mercy", "86400")
	v.set("worker-reload-mercy", "86400")
}

// server are the options of the kinds whose workers answer HTTP.
func (v *vassalFile) server() {
	v.set("http-socket", v.address())
	v.set("listen", v.number("UWSGI_LISTEN", "128"))
	v.set("lazy-apps", "true")
	v.set("no-orphans", "true")
	// The header of a request must fit.
	v.set("buffer-size", "65535")
	// SIGTERM ends it when the requests under way have ended, not at once.
	v.set("hook-master-start", "unix_signal:15 gracefully_kill_them_all")
	v.set("log-format", `%(addr) - %(user) [%(ltime)] "%(method) %(uri) %(proto)" %(status) %(size) "%(referer)" "%(uagent)" %(msecs)ms`)
	if idle := v.number("UWSGI_IDLE", ""); idle != "" {
		// Without die-on-idle: the workers go, and the next request is still
		// answered.
		v.set("idle", idle)
		v.set("cheap", "true")
	}
}

func (v *vassalFile) address() string {
	if v.child.Socket != "" {
		return "fd://" + strconv.Itoa(vassal.SocketFD)
	}
	return "127.0.0.1:" + strconv.Itoa(v.child.Port)
}

// workers are how many requests are answered at a time.
func (v *vassalFile) workers() {
	v.set("processes", v.number("UWSGI_PROCESSES", "1"))
	v.set("threads", v.number("UWSGI_THREADS", "4"))
}

// wsgi serves a Python module: "package.module:callable".
func (v *vassalFile) wsgi() {
	v.set("plugin", "0:python3")
	v.set("module", v.child.Process.Module)
	v.workers()
	v.set("need-app", "true")
	v.set("strict", "true")
	v.set("catch-exceptions", "true")
	v.set("pythonpath", v.child.Launch.Dir)
	if venv := virtualenv(v.child.Launch.Env); venv != "" {
		v.set("virtualenv", venv)
	}
	if n := v.number("UWSGI_ASYNCIO", ""); n != "" {
		v.set("async", n)
	}
}

// rwsgi serves a Rack application: the name of its rackup file.
func (v *vassalFile) rwsgi() {
	v.set("plugin", "0:rack")
	v.set("rack", v.inRelease(v.child.Process.Module))
	// The plug-in has no threads, so there are processes for both.
	v.set("processes", cmp.Or(v.number("UWSGI_PROCESSES", ""), v.number("UWSGI_THREADS", "2")))
	v.set("need-app", "true")
	// Rack reads a request's body more than once.
	v.set("post-buffering", "65536")
}

// php serves a directory of scripts.
func (v *vassalFile) php() {
	root := v.inRelease(v.child.Process.Module)
	v.set("plugin", "0:php")
	v.set("processes", cmp.Or(v.number("UWSGI_PROCESSES", ""), v.number("UWSGI_THREADS", "4"))) // as with Ruby
	v.set("php-docroot", root)
	v.set("php-index", "index.php")
	v.set("php-allowed-ext", ".php")
	v.set("check-static", root)
	v.set("static-index", "index.html")
	v.set("static-skip-ext", ".php")
	v.set("static-skip-ext", ".inc")
	// What is no file is the front controller's, where there is one.
	if info, err := os.Stat(filepath.Join(root, "index.php")); err == nil && info.Mode().IsRegular() {
		v.set("php-fallback", filepath.Join(root, "index.php"))
	}
}

// uwsgiJar is the Java side of the plug-in jvm, where Debian puts it.
const uwsgiJar = "/usr/share/java/uwsgi.jar"

// jwsgi serves a class of the JVM: "package.Class:method".
func (v *vassalFile) jwsgi() {
	v.set("plugin", "jvm")
	v.set("plugin", "jwsgi")
	v.set("jwsgi", v.child.Process.Module)
	v.set("http-socket-modifier1", "8")
	v.workers()
	if _, err := os.Stat(uwsgiJar); err == nil {
		v.set("jvm-classpath", uwsgiJar)
	}
	if path := v.child.Launch.Env["CLASSPATH"]; path != "" {
		for _, entry := range filepath.SplitList(path) {
			v.set("jvm-classpath", v.inRelease(entry))
		}
	} else {
		v.set("jvm-classpath", v.child.Launch.Dir)
	}
}

// daemon runs a command. The command is not here but in the environment, which
// uWSGI does not read; see keeper. When it ends so does the vassal, and what
// asks its processes to end is the supervisor.
func (v *vassalFile) daemon() {
	v.set("processes", "0")
	v.set("honour-stdin", "true")
	v.set("attach-daemon2", `control=1,stdin=1,stopsignal=0,cmd=eval "$`+vassal.KeeperVariable+`"`)
	// abs is a function that does nothing: the master ends with the command.
	v.set("hook-master-start", "unix_signal:15 abs")
	v.set("hook-master-start", "unix_signal:2 abs")
}

// env passes the app's variables that begin as uWSGI's own: in the environment
// of uWSGI they would be options, known ones or not.
func (v *vassalFile) env() {
	for _, key := range v.child.Launch.Env.Keys() {
		value := v.child.Launch.Env[key]
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if !plain.MatchString(value) {
			v.fail("%s has characters that no option of uWSGI's has", key)
			continue
		}
		v.set("env", key+"="+value)
	}
}

// prefix is what the names of options begin with in the environment.
const prefix = "UWSGI_"

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:,+-]*$`)

// owned are the options that Hop3 sets and that would break an instance when
// they were set again.
var owned = []string{
	"attach-daemon", "attach-daemon2", "attach-control-daemon", "chdir", "daemonize", "env", "fastrouter", "gid", "hook-master-start",
	"honour-stdin", "http", "http-socket", "https", "ini", "log-master", "logto", "logto2", "master", "module", "pidfile", "plugin",
	"php-docroot", "rack", "socket", "uid", "virtualenv", "wsgi-file", "processes", "workers",
}

// include appends the lines of UWSGI_INCLUDE_FILE, a file of the release.
func (v *vassalFile) include() {
	name := v.child.Launch.Env["UWSGI_INCLUDE_FILE"]
	if name == "" || v.err != nil {
		return
	}
	root, err := os.OpenRoot(v.child.Launch.Dir)
	if err != nil {
		v.err = err
		return
	}
	defer root.Close()
	f, err := root.Open(filepath.Clean(name))
	if err != nil {
		v.fail("UWSGI_INCLUDE_FILE is %q, which is not a file of the release", name)
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.ContainsAny(line[:1], "#;[") {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		switch {
		case !found || !optionName.MatchString(key):
			v.fail("%s, line %d: expected <option> = <value>", name, n)
		case slices.Contains(owned, key):
			v.fail("%s, line %d: the option %s is set by Hop3", name, n, key)
		default:
			v.set(key, strings.TrimSpace(value))
		}
	}
	if lines.Err() != nil {
		v.fail("%s cannot be read: %v", name, lines.Err())
	}
}

var optionName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// inRelease is a path of the app's, which stays within the release.
func (v *vassalFile) inRelease(path string) string {
	rel := strings.TrimLeft(path, "/")
	if strings.HasPrefix(path, v.child.Launch.Dir+"/") {
		rel = strings.TrimPrefix(path, v.child.Launch.Dir+"/")
	}
	rel = cmp.Or(rel, ".")
	if !filepath.IsLocal(rel) {
		v.fail("%q is not in the release", path)
	}
	return filepath.Join(v.child.Launch.Dir, rel)
}

var digits = regexp.MustCompile(`^[0-9]{1,9}$`)

// number is the value of a variable of the app's, which must be a number.
func (v *vassalFile) number(key, fallback string) string {
	value := cmp.Or(strings.TrimSpace(v.child.Launch.Env[key]), fallback)
	if value != "" && !digits.MatchString(value) {
		v.fail("%s is %q, which is not a number", key, value)
	}
	return value
}

// flag is the value of a variable of the app's, which must be true or false.
func (v *vassalFile) flag(key, fallback string) string {
	value := strings.ToLower(cmp.Or(strings.TrimSpace(v.child.Launch.Env[key]), fallback))
	switch value {
	case "true", "1", "yes":
		return "true"
	case "false", "0", "no":
		return "false"
	}
	v.fail("%s is %q, which is neither true nor false", key, value)
	return fallback
}

func (v *vassalFile) fail(format string, args ...any) {
	if v.err == nil {
		v.err = hop3.Errorf(hop3.CodeInvalid, format, args...)
	}
}

// set adds an option. uWSGI replaces %d and the like, $(NAME) and @(file) in a
// value; '%' can be written so that it stays, the others cannot.
func (v *vassalFile) set(key, value string) {
	if strings.ContainsAny(value, "\n\r\x00") || strings.Contains(value, "$(") || strings.Contains(value, "@(") || value != strings.TrimSpace(value) {
		v.fail("%q cannot be written into a file of uWSGI's as %s", value, key)
	}
	if key != "log-format" {
		value = strings.ReplaceAll(value, "%", "%%")
	}
	v.options = append(v.options, option{key, value})
}

// text is the file: the options sorted, as Hop3 (Python) has them.
func (v *vassalFile) text(kind string) (string, error) {
	if v.err != nil {
		return "", fmt.Errorf("writing the uWSGI file of %s.%d: %w", v.child.Process.Type, v.child.Ordinal, v.err)
	}
	slices.SortStableFunc(v.options, func(a, b option) int {
		return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.value, b.value))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "; Written by Hop3 for %s.%d of %s v%d (%s): changes are lost.\n[uwsgi]\n",
		v.child.Process.Type, v.child.Ordinal, v.child.ID.App, v.child.ID.Number, kind)
	for _, o := range v.options {
		// These are flags: where they are false they are not there.
		if o.value == "false" {
			continue
		}
		fmt.Fprintf(&b, "%s = %s\n", o.key, o.value)
	}
	return b.String(), nil
}
