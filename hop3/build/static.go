package build

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/abilian/hop3/hop3"
)

// staticRoot settles the directory that is served: the toolchain's, or the one
// the manifest declares, which the toolchain of another language may have just
// made, as site generators do.
func (b *building) staticRoot() error {
	dir := b.artifact.StaticRoot
	if dir == "" {
		dir = b.request.Options.Static()
	}
	if dir == "" {
		return nil
	}
	clean := path.Clean(filepath.ToSlash(dir))
	root, err := os.OpenRoot(b.request.Source)
	if err != nil {
		return fmt.Errorf("opening the source: %w", err)
	}
	defer root.Close()
	// Through the root, a link that leads out of the source does not exist.
	info, err := root.Stat(filepath.FromSlash(clean))
	if err != nil || !info.IsDir() {
		return hop3.Errorf(hop3.CodeDeploy, "the static directory %q does not exist in the app's source", clean).
			WithHint("Name it in [build].static-dir, or in the Procfile as 'static: <directory>'.")
	}
	b.artifact.StaticRoot = clean
	return nil
}
