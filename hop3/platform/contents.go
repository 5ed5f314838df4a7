package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/abilian/hop3/hop3"
)

// Contents gives the files that a release was built into, its own and those of
// the caches that it uses, for reading. With number 0 it is the live release.
// It returns a CodeNotFound error when there is no such release, or its files
// are not kept any more.
func (p *Platform) Contents(ctx context.Context, who Actor, name string, number int) (hop3.Release, []fs.FS, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return hop3.Release{}, nil, err
	}
	if number == 0 {
		number = app.Live
	}
	if number == 0 {
		return hop3.Release{}, nil, hop3.Errorf(hop3.CodeNotFound, "App '%s' has no live release.", name).
			WithHint("Deploy it, or name a release: `hop3 releases --app %s` lists them.", name)
	}
	release, err := p.Store.Release(ctx, name, number)
	if err != nil {
		return hop3.Release{}, nil, err
	}
	var trees []fs.FS
	for _, dir := range append([]string{p.releaseDir(name, release.Build)}, release.Artifact.Caches...) {
		tree, err := p.Files.Open(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return hop3.Release{}, nil, hop3.Errorf(hop3.CodeNotFound, "The files of release v%d of '%s' are not kept any more.", number, name)
		case err != nil:
			return hop3.Release{}, nil, fmt.Errorf("opening the files of release v%d of '%s': %w", number, name, err)
		}
		trees = append(trees, tree)
	}
	return release, trees, nil
}
