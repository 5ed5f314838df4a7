package toolchains

import (
	"context"
	"io/fs"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Generic))
}

// Generic builds nothing: the manifest says what runs.
type Generic struct{}

// CaddyModule describes the module.
func (*Generic) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.generic", New: func() caddy.Module { return new(Generic) }}
}

// Name returns "generic".
func (*Generic) Name() string { return "generic" }

// Detect never claims a source: any source would do.
func (*Generic) Detect(fs.FS) (reason string, ok bool) { return "", false }

// Accept takes every app that declares what to run or how to build.
func (*Generic) Accept(_ fs.FS, o hop3.BuildOptions) (reason string, ok bool) {
	if len(o.Processes) > 0 {
		return "the process type " + o.Processes[0].Type, true
	}
	return "[build].build", len(o.Commands) > 0
}

// Build does nothing.
func (g *Generic) Build(context.Context, *hop3.Build) (hop3.Artifact, error) {
	return hop3.Artifact{Toolchains: []string{g.Name()}}, nil
}

var (
	_ hop3.Toolchain = (*Generic)(nil)
	_ hop3.Fallback  = (*Generic)(nil)
	_ caddy.Module   = (*Generic)(nil)
)
