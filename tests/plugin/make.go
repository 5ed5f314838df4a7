// Package make is a toolchain from outside of Hop3's own tree: it builds apps
// that have a Makefile. It shows all that a plug-in needs; `xcaddy build
// --with` puts it into a Hop3.
package make

import (
	"context"
	"io/fs"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Make))
}

// Make runs `make` and starts ./app.
type Make struct {
	// The target to make. Default: the first of the Makefile.
	Target string `json:"target,omitempty"`
}

// CaddyModule describes the module.
func (*Make) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.make", New: func() caddy.Module { return new(Make) }}
}

// Name returns "make".
func (*Make) Name() string { return "make" }

// Detect accepts a source with a Makefile.
func (*Make) Detect(src fs.FS) (string, bool) {
	_, err := fs.Stat(src, "Makefile")
	return "Makefile", err == nil
}

// Build runs make.
func (m *Make) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	args := []string{"make"}
	if m.Target != "" {
		args = append(args, "--", m.Target)
	}
	if err := b.Runner.Run(ctx, hop3.Command{Args: args}); err != nil {
		return hop3.Artifact{}, err
	}
	return hop3.Artifact{Processes: []hop3.Process{{Type: hop3.ProcessWeb, Command: "./app"}}}, nil
}

var _ hop3.Toolchain = (*Make)(nil)
