// Package uwsgi is the runtime that has uWSGI run the apps: an emperor starts a
// vassal for each instance, and starts it again while no server runs.
//
// It is the supervisor with uWSGI as its launcher: the log files, the health of
// instances, their restarts, sandboxes and limits are the same. What differs is
// who forks. The emperor runs, in place of uwsgi itself, a link to this program
// (see Main), which takes on the instance's place and environment and becomes
// uwsgi. So nothing of an app's environment is ever in a file of uWSGI's, or
// read by it, and a vassal neither ends nor stops working when the emperor
// does.
//
// The files, in the server's home:
//
//	uwsgi-available/<app>_<type>.<n>.ini    the vassal
//	uwsgi-enabled/<app>_<type>.<n>.ini      a link to it, which the emperor sees
//	run/emperor/                              what the vassals are started with
//
// n is the ordinal of the instance, or the next free number while an instance
// of another release has that one.
//
// The formats are those of uWSGI 2.0: https://uwsgi-docs.readthedocs.io.
package uwsgi

import (
	"errors"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/hop3/supervisor"
)

func init() {
	caddy.RegisterModule(UWSGI{})
}

// Name is what the server's configuration calls this runtime.
const Name = "uwsgi"

// UWSGI is the configuration of the uWSGI runtime, the Caddy module
// hop3.runtimes.uwsgi.
type UWSGI struct {
	// The range $PORT is taken from; 20000 to 29999 unless set.
	PortMin int `json:"port_min,omitempty"`
	PortMax int `json:"port_max,omitempty"`
	// The size at which an app's log file is rotated; 10 MiB unless set.
	LogMaxBytes int64 `json:"log_max_bytes,omitempty"`
	// The program; uwsgi-core or uwsgi of PATH unless set.
	Binary string `json:"binary,omitempty"`
	// Where its plug-ins are; unless set, where distributions put them.
	PluginDir string `json:"plugin_dir,omitempty"`

	containers hop3.ContainerEngine
}

// UseContainers has releases that are images run by an engine. It is called
// before Open.
func (u *UWSGI) UseContainers(e hop3.ContainerEngine) { u.containers = e }

// CaddyModule tells Caddy about the module.
func (UWSGI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "hop3.runtimes.uwsgi",
		New: func() caddy.Module { return new(UWSGI) },
	}
}

// Open returns the runtime that keeps its state in runDir, a directory of the
// home's directory run. Only one at a time may use it. Without uWSGI on the
// machine the error says how to install it.
func (u *UWSGI) Open(runDir string, box *sandbox.Sandbox, logger *zap.Logger) (hop3.Runtime, error) {
	found, err := find(u.Binary, u.PluginDir)
	if err != nil {
		return nil, err
	}
	home := filepath.Dir(filepath.Dir(runDir))
	l, err := newLauncher(home, filepath.Join(runDir, ".lock"), found, logger)
	if err != nil {
		return nil, err
	}
	s, err := supervisor.New(supervisor.Options{
		Name:        Name,
		RunDir:      runDir,
		Sandbox:     box,
		PortMin:     u.PortMin,
		PortMax:     u.PortMax,
		LogMaxBytes: u.LogMaxBytes,
		Launcher:    l,
		Containers:  u.containers,
		Logger:      logger,
	})
	if err != nil {
		return nil, err
	}
	return &runtime{Supervisor: s, launcher: l}, nil
}

// runtime is the supervisor with the end of its emperor.
type runtime struct {
	*supervisor.Supervisor
	launcher *launcher
}

// Close implements hop3.Runtime. The emperor goes on while it has vassals.
func (r *runtime) Close() error {
	return errors.Join(r.Supervisor.Close(), r.launcher.close())
}
