package hop3

import (
	"time"
)

// Process is a line of a Procfile: a type, its command and how many instances
// of it run.
type Process struct {
	Type    string
	Command string // a shell command of the app's developer
	Count   int    // instances; 0 means none
	// Module is what uWSGI loads itself where it runs the app: the
	// "package.module:callable" of a wsgi process. Command then is what
	// serves the same without uWSGI. Empty for a process that is just a
	// command.
	Module string
}

// The process types with a meaning of their own. Any other name is a
// background process.
const (
	ProcessWeb    = "web"    // serves HTTP on $PORT
	ProcessWSGI   = "wsgi"   // a Python module with a WSGI callable
	ProcessJWSGI  = "jwsgi"  // a JVM class, served by uWSGI
	ProcessRWSGI  = "rwsgi"  // a Rack application
	ProcessPHP    = "php"    // a directory of PHP scripts
	ProcessStatic = "static" // a directory served without a process
	ProcessCron   = "cron"   // does not run all the time
)

// ServesHTTP reports whether instances of the type answer an app's requests.
func ServesHTTP(processType string) bool {
	switch processType {
	case ProcessWeb, ProcessWSGI, ProcessJWSGI, ProcessRWSGI, ProcessPHP:
		return true
	}
	return false
}

var processType = pattern(`^[A-Za-z0-9][A-Za-z0-9_-]{0,30}$`)

// ValidateProcessType reports a CodeInvalid error unless name can be a process
// type's: it becomes part of file names and of instance names.
func ValidateProcessType(name string) error {
	if processType().MatchString(name) {
		return nil
	}
	return Errorf(CodeInvalid, "%q cannot be a process type's name", shorten(name, 80)).
		WithHint("Use 1 to 31 letters, digits, '-' or '_', beginning with a letter or digit.")
}

// HealthCheck says when an instance counts as ready. The zero value probes "/"
// and takes any HTTP answer below 500; a Path that was set must answer 2xx or
// 3xx.
type HealthCheck struct {
	Path     string        // request path; "" means "/"
	Contains string        // the first 256 KiB of the body must contain it; "" means any body
	Interval time.Duration // between probes; 0 means the default
	Timeout  time.Duration // of one probe; 0 means the default
	Retries  int           // failed probes in a row before an instance counts as sick; 0 means the default
}

// Instance is one running copy of a process.
type Instance struct {
	App     string
	Release int
	Type    string
	Ordinal int // from 1 within its type
	PID     int
	// Upstream is the address of an instance that serves HTTP, in Caddy's
	// form ("127.0.0.1:20001", "unix//run/x.sock"); empty for the others.
	Upstream  string
	State     InstanceState
	StartedAt time.Time
	Restarts  int
	// LastExit says how the last run of this instance ended ("exit status 1",
	// "signal: killed", "out of memory (limit 64 MiB)", or the why of
	// Runtime.Restart); empty when it never ended.
	LastExit string
	LogFile  string
	// Container names the container it runs in; empty for a process of the
	// host. PID then is that of what is attached to it, and Upstream is bound
	// by the container's engine.
	Container string
}

// InstanceState is the state of one instance.
type InstanceState string

// The states of an instance.
const (
	InstanceRunning InstanceState = "running"
	InstanceBackoff InstanceState = "backoff" // ended, waits to be started again
	InstanceStopped InstanceState = "stopped"
)
