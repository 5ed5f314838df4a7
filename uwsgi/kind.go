package uwsgi

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/supervisor"
	"github.com/abilian/hop3/uwsgi/vassal"
)

// kindOf says how an instance is run: by the plug-in for its process type,
// which then is the kind, or as a daemon, which is any command. A type whose
// plug-in is missing, or is for another Python than the app's, is a daemon.
func (i *installation) kindOf(c supervisor.Child) string {
	kind := c.Process.Type
	if c.Process.Module == "" || c.Launch == nil {
		return daemon
	}
	for _, plugin := range plugins[kind] {
		if !i.has(plugin) {
			return daemon
		}
	}
	switch kind {
	case hop3.ProcessWSGI:
		if venv := virtualenv(c.Launch.Env); venv != "" && pythonOf(venv) != i.python {
			return daemon
		}
		return kind
	case hop3.ProcessRWSGI, hop3.ProcessPHP, hop3.ProcessJWSGI:
		return kind
	}
	return daemon
}

const daemon = vassal.Daemon

// plugins are what uWSGI needs to load what a kind names.
var plugins = map[string][]string{
	hop3.ProcessWSGI:  {"python3"},
	hop3.ProcessRWSGI: {"rack"},
	hop3.ProcessPHP:   {"php"},
	hop3.ProcessJWSGI: {"jvm", "jwsgi"},
}

// packages are the Debian packages of the plug-ins.
var packages = map[string]string{
	hop3.ProcessWSGI:  "uwsgi-plugin-python3",
	hop3.ProcessRWSGI: "uwsgi-plugin-rack-ruby3.1",
	hop3.ProcessPHP:   "uwsgi-plugin-php",
	hop3.ProcessJWSGI: "uwsgi-plugin-jvm-openjdk-17 and uwsgi-plugin-jwsgi-openjdk-17",
}

// virtualenv is the app's virtual environment, "" when it has none.
func virtualenv(env hop3.Env) string {
	venv := env["VIRTUAL_ENV"]
	if venv == "" {
		return ""
	}
	for _, file := range []string{"pyvenv.cfg", "bin/activate_this.py"} {
		if _, err := os.Stat(filepath.Join(venv, file)); err == nil {
			return venv
		}
	}
	return ""
}

// pythonOf is the version of the Python of a virtual environment: "3.11". The
// key is version for venv, version_info for virtualenv and uv.
func pythonOf(venv string) string {
	text, err := os.ReadFile(filepath.Join(venv, "pyvenv.cfg"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); key != "version" && key != "version_info" {
			continue
		}
		if part := strings.SplitN(strings.TrimSpace(value), ".", 3); len(part) > 1 {
			return part[0] + "." + part[1]
		}
	}
	return ""
}
