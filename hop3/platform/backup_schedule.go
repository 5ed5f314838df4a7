package platform

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cron"
)

const (
	backupsEvery = time.Minute
	// uploadsEvery is how often what is not off the server yet is tried again.
	uploadsEvery = 10 * time.Minute
	// overdueAgain is after how long the same alarm is given again.
	overdueAgain = 24 * time.Hour
	// safetyKept is how many backups from before restores an app has, failedKept
	// how long one that failed is remembered.
	safetyKept = 3
	failedKept = 30 * 24 * time.Hour
)

// overdue remembers which alarms were given.
type overdue struct {
	mu    sync.Mutex
	given map[string]time.Time // by app
}

// tendBackups finishes what an earlier server left of restores, and then makes
// the backups that are due, proves them, and brings off the server what is not
// there yet. One at a time: they are not to slow the apps down.
func (p *Platform) tendBackups(ctx context.Context) {
	if p.Backups == nil {
		return
	}
	restored := false
	var uploaded time.Time
	tend := func() {
		p.guard("tending the backups", func() {
			if !restored {
				restored = p.finishRestores(ctx)
			}
			p.takeBackups(ctx)
			if now := p.now(); now.Sub(uploaded).Abs() >= uploadsEvery {
				uploaded = now
				p.uploadWaiting(ctx)
			}
			p.checkProofs(ctx)
		})
	}
	tend()
	every(ctx, backupsEvery, tend)
}

// takeBackups makes what is due. A turn that passed while no server ran is
// made up for.
func (p *Platform) takeBackups(ctx context.Context) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		p.Logger.Error("reading the apps to be backed up", zap.Error(err))
		return
	}
	for _, app := range apps {
		live, ok := p.backedUp(ctx, app)
		if !ok || ctx.Err() != nil {
			continue
		}
		all, err := p.Store.Backups(ctx, app.Name)
		if err != nil {
			p.Logger.Error("reading the backups", zap.String("app", app.Name), zap.Error(err))
			continue
		}
		last := live.CreatedAt
		for _, b := range all {
			if b.Kind != hop3.BackupSafety && b.AppCreatedAt.Equal(app.CreatedAt) {
				last = b.CreatedAt
				break
			}
		}
		due, err := backupTurn(live.Backup, last)
		if err != nil || due.IsZero() || due.After(p.now()) {
			continue
		}
		p.takeBackup(ctx, app, live.Backup)
	}
	p.backUpServer(ctx)
}

// backedUp returns the live release of an app that has a schedule.
func (p *Platform) backedUp(ctx context.Context, app hop3.App) (hop3.Release, bool) {
	if app.Live == 0 || app.Preview != nil || p.here(app.Name) != nil {
		return hop3.Release{}, false
	}
	live, err := p.Store.Release(ctx, app.Name, app.Live)
	if err != nil {
		if hop3.CodeOf(err) != hop3.CodeNotFound {
			p.Logger.Error("reading a release", zap.String("app", app.Name), zap.Error(err))
		}
		return hop3.Release{}, false
	}
	return live, live.Backup.Schedule != ""
}

// backupTurn returns when a backup is due next after a time.
func backupTurn(policy hop3.BackupPolicy, after time.Time) (time.Time, error) {
	zone, err := cron.Zone(policy.TimeZone)
	if err != nil {
		return time.Time{}, err
	}
	s, err := cron.Parse(policy.Schedule)
	if err != nil {
		return time.Time{}, err
	}
	return s.Next(after, zone), nil
}

// takeBackup makes one backup that is due, and proves it. What fails leaves an
// event, and is due again at its next turn.
func (p *Platform) takeBackup(ctx context.Context, app hop3.App, policy hop3.BackupPolicy) {
	b, err := p.createBackup(ctx, BackupRequest{App: app.Name, Kind: hop3.BackupScheduled, Out: hop3.Discard})
	if err != nil {
		p.Logger.Error("a scheduled backup", zap.String("app", app.Name), zap.Error(err))
	}
	if b.ID == "" || b.State == hop3.BackupStarted || b.State == hop3.BackupFailed {
		return
	}
	if !b.Encrypted || p.Backups.CanDecrypt() {
		if _, err := p.verifyBackup(ctx, b, hop3.Discard); err != nil {
			p.Logger.Error("proving a scheduled backup", zap.String("app", app.Name), zap.String("backup", b.ID), zap.Error(err))
		}
	}
	if err := p.pruneBackups(ctx, app, policy); err != nil {
		p.Logger.Error("destroying old backups", zap.String("app", app.Name), zap.Error(err))
	}
}

// pruneBackups destroys the scheduled backups of an app but for the newest,
// and what else nobody will want. The newest that is proven stays.
func (p *Platform) pruneBackups(ctx context.Context, app hop3.App, policy hop3.BackupPolicy) error {
	all, err := p.Store.Backups(ctx, app.Name)
	if err != nil {
		return err
	}
	keep := policy.Keep
	if keep == 0 {
		keep = max(p.Settings.BackupsKeep, 1)
	}
	scheduled, safety, proven := 0, 0, false
	for _, b := range all {
		newestProven := !proven && !b.ProvenAt.IsZero() && b.Proof == ""
		proven = proven || newestProven
		reason := ""
		switch {
		case b.State == hop3.BackupStarted || b.State == hop3.BackupUploading:
		case b.State == hop3.BackupFailed && p.now().Sub(b.CreatedAt) > failedKept:
			reason = "it had failed"
		case b.State == hop3.BackupFailed:
		case b.Kind == hop3.BackupScheduled:
			if scheduled++; scheduled > keep && !newestProven {
				reason = "there are newer ones"
			}
		case b.Kind == hop3.BackupSafety:
			if safety++; safety > safetyKept && !newestProven {
				reason = "there are newer ones"
			}
		}
		if reason != "" {
			err = errors.Join(err, p.destroyBackup(ctx, b, reason))
		}
	}
	return err
}

// backUpServer backs up the server's own database when that is due, and keeps
// the newest of these backups.
func (p *Platform) backUpServer(ctx context.Context) {
	policy := hop3.BackupPolicy{Schedule: p.Settings.BackupSchedule}
	if policy.Schedule == "" || ctx.Err() != nil {
		return
	}
	all, err := p.Store.Backups(ctx, "")
	if err != nil {
		p.Logger.Error("reading the backups", zap.Error(err))
		return
	}
	var own []hop3.Backup
	for _, b := range all {
		if b.App == "" {
			own = append(own, b)
		}
	}
	last := time.Time{}
	if len(own) > 0 {
		last = own[0].CreatedAt
	}
	if due, err := backupTurn(policy, last); err != nil || due.IsZero() || due.After(p.now()) {
		return
	}
	b, err := p.backUpDatabase(ctx, hop3.Discard)
	if err == nil && (!b.Encrypted || p.Backups.CanDecrypt()) {
		_, err = p.verifyBackup(ctx, b, hop3.Discard)
	}
	for i, b := range own {
		if err == nil && i+1 >= max(p.Settings.BackupsKeep, 1) && b.State == hop3.BackupCompleted {
			err = p.destroyBackup(ctx, b, "there are newer ones")
		}
	}
	if err != nil {
		p.Logger.Error("backing up the server's own database", zap.Error(err))
	}
}

// checkProofs gives an alarm for each app whose newest proven backup is older
// than it may be.
func (p *Platform) checkProofs(ctx context.Context) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		p.Logger.Error("reading the apps that are backed up", zap.Error(err))
		return
	}
	for _, app := range apps {
		live, ok := p.backedUp(ctx, app)
		if !ok {
			continue
		}
		all, err := p.Store.Backups(ctx, app.Name)
		if err != nil {
			p.Logger.Error("reading the backups", zap.String("app", app.Name), zap.Error(err))
			continue
		}
		since, late := p.proofLate(app, live, all)
		p.overdue.mu.Lock()
		if p.overdue.given == nil {
			p.overdue.given = map[string]time.Time{}
		}
		given, now := p.overdue.given[app.Name], p.now()
		if !late {
			delete(p.overdue.given, app.Name)
		}
		tell := late && now.Sub(given).Abs() >= overdueAgain
		if tell {
			p.overdue.given[app.Name] = now
		}
		p.overdue.mu.Unlock()
		if tell {
			e := event(ctx, hop3.EventBackupOverdue, app.Name, "'%s' has no backup that was proven since %s", app.Name, since.UTC().Format("2006-01-02 15:04"))
			p.happened(e)
		}
	}
}

// proofLate returns when an app's newest backup was proven, or when it had to
// begin having one, and whether that is too long ago. Where the server cannot
// read what it encrypts, a backup counts as it is.
func (p *Platform) proofLate(app hop3.App, live hop3.Release, all []hop3.Backup) (since time.Time, late bool) {
	since = live.CreatedAt
	for _, b := range all {
		if !b.AppCreatedAt.Equal(app.CreatedAt) {
			continue
		}
		at := b.ProvenAt
		if b.Encrypted && at.IsZero() && b.State == hop3.BackupCompleted && !p.Backups.CanDecrypt() {
			at = b.EndedAt
		}
		// A release that is new does not make what is old younger: its age
		// counts only where there was none before.
		if !at.IsZero() && b.Proof == "" {
			since = at
			break
		}
	}
	limit := live.Backup.Proven
	if limit == 0 {
		first, err := backupTurn(live.Backup, p.now())
		if err != nil || first.IsZero() {
			return since, false
		}
		second, err := backupTurn(live.Backup, first)
		if err != nil || second.IsZero() {
			return since, false
		}
		limit = 2 * second.Sub(first)
	}
	return since, p.now().Sub(since) > limit
}
