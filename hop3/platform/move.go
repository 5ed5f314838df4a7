package platform

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// MoveRequest asks for the move of an app to another server.
type MoveRequest struct {
	App    string
	Server string // the address of the other one: https://…
	Secret string // that it gave for it: see ReceiveApp
	// MaxHold is how long requests may be expected to wait; 0 for
	// DefaultMaxHold.
	MaxHold time.Duration
	Out     hop3.Output
}

// DefaultMaxHold is how long requests wait at most for an app that switches to
// another server, as far as that can be foretold. The proxy holds none longer
// than two minutes.
const DefaultMaxHold = time.Minute

// MoveApp moves an app to another server. The app serves while all that it has
// is copied there, and built; then its requests are held, it is stopped, what
// changed since is copied, it is started there, and the requests that were held
// go there, as do all later ones until its names point there. When anything
// fails before the other server says that the app runs there, it runs here as
// before. What it had here is kept until it is destroyed.
func (p *Platform) MoveApp(ctx context.Context, who Actor, req MoveRequest) (hop3.MoveAnswer, error) {
	if err := p.may(ctx, who, req.App, hop3.RoleDeployer); err != nil {
		return hop3.MoveAnswer{}, err
	}
	if p.Servers == nil || p.Backups == nil {
		return hop3.MoveAnswer{}, hop3.Errorf(hop3.CodeUnavailable, "This server moves no apps.")
	}
	req.Server = strings.TrimRight(req.Server, "/")
	other, err := p.Servers.Server(req.Server, req.App, req.Secret)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	if strings.HasPrefix(req.Server, "http:") && !who.Admin {
		return hop3.MoveAnswer{}, hop3.Errorf(hop3.CodeForbidden, "Only an administrator moves an app to another server on this machine: what listens here is not everybody's to ask.")
	}
	ctx, cancel := p.interruptible(asked(ctx, who))
	defer cancel()
	ctx, canceled := context.WithCancelCause(ctx)
	defer canceled(nil)
	unlock, err := p.lock(ctx, req.App)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	defer unlock()
	defer p.moves.cancelable(req.App, canceled)()
	m := &moving{p: p, req: req, other: other, out: req.Out, stamps: map[string]*hop3.FileStamps{}}
	if err := m.check(ctx); err != nil {
		return hop3.MoveAnswer{}, err
	}
	return m.run(ctx, who)
}

// cancelable lets CancelMove end a move, until the returned function is called.
func (m *moves) cancelable(app string, cancel context.CancelCauseFunc) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancels == nil {
		m.cancels = map[string]context.CancelCauseFunc{}
	}
	m.cancels[app] = cancel
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.cancels, app)
	}
}

// CancelMove ends the move of an app that is under way. When there is none that
// is a CodeConflict error. One that switches already is not ended.
func (p *Platform) CancelMove(ctx context.Context, who Actor, app string) error {
	if err := p.may(ctx, who, app, hop3.RoleDeployer); err != nil {
		return err
	}
	p.moves.mu.Lock()
	defer p.moves.mu.Unlock()
	cancel := p.moves.cancels[app]
	if cancel == nil {
		return hop3.Errorf(hop3.CodeConflict, "No move of '%s' is under way.", app)
	}
	cancel(hop3.Errorf(hop3.CodeCanceled, "canceled by %s", who.Username))
	return nil
}

// moving is the state of one move, of an app that is locked.
type moving struct {
	p     *Platform
	req   MoveRequest
	other OtherServer
	out   hop3.Output
	app   hop3.App
	live  hop3.Release
	is    hop3.Move
	// stamps say what of the app's files was copied already.
	stamps map[string]*hop3.FileStamps
	// dumping and loading are how long the addons took the first time.
	dumping, loading time.Duration
}

// check refuses what cannot be moved.
func (m *moving) check(ctx context.Context) (err error) {
	p, name := m.p, m.req.App
	if m.app, err = p.Store.App(ctx, name); err != nil {
		return err
	}
	switch {
	case m.app.Preview != nil:
		return isPreview(m.app)
	case m.app.Live == 0:
		return hop3.Errorf(hop3.CodeConflict, "'%s' has never been deployed: there is nothing to move.", name).WithHint("Push it to the other server.")
	case !m.app.Awake() && !m.app.Asleep:
		return hop3.Errorf(hop3.CodeConflict, "'%s' does not run: a move ends with an app that runs.", name).WithHint("`hop3 app start --app %s` first.", name)
	}
	if m.live, err = p.Store.Release(ctx, name, m.app.Live); err != nil {
		return err
	}
	all, err := p.Store.Attachments(ctx)
	if err != nil {
		return err
	}
	mine := map[hop3.AddonID]bool{}
	for _, at := range all {
		mine[at.Addon()] = mine[at.Addon()] || at.App == name
	}
	for _, at := range all {
		if at.App != name && mine[at.Addon()] {
			return hop3.Errorf(hop3.CodeConflict, "'%s' and '%s' share the addon %s: after a move each would have one of its own.", name, at.App, at.Addon()).
				WithHint("Detach it from one of them first; `hop3 addon %s clone` makes a copy.", at.Type)
		}
	}
	return p.checkDisk(ctx, name, name, m.out)
}

// run moves the app, or leaves it where it is.
func (m *moving) run(ctx context.Context, who Actor) (hop3.MoveAnswer, error) {
	p := m.p
	offer, err := m.offer(ctx)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	if _, err := m.other.Offer(ctx, offer); err != nil {
		return hop3.MoveAnswer{}, err
	}
	m.is = hop3.Move{App: m.app.Name, State: hop3.MoveCopying, Server: m.req.Server, Secret: m.req.Secret, By: who.Username, StartedAt: p.now().UTC()}
	if err := p.saveMove(ctx, m.is, moveEvent(ctx, hop3.EventMoveStarted, m.is, "'%s' begins to move to %s", m.app.Name, m.req.Server)); err != nil {
		return hop3.MoveAnswer{}, err
	}
	answer, err := m.copyAndSwitch(ctx)
	if err == nil {
		return answer, nil
	}
	if why := context.Cause(ctx); why != nil {
		err = canceled(ctx)
	}
	after := context.WithoutCancel(ctx)
	if is, ok := p.moves.of(m.app.Name, false); !ok || is.Gone() {
		return hop3.MoveAnswer{}, err // decided, or to be decided, by what is known of it
	}
	p.abandonThere(after, m.is)
	failed := moveEvent(after, hop3.EventMoveFailed, m.is, "'%s' did not move to %s: %s", m.app.Name, m.req.Server, hop3.MessageOf(err))
	if endErr := p.endMove(after, m.is, failed); endErr != nil {
		p.Logger.Error("ending a move", zap.String("app", m.app.Name), zap.Error(endErr))
	}
	return hop3.MoveAnswer{}, err
}

// abandonThere has another server forget an app. When it cannot be asked, it
// does so by itself later.
func (p *Platform) abandonThere(ctx context.Context, m hop3.Move) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	other, err := p.Servers.Server(m.Server, m.App, m.Secret)
	if err == nil {
		err = other.Abandon(ctx)
	}
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		p.Logger.Warn("abandoning a move", zap.String("app", m.App), zap.String("server", m.Server), zap.Error(err))
	}
}

func (m *moving) offer(ctx context.Context) (hop3.MoveOffer, error) {
	o := hop3.MoveOffer{Hosts: m.p.ownNames(m.live.Hosts)}
	list, err := m.p.Store.AttachmentsOf(ctx, m.app.Name)
	for _, at := range list {
		if !slices.Contains(o.Addons, at.Type) {
			o.Addons = append(o.Addons, at.Type)
		}
	}
	return o, err
}

func (m *moving) copyAndSwitch(ctx context.Context) (hop3.MoveAnswer, error) {
	say(m.out, "-----> Copying '%s' to %s while it serves", m.app.Name, m.req.Server)
	id, err := m.send(ctx, m.fillFirst)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	prepared, err := m.other.Prepare(ctx, id, m.out)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	m.loading = prepared.Loading
	most := m.req.MaxHold
	if most == 0 {
		most = DefaultMaxHold
	}
	if expected := m.dumping + m.loading; expected > most {
		return hop3.MoveAnswer{}, hop3.Errorf(hop3.CodeConflict, "To copy what the addons of '%s' hold takes about %s, for which its requests would wait: longer than %s.", m.app.Name, expected.Round(time.Second), most).
			WithHint("`--max-hold` allows more, at a time when few people come; those who wait longer than two minutes get an error.")
	}
	return m.switchOver(ctx)
}

// switchOver holds the app's requests until it runs on the other server.
func (m *moving) switchOver(ctx context.Context) (hop3.MoveAnswer, error) {
	p, name := m.p, m.app.Name
	unlock, err := p.lockRunning(ctx, name)
	if err != nil {
		return hop3.MoveAnswer{}, err
	}
	defer unlock()
	defer p.barCron(name)()
	say(m.out, "-----> Holding the requests of '%s'", name)
	held := time.Now()
	p.endCron(ctx, name, errors.New("the app moves to another server"))
	err = m.stop(ctx)
	last := ""
	if err == nil {
		last, err = m.send(ctx, m.fillLast)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return hop3.MoveAnswer{}, errors.Join(err, p.resume(context.WithoutCancel(ctx), name))
	}
	// From here on nothing is canceled: the other server may have the app.
	ctx = context.WithoutCancel(ctx)
	m.is.State = hop3.MoveSwitching
	if err := p.saveMove(ctx, m.is); err != nil {
		return hop3.MoveAnswer{}, errors.Join(err, p.resume(ctx, name))
	}
	// Nothing that looks after apps starts it again meanwhile.
	if err := p.setState(ctx, name, hop3.StateStopped, ""); err != nil {
		p.Logger.Error("storing that an app is stopped", zap.String("app", name), zap.Error(err))
	}
	answer, err := m.other.Finish(ctx, last, m.out)
	if err != nil {
		return m.undecided(ctx, err)
	}
	if err := p.moved(ctx, m.is, answer); err != nil {
		return answer, err
	}
	say(m.out, "-----> '%s' is on %s; its requests waited for %s, and go there from here until its names do", name, m.req.Server, took(held))
	return answer, nil
}

// stop ends all that runs of the app once its requests are done, or the time
// for it is up. Those that come are held.
func (m *moving) stop(ctx context.Context) error {
	p := m.p
	app, err := p.Store.App(ctx, m.app.Name)
	if err != nil {
		return err
	}
	if app.Live != m.live.Number || app.State != hop3.StateRunning {
		return hop3.Errorf(hop3.CodeConflict, "'%s' was stopped, or has failed, while it was copied.", m.app.Name)
	}
	if err := p.rest(ctx, m.live, hop3.RouteAsleep); err != nil {
		return err
	}
	drain, cancel := context.WithTimeout(ctx, p.Settings.StopGrace)
	defer cancel()
	_ = p.Proxy.Drain(drain, m.live.ID()) // its time being up is the bound, not a failure
	return p.stopAll(ctx, m.app.Name)
}

// resume brings an app that was held back to what the database says of it. It
// is locked by lockRunning.
func (p *Platform) resume(ctx context.Context, name string) error {
	app, live, err := p.liveOf(ctx, name)
	if err != nil {
		return err
	}
	if !app.Awake() {
		return p.rest(ctx, live, restingStatus(app))
	}
	return p.bringUp(ctx, live)
}

// moved makes what the other server said the truth here, too. The app is
// locked by lockRunning.
func (p *Platform) moved(ctx context.Context, is hop3.Move, answer hop3.MoveAnswer) error {
	is.State, is.Hosts, is.Relay = hop3.MoveDone, answer.Hosts, answer.RelayAddress(is.Server)
	if err := p.saveMove(ctx, is, moveEvent(ctx, hop3.EventMoveDone, is, "'%s' has moved to %s", is.App, is.Server)); err != nil {
		return err
	}
	_, live, err := p.liveOf(ctx, is.App)
	if err != nil {
		return err
	}
	return p.restMoved(ctx, is, live)
}

// decidesWithin is how long requests are held for an answer.
const decidesWithin = 30 * time.Second

// undecided asks the other server until it says where the app is, for as long
// as requests can be held; later tendMoves asks.
func (m *moving) undecided(ctx context.Context, why error) (hop3.MoveAnswer, error) {
	p := m.p
	p.Logger.Warn("the end of a move is not known", zap.String("app", m.app.Name), zap.String("server", m.req.Server), zap.Error(why))
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.moves.patience, decidesWithin))
	defer cancel()
	for {
		answer, decided, err := p.decideLocked(ctx, m.is, m.other)
		switch {
		case decided && answer.State == hop3.MoveDone:
			return answer, err
		case decided:
			return hop3.MoveAnswer{}, errors.Join(why, err)
		}
		pause := time.NewTimer(time.Second)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			after := context.WithoutCancel(ctx)
			return hop3.MoveAnswer{}, errors.Join(
				hop3.Errorf(hop3.CodeUnavailable, "%s does not say whether '%s' runs there: %w", m.req.Server, m.app.Name, why).
					WithHint("Until it does, the app runs here neither: this server goes on asking. Look there."),
				p.rest(after, m.live, hop3.RouteStopped))
		}
	}
}

// decideLocked finds out where an app is. Unless it is there already, the other
// server gives it up, and it is here again. The app is locked by lockRunning.
func (p *Platform) decideLocked(ctx context.Context, is hop3.Move, other OtherServer) (answer hop3.MoveAnswer, decided bool, err error) {
	err = other.Abandon(ctx)
	switch hop3.CodeOf(err) {
	case hop3.CodeConflict:
		if answer, err = other.Status(ctx); err != nil || answer.State != hop3.MoveDone {
			return answer, false, err
		}
		return answer, true, p.moved(context.WithoutCancel(ctx), is, answer)
	case hop3.CodeNotFound, hop3.CodeUnauthorized: // it knows of no such move, or of another one
		err = nil
	}
	if err != nil {
		return answer, false, err
	}
	ctx = context.WithoutCancel(ctx)
	return answer, true, p.comeHere(ctx, is, moveEvent(ctx, hop3.EventMoveFailed, is, "'%s' did not move to %s, and is here", is.App, is.Server))
}

// comeHere ends a move and runs the app here. It is locked by lockRunning.
func (p *Platform) comeHere(ctx context.Context, is hop3.Move, events ...hop3.Event) error {
	if err := p.endMove(ctx, is, events...); err != nil {
		return err
	}
	if p.Relays != nil {
		p.Relays.Close(is.App)
	}
	_, live, err := p.liveOf(ctx, is.App)
	if err != nil {
		return err
	}
	return p.bringUp(ctx, live)
}

// TakeBack runs an app here that moved to a server which is lost, with what it
// had here when it moved. Who asks for it knows that it does not run there.
func (p *Platform) TakeBack(ctx context.Context, who Actor, name string, out hop3.Output) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	unlock, err := p.lockAny(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	is, ok := p.moves.of(name, false)
	if !ok || !is.Gone() {
		return hop3.Errorf(hop3.CodeConflict, "'%s' has not moved.", name)
	}
	unlockRunning, err := p.lockRunning(ctx, name)
	if err != nil {
		return err
	}
	defer unlockRunning()
	ctx = context.WithoutCancel(asked(ctx, who))
	say(out, "-----> Running '%s' here again, as it was at %s", name, is.StartedAt.UTC().Format(time.DateTime))
	return p.comeHere(ctx, is, moveEvent(ctx, hop3.EventMoveFailed, is, "'%s' was taken back from %s, with what it had here", name, is.Server))
}

// decide is decideLocked for a move whose end was not known when it ended.
func (p *Platform) decide(ctx context.Context, name string) error {
	unlock, ok := p.locks.try(name)
	if !ok {
		return nil // it is decided right now
	}
	defer unlock()
	unlockRunning, ok := p.tryLockRunning(name)
	if !ok {
		return nil
	}
	defer unlockRunning()
	is, ok := p.moves.of(name, false)
	if !ok || is.State != hop3.MoveSwitching {
		return nil
	}
	other, err := p.Servers.Server(is.Server, is.App, is.Secret)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, _, err = p.decideLocked(ctx, is, other)
	return err
}
