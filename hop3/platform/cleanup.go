package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// Cleaned is something that a clean-up removes, or would.
type Cleaned struct {
	App   string
	Path  string // below the app's directory
	Bytes int64
}

// Cleanup removes what deploys have made and can make again, of all apps: files
// of releases beyond those that are kept, and what is cached for builds and in
// no kept release's use. With all it keeps of releases only the live one and
// the one before it. With dry it only says what that would be. Apps that are
// being changed are left alone: skipped names them. It is for administrators.
func (p *Platform) Cleanup(ctx context.Context, who Actor, all, dry bool) (cleaned []Cleaned, skipped []string, err error) {
	if err := adminOnly(who); err != nil {
		return nil, nil, err
	}
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !dry {
		p.happened(event(asked(ctx, who), hop3.EventServerChanged, "", "build caches and old releases were cleaned up by hand"))
	}
	most := math.MaxInt
	if all {
		most = fewest
	}
	for _, app := range apps {
		unlock, ok := p.locks.try(app.Name)
		if !ok {
			skipped = append(skipped, app.Name)
			continue
		}
		found, appErr := p.cleanup(ctx, app.Name, most, dry)
		unlock()
		cleaned = append(cleaned, found...)
		if appErr != nil {
			err = errors.Join(err, fmt.Errorf("cleaning up after %s: %w", app.Name, appErr))
		}
	}
	return cleaned, skipped, err
}

// cleanup cleans one app, which is locked.
func (p *Platform) cleanup(ctx context.Context, app string, most int, dry bool) ([]Cleaned, error) {
	releases, keep, _, err := p.needed(ctx, app, most)
	if err != nil {
		return nil, err
	}
	dirs, err := p.unneeded(app, releases, keep)
	if err != nil {
		return nil, err
	}
	caches, err := p.unusedCaches(ctx, app, most)
	if err != nil {
		return nil, err
	}
	var cleaned []Cleaned
	for _, path := range append(slices.Sorted(maps.Keys(dirs)), caches...) {
		name, relErr := filepath.Rel(p.appDir(app), path)
		if relErr != nil {
			return nil, relErr
		}
		cleaned = append(cleaned, Cleaned{app, name, p.sizeOf(path)})
	}
	if dry {
		return cleaned, nil
	}
	return cleaned, errors.Join(p.pruneTo(ctx, app, most), p.removeUnusedCaches(ctx, app, most))
}

// sizeOf adds up the files of a tree, as far as they can be read.
func (p *Platform) sizeOf(dir string) (size int64) {
	tree, err := p.Files.Open(dir)
	if err != nil {
		return 0
	}
	_ = fs.WalkDir(tree, ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what is gone meanwhile counts nothing
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}
