package waf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Guard is the firewall of a server: what the policies of all apps share. Its
// methods are safe for concurrent use. It needs New.
type Guard struct {
	bans
	networks atomic.Pointer[networks]
	log      *log
	logger   *slog.Logger
	busy     chan struct{} // holds one for each request that is being inspected
	busyLong chan struct{} // and for those that take long, which must not keep others waiting
	spooled  atomic.Int64  // bytes of long bodies in memory

	compile func(paranoia int) (Engine, error)
	mu      sync.Mutex
	engines map[int]Engine // by paranoia
}

// Options are what a Guard works with.
type Options struct {
	// Dir is where the log is kept; "" keeps none.
	Dir string
	// Save stores a ban that has just begun.
	Save func(hop3.Ban) error
	// Engine makes the engine of a paranoia; nil for the OWASP Core Rule Set.
	Engine func(paranoia int) (Engine, error)
	Logger *slog.Logger
}

// New returns a Guard that knows no networks and no bans yet.
func New(o Options) *Guard {
	g := &Guard{log: &log{dir: o.Dir}, logger: o.Logger, compile: o.Engine, engines: map[int]Engine{},
		busy: make(chan struct{}, 8*runtime.GOMAXPROCS(0)), busyLong: make(chan struct{}, runtime.GOMAXPROCS(0))}
	if g.compile == nil {
		g.compile = newCRS
	}
	g.bans.save, g.bans.logger = o.Save, o.Logger
	g.networks.Store(&networks{})
	return g
}

// engine returns the engine of a paranoia: one for all apps.
func (g *Guard) engine(paranoia int) (Engine, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.engines[paranoia]; e != nil {
		return e, nil
	}
	e, err := g.compile(paranoia)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeInternal, "the firewall cannot be used: %w", err)
	}
	g.engines[paranoia] = e
	return e, nil
}

// Check reports whether a policy can be applied. See Compile.
func (g *Guard) Check(spec hop3.WAF) error {
	_, err := g.Compile("", spec)
	return err
}

// SetNetworks replaces the named networks, for all policies at once.
func (g *Guard) SetNetworks(list []hop3.Network) {
	named := networks{}
	for _, n := range list {
		named[n.Name] = nil
		for _, cidr := range n.CIDRs {
			if prefix, err := netip.ParsePrefix(cidr); err == nil { // validated when it was added
				named[n.Name] = append(named[n.Name], prefix)
			}
		}
	}
	g.networks.Store(&named)
}

// Visit is a request as a front door knows it.
type Visit struct {
	Request        // Body and Disabled are Guard's
	Path    string // as the client sent it, undecoded
	ID      string // by which it is found in logs
}

// Verdict is what becomes of a request.
type Verdict int

// The verdicts.
const (
	Pass     Verdict = iota
	Refuse           // 403
	TooLarge         // 413: the body cannot be looked into
	Fail             // 503: nobody can say
)

// Admit says whether a client may ask for a path at all: whether it is banned,
// the path behind a gate, or none that there is. It looks at no rule.
func (g *Guard) Admit(p *Policy, v *Visit) Verdict {
	named := *g.networks.Load()
	exempt := named.containAny(v.Client)
	if p.spec.Bans != nil && !exempt && g.banned(p.app, v.Client, time.Now()) {
		return g.refuse(p, v, "ban", exempt)
	}
	why := p.access(read(v.Path), func(network string) bool { return named.contain(network, v.Client) })
	if why == "" {
		return Pass
	}
	return g.refuse(p, v, why, exempt)
}

// Inspect looks for attacks in a request that Admit has let pass. It reads the
// beginning of the body, and returns what is to be read in its place. A body of
// which not all can be looked into is refused, but for the end of an upload of
// files.
func (g *Guard) Inspect(ctx context.Context, p *Policy, v *Visit, body io.ReadCloser) (io.ReadCloser, Verdict) {
	r := v.Request
	skip := false
	r.Disabled, skip = p.relief(read(v.Path))
	if body != nil && !skip {
		start, err := g.spool(body)
		defer func(n int) { g.spooled.Add(-counted(n)) }(len(start))
		more := false
		if err == nil && len(start) == BodyLimit {
			start, more, err = next(body, start)
		}
		whole := body
		body = resume(start, whole, err)
		switch {
		case errors.Is(err, errSpooledOut):
			return resume(start, whole, nil), g.fail(p, v, "body", err)
		case err != nil && !p.spec.Detect:
			return body, unreadable(err)
		case err == nil && (more && boundaryOf(v) == "" || tooManyParts(v, start)):
			return body, g.settle(p, v, actionOf(p), "body", TooLarge)
		}
		r.Body = start[:min(len(start), BodyLimit)]
	}
	finding, err := g.inspect(ctx, p.engine, &r)
	if err != nil {
		return body, g.fail(p, v, "engine", err)
	}
	if !finding.Refused {
		return body, Pass
	}
	return body, g.refuse(p, v, finding.String(), (*g.networks.Load()).containAny(v.Client))
}

// unreadable is the end of a request whose client went or sent more than the
// app takes. What it sent of it has not been looked into, and goes nowhere.
func unreadable(err error) Verdict {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return TooLarge
	}
	return Refuse
}

// longBody is how long a body is that takes long.
const longBody = 8 << 10

// inspect asks the engine. What a rule panics at, is an error: nobody knows
// what it would have found. How many requests are inspected at once is
// bounded, and with it the memory that this takes.
func (g *Guard) inspect(ctx context.Context, engine Engine, r *Request) (finding Finding, err error) {
	busy := g.busy
	if len(r.Body) > longBody {
		busy = g.busyLong
	}
	select {
	case busy <- struct{}{}:
		defer func() { <-busy }()
	case <-ctx.Done():
		return Finding{}, ctx.Err()
	}
	defer func() {
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("panic: %v\n%s", trouble, debug.Stack())
		}
	}()
	return engine.Inspect(r)
}

// refuse writes down that a request is refused, counts it, and says so unless
// the policy only detects.
func (g *Guard) refuse(p *Policy, v *Visit, why string, exempt bool) Verdict {
	action := actionOf(p)
	if !p.spec.Detect && p.spec.Bans != nil && why != "ban" && !exempt &&
		g.count(p.app, v.Client, why, *p.spec.Bans, time.Now()) {
		action = hop3.WAFBanned
	}
	return g.settle(p, v, action, why, Refuse)
}

func (g *Guard) settle(p *Policy, v *Visit, action, why string, verdict Verdict) Verdict {
	g.record(p, v, action, why)
	if p.spec.Detect {
		return Pass
	}
	return verdict
}

func actionOf(p *Policy) string {
	if p.spec.Detect {
		return hop3.WAFDetected
	}
	return hop3.WAFBlocked
}

// fail is the end of a request that could not be looked into. Where the policy
// only detects, it passes: there it never was the firewall's to stop.
func (g *Guard) fail(p *Policy, v *Visit, why string, err error) Verdict {
	g.logger.Error("a request could not be inspected", slog.String("app", p.app), slog.String("request", v.ID), slog.Any("error", err))
	return g.settle(p, v, hop3.WAFError, why, Fail)
}

func (g *Guard) record(p *Policy, v *Visit, action, rule string) {
	source := ""
	if v.Client.IsValid() {
		source = v.Client.String()
	}
	err := g.log.write(hop3.WAFEvent{Time: time.Now().UTC(), App: p.app, Source: source, Action: action, Rule: rule, Method: v.Method, Path: v.Path, Request: v.ID})
	if err != nil {
		g.logger.Error("writing the firewall's log", slog.Any("error", err))
	}
}

// String is "942100 attack-sqli": the first rule, how many there are more, and
// what they look for.
func (f Finding) String() string {
	if len(f.Rules) == 0 {
		return "rules"
	}
	s := strconv.Itoa(f.Rules[0])
	if more := f.Rules[1:]; len(more) > 0 {
		for _, rule := range more[:min(len(more), 4)] {
			s += "," + strconv.Itoa(rule)
		}
		if len(more) > 4 {
			s += ",…"
		}
	}
	return s + " " + strings.Join(f.Kinds[:min(len(f.Kinds), 3)], ",")
}

// tooManyParts reports whether a multipart body has more parts than anybody
// needs. The engine makes a file of each.
func tooManyParts(v *Visit, body []byte) bool {
	boundary := boundaryOf(v)
	return boundary != "" && bytes.Count(body, []byte("--"+boundary)) > mostParts
}

const mostParts = 1000

// boundaryOf returns what separates the parts of a form with files, "" when
// the body is none.
func boundaryOf(v *Visit) string {
	types := v.Header["Content-Type"]
	if len(types) != 1 {
		return ""
	}
	kind, params, err := mime.ParseMediaType(types[0])
	if err != nil || kind != "multipart/form-data" {
		return ""
	}
	return params["boundary"]
}
