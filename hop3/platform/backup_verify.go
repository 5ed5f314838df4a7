package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// VerifyBackup proves a backup: all of it is restored into a scratch directory
// and scratch addons, and compared with what was saved. What was found is
// stored with the backup, and an event says it. Nothing of the scratch is left.
func (p *Platform) VerifyBackup(ctx context.Context, who Actor, id string, out hop3.Output) (hop3.Backup, error) {
	b, err := p.backup(ctx, who, id, hop3.RoleDeployer)
	if err != nil {
		return b, err
	}
	ctx, cancel := p.interruptible(asked(ctx, who))
	defer cancel()
	return p.verifyBackup(ctx, b, out)
}

func (p *Platform) verifyBackup(ctx context.Context, b hop3.Backup, out hop3.Output) (hop3.Backup, error) {
	unlock, err := p.backupLocks.acquire(ctx, b.ID, false, nil)
	if err != nil {
		return b, err
	}
	defer unlock()
	started := time.Now()
	err = p.prove(ctx, b, out)
	after := context.WithoutCancel(ctx)
	if ctx.Err() != nil && err != nil {
		return b, context.Cause(ctx) // which says nothing of the backup
	}
	now := p.now().UTC().Truncate(time.Microsecond)
	if err != nil {
		message := hop3.MessageOf(err)
		_, updateErr := p.Store.UpdateBackup(after, b.ID, func(x *hop3.Backup) error {
			x.Proof = message
			return nil
		}, p.backupEvent(after, hop3.EventBackupUnproven, b, "the backup %s is not proven: %s", b.ID, message))
		return b, errors.Join(err, updateErr)
	}
	say(out, "       Proven in %s", took(started))
	return p.Store.UpdateBackup(after, b.ID, func(x *hop3.Backup) error {
		x.ProvenAt, x.Proof = now, ""
		return nil
	}, p.backupEvent(after, hop3.EventBackupVerified, b, "the backup %s was restored for a proof, and holds what was saved", b.ID))
}

// prove returns what speaks against a backup.
func (p *Platform) prove(ctx context.Context, b hop3.Backup, out hop3.Output) (err error) {
	r, err := p.opened(ctx, b, out)
	if err != nil {
		return err
	}
	m := r.Metadata()
	dir, err := p.Backups.Scratch(b.ID)
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := p.Backups.RemoveScratch(b.ID); removeErr != nil {
			p.Logger.Error("removing what a backup was restored to for a proof", zap.String("backup", b.ID), zap.Error(removeErr))
		}
	}()
	say(out, "-----> Restoring it into a scratch place")
	for _, name := range []string{"src", "git", "data", "volumes", "extra"} {
		if err := p.Files.MakeDir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := p.proveTrees(ctx, r, m, dir, out); err != nil {
		return err
	}
	if b.App != "" {
		vars := hop3.Env{}
		if err := readJSON(ctx, r, backupEnv, &vars); err != nil {
			return err
		}
		if len(vars) != m.EnvCount {
			return hop3.Errorf(hop3.CodeInvalid, "The backup %s has %d variables, and %d were saved.", b.ID, len(vars), m.EnvCount)
		}
	}
	return p.proveAddons(ctx, b, r, m, out)
}

// proveTrees unpacks each archive and compares what comes out of it. Extra
// paths are unpacked last: they may lie over the source.
func (p *Platform) proveTrees(ctx context.Context, r hop3.BackupReader, m hop3.BackupMetadata, dir string, out hop3.Output) error {
	trees := m.Own().Trees
	extras := noExtras{r}
	if err := p.unpackTold(ctx, extras, m, dir, out); err != nil {
		return err
	}
	var wrong []string
	compare := func(name, path string) error {
		got, err := p.Backups.Digest(ctx, hop3.BackupDir{Name: name, Path: path})
		if err == nil && got != trees[name] {
			wrong = append(wrong, fmt.Sprintf("%s has %d files with %d bytes, saved were %d with %d, or their content differs", name, got.Files, got.Bytes, trees[name].Files, trees[name].Bytes))
		}
		return err
	}
	for name := range trees {
		path := filepath.Join(dir, name)
		if volume, ok := strings.CutPrefix(name, "volume-"); ok {
			path = filepath.Join(dir, "volumes", volume)
		}
		if strings.HasPrefix(name, "extra/") {
			continue
		}
		if err := compare(name, path); err != nil {
			return err
		}
	}
	if r.Has(backupExtra) {
		place := filepath.Join(dir, "extra")
		err := r.Extract(ctx, backupExtra, func(top string) string {
			if hop3.ValidateVolumeName(top) != nil || p.Files.MakeDir(filepath.Join(place, top)) != nil {
				return ""
			}
			return filepath.Join(place, top)
		})
		for name := range trees {
			if strings.HasPrefix(name, "extra/") && err == nil {
				err = compare(name, filepath.Join(dir, name))
			}
		}
		if err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return hop3.Errorf(hop3.CodeInvalid, "The backup %s does not hold what was saved: %s.", m.ID, strings.Join(wrong, "; "))
	}
	return nil
}

// noExtras is a backup without its extra paths.
type noExtras struct{ hop3.BackupReader }

func (r noExtras) Has(name string) bool { return name != backupExtra && r.BackupReader.Has(name) }
