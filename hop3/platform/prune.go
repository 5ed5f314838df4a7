package platform

import (
	"context"
	"errors"
	"maps"
	"math"
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
	return p.pruneTo(ctx, app, math.MaxInt)
}

// pruneTo keeps the files of as many releases that have served as the app
// keeps, but no more than most.
func (p *Platform) pruneTo(ctx context.Context, app string, most int) error {
	releases, keep, caches, err := p.needed(ctx, app, most)
	if err != nil {
		return err
	}
	p.keepBuilds(ctx, app, slices.Collect(maps.Keys(keep)))
	dirs, err := p.unneeded(app, releases, keep)
	if err != nil {
		return err
	}
	for dir, r := range dirs {
		err = errors.Join(err, p.Files.Remove(dir))
		for _, c := range r.Artifact.Caches {
			if !caches[c] && within(p.cacheDir(app), c) {
				err = errors.Join(err, p.removeCache(app, c))
			}
		}
	}
	return err
}

// needed returns an app's releases, and what of their builds and cache entries
// is kept; see kept.
func (p *Platform) needed(ctx context.Context, app string, most int) (releases []hop3.Release, builds map[int]bool, caches map[string]bool, err error) {
	if releases, err = p.Store.Releases(ctx, app); err != nil {
		return nil, nil, nil, err
	}
	running, err := p.Runtime.Releases(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	builds, caches = p.kept(releases, append(running, p.usedByCron()...), min(most, p.keeps(releases)))
	return releases, builds, caches, nil
}

// unneeded returns the directories of releases that are not kept, with one
// release of each.
func (p *Platform) unneeded(app string, releases []hop3.Release, keep map[int]bool) (map[string]hop3.Release, error) {
	names, err := p.Files.List(p.releasesDir(app))
	if err != nil {
		return nil, err
	}
	dirs := map[string]hop3.Release{}
	for _, r := range releases {
		if !keep[r.Build] && slices.Contains(names, strconv.Itoa(r.Build)) {
			dirs[p.releaseDir(app, r.Build)] = r
		}
	}
	return dirs, nil
}

// keeps is how many releases of an app have their files kept: what its live
// release says, else the server's default.
func (p *Platform) keeps(releases []hop3.Release) int {
	for _, r := range releases {
		if r.Status == hop3.ReleaseLive && r.Keep > 0 {
			return r.Keep
		}
	}
	return p.Settings.KeepReleases
}

// kept returns the builds whose files stay, and the cache entries they use:
// those of the last releases that served, as many as most, of what is being
// built, and of what still runs until its requests are done.
func (p *Platform) kept(releases []hop3.Release, running []hop3.ReleaseID, most int) (builds map[int]bool, caches map[string]bool) {
	builds, caches = map[int]bool{}, map[string]bool{}
	use := func(r hop3.Release) {
		builds[r.Build] = true
		for _, c := range cachesOf(r) {
			caches[c] = true
		}
	}
	served := map[int]bool{}
	for _, r := range releases { // newest first
		switch r.Status {
		case hop3.ReleaseLive, hop3.ReleaseBuilding:
			use(r)
			served[r.Build] = true
		case hop3.ReleaseRetired, hop3.ReleaseReady:
			if served[r.Build] || len(served) < most {
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

// cachesOf are the cache entries that a release uses: those that its toolchains
// name, and those that its processes find in their environment.
func cachesOf(r hop3.Release) []string {
	all := append(slices.Clone(r.Artifact.Caches), r.Artifact.PathPrepend...)
	for _, value := range r.Artifact.Env {
		all = append(all, filepath.SplitList(value)...)
	}
	return all
}

// removeCache removes a cache entry. It is moved away first, to where a start
// removes what it does not know: an entry is whole or not there. Builds write
// to the cache, so no link that they left there is followed.
func (p *Platform) removeCache(app, entry string) error {
	name, err := filepath.Rel(p.appDir(app), entry)
	if err != nil {
		return err
	}
	return p.Files.RemoveIn(p.appDir(app), name, filepath.Join("releases", "pruned-"+filepath.Base(entry)))
}

// within reports whether path lies below dir.
func within(dir, path string) bool {
	return strings.HasPrefix(filepath.Clean(path), dir+string(filepath.Separator))
}
