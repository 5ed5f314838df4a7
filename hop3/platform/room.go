package platform

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// checkDisk refuses a deploy that would fill the disk. Before it does, it
// removes what was made by deploys and can be made again. The caller holds the
// lock of the app held, if any.
func (p *Platform) checkDisk(ctx context.Context, app, held string, out hop3.Output) error {
	before, enough, err := p.room()
	if err != nil || enough {
		return err
	}
	p.makeRoom(ctx, held)
	left, enough, err := p.room()
	if err != nil {
		return err
	}
	if left.bytes > before.bytes || left.files > before.files {
		say(out, "-----> Little disk space is left: removed build caches and old releases, of %d MB and %d files",
			(max(left.bytes, before.bytes)-before.bytes)>>20, max(left.files, before.files)-before.files)
	}
	if enough {
		return nil
	}
	return hop3.Errorf(hop3.CodeUnavailable, "not enough disk space to deploy '%s': %d MB and %d files are left under %s", app, left.bytes>>20, left.files, p.appsDir()).
		WithHint("At least %d MB and %d files must be free. The running release is not affected.", p.Settings.MinFreeSpace>>20, p.Settings.MinFreeFiles)
}

// space is what may still be written to the disk.
type space struct{ bytes, files uint64 }

// room measures the disk, and says whether it is enough for a deploy.
func (p *Platform) room() (left space, enough bool, err error) {
	left.bytes, left.files, err = p.Files.Free(p.appsDir())
	if err != nil {
		return left, false, fmt.Errorf("measuring the free disk space: %w", err)
	}
	return left, left.bytes >= uint64(p.Settings.MinFreeSpace) && left.files >= uint64(p.Settings.MinFreeFiles), nil
}

// fewest releases of an app keep their files when the disk is full: the live
// one and the one that a rollback goes to.
const fewest = 2

// makeRoom removes, app by app and the least useful first, what deploys have
// made and a deploy can make again, until there is room: what is cached for
// builds and in no kept release's use, then the releases beyond the one that a
// rollback goes to. Data, volumes and logs are not ours to remove. An app that
// is being changed is left alone, but for the one that the caller has locked.
func (p *Platform) makeRoom(ctx context.Context, held string) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		p.Logger.Warn("making room on the disk", zap.Error(err))
		return
	}
	for _, remove := range []func(context.Context, string) error{
		func(ctx context.Context, app string) error { return p.pruneTo(ctx, app, math.MaxInt) },
		func(ctx context.Context, app string) error {
			return p.removeUnusedCaches(ctx, app, math.MaxInt)
		},
		func(ctx context.Context, app string) error {
			return errors.Join(p.pruneTo(ctx, app, fewest), p.removeUnusedCaches(ctx, app, fewest))
		},
	} {
		for _, app := range apps {
			if _, enough, err := p.room(); err != nil || enough || ctx.Err() != nil {
				return
			}
			if app.Name != held {
				unlock, ok := p.locks.try(app.Name)
				if !ok {
					continue
				}
				err = remove(ctx, app.Name)
				unlock()
			} else {
				err = remove(ctx, app.Name)
			}
			if err != nil {
				p.Logger.Warn("making room on the disk", zap.String("app", app.Name), zap.Error(err))
			}
		}
	}
}

// removeUnusedCaches removes what unusedCaches finds.
func (p *Platform) removeUnusedCaches(ctx context.Context, app string, most int) error {
	unused, err := p.unusedCaches(ctx, app, most)
	for _, entry := range unused {
		err = errors.Join(err, p.removeCache(app, entry))
	}
	return err
}

// unusedCaches returns what builds of the app have cached, but for what a kept
// release uses, and for the home of the developer's own commands, of which only
// they know what is in it.
func (p *Platform) unusedCaches(ctx context.Context, app string, most int) (unused []string, err error) {
	_, _, used, err := p.needed(ctx, app, most)
	if err != nil {
		return nil, err
	}
	kinds, err := p.Files.ListIn(p.appDir(app), "cache")
	if err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		if kind == "home" {
			names, listErr := p.Files.ListIn(p.appDir(app), "cache/home")
			err = errors.Join(err, listErr)
			if slices.Contains(names, ".cache") {
				unused = append(unused, filepath.Join(p.cacheDir(app), kind, ".cache"))
			}
			continue
		}
		names, listErr := p.Files.ListIn(p.appDir(app), "cache/"+kind)
		err = errors.Join(err, listErr)
		for _, name := range names {
			if entry := filepath.Join(p.cacheDir(app), kind, name); !isUsed(used, entry) {
				unused = append(unused, entry)
			}
		}
	}
	return unused, err
}

// isUsed reports whether one of the used paths is the entry, or lies in it.
func isUsed(used map[string]bool, entry string) bool {
	for path := range used {
		if path == entry || strings.HasPrefix(path, entry+string(filepath.Separator)) {
			return true
		}
	}
	return false
}
