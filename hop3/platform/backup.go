package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// BackupRows is the part of the store that knows of backups.
type BackupRows interface {
	NewBackup(ctx context.Context, b hop3.Backup, events ...hop3.Event) error // CodeConflict
	UpdateBackup(ctx context.Context, id string, change func(*hop3.Backup) error, events ...hop3.Event) (hop3.Backup, error)
	Backup(ctx context.Context, id string) (hop3.Backup, error)
	// Backups returns those of an app, of all when app is "", newest first.
	Backups(ctx context.Context, app string) ([]hop3.Backup, error)
	DeleteBackup(ctx context.Context, id string, events ...hop3.Event) error
	// SaveRestore remembers a restore that is under way, EndRestore forgets it.
	SaveRestore(ctx context.Context, r hop3.BackupRestore) error
	Restores(ctx context.Context) ([]hop3.BackupRestore, error)
	EndRestore(ctx context.Context, target string, events ...hop3.Event) error
}

// Backups writes and reads the files of backups. See hop3/backup.
type Backups interface {
	Begin(b hop3.Backup) (hop3.BackupWriter, error)
	// Dir is where a backup that is complete lies.
	Dir(b hop3.Backup) string
	Open(dir string) (hop3.BackupReader, error)
	// Adopt takes in a backup that lies elsewhere on this server, and returns
	// where it lies now.
	Adopt(ctx context.Context, dir string) (hop3.BackupMetadata, string, error)
	Remove(b hop3.Backup) error
	// Sweep removes what an earlier server left incomplete.
	Sweep() error
	// Receive writes a file of a copy that comes from another server, Received
	// gives the copy to read once it is whole.
	Receive(ctx context.Context, b hop3.Backup, name string, content io.Reader) error
	Received(ctx context.Context, b hop3.Backup) (hop3.BackupReader, error)
	// Forget removes all that has come of an app from another server.
	Forget(app string) error
	// Scratch makes an empty directory for the proof of a backup, RemoveScratch
	// removes it.
	Scratch(id string) (string, error)
	RemoveScratch(id string) error
	// Digest returns what a directory holds, as hop3.BackupWriter.Archive does.
	Digest(ctx context.Context, d hop3.BackupDir) (hop3.BackupTree, error)
	// CanDecrypt reports whether encrypted backups can be read here.
	CanDecrypt() bool
	// Target is the URL of where copies off the server go, "" for nowhere.
	Target() string
	// Upload copies a backup there, reads it back, and compares: only then it
	// returns where it is. What an earlier attempt brought there is used.
	// moved, if not nil, is called with how many bytes go there, and come back.
	Upload(ctx context.Context, b hop3.Backup, moved func(bytes int64)) (remote string, err error)
	// Fetch brings a backup back, checks it, and returns where it lies. got, if
	// not nil, is called with how many bytes come.
	Fetch(ctx context.Context, b hop3.Backup, got func(bytes int64)) (dir string, err error)
	// RemoveRemote removes the copy off the server.
	RemoveRemote(ctx context.Context, b hop3.Backup) error
}

// BackupRequest asks for a backup of an app.
type BackupRequest struct {
	App      string
	Label    string
	NoAddons bool
	Kind     hop3.BackupKind // "" is hop3.BackupManual
	Out      hop3.Output
}

// The files of a backup.
const (
	backupSource   = "source.tar.gz"
	backupData     = "data.tar.gz"
	backupExtra    = "extra.tar.gz"
	backupEnv      = "env.json"
	backupSettings = "settings.json"
	backupDatabase = "database.dump"
)

// CreateBackup makes a backup of an app, which serves on, but is not deployed
// or changed meanwhile. It returns once the backup is on the disk, and, where
// the server has a target for copies, once its copy there was read back. When
// only the copy fails, the backup stays, and is tried again: the error says so.
func (p *Platform) CreateBackup(ctx context.Context, who Actor, req BackupRequest) (hop3.Backup, error) {
	if err := p.may(ctx, who, req.App, hop3.RoleDeployer); err != nil {
		return hop3.Backup{}, err
	}
	if err := errors.Join(p.canBackUp(), hop3.ValidateBackupLabel(req.Label)); err != nil {
		return hop3.Backup{}, err
	}
	return p.createBackup(asked(ctx, who), req)
}

// createBackup is CreateBackup for who was asked, or for a schedule.
func (p *Platform) createBackup(ctx context.Context, req BackupRequest) (hop3.Backup, error) {
	ctx, cancel := p.interruptible(ctx)
	defer cancel()
	unlock, err := p.lock(ctx, req.App)
	if err != nil {
		return hop3.Backup{}, err
	}
	defer unlock()
	b, err := p.backUpLocked(ctx, req)
	if err != nil {
		return b, err
	}
	unlock()
	return p.upload(ctx, b, req.Out)
}

func (p *Platform) canBackUp() error {
	if p.Backups == nil {
		return hop3.Errorf(hop3.CodeUnavailable, "This server makes no backups.")
	}
	return nil
}

// backUpLocked makes a backup of an app that is locked. Its row says what
// became of it; of one that failed there are no files.
func (p *Platform) backUpLocked(ctx context.Context, req BackupRequest) (hop3.Backup, error) {
	app, err := p.Store.App(ctx, req.App)
	if err != nil {
		return hop3.Backup{}, err
	}
	if app.Preview != nil {
		return hop3.Backup{}, hop3.Errorf(hop3.CodeConflict, "'%s' is a preview of '%s': it is not backed up.", app.Name, app.Preview.Parent).
			WithHint("Back up '%s'.", app.Preview.Parent)
	}
	if err := p.checkDisk(ctx, app.Name, app.Name, req.Out); err != nil {
		return hop3.Backup{}, err
	}
	live := hop3.Release{}
	if app.Live != 0 {
		if live, err = p.Store.Release(ctx, app.Name, app.Live); err != nil {
			return hop3.Backup{}, err
		}
	}
	if req.Kind == "" {
		req.Kind = hop3.BackupManual
	}
	b := hop3.Backup{
		App: app.Name, Kind: req.Kind, State: hop3.BackupStarted, Label: req.Label, Release: live.Number, Commit: live.Commit,
		CreatedBy: askedBy(ctx).Username, Team: app.Team, AppCreatedAt: app.CreatedAt,
	}
	say(req.Out, "-----> Backing up '%s'", app.Name)
	return p.writeBackup(ctx, b, func(ctx context.Context, w hop3.BackupWriter, b hop3.Backup) (hop3.BackupMetadata, error) {
		return p.fillBackup(ctx, w, b, app, live, req)
	})
}

// writeBackup makes a row and a directory for a backup, has fill fill it, and
// ends both, whatever happens.
func (p *Platform) writeBackup(ctx context.Context, b hop3.Backup, fill func(context.Context, hop3.BackupWriter, hop3.Backup) (hop3.BackupMetadata, error)) (hop3.Backup, error) {
	started := p.now()
	b.ID, b.CreatedAt = hop3.NewBackupID(started), started.UTC().Truncate(time.Microsecond)
	if err := p.Store.NewBackup(ctx, b); err != nil {
		return b, fmt.Errorf("storing the backup: %w", err)
	}
	meta, err := p.fillNew(ctx, b, fill)
	after := context.WithoutCancel(ctx)
	var sum string
	if err == nil {
		r, openErr := p.Backups.Open(p.Backups.Dir(b))
		if openErr == nil {
			sum = r.Sum()
		} else {
			err = errors.Join(openErr, p.Backups.Remove(b))
		}
	}
	if err != nil {
		if why := context.Cause(ctx); why != nil {
			err = hop3.Errorf(hop3.CodeCanceled, "the backup was interrupted: %w", why)
		}
		message := hop3.MessageOf(err)
		failed := p.backupEvent(after, hop3.EventBackupFailed, b, "the backup %s failed: %s", b.ID, message)
		_, updateErr := p.Store.UpdateBackup(after, b.ID, func(x *hop3.Backup) error {
			x.State, x.Error, x.EndedAt = hop3.BackupFailed, message, p.now().UTC().Truncate(time.Microsecond)
			return nil
		}, failed)
		if updateErr != nil {
			p.Logger.Error("noting a backup that failed", zap.String("backup", b.ID), zap.Error(updateErr))
		}
		return b, err
	}
	return p.Store.UpdateBackup(after, b.ID, func(x *hop3.Backup) error {
		x.State, x.EndedAt, x.Dir, x.Sum = hop3.BackupCompleted, p.now().UTC().Truncate(time.Microsecond), p.Backups.Dir(b), sum
		x.Size, x.Files, x.Addons, x.Encrypted = sizeOf(meta), len(meta.Checksums), meta.AddonIDs(), meta.Own().Encryption != ""
		if p.goesOff(ctx, *x) {
			x.State = hop3.BackupUploading
		}
		return nil
	}, p.backupEvent(after, hop3.EventBackupCreated, b, "the backup %s was made", b.ID))
}

func (p *Platform) fillNew(ctx context.Context, b hop3.Backup, fill func(context.Context, hop3.BackupWriter, hop3.Backup) (hop3.BackupMetadata, error)) (_ hop3.BackupMetadata, err error) {
	w, err := p.Backups.Begin(b)
	if err != nil {
		return hop3.BackupMetadata{}, err
	}
	defer func() {
		if abortErr := w.Abort(); abortErr != nil {
			p.Logger.Error("removing a backup that failed", zap.String("backup", b.ID), zap.Error(abortErr))
		}
	}()
	meta, err := fill(ctx, w, b)
	if err != nil {
		return meta, err
	}
	if err := context.Cause(ctx); err != nil {
		return meta, err
	}
	return w.Commit(ctx, meta)
}

// sizeOf is the size of all files of a backup: that of metadata leaves the
// dumps of addons out, as Hop3 (Python) does.
func sizeOf(m hop3.BackupMetadata) int64 {
	n := m.Size
	for _, a := range m.Addons {
		n += a.Size
	}
	return n
}

// fillBackup writes what an app has. The addons come first: what a row in a
// database says of a file was written after the file, so that it is found.
func (p *Platform) fillBackup(ctx context.Context, w hop3.BackupWriter, b hop3.Backup, app hop3.App, live hop3.Release, req BackupRequest) (m hop3.BackupMetadata, err error) {
	f := &backupFill{p: p, w: w, out: req.Out, trees: map[string]hop3.BackupTree{}}
	m = newMetadata(b, app, live)
	if live.Backup.Stop && app.Awake() {
		say(req.Out, "       Stopping '%s' while it is copied", app.Name)
		resume, err := p.pause(ctx, live)
		defer func() { err = errors.Join(err, resume()) }()
		if err != nil {
			return m, err
		}
	}
	if !req.NoAddons {
		if m.Addons, err = p.dumpAddons(ctx, w, app, req.Out); err != nil {
			return m, err
		}
	}
	if err := f.source(ctx, app, live, b.Kind); err != nil {
		return m, err
	}
	if err := f.data(ctx, app.Name); err != nil {
		return m, err
	}
	if m.Volumes, err = f.volumes(ctx, app.Name, live.Volumes); err != nil {
		return m, err
	}
	if m.ExtraPaths, err = f.extra(ctx, live, app.Name); err != nil {
		return m, err
	}
	if err := f.settings(ctx, app); err != nil {
		return m, err
	}
	if f.changed > 0 {
		tell(req.Out, 1, "yellow", "       %d files changed while they were copied; [backup].stop of hop3.toml stops the app for it", f.changed)
	}
	m.AppMetadata.Hop3.Trees = f.trees
	return m, nil
}

// newMetadata is what is known of a backup before it is written.
func newMetadata(b hop3.Backup, app hop3.App, live hop3.Release) hop3.BackupMetadata {
	return hop3.BackupMetadata{
		ID: b.ID, App: app.Name, CreatedAt: b.CreatedAt.Format("2006-01-02T15:04:05.000000+00:00"),
		Addons: []hop3.BackupAddon{}, Volumes: []hop3.BackupVolumeFile{}, ExtraPaths: []string{},
		AppMetadata: hop3.BackupAppMetadata{
			Hostname: strings.Join(live.Hosts, " "), RunState: int(app.State),
			Hop3: &hop3.BackupOwn{Kind: b.Kind, Label: b.Label, Release: live.Number, Commit: live.Commit, Branch: live.Branch, Subject: live.Subject},
		},
		EnvCount: len(app.Env),
	}
}

// backupFill is the state of one fillBackup.
type backupFill struct {
	p       *Platform
	w       hop3.BackupWriter
	out     hop3.Output
	trees   map[string]hop3.BackupTree
	changed int
	// stamps are those of the data and the volumes, by the names of their
	// trees; nil takes all of them, and leaves volumes out that are not to be
	// backed up.
	stamps map[string]*hop3.FileStamps
}

// stamp has a directory of an app that moves remember what it holds.
func (f *backupFill) stamp(tree string, d hop3.BackupDir) hop3.BackupDir {
	if f.stamps != nil {
		if f.stamps[tree] == nil {
			f.stamps[tree] = &hop3.FileStamps{}
		}
		d.Stamps = f.stamps[tree]
	}
	return d
}

func (f *backupFill) data(ctx context.Context, app string) error {
	return f.archive(ctx, backupData, "data", f.stamp("data", hop3.BackupDir{Name: "data", Path: f.p.dataDir(app), Optional: true}))
}

func (f *backupFill) settings(ctx context.Context, app hop3.App) error {
	settings := hop3.BackupSettings{DeployBranch: app.DeployBranch, Source: app.Source, Scale: app.Scale, HTTP: app.HTTP}
	return errors.Join(f.json(ctx, backupEnv, app.Env), f.json(ctx, backupSettings, settings))
}

// archive writes one archive and remembers what is in it; names tell the
// trees of several archives apart.
func (f *backupFill) archive(ctx context.Context, file, name string, dirs ...hop3.BackupDir) error {
	started := time.Now()
	f.meter(file, dirs)
	trees, changed, err := f.w.Archive(ctx, file, dirs...)
	if err != nil {
		return err
	}
	f.changed += changed
	files, size := int64(0), int64(0)
	for dir, t := range trees {
		if len(dirs) == 1 {
			dir = name
		}
		f.trees[dir] = t
		files, size = files+t.Files, size+t.Bytes
	}
	say(f.out, "       %s: %s in %d files, %s", file, FormatBytes(size), files, took(started))
	return nil
}

// meter has what is read of directories be told.
func (f *backupFill) meter(file string, dirs []hop3.BackupDir) {
	m := metered(f.out, "Copying "+file, 0) // how much there is only shows as it is read
	for i := range dirs {
		dirs[i].Read = m.counting()
	}
}

// source writes what was deployed and the repository. Of a commit it is the
// commit's own files, not what its build made beside them.
// Before a restore what is lost already is no reason not to go on.
func (f *backupFill) source(ctx context.Context, app hop3.App, live hop3.Release, kind hop3.BackupKind) error {
	p := f.p
	git := hop3.BackupDir{Name: "git", Path: filepath.Join(p.appDir(app.Name), "git"), Optional: true}
	if live.Number == 0 {
		return f.archive(ctx, backupSource, "git", git)
	}
	src := hop3.BackupDir{Name: "src", Path: p.releaseDir(app.Name, live.Build), Exclude: live.Backup.Exclude, NoLinksTo: p.volumesDir(app.Name)}
	if live.Commit != "" {
		dir := p.backupCheckout(app.Name)
		defer func() {
			if err := p.Files.Remove(dir); err != nil {
				p.Logger.Warn("removing a checkout", zap.String("app", app.Name), zap.Error(err))
			}
		}()
		if err := p.checkOutFor(ctx, app, live, dir); err == nil {
			src.Path, src.NoLinksTo = dir, ""
		} else if hop3.CodeOf(err) != hop3.CodeNotFound {
			return fmt.Errorf("checking the commit out: %w", err)
		}
	}
	beside, err := p.Files.List(filepath.Dir(src.Path))
	if err != nil {
		return err
	}
	if src.Optional = !slices.Contains(beside, filepath.Base(src.Path)); src.Optional && kind != hop3.BackupSafety {
		return hop3.Errorf(hop3.CodeConflict, "The files of '%s' v%d are not there.", app.Name, live.Number).
			WithHint("Deploy it, or restore a backup: `hop3 backup list --app %s` shows them.", app.Name)
	}
	return f.archive(ctx, backupSource, "", src, git)
}

// backupCheckout is where the commit of a release is checked out to be backed
// up.
func (p *Platform) backupCheckout(app string) string {
	return filepath.Join(p.appsDir(), backupPrefix+app)
}

func (p *Platform) checkOutFor(ctx context.Context, app hop3.App, live hop3.Release, dir string) error {
	source, err := p.Repos.Stored(ctx, repoOf(app), live.Commit, hop3.Discard)
	if err != nil {
		return err
	}
	if err := errors.Join(p.Files.Remove(dir), p.Files.MakeDir(dir)); err != nil {
		return err
	}
	return source.CheckOut(ctx, dir)
}

// volumes writes an archive for each volume that is to be backed up, also for
// those that no release has any more.
func (f *backupFill) volumes(ctx context.Context, app string, declared []hop3.Volume) ([]hop3.BackupVolumeFile, error) {
	all := []hop3.BackupVolumeFile{}
	names, err := f.p.Files.List(f.p.volumesDir(app))
	if err != nil {
		return all, err
	}
	for _, name := range names {
		left := slices.ContainsFunc(declared, func(v hop3.Volume) bool { return v.Name == name && v.NoBackup })
		if hop3.ValidateVolumeName(name) != nil || left && f.stamps == nil {
			continue
		}
		file := "volume-" + name + ".tar.gz"
		if err := f.archive(ctx, file, "volume-"+name, f.stamp("volume-"+name, hop3.BackupDir{Name: name, Path: filepath.Join(f.p.volumesDir(app), name)})); err != nil {
			return all, err
		}
		all = append(all, hop3.BackupVolumeFile{Name: name, File: file})
	}
	return all, nil
}

// extra writes the paths of [backup].paths that there are. Those below src are
// of the live release.
func (f *backupFill) extra(ctx context.Context, live hop3.Release, app string) ([]string, error) {
	found, dirs := []string{}, []hop3.BackupDir{}
	for _, path := range live.Backup.Paths {
		top, below, _ := strings.Cut(path, "/")
		base, rel := f.p.appDir(app), path
		if top == "src" {
			base, rel = f.p.releaseDir(app, live.Build), below
		}
		if slices.Contains([]string{"git", "data", "volumes", "releases"}, top) || rel == "" {
			continue // it is there anyway
		}
		names, err := f.p.Files.ListIn(base, rel)
		if err != nil {
			return nil, hop3.Errorf(hop3.CodeInvalid, "%q of [backup].paths leads out of the app's directory, or cannot be read: %w", path, err)
		}
		if len(names) == 0 {
			continue
		}
		found = append(found, path)
		dirs = append(dirs, hop3.BackupDir{Name: path, Path: filepath.Join(base, filepath.FromSlash(rel)), NoLinksTo: f.p.volumesDir(app)})
	}
	if len(dirs) == 0 {
		return found, nil
	}
	f.meter(backupExtra, dirs)
	trees, changed, err := f.w.Archive(ctx, backupExtra, dirs...)
	f.changed += changed
	for path, t := range trees {
		f.trees["extra/"+path] = t
	}
	return found, err
}

func (f *backupFill) json(ctx context.Context, name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = f.w.File(ctx, name, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	return err
}

// backupPrefix marks directories under apps that belong to a backup or a
// restore under way. No app's name begins with a dot.
const backupPrefix = ".backup."

// backupEvent is an event of a backup, without secrets.
func (p *Platform) backupEvent(ctx context.Context, kind hop3.EventKind, b hop3.Backup, format string, args ...any) hop3.Event {
	e := event(ctx, kind, b.App, format, args...)
	e.Release = b.Release
	e.Data = map[string]string{"backup": b.ID}
	if b.Label != "" {
		e.Data = maps.Clone(e.Data)
		e.Data["label"] = b.Label
	}
	return e
}
