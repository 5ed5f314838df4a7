package hop3

// NixOptions is the [nix] section of the manifest.
type NixOptions struct {
	// Template makes the app's Nix expression; empty: it brings its own.
	Template string
	// Values are the other keys.
	Values map[string]any
}
