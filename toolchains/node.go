package toolchains

import (
	"context"
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Node))
}

// Node builds apps with a package.json: npm, yarn or pnpm, whichever wrote the
// lockfile, then the script "build". Releases with the same lockfile share
// node_modules.
type Node struct {
	programs programs
}

// CaddyModule describes the module.
func (*Node) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.node", New: func() caddy.Module { return new(Node) }}
}

// Name returns "node".
func (*Node) Name() string { return "node" }

// Detect looks for a package.json.
func (*Node) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "package.json")
}

// Build installs the app's packages and runs its build script.
func (n *Node) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	nb := &nodeBuild{Build: b, src: src}
	if err := json.Unmarshal([]byte(read(src, "package.json")), &nb.pkg); err != nil {
		return hop3.Artifact{}, hop3.Errorf(hop3.CodeDeploy, "package.json is not valid: %w", err)
	}
	if err := n.chooseNode(ctx, nb); err != nil {
		return hop3.Artifact{}, err
	}
	if err := nb.bun(); err != nil {
		return hop3.Artifact{}, err
	}
	if len(b.Options.Commands) == 0 {
		if err := nb.install(ctx); err != nil {
			return hop3.Artifact{}, err
		}
		if err := nb.buildScript(ctx); err != nil {
			return hop3.Artifact{}, err
		}
	}
	return hop3.Artifact{
		Toolchains:  []string{n.Name()},
		Env:         hop3.Env{"NODE_ENV": nb.nodeEnv()},
		PathPrepend: nb.path(),
		Processes:   nb.processes(),
		Caches:      nb.caches,
		StaticRoot:  nb.site(),
	}, nil
}

// site returns the directory of the pages that a build has made, as Vite and
// the like do, when there is nothing to run: the index.html they are made of is
// no page.
func (nb *nodeBuild) site() string {
	if nb.pkg.Scripts["build"] == "" || len(nb.processes()) > 0 {
		return ""
	}
	page, _ := first(nb.src, "dist/index.html", "build/index.html", "out/index.html")
	return strings.TrimSuffix(page, "/index.html")
}

// packageJSON is what Hop3 reads of a package.json.
type packageJSON struct {
	Main            string            `json:"main"`
	Scripts         map[string]string `json:"scripts"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
	Optional        map[string]string `json:"optionalDependencies"`
	Engines         map[string]string `json:"engines"`
	PackageManager  string            `json:"packageManager"`
	Workspaces      json.RawMessage   `json:"workspaces"`
}

// nodeBuild is one build of a Node app.
type nodeBuild struct {
	*hop3.Build
	src     fs.FS
	pkg     packageJSON
	nodeDir string // directory of the node program to use; "" for the server's
	version string // of node
	tools   []string
	caches  []string
}

// path is what the app finds before the server's programs.
func (nb *nodeBuild) path() []string {
	path := []string{filepath.Join(nb.Source, "node_modules", ".bin")}
	if nb.nodeDir != "" {
		path = append(path, nb.nodeDir)
	}
	return path
}

// nodeEnv is what the app says, else production.
func (nb *nodeBuild) nodeEnv() string {
	if own := nb.Env["NODE_ENV"]; own != "" {
		return own
	}
	return "production"
}

func (nb *nodeBuild) env() hop3.Env {
	return hop3.Env{
		"npm_config_cache":           filepath.Join(nb.Cache, "npm"),
		"npm_config_audit":           "false",
		"npm_config_fund":            "false",
		"npm_config_update_notifier": "false",
		"npm_config_progress":        "false",
		"YARN_CACHE_FOLDER":          filepath.Join(nb.Cache, "yarn"),
		"YARN_ENABLE_TELEMETRY":      "0",
		"CI":                         "true",
	}
}

// buildScript runs the script "build" when there is one.
func (nb *nodeBuild) buildScript(ctx context.Context) error {
	if nb.pkg.Scripts["build"] == "" {
		return nil
	}
	say(nb.Build, "-----> Running the build script")
	return nb.Runner.Run(ctx, hop3.Command{
		Args: []string{"npm", "run", "build"},
		Env:  nb.env().Merge(hop3.Env{"NODE_ENV": nb.nodeEnv()}),
		Path: append(nb.tools, nb.path()...),
	})
}

// processes offers the start script. Its command is run as it is, in place of
// an npm that would stay in memory beside the app, unless it has hooks.
func (nb *nodeBuild) processes() []hop3.Process {
	if !webless(nb.Build) {
		return nil
	}
	start := nb.pkg.Scripts["start"]
	switch {
	case start != "" && (nb.pkg.Scripts["prestart"] != "" || nb.pkg.Scripts["poststart"] != ""):
		start = "npm start"
	case start != "":
	case has(nb.src, "server.js"):
		start = "node server.js"
	case nb.pkg.Main != "" && fs.ValidPath(filepath.Clean(nb.pkg.Main)) && has(nb.src, filepath.Clean(nb.pkg.Main)):
		start = "node " + quote(filepath.Clean(nb.pkg.Main))
	case has(nb.src, "index.js"):
		start = "node index.js"
	default:
		return nil
	}
	return []hop3.Process{{Type: hop3.ProcessWeb, Command: start, Count: 1}}
}

var (
	_ hop3.Toolchain = (*Node)(nil)
	_ caddy.Module   = (*Node)(nil)
)
