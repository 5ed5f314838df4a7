package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// MoveRows is the part of the store that knows of apps that come from another
// server, or go to one.
type MoveRows interface {
	Moves(ctx context.Context) ([]hop3.Move, error) // ordered by app
	SaveMove(ctx context.Context, m hop3.Move, events ...hop3.Event) error
	EndMove(ctx context.Context, app string, incoming bool, events ...hop3.Event) error
}

// OtherServers are the servers that apps go to.
type OtherServers interface {
	// Server returns one by its address, for an app that comes to it, with what
	// it knows us by. It connects to nothing yet.
	Server(address, app, secret string) (OtherServer, error)
}

// OtherServer is a server that an app goes to. What it refuses is an error as
// its own; that it cannot be asked is one of CodeUnavailable.
type OtherServer interface {
	// Offer begins a move, or begins it again.
	Offer(ctx context.Context, o hop3.MoveOffer) (hop3.MoveAnswer, error)
	// Send sends a file of a copy, again from its beginning when the connection
	// breaks.
	Send(ctx context.Context, id, name string, size int64, open func() (io.ReadCloser, error)) error
	// Prepare has the first copy unpacked and built.
	Prepare(ctx context.Context, id string, out hop3.Output) (hop3.MoveAnswer, error)
	// Finish has the last copy unpacked, and the app started: once it has
	// returned, the app is there. After an error it may be there or not.
	Finish(ctx context.Context, id string, out hop3.Output) (hop3.MoveAnswer, error)
	Status(ctx context.Context) (hop3.MoveAnswer, error)
	// Abandon ends a move, and removes what was made for it: the app will never
	// be there by it. When it is there already, that is a CodeConflict error.
	Abandon(ctx context.Context) error
}

// Relays pass requests on to the servers that apps went to.
type Relays interface {
	// Open begins, or goes on, to pass on what is asked of an app, and returns
	// the upstream, in Caddy's form, that does so.
	Open(app string, t hop3.RelayTarget) (upstream string, err error)
	// Close ends that; it is no error when there is none.
	Close(app string)
}

// moves is what is known of apps that come and go: a projection of the
// database.
type moves struct {
	mu      sync.RWMutex
	known   map[moveKey]hop3.Move
	cancels map[string]context.CancelCauseFunc // of moves under way, by app
	names   map[string]time.Time               // when it was last looked where those of an app point
	// patience is decidesWithin, replaced by tests; 0 is that.
	patience time.Duration
}

type moveKey struct {
	app      string
	incoming bool
}

func (m *moves) of(app string, incoming bool) (hop3.Move, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	is, ok := m.known[moveKey{app, incoming}]
	return is, ok
}

func (m *moves) all() []hop3.Move {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []hop3.Move
	for _, is := range m.known {
		all = append(all, is)
	}
	return all
}

func (m *moves) put(is hop3.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[moveKey]hop3.Move{}
	}
	m.known[moveKey{is.App, is.Incoming}] = is
}

func (m *moves) drop(app string, incoming bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, moveKey{app, incoming})
}

func (p *Platform) saveMove(ctx context.Context, m hop3.Move, events ...hop3.Event) error {
	if err := p.Store.SaveMove(ctx, m, events...); err != nil {
		return err
	}
	p.moves.put(m)
	return nil
}

func (p *Platform) endMove(ctx context.Context, m hop3.Move, events ...hop3.Event) error {
	if err := p.Store.EndMove(ctx, m.App, m.Incoming, events...); err != nil {
		return err
	}
	p.moves.drop(m.App, m.Incoming)
	return nil
}

// forgetMoves forgets the moves of an app that is no more; its row has taken
// theirs along.
func (p *Platform) forgetMoves(app string) {
	p.moves.drop(app, false)
	p.moves.drop(app, true)
	if p.Relays != nil {
		p.Relays.Close(app)
	}
}

// loadMoves reads what an earlier server knew. A move that had not come to the
// switch has ended with it.
func (p *Platform) loadMoves(ctx context.Context) error {
	all, err := p.Store.Moves(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		switch {
		case !m.Incoming && !m.Gone():
			if err := p.Store.EndMove(ctx, m.App, false, moveEvent(ctx, hop3.EventMoveFailed, m, "the move of '%s' to %s ended with the server: '%s' is here", m.App, m.Server, m.App)); err != nil {
				return err
			}
			p.Go("move", func(ctx context.Context) { p.abandonThere(ctx, m) })
			continue
		case m.Incoming && m.State == hop3.MoveSwitching:
			if m, err = p.settleIncoming(ctx, m); err != nil {
				return err
			}
		case m.Incoming && m.State == hop3.MoveCopying:
			m.State = hop3.MoveExpected // what was copied is gone
		}
		p.moves.put(m)
	}
	return nil
}

func moveEvent(ctx context.Context, kind hop3.EventKind, m hop3.Move, format string, args ...any) hop3.Event {
	e := event(ctx, kind, m.App, format, args...)
	if m.Server != "" {
		e.Data = map[string]string{"server": m.Server}
	}
	return e
}

// here returns a CodeConflict error for an app that is another server's, or
// will be this one's only later.
func (p *Platform) here(app string) error {
	if m, ok := p.moves.of(app, false); ok && m.Gone() {
		if m.State == hop3.MoveSwitching {
			return hop3.Errorf(hop3.CodeConflict, "'%s' is moving to %s, which does not answer: only it knows whether '%s' runs there.", app, m.Server, app).
				WithHint("It goes on by itself once %s answers. If that is lost for good, `hop3 app move %s --take-back` runs it here.", m.Server, app)
		}
		return hop3.Errorf(hop3.CodeConflict, "'%s' has moved to %s: this server only passes its requests on.", app, m.Server).
			WithHint("Change it there. `hop3 app destroy --app %s` removes what is left of it here, once its names point there.", app)
	}
	if m, ok := p.moves.of(app, true); ok && m.Created && m.State != hop3.MoveDone {
		return hop3.Errorf(hop3.CodeConflict, "'%s' is on its way here from another server.", app).
			WithHint("`hop3 app receive %s --cancel` sends it back.", app)
	}
	return nil
}

// destroyable is here for who destroys an app: what is left of one that has
// moved can go.
func (p *Platform) destroyable(app string) error {
	if m, ok := p.moves.of(app, false); ok && m.State == hop3.MoveDone {
		return nil
	}
	return p.here(app)
}

// movedTo returns the address of the server that an app has moved to, "" when
// it is here.
func (p *Platform) movedTo(app string) string {
	if m, ok := p.moves.of(app, false); ok && m.State == hop3.MoveDone {
		return m.Server
	}
	return ""
}

// Relayed reports whether a secret is one that another server proves itself
// with, to which requests for an app came that has moved here.
func (p *Platform) Relayed(secret string) bool {
	p.moves.mu.RLock()
	defer p.moves.mu.RUnlock()
	for _, m := range p.moves.known {
		if m.Incoming && (m.State == hop3.MoveDone || m.State == hop3.MoveSwitching) && m.Knows(secret) {
			return true
		}
	}
	return false
}

// restMoved routes the requests of an app that went: to the other server, or,
// as long as it is not known whether the app is there, to a page.
func (p *Platform) restMoved(ctx context.Context, m hop3.Move, live hop3.Release) error {
	p.running.forget(m.App)
	if m.State != hop3.MoveDone {
		return errors.Join(p.rest(ctx, live, hop3.RouteStopped), p.setState(ctx, m.App, hop3.StateStopped, ""))
	}
	if p.Relays == nil {
		return errors.Join(p.rest(ctx, live, hop3.RouteStopped), p.setState(ctx, m.App, hop3.StateStopped, ""))
	}
	upstream, err := p.Relays.Open(m.App, hop3.RelayTarget{Server: m.Relay, Secret: m.Secret, Hosts: m.Hosts})
	if err != nil {
		return errors.Join(fmt.Errorf("passing on the requests of '%s': %w", m.App, err), p.rest(ctx, live, hop3.RouteStopped))
	}
	return errors.Join(
		p.Proxy.Set(ctx, hop3.Route{App: m.App, Hosts: live.Hosts, Upstreams: []string{upstream}, AllowHTTP: live.AllowHTTP}),
		p.setState(ctx, m.App, hop3.StateStopped, ""))
}

// tendMovesEvery is how often moves are looked at, lookAtNames where the names
// of apps that went are looked up.
const (
	tendMovesEvery = 5 * time.Second
	lookAtNames    = time.Hour
)

// tendMoves ends what a move has left undecided, and those that nobody will
// end, until ctx ends.
func (p *Platform) tendMoves(ctx context.Context) {
	every(ctx, tendMovesEvery, func() {
		p.guard("looking after moves", func() {
			for _, m := range p.moves.all() {
				p.tendMove(ctx, m)
			}
		})
	})
}

func (p *Platform) tendMove(ctx context.Context, m hop3.Move) {
	var err error
	switch {
	case !m.Incoming && m.State == hop3.MoveSwitching:
		err = p.decide(ctx, m.App)
	case !m.Incoming && m.State == hop3.MoveDone && !m.Told:
		err = p.lookWhereNamesPoint(ctx, m)
	case m.Incoming && m.State != hop3.MoveDone && m.Expires.Before(p.now()):
		err = p.abandonHere(As(ctx, Actor{}), m.App)
	}
	if err != nil && ctx.Err() == nil {
		p.Logger.Warn("looking after a move", zap.String("app", m.App), zap.String("server", m.Server), zap.Error(err))
	}
}

// lookWhereNamesPoint says so once no name of an app that went points to this
// machine any more.
func (p *Platform) lookWhereNamesPoint(ctx context.Context, m hop3.Move) error {
	p.moves.mu.Lock()
	due := p.now().Sub(p.moves.names[m.App]) >= lookAtNames
	if due {
		if p.moves.names == nil {
			p.moves.names = map[string]time.Time{}
		}
		p.moves.names[m.App] = p.now()
	}
	p.moves.mu.Unlock()
	if !due {
		return nil
	}
	_, live, err := p.liveOf(ctx, m.App)
	if err != nil {
		return err
	}
	names := p.ownNames(live.Hosts)
	for _, host := range names {
		points, own, err := p.Certs.Addresses(ctx, strings.TrimPrefix(host, "*."))
		if err != nil || len(own) == 0 || slices.ContainsFunc(points, func(a string) bool { return slices.Contains(own, a) }) {
			return nil // also when nobody knows: it does no harm to go on
		}
	}
	if len(names) == 0 {
		return nil
	}
	m.Told = true
	return p.saveMove(ctx, m, moveEvent(ctx, hop3.EventMoveNames, m, "all names of '%s' point to another machine: `hop3 app destroy --app %s` can remove what is left of it here", m.App, m.App))
}

// ownNames are the hosts of an app that its users gave it: those under the
// server's own name stay the server's.
func (p *Platform) ownNames(hosts []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(host string) bool {
		return strings.HasSuffix(host, "."+p.Settings.BaseDomain)
	})
}

// liveOf returns an app and its live release.
func (p *Platform) liveOf(ctx context.Context, name string) (hop3.App, hop3.Release, error) {
	app, err := p.Store.App(ctx, name)
	if err != nil {
		return app, hop3.Release{}, err
	}
	live, err := p.Store.Release(ctx, name, app.Live)
	return app, live, err
}
