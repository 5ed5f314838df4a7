package uwsgi

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// installation is the uWSGI of this machine.
type installation struct {
	program string // absolute
	plugins string // a directory; "" when there is none
	python  string // the version of the plug-in python3: "3.11"; "" when there is none
}

// Installed reports whether this machine has uWSGI.
func Installed() bool {
	_, err := find("", "")
	return err == nil
}

// programs are the names of the program: uwsgi may be a link to one of several.
var programs = []string{"uwsgi-core", "uwsgi"}

// pluginDirs are where Debian, Fedora and builds from source put plug-ins.
var pluginDirs = []string{"/usr/lib/uwsgi/plugins", "/usr/lib64/uwsgi", "/usr/local/lib/uwsgi"}

// find returns the program and the plug-ins that are named, or else those that
// are there.
func find(program, plugins string) (installation, error) {
	names := programs
	if program != "" {
		names = []string{program}
	}
	for _, name := range names {
		found, err := exec.LookPath(name)
		if err == nil {
			found, err = filepath.Abs(found)
		}
		if err == nil {
			i := installation{program: found, plugins: plugins}
			i.findPlugins()
			return i, nil
		}
	}
	return installation{}, hop3.Errorf(hop3.CodeUnavailable, "uWSGI is not installed: there is no program %s", strings.Join(names, " or ")).
		WithHint("Install it (apt install uwsgi uwsgi-plugin-python3), or set PROCESS_MANAGER=native.")
}

var pythonPlugin = regexp.MustCompile(`^python(3)([0-9]+)_plugin\.so$`)

func (i *installation) findPlugins() {
	for n := 0; i.plugins == "" && n < len(pluginDirs); n++ {
		if entries, err := os.ReadDir(pluginDirs[n]); err == nil && len(entries) > 0 {
			i.plugins = pluginDirs[n]
		}
	}
	entries, err := os.ReadDir(i.plugins)
	if err != nil || !i.has("python3") {
		return
	}
	// python3 is a link to the one whose name has the version.
	for _, e := range entries {
		if m := pythonPlugin.FindStringSubmatch(e.Name()); m != nil {
			i.python = m[1] + "." + m[2]
		}
	}
}

// has reports whether there is a plug-in of a name.
func (i *installation) has(plugin string) bool {
	if i.plugins == "" {
		return false
	}
	info, err := os.Stat(filepath.Join(i.plugins, plugin+"_plugin.so"))
	return err == nil && info.Mode().IsRegular()
}
