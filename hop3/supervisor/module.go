package supervisor

import (
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
)

func init() {
	caddy.RegisterModule(Native{})
}

// Native is the configuration of the embedded runtime, the Caddy module
// hop3.runtimes.native.
type Native struct {
	// The range $PORT is taken from; 20000 to 29999 unless set.
	PortMin int `json:"port_min,omitempty"`
	PortMax int `json:"port_max,omitempty"`
	// The size at which an app's log file is rotated; 10 MiB unless set.
	LogMaxBytes int64 `json:"log_max_bytes,omitempty"`

	containers hop3.ContainerEngine
}

// UseContainers has releases that are images run by an engine. It is called
// before Open.
func (n *Native) UseContainers(e hop3.ContainerEngine) { n.containers = e }

// CaddyModule tells Caddy about the module.
func (Native) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "hop3.runtimes.native",
		New: func() caddy.Module { return new(Native) },
	}
}

// Open returns the runtime that keeps its state in runDir. Only one at a time
// may use a directory.
func (n *Native) Open(runDir string, box *sandbox.Sandbox, logger *zap.Logger) (hop3.Runtime, error) {
	return New(Options{
		RunDir:      runDir,
		Sandbox:     box,
		PortMin:     n.PortMin,
		PortMax:     n.PortMax,
		LogMaxBytes: n.LogMaxBytes,
		Containers:  n.containers,
		Logger:      logger,
	})
}
