package toolchains

import (
	"context"
	"io/fs"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Static))
}

// Static serves a directory as it is, without a process.
type Static struct{}

// CaddyModule describes the module.
func (*Static) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.static", New: func() caddy.Module { return new(Static) }}
}

// Name returns "static".
func (*Static) Name() string { return "static" }

// Detect looks for a page at the usual places.
func (*Static) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "public/index.html", "index.html")
}

// Accept takes what the manifest declares as static, and a page that no process
// is declared to serve.
func (s *Static) Accept(src fs.FS, o hop3.BuildOptions) (reason string, ok bool) {
	if dir := o.Static(); dir != "" {
		return "the directory " + dir, true
	}
	if o.Declares(hop3.ProcessWeb, hop3.ProcessWSGI) {
		return "", false
	}
	return s.Detect(src)
}

// Build only settles which directory is served.
func (s *Static) Build(_ context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	dir := b.Options.Static()
	switch {
	case dir != "":
	case hasDir(src, "public"):
		dir = "public"
	case has(src, "index.html"):
		dir = "."
	default:
		return hop3.Artifact{}, hop3.Errorf(hop3.CodeDeploy, "there is nothing to serve").
			WithHint("Put an index.html into the directory public, or name another directory in [build].static-dir.")
	}
	return hop3.Artifact{Toolchains: []string{s.Name()}, StaticRoot: dir}, nil
}

var (
	_ hop3.Toolchain = (*Static)(nil)
	_ hop3.Fallback  = (*Static)(nil)
	_ caddy.Module   = (*Static)(nil)
)
