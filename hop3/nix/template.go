package nix

import (
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// templates are those that Hop3 (Python) makes an expression of.
var templates = []string{
	"nixpkgs-wrapper", "python-venv", "php-app", "go-source", "ruby-bundler", "node-pnpm-install", "java-gradle",
	"java-war", "node-prebuilt", "prebuilt-binary", "prebuilt-archive",
}

// checkTemplate says why an app without a hop3.nix cannot be built of its
// template: each of them is an expression over nixpkgs, pinned by a hash, that
// only who has seen it build can vouch for.
func checkTemplate(o hop3.NixOptions) error {
	switch {
	case o.Template == "":
		return nil
	case !slices.Contains(templates, o.Template):
		return hop3.Errorf(hop3.CodeInvalid, "%.80q is no template of [nix]", o.Template).
			WithHint("There are: %s.", strings.Join(templates, ", "))
	}
	return hop3.Errorf(hop3.CodeDeploy, "[nix].template asks for '%s', and this server makes no %s from templates", o.Template, expression).
		WithHint("On a Hop3 (Python) server `hop3 nix eject <app>` writes it: add that file to the source.")
}
