package caddymodules

import (
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3/waf"
)

// firewall is the firewall of one policy. One that cannot be made lets nothing
// pass.
type firewall struct {
	guard  *waf.Guard
	policy atomic.Pointer[waf.Policy] // nil while it could not be made
	tried  atomic.Int64               // when that was, in Unix seconds
}

// remake is after how many seconds it is tried again to make a firewall.
const remake = 5

// fence makes the firewall of a policy that wants one.
func (a *Apps) fence(p *policy) {
	if p.WAF == nil {
		return
	}
	p.firewall = &firewall{}
	if a.core != nil {
		p.firewall.guard = a.core.Guard
	}
	a.ready(p)
}

// ready returns a policy's firewall, nil when it cannot be made. The policy was
// found good before its release was committed, so that this is the machine's
// fault, as when the disk is full, and may go away.
func (a *Apps) ready(p *policy) *waf.Policy {
	f := p.firewall
	if made := f.policy.Load(); made != nil {
		return made
	}
	now, tried := time.Now().Unix(), f.tried.Load()
	if f.guard == nil || now-tried < remake || !f.tried.CompareAndSwap(tried, now) {
		return nil
	}
	made, err := f.guard.Compile(p.app, *p.WAF)
	if err != nil {
		a.logger.Error("an app's firewall cannot be made: its requests are refused", zap.String("app", p.app), zap.Error(err))
		return nil
	}
	f.policy.Store(made)
	return made
}

// challenge refuses the clients and paths that the firewall does not let in.
// done says that the request was answered here.
func (a *Apps) challenge(w http.ResponseWriter, r *http.Request, p *policy) (done bool, err error) {
	if p.firewall == nil {
		return false, nil
	}
	policy := a.ready(p)
	if policy == nil {
		return true, a.pages.write(w, r, uninspectedPage(r))
	}
	return a.rule(w, r, p.firewall.guard.Admit(policy, visitOf(r)))
}

// inspect refuses what the rules of the firewall find an attack in. Of the body
// it reads the beginning, which the app gets nevertheless.
func (a *Apps) inspect(w http.ResponseWriter, r *http.Request, p *policy) (done bool, err error) {
	if p.firewall == nil {
		return false, nil
	}
	body := r.Body
	if body == http.NoBody || tunnel(r) {
		body = nil
	}
	rest, verdict := p.firewall.guard.Inspect(r.Context(), p.firewall.policy.Load(), visitOf(r), body) // challenge found it
	if body != nil {
		r.Body = rest
	}
	return a.rule(w, r, verdict)
}

func (a *Apps) rule(w http.ResponseWriter, r *http.Request, verdict waf.Verdict) (done bool, err error) {
	switch verdict {
	case waf.Pass:
		return false, nil
	case waf.Refuse:
		return true, a.pages.write(w, r, blockedPage(r))
	case waf.TooLarge:
		return true, a.pages.write(w, r, pageTooLarge)
	default:
		return true, a.pages.write(w, r, uninspectedPage(r))
	}
}

// tunnel reports whether what looks like a body is a stream in both
// directions: a WebSocket over HTTP/2 (RFC 8441) or HTTP/3.
func tunnel(r *http.Request) bool {
	return r.Method == http.MethodConnect && r.ProtoMajor > 1 && (len(r.Header[":protocol"]) > 0 || r.Proto == "websocket")
}

func visitOf(r *http.Request) *waf.Visit {
	method, proto := r.Method, r.Proto
	if tunnel(r) {
		method, proto = http.MethodGet, "HTTP/1.1" // as it would be there
	}
	addr, _ := clientAddr(r) // without one nobody is let in by it
	return &waf.Visit{
		Request: waf.Request{Client: addr, Method: method, URI: r.URL.RequestURI(), Proto: proto, Host: r.Host,
			Header: r.Header, TransferEncoding: r.TransferEncoding},
		Path: r.URL.EscapedPath(),
		ID:   r.Header.Get("X-Request-Id"),
	}
}

func blockedPage(r *http.Request) page {
	return page{Status: http.StatusForbidden, Title: "Refused", Text: "The firewall of this app does not let this request pass. If it should, tell the app's owner the number below.",
		Request: r.Header.Get("X-Request-Id")}
}

func uninspectedPage(r *http.Request) page {
	return page{Status: http.StatusServiceUnavailable, Title: "Not now", Text: "The firewall of this app could not look at this request. Please try again in a moment.",
		RetryAfter: 5, Request: r.Header.Get("X-Request-Id")}
}
