package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/abilian/hop3/hop3"
)

// dumpAddons writes what the addons of an app hold.
func (p *Platform) dumpAddons(ctx context.Context, w hop3.BackupWriter, app hop3.App, out hop3.Output) ([]hop3.BackupAddon, error) {
	dumped := []hop3.BackupAddon{}
	list, err := p.Store.AttachmentsOf(ctx, app.Name)
	if err != nil {
		return nil, err
	}
	for _, at := range list {
		a, err := p.Store.Addon(ctx, at.Addon())
		if err != nil {
			return nil, err
		}
		provider, err := p.provider(a.Type)
		if err != nil {
			return nil, err
		}
		d, ok := provider.(hop3.AddonDumper)
		if !ok {
			tell(out, 1, "yellow", "       The addon %s holds nothing that could be saved: a restore attaches none of its type", a.ID())
			continue
		}
		started := time.Now()
		one := hop3.BackupAddon{Type: a.Type, Name: a.Name, Primary: at.Primary, Options: a.Options, File: "addons/" + a.Type + "_" + a.Name + d.DumpSuffix()}
		one.Size, err = w.File(ctx, one.File, func(w io.Writer) (err error) {
			one.Inventory, err = d.Dump(ctx, a, telling(w, metered(out, "Dumping "+a.ID().String(), 0)))
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("dumping the addon %s: %w", a.ID(), err)
		}
		dumped = append(dumped, one)
		say(out, "       %s: %s, %s", a.ID(), FormatBytes(one.Size), took(started))
	}
	return dumped, nil
}

// own reports whether an addon of the backup is the target's own, to be
// restored in place: nobody else's data are in it.
func (s *restoring) own(ctx context.Context, saved hop3.BackupAddon) (bool, error) {
	if s.b.App != s.app.Name || !s.b.AppCreatedAt.Equal(s.app.CreatedAt) {
		return false, nil
	}
	all, err := s.p.Store.Attachments(ctx)
	if err != nil {
		return false, err
	}
	id, mine := hop3.AddonID{Type: saved.Type, Name: saved.Name}, false
	for _, at := range all {
		switch {
		case at.Addon() != id:
		case at.App == s.app.Name:
			mine = true
		default:
			tell(s.out, 1, "yellow", "       '%s' has the addon %s, too: '%s' gets a new one with what was saved", at.App, id, s.app.Name)
			return false, nil
		}
	}
	return mine, nil
}

// restoreNewAddons makes an addon for each of the backup that is not the
// target's own, and gives it what was saved. Nothing of the source is touched.
func (s *restoring) restoreNewAddons(ctx context.Context) error {
	p := s.p
	for _, saved := range s.m.Addons {
		own, err := s.own(ctx, saved)
		if err != nil {
			return err
		}
		if own {
			s.inPlace = append(s.inPlace, saved)
			continue
		}
		id := hop3.AddonID{Type: addonType(saved.Type), Name: restoredName(s.b.App, s.app.Name, saved)}
		if err := s.saveMade(ctx, id); err != nil {
			return err
		}
		made, _, err := p.makeAddon(ctx, hop3.AddonRequest{Type: id.Type, Name: id.Name, Options: saved.Options},
			hop3.Addon{Team: s.app.Team, CreatedBy: s.who.Username, App: s.app.Name}, s.out)
		if err != nil {
			return err
		}
		if err := p.load(ctx, s.r, saved, made, s.out); err != nil {
			return err
		}
		if err := s.attach(ctx, id, saved); err != nil {
			return err
		}
		s.placed = append(s.placed, hop3.MovedAddon{Type: id.Type, Was: saved.Name, Is: id.Name})
	}
	return nil
}

// saveMade notes an addon before it is made: what the next start removes.
func (s *restoring) saveMade(ctx context.Context, id hop3.AddonID) error {
	s.note.Made = append(s.note.Made, id)
	return s.p.Store.SaveRestore(ctx, s.note)
}

// attach gives the app an addon, in the place of the one it was saved of.
func (s *restoring) attach(ctx context.Context, id hop3.AddonID, saved hop3.BackupAddon) error {
	list, err := s.p.Store.AttachmentsOf(ctx, s.app.Name)
	if err != nil {
		return err
	}
	if s.b.App == s.app.Name {
		list = withoutAttachment(list, hop3.AddonID{Type: id.Type, Name: saved.Name})
	}
	list = withAttachment(list, hop3.Attachment{App: s.app.Name, Type: id.Type, Name: id.Name, Primary: saved.Primary})
	return s.p.Store.SetAttachments(ctx, s.app.Name, list, addonEvent(ctx, hop3.EventAddonAttached, id, s.app.Name, "the addon %s was attached to '%s'", id, s.app.Name))
}

// restoredName is the name of an addon that is made of a saved one. It ends in
// random digits: the service it is made in may be that of the source, on a
// server that we know nothing of, and what is there must not be it.
func restoredName(from, to string, saved hop3.BackupAddon) string {
	base := saved.Name
	if base == from+"-"+saved.Type {
		base = to + "-" + saved.Type
	}
	return hop3.RestoredAddonName(base)
}

// restoredFor reports whether an app has, instead of an addon that its manifest
// asks for, one that was restored in its place.
func restoredFor(list []hop3.Attachment, req hop3.AddonRequest) bool {
	return slices.ContainsFunc(list, func(at hop3.Attachment) bool {
		return at.Type == req.Type && hop3.RestoredFrom(at.Name, req.Name)
	})
}

// load gives an addon what was saved of one.
func (p *Platform) load(ctx context.Context, r hop3.BackupReader, saved hop3.BackupAddon, a knownAddon, out hop3.Output) error {
	d, ok := a.provider.(hop3.AddonDumper)
	if !ok {
		return hop3.Errorf(hop3.CodeConflict, "Addons of type %s cannot be restored on this server.", a.Type)
	}
	unlock, err := p.lockAddon(ctx, a.ID())
	if err != nil {
		return err
	}
	defer unlock()
	say(out, "-----> Restoring the addon %s: %s", a.ID(), FormatBytes(saved.Size))
	started := time.Now()
	err = watched(r, metered(out, "Restoring "+a.ID().String(), saved.Size), func() error {
		return r.Read(ctx, saved.File, func(in io.Reader) error { return d.Restore(ctx, a.Addon, in) })
	})
	if err != nil {
		return fmt.Errorf("restoring the addon %s: %w", a.ID(), err)
	}
	got, err := d.Inventory(ctx, a.Addon)
	if err != nil {
		return fmt.Errorf("counting what the addon %s holds: %w", a.ID(), err)
	}
	if saved.Inventory != nil {
		if err := hop3.CheckInventory(saved.Inventory, got); err != nil {
			return hop3.Errorf(hop3.CodeInvalid, "The addon %s does not hold what was saved: %w", a.ID(), err)
		}
	}
	say(out, "       Restored and counted in %s", took(started))
	return nil
}

// restoreOwnAddons replaces what the target's own addons hold. The app does
// not run.
func (s *restoring) restoreOwnAddons(ctx context.Context) error {
	for _, saved := range s.inPlace {
		id := hop3.AddonID{Type: saved.Type, Name: saved.Name}
		s.note.Replaced = append(s.note.Replaced, id)
		if err := s.p.Store.SaveRestore(ctx, s.note); err != nil {
			return err
		}
		a, err := s.p.knownAddon(ctx, id)
		if err != nil {
			return err
		}
		if err := s.p.load(ctx, s.r, saved, a, s.out); err != nil {
			return err
		}
	}
	return nil
}

func (p *Platform) knownAddon(ctx context.Context, id hop3.AddonID) (knownAddon, error) {
	a, err := p.Store.Addon(ctx, id)
	if err != nil {
		return knownAddon{}, err
	}
	provider, err := p.provider(a.Type)
	return knownAddon{a, provider}, err
}

// undoAddons removes the addons made for a restore, attaches what was attached
// before, and gives those that were replaced what they held.
func (p *Platform) undoAddons(ctx context.Context, note hop3.BackupRestore, out hop3.Output) error {
	if len(note.Made) > 0 && note.Before != nil {
		err := p.Store.SetAttachments(ctx, note.Target, note.Before.Attachments)
		if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
			return err
		}
	}
	var err error
	for _, id := range note.Made {
		if e := p.destroyAddon(ctx, id); hop3.CodeOf(e) != hop3.CodeNotFound {
			err = errors.Join(err, e)
		}
	}
	if err != nil || len(note.Replaced) == 0 {
		return err
	}
	b, err := p.Store.Backup(ctx, note.Safety)
	if err != nil {
		return err
	}
	r, err := p.opened(ctx, b, out)
	if err != nil {
		return err
	}
	for _, saved := range r.Metadata().Addons {
		id := hop3.AddonID{Type: saved.Type, Name: saved.Name}
		if !slices.Contains(note.Replaced, id) {
			continue
		}
		a, e := p.knownAddon(ctx, id)
		if e == nil {
			e = p.load(ctx, r, saved, a, out)
		}
		err = errors.Join(err, e)
	}
	return err
}

// proveAddons restores each dump into an addon that is made for it, and
// counts. What is made is noted first, for the next start to remove.
func (p *Platform) proveAddons(ctx context.Context, b hop3.Backup, r hop3.BackupReader, m hop3.BackupMetadata, out hop3.Output) (err error) {
	if len(m.Addons) == 0 {
		return nil
	}
	note := hop3.BackupRestore{Target: "proof of " + b.ID, Backup: b.ID, StartedAt: p.now().UTC()}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		if undo := p.undoAddons(ctx, note, hop3.Discard); undo == nil {
			err = errors.Join(err, p.Store.EndRestore(ctx, note.Target))
		} else {
			err = errors.Join(err, undo) // the next start tries again
		}
	}()
	for _, saved := range m.Addons {
		id := hop3.AddonID{Type: addonType(saved.Type), Name: restoredName(b.App, "proof", hop3.BackupAddon{Type: saved.Type, Name: "proof"})}
		note.Made = append(note.Made, id)
		if err := p.Store.SaveRestore(ctx, note); err != nil {
			return err
		}
		team := b.Team
		if team == "" {
			team = hop3.DefaultTeam
		}
		made, _, err := p.makeAddon(ctx, hop3.AddonRequest{Type: id.Type, Name: id.Name, Options: saved.Options}, hop3.Addon{Team: team}, out)
		if err != nil {
			return err
		}
		if err := p.load(ctx, r, saved, made, out); err != nil {
			return err
		}
	}
	return nil
}
