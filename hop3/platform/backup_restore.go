package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// RestoreRequest asks for a restore.
type RestoreRequest struct {
	Backup string // ID
	Target string // the app; "" for that of the backup
	Label  string // of the backup that is made of what the target has now
	Out    hop3.Output
}

// RestoreBackup makes an app what a backup says. All of the backup is checked
// first. An app that is there is backed up, is stopped while its files and its
// addons are replaced, and serves again what is restored; another app, and one
// on another server, gets addons of its own. When anything fails, the app has
// what it had, and serves it.
func (p *Platform) RestoreBackup(ctx context.Context, who Actor, req RestoreRequest) (hop3.Release, error) {
	b, err := p.backup(ctx, who, req.Backup, hop3.RoleDeployer)
	if err != nil {
		return hop3.Release{}, err
	}
	if err := hop3.ValidateBackupLabel(req.Label); err != nil {
		return hop3.Release{}, err
	}
	if b.App == "" {
		return hop3.Release{}, hop3.Errorf(hop3.CodeConflict, "The backup %s is of the server's own database: it is restored with the server stopped.", b.ID).
			WithHint("Stop it, and run: hop3-server db:restore %s", b.Dir)
	}
	if req.Target == "" {
		req.Target = b.App
	}
	ctx, cancel := p.interruptible(asked(ctx, who))
	defer cancel()
	if err := p.AuthorizeCreate(ctx, who, req.Target); err != nil {
		return hop3.Release{}, err
	}
	r, err := p.opened(ctx, b, req.Out)
	if err != nil {
		return hop3.Release{}, err
	}
	created, err := p.ensureApp(ctx, who, req.Target, req.Out)
	if err != nil {
		return hop3.Release{}, err
	}
	unlock, err := p.lock(ctx, req.Target)
	if err != nil {
		return hop3.Release{}, err
	}
	defer unlock()
	release, err := p.restoreLocked(ctx, who, b, r, req, created)
	if err == nil {
		return release, nil
	}
	p.storeNow(context.WithoutCancel(ctx), p.backupEvent(ctx, hop3.EventBackupFailed, b, "the backup %s could not be restored to '%s': %s", b.ID, req.Target, hop3.MessageOf(err)))
	return hop3.Release{}, err
}

// restoring is the state of one restore.
type restoring struct {
	p     *Platform
	who   Actor
	b     hop3.Backup
	r     hop3.BackupReader
	m     hop3.BackupMetadata
	app   hop3.App
	live  hop3.Release // from before; zero for none
	note  hop3.BackupRestore
	out   hop3.Output
	stage string
	// inPlace are the addons of the backup that are the app's own.
	inPlace []hop3.BackupAddon
	// arrives is of an app that comes from another server: nothing of it is
	// started yet. placed and loading are told to that server.
	arrives bool
	placed  []hop3.MovedAddon
	loading time.Duration // of what the addons hold
}

func (p *Platform) restoreLocked(ctx context.Context, who Actor, b hop3.Backup, r hop3.BackupReader, req RestoreRequest, created bool) (hop3.Release, error) {
	s := &restoring{p: p, who: who, b: b, r: r, m: r.Metadata(), out: req.Out, stage: p.stageDir(req.Target)}
	return s.restore(ctx, req, created)
}

func (s *restoring) restore(ctx context.Context, req RestoreRequest, created bool) (_ hop3.Release, err error) {
	p, b := s.p, s.b
	if s.app, err = p.Store.App(ctx, req.Target); err != nil {
		return hop3.Release{}, err
	}
	s.note = hop3.BackupRestore{Target: s.app.Name, Backup: b.ID, Created: created, StartedAt: p.now().UTC(), Before: &hop3.RestoredApp{
		Env: s.app.Env, Scale: s.app.Scale, HTTP: s.app.HTTP, DeployBranch: s.app.DeployBranch, Source: s.app.Source, State: s.app.State, Live: s.app.Live,
	}}
	if s.note.Before.Attachments, err = p.Store.AttachmentsOf(ctx, s.app.Name); err != nil {
		return hop3.Release{}, err
	}
	if s.app.Live != 0 {
		if s.live, err = p.Store.Release(ctx, s.app.Name, s.app.Live); err != nil {
			return hop3.Release{}, err
		}
	}
	if !created {
		safety, err := p.backUpLocked(ctx, BackupRequest{App: s.app.Name, Kind: hop3.BackupSafety, Label: req.Label, Out: req.Out})
		if err != nil {
			return hop3.Release{}, fmt.Errorf("backing up what '%s' has now: %w", s.app.Name, err)
		}
		s.note.Safety = safety.ID
	}
	if err := p.Store.SaveRestore(ctx, s.note); err != nil {
		return hop3.Release{}, err
	}
	release, err := s.run(ctx)
	if err != nil {
		// What is undone is not left half because the client has gone.
		return hop3.Release{}, errors.Join(err, p.undoRestore(context.WithoutCancel(ctx), s.note, s.out))
	}
	var events []hop3.Event
	if !s.arrives { // what comes from another server is no backup that anybody knows
		events = append(events, p.backupEvent(ctx, hop3.EventBackupRestored, b, "'%s' was restored from the backup %s", s.app.Name, b.ID))
	}
	p.endRestore(context.WithoutCancel(ctx), s.note, events...)
	return release, nil
}

// run does what can be undone.
func (s *restoring) run(ctx context.Context) (hop3.Release, error) {
	say(s.out, "-----> Unpacking")
	started := time.Now()
	if err := s.unpack(ctx); err != nil {
		return hop3.Release{}, err
	}
	say(s.out, "       Unpacked in %s", took(started))
	settings, vars, err := s.settings(ctx)
	if err != nil {
		return hop3.Release{}, err
	}
	started = time.Now()
	if err := s.restoreNewAddons(ctx); err != nil {
		return hop3.Release{}, err
	}
	s.loading = time.Since(started)
	if s.live.Number != 0 && s.app.Awake() {
		say(s.out, "-----> Stopping '%s'", s.app.Name)
		if _, err := s.p.pause(ctx, s.live); err != nil {
			return hop3.Release{}, err
		}
	}
	if err := s.restoreOwnAddons(ctx); err != nil {
		return hop3.Release{}, err
	}
	if err := s.swap(ctx); err != nil {
		return hop3.Release{}, err
	}
	_, err = s.p.Store.UpdateApp(ctx, s.app.Name, func(a *hop3.App) error {
		a.Env, a.Scale, a.HTTP, a.DeployBranch = vars, settings.Scale, settings.HTTP, settings.DeployBranch
		if a.Source == "" {
			a.Source = settings.Source
		}
		return nil
	})
	if err != nil || !s.hasSource() {
		return hop3.Release{}, err
	}
	own := s.m.Own()
	a, err := s.p.deploy(ctx, s.who, DeployRequest{
		App: s.app.Name, Kind: hop3.ReleaseRestore, Out: s.out, unstarted: s.arrives,
		Source: restoredSource{files: s.p.Files, dir: filepath.Join(s.stage, "src"), of: hop3.Release{
			Commit: own.Commit, Branch: own.Branch, Subject: own.Subject,
		}},
	})
	if err != nil {
		return hop3.Release{}, err
	}
	a.finish()
	return a.release, nil
}

func (s *restoring) hasSource() bool {
	names, err := s.p.Files.List(filepath.Join(s.stage, "src"))
	return err == nil && len(names) > 0
}

// stageDir is where a restore unpacks, beforeDir where it puts what was there.
func (p *Platform) stageDir(app string) string {
	return filepath.Join(p.appsDir(), backupPrefix+"stage."+app)
}

func (p *Platform) beforeDir(app string) string {
	return filepath.Join(p.appsDir(), backupPrefix+"before."+app)
}

// unpack makes of the backup's archives what is to be moved into place.
func (s *restoring) unpack(ctx context.Context) error {
	p := s.p
	if err := p.Files.Remove(s.stage); err != nil {
		return err
	}
	for _, dir := range []string{"src", "git", "data", "volumes", "extra"} {
		if err := p.Files.MakeDir(filepath.Join(s.stage, dir)); err != nil {
			return fmt.Errorf("making a directory to unpack into: %w", err)
		}
	}
	return p.unpackTold(ctx, s.r, s.m, s.stage, s.out)
}

// unpackBackup unpacks all archives of a backup below a directory: src, git,
// data, volumes/NAME, and over them what extra has.
func (p *Platform) unpackBackup(ctx context.Context, r hop3.BackupReader, m hop3.BackupMetadata, dir string) error {
	among := func(names ...string) func(string) string {
		return func(top string) string {
			if slices.Contains(names, top) {
				return filepath.Join(dir, top)
			}
			return ""
		}
	}
	for _, archive := range []struct {
		name string
		into func(string) string
	}{{backupSource, among("src", "git")}, {backupData, among("data")}, {backupExtra, among("src", "extra")}} {
		if !r.Has(archive.name) {
			continue
		}
		into := archive.into
		if archive.name == backupExtra {
			into = func(top string) string {
				switch {
				case top == "src":
					return filepath.Join(dir, "src")
				case slices.Contains([]string{"git", "data", "volumes", "releases"}, top) || hop3.ValidateVolumeName(top) != nil:
					return ""
				}
				place := filepath.Join(dir, "extra", top)
				if p.Files.MakeDir(place) != nil {
					return "" // what it was for fails, and says so
				}
				return place
			}
		}
		if err := r.Extract(ctx, archive.name, into); err != nil {
			return err
		}
	}
	for _, v := range m.Volumes {
		place := filepath.Join(dir, "volumes", v.Name)
		if err := p.Files.MakeDir(place); err != nil {
			return err
		}
		if err := r.Extract(ctx, v.File, func(string) string { return place }); err != nil {
			return err
		}
	}
	return nil
}

// settings reads what of the app's settings is to be. Hosts of another app
// stay with it.
func (s *restoring) settings(ctx context.Context) (hop3.BackupSettings, hop3.Env, error) {
	vars, settings := hop3.Env{}, hop3.BackupSettings{}
	if s.r.Has(backupEnv) {
		if err := readJSON(ctx, s.r, backupEnv, &vars); err != nil {
			return settings, nil, err
		}
	}
	if s.r.Has(backupSettings) {
		if err := readJSON(ctx, s.r, backupSettings, &settings); err != nil {
			return settings, nil, err
		}
	}
	if err := s.p.checkEnv(vars); err != nil {
		return settings, nil, err
	}
	if hosts := hostList(vars[hop3.HostName]); len(hosts) > 0 {
		if err := s.p.checkClaims(ctx, s.app.Name, hosts); err != nil {
			if s.app.Name == s.b.App {
				return settings, nil, err
			}
			delete(vars, hop3.HostName)
			tell(s.out, 1, "yellow", "       Its hosts %s stay where they are; `hop3 domain add` gives '%s' others", strings.Join(hosts, ", "), s.app.Name)
		}
	}
	if s.app.Source == "" && settings.Source != "" {
		if err := hop3.ValidateRepoURL(settings.Source); err != nil {
			return settings, nil, err
		}
	}
	if settings.DeployBranch != "" {
		if err := checkBranch(settings.DeployBranch); err != nil {
			return settings, nil, err
		}
	}
	return settings, vars, nil
}

// maxBackupJSON is far above any real file of variables.
const maxBackupJSON = 16 << 20

func readJSON(ctx context.Context, r hop3.BackupReader, name string, into any) error {
	return r.Read(ctx, name, func(in io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(in, maxBackupJSON))
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return hop3.Errorf(hop3.CodeInvalid, "%s of the backup cannot be read: %w", name, err)
		}
		return nil
	})
}

// swapped are the directories of an app that a restore replaces.
var swapped = []string{"git", "data", "volumes"}

// swap puts what was unpacked in the place of what there is, which is kept
// beside until the end. Whatever it is interrupted by: what is in the
// directory of before was in the app's, and belongs back.
func (s *restoring) swap(ctx context.Context) error {
	p := s.p
	before, dir := p.beforeDir(s.app.Name), p.appDir(s.app.Name)
	if err := errors.Join(p.Files.Remove(before), p.Files.MakeDir(before)); err != nil {
		return err
	}
	s.note.Swapped = true
	if err := p.Store.SaveRestore(ctx, s.note); err != nil {
		return err
	}
	for _, name := range swapped {
		if name == "git" {
			if has, err := p.Files.List(filepath.Join(s.stage, name)); err != nil || len(has) == 0 {
				if err != nil {
					return err
				}
				continue // the backup has no repository: the app keeps its own
			}
		}
		if err := p.Files.MakeDir(filepath.Join(dir, name)); err != nil {
			return err
		}
		if err := p.Files.Rename(filepath.Join(dir, name), filepath.Join(before, name)); err != nil {
			return fmt.Errorf("putting %s aside: %w", name, err)
		}
		if err := p.Files.Rename(filepath.Join(s.stage, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("putting %s into place: %w", name, err)
		}
	}
	return p.placeExtra(s.stage, dir, before)
}

// placeExtra puts what is left of extra paths into place: whole directories of
// the app's own.
func (p *Platform) placeExtra(stage, dir, before string) error {
	names, err := p.Files.List(filepath.Join(stage, "extra"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := p.Files.MakeDir(filepath.Join(dir, name)); err != nil {
			return err
		}
		if err := p.Files.Rename(filepath.Join(dir, name), filepath.Join(before, name)); err != nil {
			return fmt.Errorf("putting %s aside: %w", name, err)
		}
		if err := p.Files.Rename(filepath.Join(stage, "extra", name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("putting %s into place: %w", name, err)
		}
	}
	return nil
}

// restoredSource is the source of a backup, unpacked. It is moved, not copied.
type restoredSource struct {
	files Files
	dir   string
	of    hop3.Release
}

// Describe implements Source.
func (s restoredSource) Describe(context.Context) (hop3.Release, error) { return s.of, nil }

// Open implements Source.
func (s restoredSource) Open(context.Context) (fs.FS, error) { return s.files.Open(s.dir) }

// CheckOut implements Source.
func (s restoredSource) CheckOut(_ context.Context, dir string) error {
	names, err := s.files.List(s.dir)
	for _, name := range names {
		err = errors.Join(err, s.files.Rename(filepath.Join(s.dir, name), filepath.Join(dir, name)))
	}
	return err
}
