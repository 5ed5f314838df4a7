package platform

import (
	"context"
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

// AddonView is all that may be shown of an addon.
type AddonView struct {
	AddonStatus
	Facts   []hop3.AddonFact
	Trouble string // why it does not work; "" when it does
}

// ShowAddon returns an addon and what its service says of it.
func (p *Platform) ShowAddon(ctx context.Context, who Actor, id hop3.AddonID) (AddonView, error) {
	a, err := p.addon(ctx, who, id, hop3.RoleViewer)
	if err != nil {
		return AddonView{}, err
	}
	view := AddonView{AddonStatus: AddonStatus{a.withoutSecrets(), a.apps}}
	if a.Status != hop3.AddonReady {
		view.Trouble = "it is " + string(a.Status)
		return view, nil
	}
	if view.Facts, err = a.provider.Status(ctx, a.Addon); err != nil {
		view.Trouble = hop3.MessageOf(err)
	}
	if a.Last != nil || a.Next != nil {
		view.Trouble = strings.TrimPrefix(view.Trouble+"; a rotation of its credentials has not ended", "; ")
	}
	return view, nil
}

// AddonVariables returns the variables that an app has of an addon, in the
// clear.
func (p *Platform) AddonVariables(ctx context.Context, who Actor, id hop3.AddonID) (hop3.Env, error) {
	a, err := p.revealed(ctx, who, id, "its credentials")
	if err != nil {
		return nil, err
	}
	return a.provider.Variables(a.Addon), nil
}

// AddonEndpoint returns where an addon is reached, with its password.
func (p *Platform) AddonEndpoint(ctx context.Context, who Actor, id hop3.AddonID) (hop3.AddonEndpoint, error) {
	a, err := p.revealed(ctx, who, id, "its address and credentials")
	if err != nil {
		return hop3.AddonEndpoint{}, err
	}
	return a.provider.Endpoint(a.Addon), nil
}

// revealed returns an addon of which something secret is about to be shown, and
// notes that.
func (p *Platform) revealed(ctx context.Context, who Actor, id hop3.AddonID, what string) (seenAddon, error) {
	a, err := p.readyAddon(ctx, who, id, hop3.RoleDeployer)
	if err != nil {
		return a, err
	}
	ctx = asked(ctx, who)
	p.happened(addonEvent(ctx, hop3.EventAddonRevealed, id, "", "of the addon %s, somebody was shown %s", id, what))
	return a, nil
}

// dumper returns an addon whose data can be read and written as a whole.
func (p *Platform) dumper(ctx context.Context, who Actor, id hop3.AddonID) (seenAddon, hop3.AddonDumper, error) {
	a, err := p.readyAddon(ctx, who, id, hop3.RoleDeployer)
	if err != nil {
		return a, nil, err
	}
	d, ok := a.provider.(hop3.AddonDumper)
	if !ok {
		return a, nil, hop3.Errorf(hop3.CodeInvalid, "Addons of type %s hold no data that could be dumped.", id.Type)
	}
	return a, d, nil
}

// ExportAddon writes all that an addon holds to w, and returns the name that a
// file of it would have and how much it is.
func (p *Platform) ExportAddon(ctx context.Context, who Actor, id hop3.AddonID, w io.Writer) (name string, holds hop3.Inventory, err error) {
	a, d, err := p.dumper(ctx, who, id)
	if err != nil {
		return "", nil, err
	}
	p.happened(addonEvent(asked(ctx, who), hop3.EventAddonRevealed, id, "", "the data of the addon %s were read", id))
	holds, err = d.Dump(ctx, a.Addon, w)
	return id.Name + "_" + p.now().UTC().Format("20060102_150405") + d.DumpSuffix(), holds, err
}

// DumpAddon writes all that an addon holds to a file of the server, in the
// directory of dumps of its type, and returns its path.
func (p *Platform) DumpAddon(ctx context.Context, who Actor, id hop3.AddonID) (path string, holds hop3.Inventory, err error) {
	a, d, err := p.dumper(ctx, who, id)
	if err != nil {
		return "", nil, err
	}
	if err := p.checkDisk(ctx, "", "", nil); err != nil {
		return "", nil, err
	}
	dir := p.dumpDir(id.Type)
	name := id.Name + "_" + p.now().UTC().Format("20060102_150405.000000") + d.DumpSuffix()
	path, partial := filepath.Join(dir, name), "."+name+partialDump
	file, err := p.Files.Create(dir, partial)
	if err != nil {
		return "", nil, fmt.Errorf("making the file of the dump: %w", err)
	}
	holds, err = d.Dump(ctx, a.Addon, file)
	if err = errors.Join(err, file.Close()); err == nil {
		err = p.Files.Rename(filepath.Join(dir, partial), path)
	}
	if err != nil {
		return "", nil, errors.Join(err, p.Files.Remove(filepath.Join(dir, partial)))
	}
	p.happened(addonEvent(asked(ctx, who), hop3.EventAddonRevealed, id, "", "the addon %s was dumped to %s", id, name))
	return path, holds, nil
}

// RestoreDump replaces all that an addon holds by a dump that DumpAddon wrote,
// of this addon or of another one that the actor may read. It is named by its
// file.
func (p *Platform) RestoreDump(ctx context.Context, who Actor, id hop3.AddonID, name string) error {
	if _, _, err := p.dumper(ctx, who, id); err != nil {
		return err
	}
	dir := p.dumpDir(id.Type)
	base := filepath.Base(name)
	if name != base && filepath.Clean(name) != filepath.Join(dir, base) || strings.HasPrefix(base, ".") {
		return hop3.Errorf(hop3.CodeInvalid, "A dump of %s is a file in %s.", id.Type, dir).
			WithHint("`hop3 addon %s import %s < FILE` takes one of your own.", id.Type, id.Name)
	}
	if err := p.mayReadDump(ctx, who, id.Type, base); err != nil {
		return err
	}
	missing := hop3.Errorf(hop3.CodeNotFound, "There is no dump '%.120s' of %s.", base, id.Type)
	files, err := p.Files.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return missing
	}
	if err != nil {
		return err
	}
	file, err := files.Open(base)
	if err != nil {
		return missing
	}
	defer func() { _ = file.Close() }() // it was only read
	return p.ImportAddon(ctx, who, id, file)
}

// mayReadDump returns nil when a dump is of an addon that the actor may read.
func (p *Platform) mayReadDump(ctx context.Context, who Actor, kind, file string) error {
	all, err := p.Addons(ctx, who, "", kind)
	if err != nil {
		return err
	}
	from, ok := dumpOf(file)
	if who.Admin || ok && slices.ContainsFunc(all, func(a AddonStatus) bool { return a.Name == from }) {
		return nil
	}
	return hop3.Errorf(hop3.CodeNotFound, "There is no dump '%.120s' of %s.", file, kind)
}

// dumpOf returns the addon that a file of DumpAddon is of.
func dumpOf(file string) (name string, ok bool) {
	const stamp = "_20060102_150405.000000"
	for i := len(file) - len(stamp); i > 0; i-- {
		if _, err := time.Parse(stamp, file[i:i+len(stamp)]); err == nil {
			return file[:i], true
		}
	}
	return "", false
}

// ImportAddon replaces all that an addon holds by a dump.
func (p *Platform) ImportAddon(ctx context.Context, who Actor, id hop3.AddonID, dump io.Reader) error {
	if _, _, err := p.dumper(ctx, who, id); err != nil {
		return err
	}
	unlock, err := p.lockAddon(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	a, d, err := p.dumper(ctx, who, id) // as it is now: it may have been rotated
	if err != nil {
		return err
	}
	if err := d.Restore(ctx, a.Addon, dump); err != nil {
		return err
	}
	p.happened(addonEvent(asked(ctx, who), hop3.EventAddonChanged, id, "", "the data of the addon %s were replaced by a dump", id))
	return nil
}

// CloneAddon makes another addon that holds what one holds.
func (p *Platform) CloneAddon(ctx context.Context, who Actor, id hop3.AddonID, name string, out hop3.Output) error {
	a, d, err := p.dumper(ctx, who, id)
	if err != nil {
		return err
	}
	made, err := p.CreateAddon(ctx, who, hop3.AddonRequest{Type: id.Type, Name: name, Dedicated: a.Dedicated, Options: a.Options}, out)
	if err != nil {
		return err
	}
	say(out, "-----> Copying the data of %s", id)
	if err := p.copyAddon(ctx, a.Addon, made.ID(), d); err != nil {
		return errors.Join(err, p.destroyAddon(asked(context.WithoutCancel(ctx), who), made.ID()))
	}
	p.happened(addonEvent(asked(ctx, who), hop3.EventAddonRevealed, id, "", "the addon %s was copied to '%s'", id, name))
	return nil
}

// copyAddon fills an addon with what another one of its type holds, and checks
// that all of it arrived.
func (p *Platform) copyAddon(ctx context.Context, from hop3.Addon, to hop3.AddonID, d hop3.AddonDumper) error {
	copied, err := p.Store.Addon(ctx, to)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	dumped := make(chan hop3.Inventory, 1)
	p.Go("copying an addon", func(context.Context) {
		holds, err := d.Dump(ctx, from, w)
		dumped <- holds
		w.CloseWithError(err)
	})
	err = d.Restore(ctx, copied, r)
	r.CloseWithError(err) // a dump that nobody reads any more ends
	if err != nil {
		return err
	}
	got, err := d.Inventory(ctx, copied)
	if err != nil {
		return err
	}
	return hop3.CheckInventory(<-dumped, got)
}

// RunAddonAction runs a command of an addon's own type.
func (p *Platform) RunAddonAction(ctx context.Context, who Actor, id hop3.AddonID, action string, args []string) (hop3.AddonReport, error) {
	a, err := p.readyAddon(ctx, who, id, hop3.RoleViewer)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	own, ok := a.provider.(hop3.AddonActions)
	if !ok {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeNotFound, "Addons of type %s have no command '%.40s'.", id.Type, action)
	}
	for _, act := range own.Actions() {
		if act.Name != action {
			continue
		}
		if act.Changes || act.Destroys {
			if a, err = p.readyAddon(ctx, who, id, hop3.RoleDeployer); err != nil {
				return hop3.AddonReport{}, err
			}
		}
		report, err := act.Run(ctx, a.Addon, args)
		if err == nil && (act.Changes || act.Destroys) {
			p.happened(addonEvent(asked(ctx, who), hop3.EventAddonChanged, id, "", "`%s` was run on the addon %s", action, id))
		}
		return report, err
	}
	return hop3.AddonReport{}, hop3.Errorf(hop3.CodeNotFound, "Addons of type %s have no command '%.40s'.", id.Type, action)
}

// partialDump ends the name of a dump that is being written.
const partialDump = ".partial"

// sweepDumps removes the dumps that an earlier server did not write to the end.
func (p *Platform) sweepDumps() error {
	var errs []error
	for _, provider := range p.Providers {
		dir := p.dumpDir(provider.Name())
		names, err := p.Files.List(dir)
		errs = append(errs, err)
		for _, name := range names {
			if strings.HasPrefix(name, ".") && strings.HasSuffix(name, partialDump) {
				errs = append(errs, p.Files.Remove(filepath.Join(dir, name)))
			}
		}
	}
	return errors.Join(errs...)
}

// dumpDir holds the dumps of addons of a type.
func (p *Platform) dumpDir(kind string) string {
	return filepath.Join(p.Settings.Home, "backups", kind)
}
