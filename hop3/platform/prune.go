package platform

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// prune removes the files of releases beyond those that are kept for a
// rollback, and the cache entries that only they used. Their rows stay. Only
// what we made is ever removed.
func (p *Platform) prune(ctx context.Context, app string) {
	unlock, err := p.lock(ctx, app)
	if err != nil {
		return
	}
	defer unlock()
	if err := p.pruneLocked(ctx, app); err != nil {
		p.Logger.Warn("pruning releases", zap.String("app", app), zap.Error(err))
	}
}

func (p *Platform) pruneLocked(ctx context.Context, app string) error {
	names, err := p.Files.List(p.releasesDir(app))
	if err != nil {
		return err
	}
	releases, err := p.Store.Releases(ctx, app)
	if err != nil {
		return err
	}
	running, err := p.Runtime.Releases(ctx)
	if err != nil {
		return err
	}
	keep, caches := p.kept(releases, append(running, p.usedByCron()...))
	p.keepBuilds(ctx, app, slices.Collect(maps.Keys(keep)))
	if len(names) <= p.Settings.KeepReleases {
		return nil
	}
	onDisk := map[string]bool{}
	for _, name := range names {
		onDisk[name] = true
	}
	for _, r := range releases {
		if keep[r.Build] || !onDisk[strconv.Itoa(r.Build)] {
			continue
		}
		err = errors.Join(err, p.Files.Remove(p.releaseDir(app, r.Build)))
		for _, c := range r.Artifact.Caches {
			if !caches[c] && within(p.cacheDir(app), c) {
				err = errors.Join(err, p.removeCache(app, c))
			}
		}
	}
	return err
}

// kept returns the builds whose files stay, and the cache entries they use:
// those of the last releases that served, of what is being built, and of what
// still runs until its requests are done.
func (p *Platform) kept(releases []hop3.Release, running []hop3.ReleaseID) (builds map[int]bool, caches map[string]bool) {
	builds, caches = map[int]bool{}, map[string]bool{}
	use := func(r hop3.Release) {
		builds[r.Build] = true
		for _, c := range r.Artifact.Caches {
			caches[c] = true
		}
	}
	served := map[int]bool{}
	for _, r := range releases { // newest first
		switch r.Status {
		case hop3.ReleaseLive, hop3.ReleaseBuilding:
			use(r)
			served[r.Build] = true
		case hop3.ReleaseRetired:
			if served[r.Build] || len(served) < p.Settings.KeepReleases {
				served[r.Build] = true
				use(r)
			}
		}
		for _, id := range running {
			if id == r.ID() {
				use(r)
			}
		}
	}
	return builds, caches
}

// removeCache removes a cache entry. It is moved away first, to where a start
// removes what it does not know: an entry is whole or not there.
func (p *Platform) removeCache(app, entry string) error {
	grave := filepath.Join(p.releasesDir(app), "pruned-"+filepath.Base(entry))
	if err := p.Files.Remove(grave); err != nil {
		return err
	}
	err := p.Files.Rename(entry, grave)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an earlier release had it too
	}
	return errors.Join(err, p.Files.Remove(grave))
}

// within reports whether path lies below dir.
func within(dir, path string) bool {
	return strings.HasPrefix(filepath.Clean(path), dir+string(filepath.Separator))
}
