package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// comesWithin is how long an app that may come has for it.
const comesWithin = 24 * time.Hour

// ReceiveApp lets another server move an app here, under this name, and returns
// the secret that it proves itself with. The app is of who let it come. An
// earlier secret for it is good for nothing any more.
func (p *Platform) ReceiveApp(ctx context.Context, who Actor, name string) (secret string, err error) {
	if err := hop3.ValidateAppName(name); err != nil {
		return "", err
	}
	if err := p.AuthorizeCreate(ctx, who, name); err != nil {
		return "", err
	}
	if p.Backups == nil {
		return "", hop3.Errorf(hop3.CodeUnavailable, "No app can come to this server.")
	}
	unlock, err := p.lockAny(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := p.free(ctx, name); err != nil {
		return "", err
	}
	secret, sum := hop3.NewMoveSecret()
	m := hop3.Move{
		App: name, Incoming: true, State: hop3.MoveExpected, Sum: sum, By: who.Username, Admin: who.Admin,
		StartedAt: p.now().UTC(), Expires: p.now().UTC().Add(comesWithin),
	}
	return secret, p.saveMove(ctx, m, moveEvent(asked(ctx, who), hop3.EventMoveAllowed, m, "another server may move an app here as '%s'", name))
}

// free returns a CodeConflict error when there is an app of this name.
func (p *Platform) free(ctx context.Context, name string) error {
	_, err := p.Store.App(ctx, name)
	switch {
	case hop3.CodeOf(err) == hop3.CodeNotFound:
		return nil
	case err != nil:
		return err
	}
	if err := p.here(name); err != nil {
		return err
	}
	return hop3.Errorf(hop3.CodeConflict, "There is an app '%s' already on the server that it is to come to.", name).WithHint("`hop3 app destroy --app %s` there removes it, with its data.", name)
}

// CancelReceive lets an app come no more, and removes what was made for it. One
// that has come is a CodeConflict error.
func (p *Platform) CancelReceive(ctx context.Context, who Actor, name string) error {
	m, ok := p.moves.of(name, true)
	if !ok || !who.Admin && m.By != who.Username {
		return hop3.Errorf(hop3.CodeNotFound, "No app '%s' is to come here.", name)
	}
	return p.abandonHere(asked(ctx, who), name)
}

// abandonHere ends the move of an app that comes.
func (p *Platform) abandonHere(ctx context.Context, name string) error {
	unlock, err := p.lockAny(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	m, ok := p.moves.of(name, true)
	switch {
	case !ok:
		return hop3.Errorf(hop3.CodeNotFound, "No app '%s' is to come here.", name)
	case m.State == hop3.MoveDone:
		return hop3.Errorf(hop3.CodeConflict, "'%s' has come: it runs here.", name)
	}
	ctx = context.WithoutCancel(ctx)
	if err := errors.Join(p.removeArrived(ctx, m), p.Backups.Forget(name)); err != nil {
		return fmt.Errorf("removing what had come of '%s': %w", name, err)
	}
	return p.endMove(ctx, m, moveEvent(ctx, hop3.EventMoveFailed, m, "the move of '%s' to this server was abandoned", name))
}

// removeArrived removes the app and the addons that were made for a move.
func (p *Platform) removeArrived(ctx context.Context, m hop3.Move) error {
	if !m.Created {
		return nil
	}
	app, err := p.Store.App(ctx, m.App)
	if hop3.CodeOf(err) == hop3.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := p.Store.AttachmentsOf(ctx, m.App)
	if err == nil {
		err = p.Store.SetAttachments(ctx, m.App, nil)
	}
	for _, at := range list {
		a, e := p.Store.Addon(ctx, at.Addon())
		if e == nil && a.App == m.App {
			e = p.destroyAddon(ctx, at.Addon())
		}
		if e != nil && hop3.CodeOf(e) != hop3.CodeNotFound {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return err
	}
	return p.destroyLocked(ctx, app, hop3.Discard)
}

// settleIncoming decides a move whose switch the server's end interrupted: an
// app that was found ready is here.
func (p *Platform) settleIncoming(ctx context.Context, m hop3.Move) (hop3.Move, error) {
	app, err := p.Store.App(ctx, m.App)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return m, err
	}
	if m.State = hop3.MovePrepared; app.Live == 0 {
		return m, p.Store.SaveMove(ctx, m)
	}
	m.State, m.Expires = hop3.MoveDone, time.Time{}
	return m, p.Store.SaveMove(ctx, m, moveEvent(ctx, hop3.EventMoveDone, m, "'%s' has come from another server", m.App))
}

// hostAdmin is the name that events have of who administers the machine.
const hostAdmin = "host"

// Arrival is the coming of one app, for the server that it comes from.
type Arrival struct {
	p   *Platform
	app string
}

// Arrival returns the coming of an app to who knows its secret. That no app of
// the name is to come is a CodeNotFound error, that the secret is another one
// CodeUnauthorized.
func (p *Platform) Arrival(_ context.Context, app, secret string) (*Arrival, error) {
	m, ok := p.moves.of(app, true)
	if !ok {
		return nil, hop3.Errorf(hop3.CodeNotFound, "No app '%s' is to come to this server.", strings.ToValidUTF8(app, "")).
			WithHint("`hop3 app receive NAME` there lets it.")
	}
	if !m.Knows(secret) {
		return nil, hop3.Errorf(hop3.CodeUnauthorized, "This is not what '%s' may come with.", app).
			WithHint("`hop3 app receive NAME` there gives another secret.")
	}
	return &Arrival{p, app}, nil
}

// actor is who let the app come, as far as they still may.
func (a *Arrival) actor(ctx context.Context, m hop3.Move) (Actor, error) {
	who := Actor{Username: m.By, Admin: m.Admin}
	u, err := a.p.Store.User(ctx, m.By)
	if m.Admin && m.By == hostAdmin && hop3.CodeOf(err) == hop3.CodeNotFound {
		return who, nil
	}
	if err != nil || !u.Active {
		return Actor{}, hop3.Errorf(hop3.CodeForbidden, "The user who let '%s' come may do nothing here any more.", a.app)
	}
	who.Admin = who.Admin && u.Admin
	return who, nil
}

// in locks the app and returns its move, which must be in one of these states,
// and who let it come.
func (a *Arrival) in(ctx context.Context, states ...hop3.MoveState) (m hop3.Move, who Actor, unlock func(), err error) {
	if unlock, err = a.p.lockAny(ctx, a.app); err != nil {
		return m, who, nil, err
	}
	m, ok := a.p.moves.of(a.app, true)
	switch {
	case !ok:
		err = hop3.Errorf(hop3.CodeNotFound, "No app '%s' is to come to this server any more.", a.app)
	case !slices.Contains(states, m.State):
		err = hop3.Errorf(hop3.CodeConflict, "The move of '%s' is %s: it cannot do that now.", a.app, m.State)
	default:
		who, err = a.actor(ctx, m)
	}
	if err != nil {
		unlock()
		return m, who, nil, err
	}
	return m, who, unlock, nil
}

// Offer looks whether the app can come: its name and its hosts are free, and
// there are addons of its types.
func (a *Arrival) Offer(ctx context.Context, o hop3.MoveOffer) (hop3.MoveAnswer, error) {
	p := a.p
	m, who, unlock, err := a.in(ctx, hop3.MoveExpected, hop3.MoveCopying)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	defer unlock()
	if err := errors.Join(p.AuthorizeCreate(ctx, who, a.app), p.free(ctx, a.app)); err != nil {
		return hop3.MoveAnswer{}, err
	}
	problems := errors.Join(p.checkHosts(o.Hosts), p.checkClaims(ctx, a.app, o.Hosts))
	for _, kind := range o.Addons {
		_, err := p.provider(kind)
		problems = errors.Join(problems, err)
	}
	if problems != nil {
		return hop3.MoveAnswer{}, problems
	}
	if err := p.checkDisk(ctx, a.app, a.app, hop3.Discard); err != nil {
		return hop3.MoveAnswer{}, err
	}
	m.State = hop3.MoveCopying
	return p.answerOf(m, hop3.Release{}), p.saveMove(ctx, m)
}

func (p *Platform) answerOf(m hop3.Move, r hop3.Release) hop3.MoveAnswer {
	a := hop3.MoveAnswer{
		State: m.State, Release: r.Number, Hosts: r.Hosts, URLs: p.urls(r.Hosts),
		HTTPPort: p.Settings.HTTPPort, HTTPSPort: p.Settings.HTTPSPort,
	}
	for port, name := range p.Settings.ServerPorts {
		if name == "HOP3_PORT" {
			a.APIPort = port
		}
	}
	return a
}

func (a *Arrival) copy(id string) hop3.Backup {
	return hop3.Backup{ID: id, App: a.app, Kind: hop3.BackupMove}
}

// Receive takes a file of a copy.
func (a *Arrival) Receive(ctx context.Context, id, name string, content io.Reader) error {
	m, ok := a.p.moves.of(a.app, true)
	if !ok || m.State != hop3.MoveCopying && m.State != hop3.MovePrepared {
		return hop3.Errorf(hop3.CodeConflict, "Nothing of '%s' is to come now.", a.app)
	}
	return a.p.Backups.Receive(ctx, a.copy(id), name, content)
}

// received gives a copy to read, and removes it.
func (a *Arrival) received(ctx context.Context, id string, read func(hop3.BackupReader) error) error {
	defer func() {
		if err := a.p.Backups.Remove(a.copy(id)); err != nil {
			a.p.Logger.Warn("removing a copy that came", zap.String("app", a.app), zap.Error(err))
		}
	}()
	r, err := a.p.Backups.Received(ctx, a.copy(id))
	if err != nil {
		return err
	}
	return read(r)
}

// Prepare makes the app of its first copy, and builds it. Nothing of it is
// started: it still runs where it comes from, with the same data.
func (a *Arrival) Prepare(ctx context.Context, id string, out hop3.Output) (answer hop3.MoveAnswer, err error) {
	p := a.p
	m, who, unlock, err := a.in(ctx, hop3.MoveCopying)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	defer unlock()
	ctx, cancel := p.interruptible(asked(ctx, who))
	defer cancel()
	if err := p.free(ctx, a.app); err != nil {
		return hop3.MoveAnswer{}, err
	}
	// Known before there is anything: whatever ends in between, it is removed.
	m.Created = true
	if err := p.saveMove(ctx, m); err != nil {
		return hop3.MoveAnswer{}, err
	}
	var release hop3.Release
	err = a.received(ctx, id, func(r hop3.BackupReader) error {
		created, err := p.ensureApp(ctx, who, a.app, hop3.Discard)
		if err == nil && !created { // somebody else was faster
			m.Created = false
			err = errors.Join(hop3.Errorf(hop3.CodeConflict, "There is an app '%s' already on the server that it is to come to.", a.app), p.saveMove(ctx, m))
		}
		if err != nil {
			return err
		}
		s := &restoring{p: p, who: who, b: a.copy(id), r: r, m: r.Metadata(), out: out, stage: p.stageDir(a.app), arrives: true}
		release, err = s.restore(ctx, RestoreRequest{Target: a.app, Out: out}, true)
		m.Addons, answer.Loading = s.placed, s.loading
		return err
	})
	if err == nil && release.Number == 0 {
		err = hop3.Errorf(hop3.CodeInvalid, "Of '%s' no source has come.", a.app)
	}
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	m.State, m.Release = hop3.MovePrepared, release.Number
	loading := answer.Loading
	answer = p.answerOf(m, release)
	answer.Loading = loading
	return answer, p.saveMove(context.WithoutCancel(ctx), m)
}

// Finish brings the app up to date by the last copy, and starts it: it runs
// here once Finish has returned without an error. Otherwise it is prepared as
// before. Nobody's leaving interrupts it.
func (a *Arrival) Finish(ctx context.Context, id string, out hop3.Output) (hop3.MoveAnswer, error) {
	p := a.p
	m, who, unlock, err := a.in(ctx, hop3.MovePrepared)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	defer unlock()
	ctx, cancel := p.interruptible(asked(context.WithoutCancel(ctx), who))
	defer cancel()
	m.State = hop3.MoveSwitching
	if err := p.saveMove(ctx, m); err != nil {
		return hop3.MoveAnswer{}, err
	}
	var act *activation
	var certificates []movedCertificate
	err = a.received(ctx, id, func(r hop3.BackupReader) error {
		if err := a.update(ctx, m, r, out); err != nil {
			return err
		}
		if err := readJSON(ctx, r, movedCertificates, &certificates); err != nil {
			return err
		}
		release, err := p.Store.Release(ctx, a.app, m.Release)
		if err == nil {
			act, err = p.activate(ctx, release, out)
		}
		return err
	})
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		m.State = hop3.MovePrepared
		return hop3.MoveAnswer{}, errors.Join(err, p.saveMove(ctx, m))
	}
	act.finish()
	a.useCertificates(ctx, act.release, certificates, out)
	if err := p.adoptSettings(ctx, act.release); err != nil {
		p.Logger.Error("storing the settings of an app that came", zap.String("app", a.app), zap.Error(err))
	}
	m.State, m.Expires = hop3.MoveDone, time.Time{}
	if err := p.saveMove(ctx, m, moveEvent(ctx, hop3.EventMoveDone, m, "'%s' has come from another server", a.app)); err != nil {
		// The release is live: what is known of it in memory is right, and the
		// next start finds out.
		p.moves.put(m)
		p.Logger.Error("storing that an app has come", zap.String("app", a.app), zap.Error(err))
	}
	return p.answerOf(m, act.release), nil
}

// update brings what the app has up to date.
func (a *Arrival) update(ctx context.Context, m hop3.Move, r hop3.BackupReader, out hop3.Output) error {
	p, meta := a.p, r.Metadata()
	for _, saved := range meta.Addons {
		id := hop3.AddonID{}
		for _, made := range m.Addons {
			if made.Type == addonType(saved.Type) && made.Was == saved.Name {
				id = hop3.AddonID{Type: made.Type, Name: made.Is}
			}
		}
		if id.Name == "" {
			return hop3.Errorf(hop3.CodeConflict, "'%s' has the addon %s only since it was first copied.", a.app, hop3.AddonID{Type: saved.Type, Name: saved.Name})
		}
		known, err := p.knownAddon(ctx, id)
		if err != nil {
			return err
		}
		if err := p.load(ctx, r, saved, known, out); err != nil {
			return err
		}
	}
	dirs := map[string]string{"data": p.dataDir(a.app)}
	for _, v := range meta.Volumes {
		dirs["volume-"+v.Name] = filepath.Join(p.volumesDir(a.app), v.Name)
	}
	if err := a.removeGone(ctx, r, dirs); err != nil {
		return err
	}
	extract := func(file, dir string) error {
		if err := p.Files.MakeDir(dir); err != nil {
			return err
		}
		return r.Extract(ctx, file, func(string) string { return dir })
	}
	if r.Has(backupData) {
		if err := extract(backupData, dirs["data"]); err != nil {
			return err
		}
	}
	for _, v := range meta.Volumes {
		if err := extract(v.File, dirs["volume-"+v.Name]); err != nil {
			return err
		}
	}
	return nil
}

// useCertificates has the app use those that it had. What fails is said: then
// the app gets others.
func (a *Arrival) useCertificates(ctx context.Context, live hop3.Release, all []movedCertificate, out hop3.Output) {
	for _, c := range all {
		if !slices.Contains(live.Hosts, c.Host) {
			continue
		}
		var err error
		if c.Kind == hop3.CertificateCustom {
			_, err = a.p.Certs.AddCustom(a.app, live.Hosts, c.Chain, c.Key)
		} else {
			err = a.p.Certs.Import(ctx, c.Host, c.Chain, c.Key)
		}
		if err != nil {
			tell(out, 1, "yellow", "       The certificate of %s could not be taken over: %s", c.Host, hop3.MessageOf(err))
		}
	}
}

// removeGone removes the files that are no more where the app comes from.
func (a *Arrival) removeGone(ctx context.Context, r hop3.BackupReader, dirs map[string]string) error {
	gone := map[string][]string{}
	if err := readJSON(ctx, r, movedGone, &gone); err != nil {
		return err
	}
	for tree, names := range gone {
		dir, ok := dirs[tree]
		if !ok {
			continue
		}
		for i, name := range names {
			if !filepath.IsLocal(name) {
				return hop3.Errorf(hop3.CodeInvalid, "%.80q is no file of '%s'.", name, a.app)
			}
			if err := a.p.Files.RemoveIn(dir, name, fmt.Sprintf(".hop3-gone-%d", i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Status tells how far the move is.
func (a *Arrival) Status(ctx context.Context) (hop3.MoveAnswer, error) {
	m, ok := a.p.moves.of(a.app, true)
	if !ok {
		return hop3.MoveAnswer{}, hop3.Errorf(hop3.CodeNotFound, "No app '%s' is to come to this server any more.", a.app)
	}
	if m.State != hop3.MoveDone {
		return a.p.answerOf(m, hop3.Release{}), nil
	}
	_, live, err := a.p.liveOf(ctx, a.app)
	return a.p.answerOf(m, live), err
}

// Abandon ends the move. See OtherServer.
func (a *Arrival) Abandon(ctx context.Context) error { return a.p.abandonHere(ctx, a.app) }
