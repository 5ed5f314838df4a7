package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// send writes a copy, sends it, and removes it here.
func (m *moving) send(ctx context.Context, fill func(context.Context, hop3.BackupWriter, hop3.Backup) (hop3.BackupMetadata, error)) (id string, err error) {
	p, now := m.p, m.p.now()
	b := hop3.Backup{ID: hop3.NewBackupID(now), App: m.app.Name, Kind: hop3.BackupMove, CreatedAt: now.UTC()}
	defer func() {
		if removeErr := p.Backups.Remove(b); removeErr != nil {
			p.Logger.Warn("removing a copy that was sent", zap.String("app", m.app.Name), zap.Error(removeErr))
		}
	}()
	meta, err := p.fillNew(ctx, b, fill)
	if err != nil {
		return b.ID, err
	}
	dir, err := p.Files.Open(p.Backups.Dir(b))
	if err != nil {
		return b.ID, err
	}
	started, total := time.Now(), int64(0)
	for _, name := range append(slices.Sorted(maps.Keys(meta.Checksums)), "metadata.json") {
		info, err := fs.Stat(dir, name)
		if err != nil {
			return b.ID, err
		}
		total += info.Size()
		if err := m.other.Send(ctx, b.ID, name, info.Size(), func() (io.ReadCloser, error) { return dir.Open(name) }); err != nil {
			return b.ID, fmt.Errorf("sending %s: %w", name, err)
		}
	}
	say(m.out, "       Sent %s in %s", FormatBytes(total), took(started))
	return b.ID, nil
}

// fillFirst writes all that an app has.
func (m *moving) fillFirst(ctx context.Context, w hop3.BackupWriter, b hop3.Backup) (meta hop3.BackupMetadata, err error) {
	f := m.filler(w)
	meta = newMetadata(b, m.app, m.live)
	started := time.Now()
	if meta.Addons, err = m.p.dumpAddons(ctx, w, m.app, m.out); err != nil {
		return meta, err
	}
	m.dumping = time.Since(started)
	if err := errors.Join(f.source(ctx, m.app, m.live, b.Kind), f.data(ctx, m.app.Name)); err != nil {
		return meta, err
	}
	if meta.Volumes, err = f.volumes(ctx, m.app.Name, m.live.Volumes); err != nil {
		return meta, err
	}
	if meta.ExtraPaths, err = f.extra(ctx, m.live, m.app.Name); err != nil {
		return meta, err
	}
	return meta, f.settings(ctx, m.app)
}

func (m *moving) filler(w hop3.BackupWriter) *backupFill {
	return &backupFill{p: m.p, w: w, out: m.out, trees: map[string]hop3.BackupTree{}, stamps: m.stamps}
}

// movedGone is the file of the last copy that lists, for each tree of the
// first, what is no more.
const movedGone = "gone.json"

// fillLast writes what changed of an app that does not run any more.
func (m *moving) fillLast(ctx context.Context, w hop3.BackupWriter, b hop3.Backup) (meta hop3.BackupMetadata, err error) {
	f := m.filler(w)
	meta = newMetadata(b, m.app, m.live)
	if meta.Addons, err = m.p.dumpAddons(ctx, w, m.app, m.out); err != nil {
		return meta, err
	}
	if err := f.data(ctx, m.app.Name); err != nil {
		return meta, err
	}
	if meta.Volumes, err = f.volumes(ctx, m.app.Name, m.live.Volumes); err != nil {
		return meta, err
	}
	gone := map[string][]string{}
	for tree, stamps := range m.stamps {
		gone[tree] = stamps.Gone()
	}
	return meta, errors.Join(f.json(ctx, movedGone, gone), f.json(ctx, movedCertificates, m.certificates(ctx)))
}

// movedCertificates is the file of the last copy that has certificates.
const movedCertificates = "certificates.json"

// movedCertificate is one that goes along with an app: its names point to this
// server until they are changed, and no authority would give the other server
// one before.
type movedCertificate struct {
	Host, Kind string // as in hop3.Certificate
	Chain, Key []byte // PEM
}

func (m *moving) certificates(ctx context.Context) []movedCertificate {
	var all []movedCertificate
	for _, host := range m.p.ownNames(m.live.Hosts) {
		c := movedCertificate{Host: host, Kind: m.p.Certs.Certificate(ctx, host).Kind}
		if c.Kind != hop3.CertificateACME && c.Kind != hop3.CertificateCustom {
			continue
		}
		var err error
		if c.Chain, c.Key, err = m.p.Certs.PEM(ctx, host); err != nil {
			m.p.Logger.Warn("reading a certificate to move", zap.String("host", host), zap.Error(err))
			continue
		}
		all = append(all, c)
	}
	return all
}
